//! The mount that a publish request asks for, and how it compares with what is mounted at the target.
//!
//! Mounting over an occupied target silently stacks, and all mounts of one Lustre have the same device number. So the plan
//! is complete before the target is observed, and anything unexpected there is a conflict rather than a second mount.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::access::{AccessMode, Capability};
use super::mount_options::MountOptions;
use super::mount_source::MountSource;
use super::problem::{Notice, Problems};
use super::text::quote;
use super::volume_attributes::{self, UnknownAttributes};

/// Type name that the kernel gives Lustre mounts.
pub const FS_TYPE: &str = "lustre";

/// A NodePublishVolume request in the domain's words (CSI `NodePublishVolumeRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRequest {
    /// Volume id; any text, since static PersistentVolumes choose their own.
    pub volume_id: String,
    /// Where the pod expects the volume.
    pub target: PathBuf,
    /// How it will be used.
    pub capability: Capability,
    /// `readonly` of the request.
    pub read_only: bool,
    /// Volume context, with the pod's names.
    pub context: BTreeMap<String, String>,
}

/// Everything that one mount needs, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// Volume that is published.
    pub volume_id: String,
    /// What to mount.
    pub source: MountSource,
    /// Where.
    pub target: PathBuf,
    /// How.
    pub options: MountOptions,
    /// Whether no second target on this node may have the volume (`ReadWriteOncePod`).
    pub exclusive: bool,
}

impl MountPlan {
    /// Checks a request and expands its sub-directory, as [`MountPlan::parse`] does with misspelt keys refused.
    pub fn new(request: &PublishRequest) -> Result<Self, Problems> {
        Self::parse(request, UnknownAttributes::Refuse).map(|(plan, _)| plan)
    }

    /// Checks a request and expands its sub-directory. `mgs-ip-address` must stand in the context; the volume id is never
    /// read. All mistakes are reported at once; beside the plan stands what should be logged.
    pub fn parse(request: &PublishRequest, unknown: UnknownAttributes) -> Result<(Self, Vec<Notice>), Problems> {
        let mut problems = Problems::default();
        if request.volume_id.is_empty() {
            problems.add("volume id", "missing");
        }
        let target = problems.note(check_path("target path", &request.target));
        let capability = problems.note(request.capability.check());
        let attributes = problems.note(volume_attributes::parse(&request.context, &request.target, unknown));
        let plan = (|| {
            let (mode, mut options) = capability?;
            let (source, notices) = attributes?;
            options.read_only |= request.read_only;
            let plan = Self {
                volume_id: request.volume_id.clone(),
                source,
                target: target?,
                options,
                exclusive: mode == AccessMode::SingleNodeSingleWriter,
            };
            Some((plan, notices))
        })();
        problems.into_result(plan)
    }

    /// Whether the sub-directory may be made where it is missing: only for writable volumes.
    pub fn makes_sub_dir(&self) -> bool {
        self.source.sub_dir.is_some() && !self.options.read_only
    }

    /// How the mounts at the target, the lowest first, compare with the plan. Equal mounts that are stacked (another
    /// driver left them) are as planned if each of them is.
    pub fn occupancy(&self, mounts: &[Mounted]) -> Occupancy {
        let mut differences = mounts.iter().map(|mounted| self.difference(mounted));
        match (mounts, differences.find_map(|difference| difference)) {
            ([], _) => Occupancy::Free,
            (_, None) => Occupancy::AsPlanned,
            ([_], Some(difference)) => Occupancy::Other(difference),
            (stacked, Some(difference)) => {
                Occupancy::Other(format!("{} mounts are stacked on it, and {difference}", stacked.len()))
            }
        }
    }

    /// How a mount differs from the plan, in words; none if it is as planned.
    fn difference(&self, mounted: &Mounted) -> Option<String> {
        if mounted.fs_type != FS_TYPE {
            return Some(format!("it holds a {} mount of {}", quote(&mounted.fs_type), quote(&mounted.source)));
        }
        match MountSource::parse(&mounted.source) {
            Ok(source) if source == self.source => {}
            _ => return Some(format!("it holds {}, not {}", quote(&mounted.source), self.source)),
        }
        let missing = self.options.missing_from(&mounted.options)?;
        Some(format!("it is mounted from {} without the option {missing}", self.source))
    }
}

/// Takes a path at which a volume may be mounted: absolute, without `..`, not the root itself.
pub fn check_path(field: &str, path: &Path) -> Result<PathBuf, Problems> {
    let mut problems = Problems::default();
    let shown = || quote(&path.to_string_lossy());
    if path.as_os_str().is_empty() {
        problems.add(field, "missing");
    } else if !path.is_absolute() || path.parent().is_none() {
        problems.add(field, format!("{} is not an absolute path below the root", shown()));
    } else if path.components().any(|part| part == Component::ParentDir)
        || path.as_os_str().as_encoded_bytes().contains(&0)
    {
        problems.add(field, format!("{} may not contain `..` or a zero byte", shown()));
    }
    problems.into_result(Some(path.to_owned()))
}

/// One mount at a target, as mountinfo of the kernel or the table of the simulator shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// As given when it was mounted, in any spelling.
    pub source: String,
    /// Such as `lustre`.
    pub fs_type: String,
    /// Per-mount and super block options together.
    pub options: Vec<String>,
}

/// How the mounts at a target compare with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupancy {
    /// Nothing is mounted.
    Free,
    /// What is mounted is what the plan asks for.
    AsPlanned,
    /// Something else is mounted, in words.
    Other(String),
}

#[cfg(test)]
mod tests;
