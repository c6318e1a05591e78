//! History of one file system in this process: what was observed and sent, and whether a failure may be final because of it.
//!
//! The ARM resource itself is the journal; the history only makes a process more careful. Losing it in a restart is harmless.
//! All times are of the cloud's clock.

use std::time::Duration;

use super::filesystem::ProvisioningState;
use super::request_limits::{ABSENCE_CONFIRMED_AFTER, CallRequests, RequestDecision, SentRequests, recreate_pause};

/// For how long this process must have found nothing before a circumstance (a full subnet, quota, a missing permission, a
/// refused creation) may end a creation for good. A request that an earlier process sent lives at most 60 seconds, and lists
/// and reads of ARM may lag behind.
const ABSENCE_PROVED_AFTER: Duration = Duration::from_secs(90);

/// What makes a creation impossible; for how long nothing must have been found before that is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// What is asked for: any creation of it would be refused.
    Request,
    /// What the cloud is like at the moment (a full subnet, quota, permissions), or a creation that was refused.
    Circumstance,
}

/// Observations that found nothing, with none in between that found something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Absence {
    first: Duration,
    last: Duration,
}

/// What the last observation that found the file system showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LastSeen {
    /// Nothing was ever found.
    #[default]
    Never,
    /// It was there and not being deleted.
    Present,
    /// It was being deleted.
    Deleting,
    /// It was being deleted and is absent now.
    Gone,
}

/// A creation that ARM accepted and that failed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCreation {
    /// How many creations of this volume failed.
    pub count: u32,
    /// Why the last one failed, where known.
    pub reason: Option<String>,
    /// Not to be made anew before this time; set once it is gone.
    pub not_before: Option<Duration>,
}

/// What is known of one volume's file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    absence: Option<Absence>,
    last_seen: LastSeen,
    /// A PUT was sent that was not refused.
    create_attempted: bool,
    /// A PUT may still be on its way, or the file system was seen and is not visible now.
    create_outcome_unknown: bool,
    begun: Option<Duration>,
    creates: SentRequests,
    deletes: SentRequests,
    failed: Option<FailedCreation>,
    /// The failed creation was noted and is not gone yet.
    removing_failed: bool,
}

impl History {
    /// An observation found nothing.
    pub fn absent(&mut self, now: Duration) {
        let first = self.absence.map_or(now, |absence| absence.first);
        self.absence = Some(Absence { first, last: now });
        let absent_for = now.saturating_sub(first);
        match self.last_seen {
            LastSeen::Deleting => self.gone(now),
            LastSeen::Present if self.deletes.any() => {
                if absent_for >= ABSENCE_CONFIRMED_AFTER {
                    self.gone(now);
                }
            }
            LastSeen::Present => self.create_outcome_unknown = true,
            LastSeen::Never if absent_for >= ABSENCE_PROVED_AFTER => {
                self.create_outcome_unknown = false;
                self.create_attempted = false;
                self.begun = None;
            }
            LastSeen::Never | LastSeen::Gone => {}
        }
    }

    /// An observation found the file system that was, or may have been, made for this volume. Returns whether it is the
    /// first that this process sees of it.
    pub fn present(&mut self, state: &ProvisioningState, now: Duration) -> bool {
        let first = matches!(self.last_seen, LastSeen::Never | LastSeen::Gone);
        self.absence = None;
        self.create_outcome_unknown = false;
        self.last_seen = if *state == ProvisioningState::Deleting { LastSeen::Deleting } else { LastSeen::Present };
        self.begun.get_or_insert(now);
        first
    }

    /// An observation found a file system that is not owned by this driver.
    pub fn present_not_owned(&mut self) {
        self.absence = None;
    }

    /// A PUT is sent. Until its answer is known it may have any effect, so what was absent before proves nothing.
    pub fn create_sent(&mut self, now: Duration, again: bool) {
        if self.last_seen == LastSeen::Gone {
            self.last_seen = LastSeen::Never;
        }
        self.absence = None;
        self.create_attempted = true;
        self.create_outcome_unknown = true;
        self.begun.get_or_insert(now);
        self.creates.sent(now, again);
        self.deletes = SentRequests::default();
        if let Some(failed) = &mut self.failed {
            failed.not_before = None;
        }
    }

    /// The PUT was accepted: from now on the file system counts as seen.
    pub fn create_accepted(&mut self) {
        self.last_seen = LastSeen::Present;
    }

    /// The PUT was refused: all is as `before` it was sent, except that it counts as sent.
    pub fn create_refused(&mut self, before: &Self) {
        *self = Self { creates: self.creates, ..before.clone() };
    }

    /// A DELETE is sent.
    pub fn delete_sent(&mut self, now: Duration, again: bool) {
        self.deletes.sent(now, again);
    }

    /// The DELETE was held back: it does not count.
    pub fn delete_throttled(&mut self, before: &Self) {
        self.deletes = before.deletes;
    }

