//! [`ListPolling`]: the file systems that are polled, and when one list replaces a GET for each of them.
//!
//! A creation takes 10 to 20 minutes of polling. A thousand of them would be a thousand GETs every few seconds; one list
//! returns them all. But ARM's lists lag behind, so a list counts only where it shows "still in progress" for the very file
//! system that was last observed by GET; what the driver acts upon is always observed by GET.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::urls::FilesystemKey;
use crate::domain::filesystem::{Filesystem, ProvisioningState};
use crate::domain::names::FilesystemId;

/// Up to this number of polled file systems of one resource group are read by GET, more by a list.
pub(super) const GET_MAX: usize = 5;
/// A file system that was not polled for this long does not count. Longer than the longest pause between two polls.
const IDLE_AFTER: Duration = Duration::from_mins(3);
/// How long lists count for a file system without a GET. A list that lags for good, as ARM's caches have done, must not
/// hide for ever that it is ready, failed or deleted.
const LIST_TRUSTED_FOR: Duration = Duration::from_mins(5);
/// How long a group whose list failed is read by GET.
const LIST_FAILED_FOR: Duration = Duration::from_mins(10);

#[derive(Debug)]
struct Polled {
    last_poll: Duration,
    /// When the last GET was, and what it returned.
    observed_at: Duration,
    observed: Filesystem,
}

/// The polled file systems of one resource group, by name.
#[derive(Debug, Default)]
struct Group {
    polled: HashMap<String, Polled>,
    /// Until when its list is not read.
    list_failed_until: Duration,
    /// When idle file systems were last removed.
    swept_at: Duration,
}

/// The polled file systems, by resource group.
#[derive(Debug, Default)]
pub(super) struct ListPolling(Mutex<HashMap<String, Group>>);

impl ListPolling {
    /// Records what a GET returned just now. A file system that is finished or absent is not polled any more.
    pub(super) fn observed(&self, id: &FilesystemId, filesystem: Option<&Filesystem>, now: Duration) {
        let key = FilesystemKey::from(id);
        let mut groups = self.locked();
        if let Some(filesystem) = filesystem.filter(|filesystem| is_in_progress(&filesystem.state)) {
            let polled = Polled { last_poll: now, observed_at: now, observed: filesystem.clone() };
            groups.entry(key.resource_group).or_default().polled.insert(key.name, polled);
            return;
        }
        if let Some(group) = groups.get_mut(&key.resource_group) {
            group.polled.remove(&key.name);
        }
        groups.retain(|_, group| !group.polled.is_empty() || group.list_failed_until > now);
    }

    /// Whether to read this file system from a list: it was observed in progress, and enough others of its group are polled
    /// too.
    pub(super) fn uses_list(&self, id: &FilesystemId, now: Duration) -> bool {
        let key = FilesystemKey::from(id);
        let mut groups = self.locked();
        let group = groups.get_mut(&key.resource_group).filter(|group| group.list_failed_until <= now);
        let Some(group) = group else { return false };
        let Some(polled) = group.polled.get_mut(&key.name) else { return false };
        polled.last_poll = now;
        if now.saturating_sub(group.swept_at) >= IDLE_AFTER {
            group.swept_at = now;
            group.polled.retain(|_, polled| now.saturating_sub(polled.last_poll) < IDLE_AFTER);
        }
        group.polled.len() > GET_MAX
    }

    /// Whether a list's entry counts: the file system is still in progress, and it is the one that a GET returned, in the
    /// same state, not too long ago.
    pub(super) fn confirms(&self, id: &FilesystemId, listed: &Filesystem, now: Duration) -> bool {
        let recent = |polled: &Polled| {
            polled.observed.state == listed.state && now.saturating_sub(polled.observed_at) < LIST_TRUSTED_FOR
        };
        is_in_progress(&listed.state) && self.is_same(id, listed, recent)
    }

    /// Whether this is still the file system that the last GET returned.
    pub(super) fn is_unchanged(&self, id: &FilesystemId, found: &Filesystem) -> bool {
        self.is_same(id, found, |_| true)
    }

    fn is_same(&self, id: &FilesystemId, listed: &Filesystem, also: impl FnOnce(&Polled) -> bool) -> bool {
        // Lists return some ids in another case than GETs do.
        let same = |observed: &Filesystem| {
            let fixed = |f: &Filesystem| {
                let sku_name = f.sku_name.as_deref().map(str::to_ascii_lowercase);
                (f.location.clone(), sku_name, f.zones.clone(), f.capacity, f.tags.clone())
            };
            let same_subnet = match (&observed.subnet, &listed.subnet) {
                (Some(observed), Some(listed)) => observed.is(listed),
                (observed, listed) => observed.is_none() && listed.is_none(),
            };
            fixed(observed) == fixed(listed) && same_subnet
        };
        let key = FilesystemKey::from(id);
        let groups = self.locked();
        let polled = groups.get(&key.resource_group).and_then(|group| group.polled.get(&key.name));
        polled.is_some_and(|polled| same(&polled.observed) && also(polled))
    }

