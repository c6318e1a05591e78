//! What this process remembers of volumes that are not finished, by volume name. Hints only: a restart may lose them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::locked;
use crate::domain::history::{FailureCause, History};
use crate::domain::names::{FilesystemId, Location};
use crate::domain::provisioning::DynamicProvision;
use crate::ports::inbound::{Failure, FailureKind};

/// How long something that is finished or was never begun is remembered after the last call about it.
const REMEMBERED_FOR: Duration = Duration::from_hours(24);
/// How often what is too old is sorted out.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);

/// Why the last PUT or DELETE had no clear success, in the words that later calls repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means once it is final.
    pub kind: FailureKind,
    /// The cloud's words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    /// The words of a failure.
    pub fn of(failure: &Failure) -> Self {
        Self { kind: failure.kind, message: failure.chain(), hint: failure.hint.clone() }
    }

    /// The same as a failure, with more text behind the cloud's words.
    pub fn failure(&self, more: &str) -> Failure {
        let failure = Failure::new(self.kind, format!("{}{more}", self.message));
        Failure { hint: self.hint.clone(), ..failure }
    }
}

/// What is known of one file system of a volume. Times are on the cloud's clock.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which file system.
    pub id: FilesystemId,
    /// Where it was asked for.
    pub location: Option<Location>,
    /// What was found and sent.
    pub history: History,
    /// What was last asked for, while it is not finished.
    pub plan: Option<Arc<DynamicProvision>>,
    /// Why the last PUT had no clear success.
    pub create_refusal: Option<Refusal>,
    /// Why the last DELETE had no clear success.
    pub delete_refusal: Option<Refusal>,
    /// A call reported it as a finished volume.
    pub finished: bool,
    touched: Duration,
}

impl Attempt {
    fn new(id: &FilesystemId, now: Duration) -> Self {
        Self {
            id: id.clone(),
            location: None,
            history: History::default(),
            plan: None,
            create_refusal: None,
            delete_refusal: None,
            finished: false,
            touched: now,
        }
    }

    /// A call asks for this plan now. Another one than before ends the pauses.
    pub fn asked_for(&mut self, plan: &Arc<DynamicProvision>) {
        if self.plan.as_ref().is_some_and(|before| !before.is_same_plan(plan)) {
            self.history.other_parameters();
            self.create_refusal = None;
        }
        self.plan = Some(Arc::clone(plan));
    }

    /// A call reports it as finished.
    pub fn finish(&mut self) {
        *self = Self { location: self.location.take(), finished: true, ..Self::new(&self.id, self.touched) };
    }

    /// Whether a failure of this cause may be final.
    pub fn is_final(&self, cause: FailureCause) -> bool {
        self.history.is_final(cause)
    }

    /// Whether something of it exists or may come to exist, as far as this process knows.
    fn may_exist(&self) -> bool {
        self.finished || self.history.is_unfinished()
    }
}

#[derive(Debug, Default)]
struct Table {
    /// By volume name; nearly always one file system each.
    attempts: HashMap<String, Vec<Attempt>>,
    swept: Duration,
}

/// What is known of all volumes.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<Table>);

impl Attempts {
    /// Reads and changes what is known of a file system.
    pub fn with<T>(&self, id: &FilesystemId, now: Duration, change: impl FnOnce(&mut Attempt) -> T) -> T {
        let mut table = locked(&self.0);
        table.sweep(now);
        let known = table.attempts.entry(id.name.as_str().to_owned()).or_default();
        let at = known.iter().position(|attempt| attempt.id.is(id)).unwrap_or_else(|| {
            known.push(Attempt::new(id, now));
            known.len() - 1
        });
        // The position was just found or made.
        let mut spare = Attempt::new(id, now);
        let attempt = known.get_mut(at).unwrap_or(&mut spare);
        attempt.touched = now;
        change(attempt)
    }

    /// A file system of the same volume that was begun in another resource group, or in another region.
    pub fn elsewhere(&self, id: &FilesystemId, location: &Location) -> Option<Attempt> {
        let table = locked(&self.0);
        let differs = |attempt: &&Attempt| {
            !attempt.id.is(id) || attempt.location.as_ref().is_some_and(|begun_in| begun_in != location)
        };
        let known = table.attempts.get(id.name.as_str())?;
        known.iter().filter(|attempt| attempt.may_exist()).find(differs).cloned()
    }

    /// An unfinished creation of this volume, wherever it is.
    pub fn unfinished(&self, name: &str) -> Option<FilesystemId> {
        let table = locked(&self.0);
        let known = table.attempts.get(name)?;
        known.iter().find(|attempt| attempt.history.is_unfinished()).map(|attempt| attempt.id.clone())
    }

    /// Forgets a file system that is gone.
    pub fn forget(&self, id: &FilesystemId) {
        let mut table = locked(&self.0);
        if let Some(known) = table.attempts.get_mut(id.name.as_str()) {
            known.retain(|attempt| !attempt.id.is(id));
            if known.is_empty() {
                table.attempts.remove(id.name.as_str());
            }
        }
    }
}

impl Table {
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) < SWEEP_INTERVAL {
            return;
        }
        self.swept = now;
        self.attempts.retain(|_, known| {
            known.retain(|attempt| {
                attempt.history.is_unfinished() || now.saturating_sub(attempt.touched) < REMEMBERED_FOR
            });
            !known.is_empty()
        });
    }
}