    /// A creation failed; it will be deleted. Returns whether this is news.
    pub fn creation_failed(&mut self, reason: Option<&str>) -> bool {
        if let Some(failed) = self.failed.as_mut().filter(|_| self.removing_failed) {
            failed.reason = reason.map(str::to_owned).or_else(|| failed.reason.take());
            return false;
        }
        let count = self.failed.as_ref().map_or(0, |failed| failed.count).saturating_add(1);
        self.failed = Some(FailedCreation { count, reason: reason.map(str::to_owned), not_before: None });
        self.removing_failed = true;
        true
    }

    /// Other parameters are asked for now: pauses end, since what failed may not fail again.
    pub fn other_parameters(&mut self) {
        self.creates = SentRequests::default();
        if !self.removing_failed {
            self.failed = None;
        }
    }

    /// Whether a failure of this cause may be reported as final: nothing was found for long enough, and nothing that this
    /// process sent or saw can be there.
    pub fn is_final(&self, cause: FailureCause) -> bool {
        let needed = match cause {
            FailureCause::Request => ABSENCE_CONFIRMED_AFTER,
            FailureCause::Circumstance => ABSENCE_PROVED_AFTER,
        };
        let unseen = matches!(self.last_seen, LastSeen::Never | LastSeen::Gone);
        unseen && !self.create_outcome_unknown && self.absent_for().is_some_and(|time| time >= needed)
    }

    /// Whether a deletion is done: it was seen being deleted before, or two observations five seconds apart found nothing
    /// and no PUT of this process can still arrive.
    pub fn is_gone(&self) -> bool {
        let travelling = self.create_outcome_unknown && self.last_seen == LastSeen::Never;
        let confirmed = self.absent_for().is_some_and(|time| time >= ABSENCE_CONFIRMED_AFTER);
        self.last_seen == LastSeen::Gone || (confirmed && !travelling)
    }

    /// Whether this process knows of a creation that has neither become a volume nor gone.
    pub fn is_unfinished(&self) -> bool {
        let seen = matches!(self.last_seen, LastSeen::Present | LastSeen::Deleting);
        seen || self.create_attempted || self.create_outcome_unknown
    }

    /// Whether this process sent a PUT that was not refused.
    pub fn create_attempted(&self) -> bool {
        self.create_attempted
    }

    /// Whether a PUT may be on its way, or something that was seen is not visible.
    pub fn create_outcome_unknown(&self) -> bool {
        self.create_outcome_unknown
    }

    /// Whether it was being deleted when it was last seen.
    pub fn is_gone_after_deletion(&self) -> bool {
        self.last_seen == LastSeen::Gone
    }

    /// When this process first asked for it or first saw it.
    pub fn begun(&self) -> Option<Duration> {
        self.begun
    }

    /// The last creation that failed.
    pub fn failed(&self) -> Option<&FailedCreation> {
        self.failed.as_ref()
    }

    /// The PUTs that were sent.
    pub fn creates(&self) -> &SentRequests {
        &self.creates
    }

    /// The DELETEs that were sent.
    pub fn deletes(&self) -> &SentRequests {
        &self.deletes
    }

    /// Whether a PUT may be sent after an observation found nothing.
    pub fn next_create(&self, call: CallRequests, now: Duration) -> RequestDecision {
        if let Some(not_before) = self.failed.as_ref().and_then(|failed| failed.not_before)
            && not_before > now
        {
            return RequestDecision::FailedNotBefore(not_before);
        }
        // A repeated PUT, and one after a failed creation whose deletion was not seen, need a confirmed absence.
        let removing = self.removing_failed && self.last_seen == LastSeen::Present;
        let confirm = self.create_outcome_unknown || removing;
        self.creates.decide(call, now, confirm.then(|| self.absent_for().unwrap_or_default()))
    }

    /// Whether a DELETE may be sent after an observation found something to delete that is not being deleted.
    pub fn next_delete(&self, call: CallRequests, now: Duration) -> RequestDecision {
        let since_last = now.saturating_sub(self.deletes.last());
        self.deletes.decide(call, now, (call.sent > 0).then_some(since_last))
    }

    /// For how long nothing was found, where that is long enough to say that nothing exists. What was seen before may yet
    /// come back, so a failure is not final by this alone ([`is_final`](Self::is_final)).
    pub fn proved_absent_for(&self) -> Option<Duration> {
        self.absent_for().filter(|time| *time >= ABSENCE_PROVED_AFTER)
    }

    /// For how long nothing was found, from the first observation to the last.
    fn absent_for(&self) -> Option<Duration> {
        self.absence.map(|absence| absence.last.saturating_sub(absence.first))
    }

    /// It was deleted: nothing of it is left, except that a failed creation asks for patience.
    fn gone(&mut self, now: Duration) {
        let removing_failed = self.removing_failed;
        let failed = self.failed.take().map(|failed| FailedCreation {
            not_before: if removing_failed {
                Some(now.saturating_add(recreate_pause(failed.count)))
            } else {
                failed.not_before
            },
            ..failed
        });
        *self = Self { absence: self.absence, last_seen: LastSeen::Gone, failed, ..Self::default() };
    }
}

#[cfg(test)]
mod tests;
