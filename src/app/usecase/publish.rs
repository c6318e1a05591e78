//! NodePublishVolume, NodeUnpublishVolume and NodeGetVolumeStats.
//!
//! Why it exists: one look at the target decides, a mount that fails is undone, and nothing waits for another volume:
//! operations exclude each other only at the same target (and, for single-writer volumes, on the same volume).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::deadline::Deadline;
use super::in_flight::{InFlight, Reservation};
use super::{notices, verdict};
use crate::domain::error::{Violations, quote};
use crate::domain::mount::{MountAction, MountPlan, PublishRequest, check_path};
use crate::domain::volume_attributes::UnknownAttributes;
use crate::ports::clock::Clock;
use crate::ports::inbound::{Failure, FailureKind, Publishing};
use crate::ports::mounter::{MountError, MountErrorKind, Mounter, Usage};

/// Most time that undoing a failed mount may take after the failure.
const UNDO_LIMIT: Duration = Duration::from_secs(5);

/// The use-cases of a node.
#[derive(Debug)]
pub struct Publish {
    mounter: Arc<dyn Mounter>,
    clock: Arc<dyn Clock>,
    in_flight: InFlight,
    unknown_attributes: UnknownAttributes,
}

impl Publish {
    /// Use-cases over these ports.
    pub fn new(mounter: Arc<dyn Mounter>, clock: Arc<dyn Clock>) -> Self {
        Self { mounter, clock, in_flight: InFlight::default(), unknown_attributes: UnknownAttributes::default() }
    }

    /// What is done about keys of `volumeAttributes` that are nearly ours; refused unless this says otherwise.
    #[must_use]
    pub fn with_unknown_attributes(self, unknown_attributes: UnknownAttributes) -> Self {
        Self { unknown_attributes, ..self }
    }

    /// Single-writer volumes are exclusive on the node: reserves the volume, and refuses a second target.
    async fn claim_volume(&self, plan: &MountPlan, deadline: Deadline<'_>) -> Result<Option<Reservation>, Failure> {
        if !plan.exclusive {
            return Ok(None);
        }
        let reservation = self.in_flight.reserve(format!("volume {}", plan.volume_id), "publish")?;
        let published =
            step(deadline, "list mounts", self.mounter.published(&plan.volume_id)).await.map_err(in_doubt)?;
        match published.iter().find(|other| **other != plan.target) {
            None => Ok(Some(reservation)),
            Some(other) => {
                let message = format!(
                    "volume {} has one writer and is published at {} already",
                    quote(&plan.volume_id),
                    other.display()
                );
                Err(Failure::new(FailureKind::Precondition, message)
                    .with_hint("use ReadWriteMany or ReadWriteOnce for more than one pod"))
            }
        }
    }

    async fn carry_out(&self, plan: &MountPlan, deadline: Deadline<'_>) -> Result<(), Failure> {
        if !plan.makes_sub_dir() {
            match deadline.limit(self.mounter.mount_fresh(plan)).await {
                None => return Err(unfinished("mount")),
                Some(Some(fresh)) => return self.conclude(plan, fresh.made_target, fresh.result).await,
                Some(None) => {}
            }
        }
        let state = step(deadline, "look at the target", self.mounter.inspect_for(plan)).await.map_err(in_doubt)?;
        let target = plan.target.display();
        match plan.action(&state) {
            MountAction::Done => Ok(()),
            MountAction::Mount => self.mount(plan, deadline).await,
            MountAction::RepairThenMount => {
                tracing::warn!(%target, ?state, "a corrupt mount is replaced");
                step(deadline, "unmount", self.mounter.clear(&plan.target)).await.map_err(in_doubt)?;
                self.mount(plan, deadline).await
            }
            MountAction::Conflict(what) => {
                let message = format!("target {target} is occupied: {what}");
                Err(Failure::new(FailureKind::Conflict, message).with_hint("unpublish what is mounted there first"))
            }
            MountAction::Obstructed(what) => {
                Err(Failure::new(FailureKind::Internal, format!("target {target} is {what}, not a directory")))
            }
        }
    }

    async fn mount(&self, plan: &MountPlan, deadline: Deadline<'_>) -> Result<(), Failure> {
        if plan.makes_sub_dir() {
            step(deadline, "make the sub-directory", self.mounter.make_sub_dir(&plan.source)).await?;
        }
        let made_target = step(deadline, "make the target", self.mounter.make_target(&plan.target)).await?;
        match deadline.limit(self.mounter.mount(plan)).await {
            None => Err(unfinished("mount")),
            Some(result) => self.conclude(plan, made_target, result).await,
        }
    }

