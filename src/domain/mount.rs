//! The mount that a publish request asks for, and what to do given what is at the target.
//!
//! Why it exists: mounting over an occupied target silently stacks, and all mounts of one Lustre look alike by device
//! number. So the plan is complete before the first look, one look at the target's path decides, and anything unexpected
//! is a conflict rather than a second mount.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::access::{AccessMode, Capability};
use super::error::{Notice, Violations, quote};
use super::mount_options::MountOptions;
use super::mount_source::MountSource;
use super::volume_attributes::{self, UnknownAttributes};

/// Type name that the kernel gives Lustre mounts.
pub const FS_TYPE: &str = "lustre";

/// A NodePublishVolume request in the domain's words.
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
    /// Checks a request and expands its sub-directory, as [`MountPlan::parse`] does with keys that are nearly ours refused.
    pub fn new(request: &PublishRequest) -> Result<Self, Violations> {
        Self::parse(request, UnknownAttributes::Refuse).map(|(plan, _)| plan)
    }

    /// Checks a request and expands its sub-directory. `mgs-ip-address` must stand in the context; the volume id is never
    /// asked. All mistakes are reported at once; beside the plan stands what should be logged.
    pub fn parse(request: &PublishRequest, unknown: UnknownAttributes) -> Result<(Self, Vec<Notice>), Violations> {
        let mut violations = Violations::default();
        if request.volume_id.is_empty() {
            violations.push("volume id", "missing");
        }
        let target = check_path("target path", &request.target).map_err(|more| violations.extend(more)).ok();
        let capability = request.capability.check().map_err(|more| violations.extend(more)).ok();
        let attributes = volume_attributes::parse(&request.context, &request.target, unknown)
            .map_err(|more| violations.extend(more))
            .ok();
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
        violations.into_result(plan)
    }

    /// Whether the sub-directory is to be made before the mount: only for writable volumes.
    pub fn makes_sub_dir(&self) -> bool {
        self.source.sub_dir.is_some() && !self.options.read_only
    }

    /// What to do, given what is at the target.
    pub fn action(&self, state: &MountState) -> MountAction {
        match state {
            MountState::Absent | MountState::Directory => MountAction::Mount,
            MountState::Corrupt { .. } => MountAction::RepairThenMount,
            MountState::Obstructed { what } => MountAction::Obstructed(what.clone()),
            MountState::Mounted(mounts) => match mounts.as_slice() {
                [] => MountAction::Mount,
                [mounted] => self.difference(mounted).map_or(MountAction::Done, MountAction::Conflict),
                stacked => MountAction::Conflict(format!("{} mounts are stacked on it", stacked.len())),
            },
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
pub fn check_path(field: &str, path: &Path) -> Result<PathBuf, Violations> {
    let mut violations = Violations::default();
    let shown = || quote(&path.to_string_lossy());
    if path.as_os_str().is_empty() {
        violations.push(field, "missing");
    } else if !path.is_absolute() || path.parent().is_none() {
        violations.push(field, format!("{} is not an absolute path below the root", shown()));
    } else if path.components().any(|part| part == Component::ParentDir)
        || path.as_os_str().as_encoded_bytes().contains(&0)
    {
        violations.push(field, format!("{} may not contain `..` or a zero byte", shown()));
    }
    violations.into_result(Some(path.to_owned()))
}

/// What is at a target path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountState {
    /// Nothing.
    Absent,
    /// A directory that nothing is mounted on.
    Directory,
    /// Mounts, the lowest first.
    Mounted(Vec<Mounted>),
    /// A mount whose servers have forgotten it (`ENOTCONN`, `ESTALE`, `EIO` and the like).
    Corrupt {
        /// What was tried and how it failed.
        reason: String,
    },
    /// Something that is no directory.
    Obstructed {
        /// What it is, such as "a regular file".
        what: String,
    },
}

/// One mount as the kernel (or the simulator's table) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// As given when it was mounted, in any spelling.
    pub source: String,
    /// Such as `lustre`.
    pub fs_type: String,
    /// Per-mount and super block options together.
    pub options: Vec<String>,
}

/// What a publish does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountAction {
    /// Already mounted as planned.
    Done,
    /// Mount.
    Mount,
    /// Unmount the corrupt mount, then mount, in the same call.
    RepairThenMount,
    /// Occupied by something else, told in words.
    Conflict(String),
    /// The target is no directory.
    Obstructed(String),
}

#[cfg(test)]
mod tests;
