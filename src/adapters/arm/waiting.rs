//! Which file systems somebody waits for, and when one list serves them better than a request for each.
//!
//! Why it exists: a creation takes 10 to 20 minutes of looking. A thousand of them would be a thousand looks every few
//! seconds; a list shows them all at once. But lists lag behind, so a list is only believed where it says "still under
//! way" about the very file system that was last seen; everything that would be acted upon is looked at directly.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::filesystem::{Filesystem, ProvisioningState};
use crate::domain::names::FilesystemId;

/// More waiting file systems of one resource group than this share lists.
pub(super) const HANDFUL: usize = 5;
/// Whoever has not looked for this long does not wait any more. Longer than the longest pause between two looks.
const GIVEN_UP: Duration = Duration::from_mins(3);
/// How long a group whose list cannot be read is not listed again.
const UNLISTABLE: Duration = Duration::from_mins(10);

/// A resource group and a file system's name, both in lower case, since ARM compares both without case.
type Key = (String, String);

#[derive(Debug)]
struct Waited {
    last_look: Duration,
    last_seen: Filesystem,
}

#[derive(Debug, Default)]
struct Table {
    waited: HashMap<Key, Waited>,
    unlistable: HashMap<String, Duration>,
}

/// The file systems that are waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Table>);

/// The key of a file system.
pub(super) fn key(id: &FilesystemId) -> Key {
    (id.resource_group.as_str().to_lowercase(), id.name.as_str().to_ascii_lowercase())
}

impl Waiting {
    /// Notes what was seen of a file system just now. One that is finished or gone is waited for no more.
    pub(super) fn seen(&self, id: &FilesystemId, filesystem: Option<&Filesystem>, now: Duration) {
        let mut table = self.locked();
        match filesystem.filter(|filesystem| is_under_way(&filesystem.state)) {
            Some(filesystem) => {
                let waited = Waited { last_look: now, last_seen: filesystem.clone() };
                table.waited.insert(key(id), waited);
            }
            None => drop(table.waited.remove(&key(id))),
        }
    }

    /// Whether a list is the better way to look at this file system: it was seen under way, and enough others of its group
    /// are waited for too.
    pub(super) fn shares(&self, id: &FilesystemId, now: Duration) -> bool {
        let mut table = self.locked();
        let key = key(id);
        if table.unlistable.get(&key.0).is_some_and(|until| *until > now) {
            return false;
        }
        let Some(waited) = table.waited.get_mut(&key) else { return false };
        waited.last_look = now;
        table.waited.retain(|_, waited| now.saturating_sub(waited.last_look) < GIVEN_UP);
        table.waited.keys().filter(|(group, _)| *group == key.0).count() > HANDFUL
    }

    /// Whether a list may be believed about this file system: it is still under way, and it is the one seen before.
    pub(super) fn believes(&self, id: &FilesystemId, listed: &Filesystem) -> bool {
        let same = |seen: &Filesystem| {
            let fixed = |f: &Filesystem| (f.location.clone(), f.sku_name.clone(), f.zones.clone(), f.capacity);
            fixed(seen) == fixed(listed) && seen.subnet == listed.subnet && seen.tags == listed.tags
        };
        is_under_way(&listed.state) && self.locked().waited.get(&key(id)).is_some_and(|waited| same(&waited.last_seen))
    }

    /// The list of this file system's group cannot be read; looks are direct for a while.
    pub(super) fn cannot_list(&self, id: &FilesystemId, now: Duration) {
        self.locked().unlistable.insert(key(id).0, now.saturating_add(UNLISTABLE));
    }

    fn locked(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_under_way(state: &ProvisioningState) -> bool {
    match state {
        ProvisioningState::Succeeded | ProvisioningState::Failed => false,
        ProvisioningState::Creating
        | ProvisioningState::Deleting
        | ProvisioningState::Updating
        | ProvisioningState::Canceled
        | ProvisioningState::Unknown(_) => true,
    }
}