    /// What a mount that has ended means: one that failed is undone.
    async fn conclude(
        &self,
        plan: &MountPlan,
        made_target: bool,
        result: Result<(), MountError>,
    ) -> Result<(), Failure> {
        match result {
            Ok(()) => Ok(()),
            // What is there is somebody else's, or still being mounted: it is not ours to take away, nor is this final.
            Err(error) if matches!(error.kind, MountErrorKind::Busy | MountErrorKind::Stuck) => {
                Err(in_doubt(verdict::mount_failed(error)))
            }
            Err(error) => Err(self.undo(plan, made_target, verdict::mount_failed(error)).await),
        }
    }

    /// Takes back what a failed mount may have left, and returns the failure: the first error stays. If taking back fails
    /// too, something may be mounted, and a final failure would let kubelet forget it.
    async fn undo(&self, plan: &MountPlan, made_target: bool, failure: Failure) -> Failure {
        let undoing = async {
            self.mounter.clear(&plan.target).await?;
            if made_target { self.mounter.remove_target(&plan.target).await } else { Ok(()) }
        };
        let timer = async {
            self.clock.sleep(UNDO_LIMIT).await;
            Err(MountError::new(
                MountErrorKind::Stuck,
                "undo",
                plan.target.display().to_string(),
                "not finished in time",
            ))
        };
        match futures_lite::future::or(undoing, timer).await {
            Ok(()) => failure,
            Err(error) => {
                tracing::warn!(%error, target = %plan.target.display(), "a failed mount could not be undone");
                in_doubt(failure)
            }
        }
    }
}

/// One call to the mounter within the deadline.
async fn step<T>(
    deadline: Deadline<'_>,
    what: &str,
    work: impl Future<Output = Result<T, MountError>>,
) -> Result<T, Failure> {
    match deadline.limit(work).await {
        Some(result) => result.map_err(verdict::mount_failed),
        None => Err(unfinished(what)),
    }
}

/// A failure while something may be mounted at the target, by an earlier call if not by this one: never final, or kubelet
/// would forget the mount.
fn in_doubt(failure: Failure) -> Failure {
    Failure { kind: if failure.kind.is_final() { FailureKind::Unavailable } else { failure.kind }, ..failure }
}

fn unfinished(what: &str) -> Failure {
    Failure::new(FailureKind::TimedOut, format!("{what}: not finished in time; it may go on, and the call is repeated"))
}

/// One key for all spellings of a path with `//` and `/./`.
fn key(target: &Path) -> String {
    format!("target {}", target.components().collect::<PathBuf>().display())
}

fn check(volume_id: &str, field: &str, path: &Path) -> Result<(), Failure> {
    let mut violations = Violations::default();
    if volume_id.is_empty() {
        violations.push("volume id", "missing");
    }
    if let Err(more) = check_path(field, path) {
        violations.extend(more);
    }
    violations.into_result(Some(())).map_err(|violations| verdict::invalid(&violations))
}

#[async_trait]
impl Publishing for Publish {
    async fn publish(&self, request: PublishRequest, budget: Option<Duration>) -> Result<(), Failure> {
        let deadline = Deadline::new(&*self.clock, budget);
        let planned = MountPlan::parse(&request, self.unknown_attributes);
        let (plan, told) = planned.map_err(|violations| verdict::invalid(&violations))?;
        notices::log(&told);
        let _target = self.in_flight.reserve(key(&plan.target), "publish")?;
        let _volume = self.claim_volume(&plan, deadline).await?;
        self.carry_out(&plan, deadline).await
    }

    async fn unpublish(&self, volume_id: &str, target: &Path, budget: Option<Duration>) -> Result<(), Failure> {
        let deadline = Deadline::new(&*self.clock, budget);
        check(volume_id, "target path", target)?;
        let _target = self.in_flight.reserve(key(target), "unpublish")?;
        step(deadline, "unmount", self.mounter.take_away(target)).await
    }

    async fn usage(&self, volume_id: &str, path: &Path, budget: Option<Duration>) -> Result<Usage, Failure> {
        let message = || format!("volume {} is not mounted at {}", quote(volume_id), quote(&path.to_string_lossy()));
        let not_there = || Failure::new(FailureKind::NotFound, message());
        let given = !volume_id.is_empty() && !path.as_os_str().is_empty();
        match check(volume_id, "volume path", path) {
            // A path where nothing can be mounted is one where nothing is mounted.
            Err(_) if given => return Err(not_there()),
            checked => checked?,
        }
        let usage = step(Deadline::new(&*self.clock, budget), "statfs", self.mounter.usage(path)).await?;
        usage.ok_or_else(not_there)
    }
}
