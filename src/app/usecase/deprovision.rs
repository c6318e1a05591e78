//! DeleteVolume: the same loop as a creation, towards nothing.
//!
//! Why it exists: a deletion takes minutes and several calls; each looks first, deletes only what the domain says is ours,
//! and is done only when the cloud says that nothing is left.

use std::time::Duration;

use super::deadline::Deadline;
use super::provision::Provision;
use super::verdict;
use crate::domain::error::quote;
use crate::domain::names::FilesystemId;
use crate::domain::polling;
use crate::domain::reclaim::{self, Reclaim, ReclaimStep};
use crate::ports::cloud::CloudError;
use crate::ports::inbound::{Failure, FailureKind};

/// Deletes what stands behind a volume id. Static and foreign ids are a success without a request.
pub(super) async fn delete(on: &Provision, volume_id: &str, budget: Option<Duration>) -> Result<(), Failure> {
    let deadline = Deadline::new(&*on.clock, budget);
    if volume_id.is_empty() {
        return Err(Failure::new(FailureKind::Invalid, "volume id: missing"));
    }
    match reclaim::plan(volume_id).map_err(|violation| Failure::new(FailureKind::Invalid, violation.to_string()))? {
        Reclaim::Nothing => {
            tracing::info!(volume = %quote(volume_id), "nothing is behind this volume that was made for it; nothing is deleted");
            Ok(())
        }
        Reclaim::Filesystem(id) => {
            let _reservation = on.in_flight.reserve(id.name.as_str(), "delete")?;
            Deletion { on, id: &id, deadline, looks: 0, retry_after: None, trouble: None }.run().await
        }
    }
}

struct Deletion<'a> {
    on: &'a Provision,
    id: &'a FilesystemId,
    deadline: Deadline<'a>,
    looks: u32,
    retry_after: Option<Duration>,
    /// The last answer to a deletion that was no success.
    trouble: Option<CloudError>,
}

impl Deletion<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let observed = self.deadline.limit(self.on.cloud.observe(self.id)).await;
            let observed = observed.ok_or_else(|| self.in_progress("not answering"))?.map_err(verdict::in_doubt)?;
            match reclaim::next(&observed, &self.id.name) {
                ReclaimStep::Done => {
                    self.on.attempts.forget(self.id);
                    return Ok(());
                }
                ReclaimStep::Wait => {
                    self.trouble = None;
                    self.pause().await?;
                }
                ReclaimStep::Delete => self.ask().await?,
                ReclaimStep::Refuse(reason) => {
                    let message = format!("AMLFS {} is not deleted: {reason}", self.id);
                    let hint =
                        "delete it by hand if it is not needed, or set the PersistentVolume's reclaim policy to Retain";
                    return Err(Failure::new(FailureKind::Precondition, message).with_hint(hint));
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<(), Failure> {
        tracing::info!(filesystem = %self.id, "asking for its deletion");
        match self.deadline.limit(self.on.cloud.begin_delete(self.id)).await {
            None => Err(self.in_progress("asked to be deleted")),
            Some(Ok(())) => {
                self.trouble = None;
                self.pause().await
            }
            Some(Err(error)) if verdict::is_passing(error.kind) => {
                tracing::warn!(%error, "a deletion's fate is open; looking");
                self.retry_after = error.retry_after;
                self.trouble = Some(error);
                self.pause().await
            }
            Some(Err(error)) => Err(verdict::not_deleted(error)),
        }
    }

    async fn pause(&mut self) -> Result<(), Failure> {
        let pause = polling::pause(self.looks, self.retry_after.take());
        self.looks = self.looks.saturating_add(1);
        let slept = self.deadline.limit(self.on.cloud_clock.sleep(pause)).await;
        let state = if self.trouble.is_some() { "asked to be deleted" } else { "being deleted" };
        slept.ok_or_else(|| self.in_progress(state))
    }

    fn in_progress(&self, state: &str) -> Failure {
        let usual = "usually gone in about 5 minutes; the call is repeated until then";
        verdict::in_progress(format!("AMLFS {} is {state}, {usual}", self.id), self.trouble.as_ref())
    }
}