    /// The list of this file system's group failed: it is read by GET for a while.
    pub(super) fn list_failed(&self, id: &FilesystemId, now: Duration) {
        let group = FilesystemKey::from(id).resource_group;
        self.locked().entry(group).or_default().list_failed_until = now.saturating_add(LIST_FAILED_FOR);
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

    use super::*;
    use crate::domain::capacity::Tib;
    use crate::domain::names::{FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone};

    fn id(group: &str, number: usize) -> FilesystemId {
        FilesystemId {
            resource_group: ResourceGroup::parse(group).unwrap(),
            name: FilesystemName::parse(&format!("pvc-{number}")).unwrap(),
        }
    }

    fn polled(count: usize) -> ListPolling {
        let polling = ListPolling::default();
        for number in 0..count {
            polling.observed(&id("rg", number), Some(&Filesystem::new(ProvisioningState::Creating)), Duration::ZERO);
        }
        polling
    }

    #[test]
    fn few_file_systems_are_read_by_get_and_more_by_a_list() {
        assert!(!polled(GET_MAX).uses_list(&id("rg", 0), Duration::ZERO));
        let many = polled(GET_MAX + 1);
        assert!(many.uses_list(&id("RG", 0), Duration::ZERO));
        assert!(!many.uses_list(&id("rg", GET_MAX + 1), Duration::ZERO), "never observed in progress");
        assert!(!many.uses_list(&id("other", 0), Duration::ZERO));
        many.observed(&id("rg", 1), Some(&Filesystem::new(ProvisioningState::Succeeded)), Duration::ZERO);
        assert!(!many.uses_list(&id("rg", 0), Duration::ZERO), "finished ones do not count");
    }

    #[test]
    fn a_file_system_that_is_not_polled_any_more_does_not_count() {
        let many = polled(GET_MAX + 1);
        assert!(!many.uses_list(&id("rg", 0), IDLE_AFTER));
    }

    #[test]
    fn a_list_counts_only_for_what_a_get_returned() {
        let many = polled(1);
        let creating = Filesystem::new(ProvisioningState::Creating);
        assert!(many.confirms(&id("rg", 0), &creating, Duration::ZERO));
        for acted_upon in [
            ProvisioningState::Succeeded,
            ProvisioningState::Failed,
            ProvisioningState::Canceled,
            ProvisioningState::Deleting,
        ] {
            assert!(!many.confirms(&id("rg", 0), &Filesystem::new(acted_upon), Duration::ZERO));
        }
        let another = Filesystem { tags: [("a".to_owned(), "b".to_owned())].into(), ..creating.clone() };
        assert!(!many.confirms(&id("rg", 0), &another, Duration::ZERO), "another file system of the same name");
        assert!(!many.confirms(&id("rg", 1), &creating, Duration::ZERO), "never observed");
        let others = [
            Filesystem { location: Location::parse("westus").ok(), ..creating.clone() },
            Filesystem { sku_name: Some("S".to_owned()), ..creating.clone() },
            Filesystem { zones: vec![Zone::parse("1").unwrap()], ..creating.clone() },
            Filesystem { capacity: Some(Tib(4).bytes()), ..creating.clone() },
            Filesystem { subnet: Some(subnet()), ..creating.clone() },
        ];
        for other in others {
            assert!(!many.confirms(&id("rg", 0), &other, Duration::ZERO), "{other:?}");
        }
    }

    fn subnet() -> SubnetId {
        let name = NetworkName::parse("n").unwrap();
        SubnetId { resource_group: ResourceGroup::parse("g").unwrap(), vnet: name.clone(), subnet: name }
    }

    #[test]
    fn a_list_does_not_count_for_ever() {
        let (many, creating) = (polled(GET_MAX + 1), Filesystem::new(ProvisioningState::Creating));
        let minute = Duration::from_mins(1);
        for minutes in 1..5 {
            assert!(many.confirms(&id("rg", 0), &creating, minute * minutes), "{minutes} minutes");
        }
        assert!(!many.confirms(&id("rg", 0), &creating, LIST_TRUSTED_FOR));
        many.observed(&id("rg", 0), Some(&creating), LIST_TRUSTED_FOR);
        assert!(many.confirms(&id("rg", 0), &creating, LIST_TRUSTED_FOR + minute));
    }

    #[test]
    fn a_group_whose_list_failed_is_read_by_get_for_a_while() {
        let many = polled(GET_MAX + 1);
        many.list_failed(&id("rg", 0), Duration::ZERO);
        assert!(!many.uses_list(&id("rg", 0), Duration::from_secs(1)));
        for number in 0..=GET_MAX {
            let creating = Filesystem::new(ProvisioningState::Creating);
            many.observed(&id("rg", number), Some(&creating), LIST_FAILED_FOR);
        }
        assert!(many.uses_list(&id("rg", 0), LIST_FAILED_FOR));
    }
}
