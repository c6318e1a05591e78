//! NodePublishVolume, NodeUnpublishVolume and NodeGetVolumeStats.
//!
//! The mounter's operations are whole, so a publish is: check the request, keep a single writer alone, mount; where the
//! sub-directory is missing and the volume is writable, make it and mount once more. Operations exclude each other only at
//! the same target and, for single writers, on the same volume.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::deadline::Deadline;
use super::finality::{self, mount_failed, publish_failed};
use super::in_flight::{InFlight, InFlightGuard};
use super::log_notices;
use crate::domain::mount::{MountPlan, PublishRequest, check_path};
use crate::domain::problem::Problems;
use crate::domain::text::quote;
use crate::domain::volume_attributes::UnknownAttributes;
use crate::ports::clock::Clock;
use crate::ports::inbound::{Failure, FailureKind, Publishing};
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Usage};
use crate::ports::operations::Operations;

/// The use-cases of a node.
#[derive(Debug)]
pub struct Publish {
    mounter: Arc<dyn Mounter>,
    clock: Arc<dyn Clock>,
    in_flight: InFlight,
    unknown_attributes: UnknownAttributes,
    operations: Option<Arc<dyn Operations>>,
}

impl Publish {
    /// Use-cases over these ports.
    pub fn new(mounter: Arc<dyn Mounter>, clock: Arc<dyn Clock>) -> Self {
        let (in_flight, unknown_attributes) = (InFlight::default(), UnknownAttributes::default());
        Self { mounter, clock, in_flight, unknown_attributes, operations: None }
    }

    /// Where a call whose time ends asks why its operation has not begun.
    #[must_use]
    pub fn with_operations(self, operations: Option<Arc<dyn Operations>>) -> Self {
        Self { operations, ..self }
    }

    /// Works until the deadline. `subjects` are the paths and names that the work is about.
    async fn limit<T>(
        &self,
        deadline: Deadline<'_>,
        what: &str,
        subjects: &[&str],
        work: impl Future<Output = T> + Send,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        if let Some(result) = deadline.limit(work.as_mut()).await {
            return Ok(result);
        }
        // Before the work is dropped: it is what waits.
        let not_begun = |subject: &&str| self.operations.as_ref()?.not_begun(subject);
        let not_begun = subjects.iter().find_map(not_begun).map(mount_failed);
        let text = || format!("{what}: not finished in time; it may go on, and the call is repeated");
        Err(not_begun.unwrap_or_else(|| Failure::new(FailureKind::TimedOut, text())))
    }

    /// What is done about misspelt keys of `volumeAttributes`; refused unless this says otherwise.
    #[must_use]
    pub fn with_unknown_attributes(self, unknown_attributes: UnknownAttributes) -> Self {
        Self { unknown_attributes, ..self }
    }

    /// Single-writer volumes are exclusive on the node: reserves the volume, and refuses a second target.
    async fn claim_volume(&self, plan: &MountPlan, deadline: Deadline<'_>) -> Result<Option<InFlightGuard>, Failure> {
        if !plan.exclusive {
            return Ok(None);
        }
        let reservation = self.in_flight.reserve(format!("volume {}", plan.volume_id), "publish")?;
        let listed = self.limit(deadline, "list mounts", &[&plan.volume_id], self.mounter.published(plan)).await?;
        // Whatever kept the mounter from knowing, the volume may be published: that is never final.
        let published =
            listed.map_err(|error| publish_failed(MountError { kind: MountErrorKind::Unknown, ..error }))?;
        let Some(other) = published.iter().find(|other| **other != plan.target) else { return Ok(Some(reservation)) };
        let message =
            format!("volume {} has one writer and is published at {} already", quote(&plan.volume_id), other.display());
        Err(Failure::new(FailureKind::Precondition, message)
            .with_hint("use ReadWriteMany or ReadWriteOnce for more than one pod"))
    }

    /// Mounts, and makes the sub-directory only when the servers say that it does not exist.
    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        match self.mounter.mount(plan).await {
            Err(error) if error.kind == MountErrorKind::NotFound && plan.makes_sub_dir() => {
                self.mounter.make_sub_dir(&plan.source).await?;
                self.mounter.mount(plan).await
            }
            result => result,
        }
    }
}

/// One key for all spellings of a path with `//` and `/./`.
fn key(target: &Path) -> String {
    format!("target {}", target.components().collect::<PathBuf>().display())
}

fn check(volume_id: &str, field: &str, path: &Path) -> Result<(), Failure> {
    let mut problems = Problems::default();
    if volume_id.is_empty() {
        problems.add("volume id", "missing");
    }
    problems.note(check_path(field, path));
    problems.into_result(Some(())).map_err(finality::invalid)
}

#[async_trait]
impl Publishing for Publish {
    async fn publish(&self, request: PublishRequest, timeout: Option<Duration>) -> Result<(), Failure> {
        let deadline = Deadline::new(&*self.clock, timeout);
        let planned = MountPlan::parse(&request, self.unknown_attributes);
        let (plan, notices) = planned.map_err(finality::invalid)?;
        log_notices(&notices);
        let _target = self.in_flight.reserve(key(&plan.target), "publish")?;
        let _volume = self.claim_volume(&plan, deadline).await?;
        let (target, source) = (plan.target.to_string_lossy(), plan.source.to_string());
        let outcome = self.limit(deadline, "mount", &[&target, &source], self.mount(&plan)).await?;
        match outcome.map_err(publish_failed)? {
            MountOutcome::Mounted | MountOutcome::AlreadyMounted => Ok(()),
            MountOutcome::Occupied(what) => {
                let message = format!("target {} is occupied: {what}", plan.target.display());
                Err(Failure::new(FailureKind::Conflict, message).with_hint("unpublish what is mounted there first"))
            }
        }
    }

    async fn unpublish(&self, volume_id: &str, target: &Path, timeout: Option<Duration>) -> Result<(), Failure> {
        let deadline = Deadline::new(&*self.clock, timeout);
        check(volume_id, "target path", target)?;
        let _target = self.in_flight.reserve(key(target), "unpublish")?;
        let subject = target.to_string_lossy();
        self.limit(deadline, "unmount", &[&subject], self.mounter.unmount(target)).await?.map_err(mount_failed)
    }

    async fn usage(&self, volume_id: &str, path: &Path, timeout: Option<Duration>) -> Result<Usage, Failure> {
        let message = || format!("volume {} is not mounted at {}", quote(volume_id), quote(&path.to_string_lossy()));
        let not_there = || Failure::new(FailureKind::NotFound, message());
        let given = !volume_id.is_empty() && !path.as_os_str().is_empty();
        match check(volume_id, "volume path", path) {
            // A path where nothing can be mounted is one where nothing is mounted.
            Err(_) if given => return Err(not_there()),
            checked => checked?,
        }
        let (deadline, subject) = (Deadline::new(&*self.clock, timeout), path.to_string_lossy());
        let usage = self.limit(deadline, "statfs", &[&subject], self.mounter.usage(path)).await?;
        usage.map_err(mount_failed)?.ok_or_else(not_there)
    }
}
