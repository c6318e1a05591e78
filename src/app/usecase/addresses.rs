//! Addresses of subnets that creations of this process are about to take and that the cloud's count may not show yet.
//!
//! Many claims come in the same instant: without this, all of them would be let through by the same free addresses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::locked;
use crate::domain::names::SubnetId;
use crate::ports::cloud::SubnetCapacity;

#[derive(Debug, Default)]
struct Table {
    /// Order of questions and releases.
    next: u64,
    /// Questions whose answer is awaited.
    asking: BTreeSet<u64>,
    reserved: Vec<Reserved>,
}

#[derive(Debug)]
struct Reserved {
    subnet: SubnetId,
    addresses: u64,
    number: u64,
    /// When the creation was answered. A question that was asked before may still be answered without it.
    released: Option<u64>,
}

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn prune(&mut self) {
        let oldest = self.asking.first().copied().unwrap_or(u64::MAX);
        self.reserved.retain(|reserved| reserved.released.is_none_or(|released| released > oldest));
    }
}

/// The table of all subnets.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<Table>>);

impl Addresses {
    /// To be called before the cloud is asked for the free addresses.
    pub(super) fn ask(&self) -> Question {
        let mut table = locked(&self.0);
        let number = table.number();
        table.asking.insert(number);
        Question { table: Arc::clone(&self.0), number }
    }
}

/// A question to the cloud whose answer is awaited.
#[derive(Debug)]
pub(super) struct Question {
    table: Arc<Mutex<Table>>,
    number: u64,
}

impl Question {
    /// Reserves what the cloud's answer says is required; the error is how many of the free addresses creations in progress
    /// take already.
    pub(super) fn reserve(self, subnet: &SubnetId, capacity: SubnetCapacity) -> Result<Reservation, u64> {
        let mut table = locked(&self.table);
        let counts = |reserved: &&Reserved| {
            reserved.subnet.is(subnet) && reserved.released.is_none_or(|released| released > self.number)
        };
        let others: u64 = table.reserved.iter().filter(counts).map(|reserved| reserved.addresses).sum();
        if capacity.required > capacity.available.saturating_sub(others) {
            return Err(others);
        }
        let (subnet, addresses, number) = (subnet.clone(), capacity.required, self.number);
        table.reserved.push(Reserved { subnet, addresses, number, released: None });
        drop(table);
        Ok(Reservation { table: Arc::clone(&self.table), number })
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        table.asking.remove(&self.number);
        table.prune();
    }
}

/// Reserved addresses; dropped once the creation is answered, when the cloud counts them itself.
#[derive(Debug)]
pub(super) struct Reservation {
    table: Arc<Mutex<Table>>,
    number: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        let released = table.number();
        for reserved in table.reserved.iter_mut().filter(|reserved| reserved.number == self.number) {
            reserved.released = Some(released);
        }
        table.prune();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::names::{NetworkName, ResourceGroup};

    fn subnet(name: &str) -> SubnetId {
        let name = NetworkName::parse(name).unwrap();
        SubnetId { resource_group: ResourceGroup::parse("rg").unwrap(), vnet: name.clone(), subnet: name }
    }

    const CAPACITY: SubnetCapacity = SubnetCapacity { required: 7, available: 12 };

    #[test]
    fn free_addresses_are_given_once() {
        let addresses = Addresses::default();
        let [first, second, late] = [(); 3].map(|()| addresses.ask());
        let held = first.reserve(&subnet("a"), CAPACITY).unwrap();
        assert_eq!(second.reserve(&subnet("a"), CAPACITY).unwrap_err(), 7);
        assert!(addresses.ask().reserve(&subnet("b"), CAPACITY).is_ok(), "another subnet");
        drop(held);
        // It was answered after `late` asked, so the answer to `late` may be from before.
        assert_eq!(late.reserve(&subnet("a"), CAPACITY).unwrap_err(), 7);
        assert!(addresses.ask().reserve(&subnet("A"), CAPACITY).is_ok(), "the cloud's own count shows it now");
        assert!(locked(&addresses.0).reserved.is_empty() && locked(&addresses.0).asking.is_empty());
    }
}
