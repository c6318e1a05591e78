//! [`ListPolling`]: which file systems are waited for, and when one list serves them better than a GET for each.
//!
//! A creation takes 10 to 20 minutes of polling. A thousand of them would be a thousand GETs every few seconds; a list shows
//! them all at once. But lists lag behind, so a list is only believed where it says "still in progress" about the very file
//! system that was last observed; everything that would be acted upon is observed directly.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::filesystem::{Filesystem, ProvisioningState};
use crate::domain::names::FilesystemId;

/// More waiting file systems of one resource group than this share lists.
pub(super) const HANDFUL: usize = 5;
/// Whoever has not polled for this long does not wait any more. Longer than the longest pause between two polls.
const GIVEN_UP: Duration = Duration::from_mins(3);
/// How long lists are believed about a file system that was not observed itself. A list that hangs behind for good, as ARM's
/// own copies have done, must not hide for ever that it is ready, failed or gone.
const BELIEVED_FOR: Duration = Duration::from_mins(5);
/// How long a group whose list cannot be read is not listed again.
const UNLISTABLE: Duration = Duration::from_mins(10);

/// A resource group and a file system's name, both in lower case, since ARM compares both without case.
pub(super) type Key = (String, String);

#[derive(Debug)]
struct Waited {
    /// Of any kind.
    last_poll: Duration,
    /// At the file system itself, and what it showed.
    seen_at: Duration,
    last_seen: Filesystem,
}

/// The waiting ones of one resource group, by name.
#[derive(Debug, Default)]
struct Group {
    waited: HashMap<String, Waited>,
    /// Until when its list is not read.
    unlistable: Duration,
    /// When those that gave up were last sorted out.
    swept: Duration,
}

/// The file systems that are waited for, by resource group.
#[derive(Debug, Default)]
pub(super) struct ListPolling(Mutex<HashMap<String, Group>>);

/// The key of a file system.
pub(super) fn key(id: &FilesystemId) -> Key {
    (id.resource_group.as_str().to_lowercase(), id.name.as_str().to_ascii_lowercase())
}

impl ListPolling {
    /// Notes what was seen of a file system just now. One that is finished or gone is waited for no more.
    pub(super) fn seen(&self, id: &FilesystemId, filesystem: Option<&Filesystem>, now: Duration) {
        let (group, name) = key(id);
        let mut groups = self.locked();
        if let Some(filesystem) = filesystem.filter(|filesystem| is_in_progress(&filesystem.state)) {
            let waited = Waited { last_poll: now, seen_at: now, last_seen: filesystem.clone() };
            groups.entry(group).or_default().waited.insert(name, waited);
            return;
        }
        if let Some(group) = groups.get_mut(&group) {
            group.waited.remove(&name);
        }
        groups.retain(|_, group| !group.waited.is_empty() || group.unlistable > now);
    }

    /// Whether a list is the better way to observe this file system: it was seen in progress, and enough others of its group
    /// are waited for too.
    pub(super) fn shares(&self, id: &FilesystemId, now: Duration) -> bool {
        let (group, name) = key(id);
        let mut groups = self.locked();
        let Some(group) = groups.get_mut(&group).filter(|group| group.unlistable <= now) else { return false };
        let Some(waited) = group.waited.get_mut(&name) else { return false };
        waited.last_poll = now;
        if now.saturating_sub(group.swept) >= GIVEN_UP {
            group.swept = now;
            group.waited.retain(|_, waited| now.saturating_sub(waited.last_poll) < GIVEN_UP);
        }
        group.waited.len() > HANDFUL
    }

    /// Whether a list may be believed about this file system: it is still in progress, and it is the one seen before, in the
    /// same state, not too long ago.
    pub(super) fn believes(&self, id: &FilesystemId, listed: &Filesystem, now: Duration) -> bool {
        let still = |waited: &Waited| {
            waited.last_seen.state == listed.state && now.saturating_sub(waited.seen_at) < BELIEVED_FOR
        };
        is_in_progress(&listed.state) && self.is_same(id, listed, still)
    }

    /// Whether this is still what observations, direct ones and lists, have shown.
    pub(super) fn is_unchanged(&self, id: &FilesystemId, found: &Filesystem) -> bool {
        self.is_same(id, found, |_| true)
    }

    fn is_same(&self, id: &FilesystemId, listed: &Filesystem, also: impl FnOnce(&Waited) -> bool) -> bool {
        // Lists spell some ids in another case than GETs do.
        let same_subnet = |seen: &Filesystem| match (&seen.subnet, &listed.subnet) {
            (Some(seen), Some(listed)) => seen.is(listed),
            (seen, listed) => seen.is_none() && listed.is_none(),
        };
        let same = |seen: &Filesystem| {
            let fixed = |f: &Filesystem| {
                let sku_name = f.sku_name.as_deref().map(str::to_ascii_lowercase);
                (f.location.clone(), sku_name, f.zones.clone(), f.capacity, f.tags.clone())
            };
            fixed(seen) == fixed(listed) && same_subnet(seen)
        };
        let (group, name) = key(id);
        let groups = self.locked();
        let waited = groups.get(&group).and_then(|group| group.waited.get(&name));
        waited.is_some_and(|waited| same(&waited.last_seen) && also(waited))
    }

    /// The list of this file system's group cannot be read; observations are direct for a while.
    pub(super) fn cannot_list(&self, id: &FilesystemId, now: Duration) {
        self.locked().entry(key(id).0).or_default().unlistable = now.saturating_add(UNLISTABLE);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_in_progress(state: &ProvisioningState) -> bool {
    match state {
        ProvisioningState::Succeeded | ProvisioningState::Failed | ProvisioningState::Canceled => false,
        ProvisioningState::Creating
        | ProvisioningState::Deleting
        | ProvisioningState::Updating
        | ProvisioningState::Unknown(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::capacity::Tib;
    use crate::domain::filesystem::ReportedMgsAddress;
    use crate::domain::names::{FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone};

    fn id(group: &str, number: usize) -> FilesystemId {
        FilesystemId {
            resource_group: ResourceGroup::parse(group).unwrap(),
            name: FilesystemName::parse(&format!("pvc-{number}")).unwrap(),
        }
    }

    fn filesystem(state: ProvisioningState) -> Filesystem {
        Filesystem {
            location: None,
            sku_name: None,
            zones: Vec::new(),
            capacity: None,
            subnet: None,
            state,
            mgs_address: ReportedMgsAddress::NeverReported,
            fs_name: None,
            tags: BTreeMap::new(),
            failure: None,
        }
    }

    fn waiting(count: usize) -> ListPolling {
        let waiting = ListPolling::default();
        for number in 0..count {
            waiting.seen(&id("rg", number), Some(&filesystem(ProvisioningState::Creating)), Duration::ZERO);
        }
        waiting
    }

    #[test]
    fn a_handful_is_observed_one_by_one_and_more_share_lists() {
        assert!(!waiting(HANDFUL).shares(&id("rg", 0), Duration::ZERO));
        let many = waiting(HANDFUL + 1);
        assert!(many.shares(&id("RG", 0), Duration::ZERO));
        assert!(!many.shares(&id("rg", HANDFUL + 1), Duration::ZERO), "never seen in progress");
        assert!(!many.shares(&id("other", 0), Duration::ZERO));
        many.seen(&id("rg", 1), Some(&filesystem(ProvisioningState::Succeeded)), Duration::ZERO);
        assert!(!many.shares(&id("rg", 0), Duration::ZERO), "finished ones do not count");
    }

    #[test]
    fn whoever_gave_up_does_not_count() {
        let many = waiting(HANDFUL + 1);
        assert!(!many.shares(&id("rg", 0), GIVEN_UP));
    }

    #[test]
    fn a_list_is_believed_only_about_what_was_seen() {
        let many = waiting(1);
        let creating = filesystem(ProvisioningState::Creating);
        assert!(many.believes(&id("rg", 0), &creating, Duration::ZERO));
        for acted_upon in [
            ProvisioningState::Succeeded,
            ProvisioningState::Failed,
            ProvisioningState::Canceled,
            ProvisioningState::Deleting,
        ] {
            assert!(!many.believes(&id("rg", 0), &filesystem(acted_upon), Duration::ZERO));
        }
        let another = Filesystem { tags: [("a".to_owned(), "b".to_owned())].into(), ..creating.clone() };
        assert!(!many.believes(&id("rg", 0), &another, Duration::ZERO), "another file system of the same name");
        assert!(!many.believes(&id("rg", 1), &creating, Duration::ZERO), "never seen");
        let others = [
            Filesystem { location: Location::parse("westus").ok(), ..creating.clone() },
            Filesystem { sku_name: Some("S".to_owned()), ..creating.clone() },
            Filesystem { zones: vec![Zone::parse("1").unwrap()], ..creating.clone() },
            Filesystem { capacity: Some(Tib(4).bytes()), ..creating.clone() },
            Filesystem { subnet: Some(subnet()), ..creating.clone() },
        ];
        for other in others {
            assert!(!many.believes(&id("rg", 0), &other, Duration::ZERO), "{other:?}");
        }
    }

    fn subnet() -> SubnetId {
        let name = NetworkName::parse("n").unwrap();
        SubnetId { resource_group: ResourceGroup::parse("g").unwrap(), vnet: name.clone(), subnet: name }
    }

    #[test]
    fn a_list_is_not_believed_for_ever() {
        let (many, creating) = (waiting(HANDFUL + 1), filesystem(ProvisioningState::Creating));
        let minute = Duration::from_mins(1);
        for minutes in 1..5 {
            assert!(many.believes(&id("rg", 0), &creating, minute * minutes), "{minutes} minutes");
        }
        assert!(!many.believes(&id("rg", 0), &creating, BELIEVED_FOR));
        many.seen(&id("rg", 0), Some(&creating), BELIEVED_FOR);
        assert!(many.believes(&id("rg", 0), &creating, BELIEVED_FOR + minute));
    }

    #[test]
    fn a_group_that_cannot_be_listed_is_not_for_a_while() {
        let many = waiting(HANDFUL + 1);
        many.cannot_list(&id("rg", 0), Duration::ZERO);
        assert!(!many.shares(&id("rg", 0), Duration::from_secs(1)));
        for number in 0..=HANDFUL {
            let seen = filesystem(ProvisioningState::Creating);
            many.seen(&id("rg", number), Some(&seen), UNLISTABLE);
        }
        assert!(many.shares(&id("rg", 0), UNLISTABLE));
    }
}
