//! Reservations of subnet addresses by creations of this process that the cloud's count may not show yet.
//!
//! Many claims come in the same instant: without this, all of them would be let through by the same free addresses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::locked;
use crate::domain::names::SubnetId;
use crate::ports::cloud::SubnetCapacity;

#[derive(Debug, Default)]
struct Table {
    /// Order of queries and releases.
    next: u64,
    /// Queries whose response is awaited.
    queries: BTreeSet<u64>,
    reserved: Vec<Reserved>,
}

#[derive(Debug)]
struct Reserved {
    subnet: SubnetId,
    addresses: u64,
    number: u64,
    /// When the creation was answered. The response to a query that began before may not show it yet.
    released: Option<u64>,
}

impl Table {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn prune(&mut self) {
        let oldest = self.queries.first().copied().unwrap_or(u64::MAX);
        self.reserved.retain(|reserved| reserved.released.is_none_or(|released| released > oldest));
    }
}

/// The reservations in all subnets.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressReservations(Arc<Mutex<Table>>);

impl AddressReservations {
    /// To be called before the cloud is queried for the free addresses.
    pub(super) fn begin_query(&self) -> AddressQuery {
        let mut table = locked(&self.0);
        let number = table.number();
        table.queries.insert(number);
        AddressQuery { table: Arc::clone(&self.0), number }
    }
}

/// A query to the cloud whose response is awaited.
#[derive(Debug)]
pub(super) struct AddressQuery {
    table: Arc<Mutex<Table>>,
    number: u64,
}

impl AddressQuery {
    /// Reserves the required addresses; the error is how many of the free ones creations in progress take already.
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

impl Drop for AddressQuery {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        table.queries.remove(&self.number);
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
        let addresses = AddressReservations::default();
        let [first, second, late] = [(); 3].map(|()| addresses.begin_query());
        let held = first.reserve(&subnet("a"), CAPACITY).unwrap();
        assert_eq!(second.reserve(&subnet("a"), CAPACITY).unwrap_err(), 7);
        assert!(addresses.begin_query().reserve(&subnet("b"), CAPACITY).is_ok(), "another subnet");
        drop(held);
        // It was answered after `late` asked, so the answer to `late` may be from before.
        assert_eq!(late.reserve(&subnet("a"), CAPACITY).unwrap_err(), 7);
        assert!(addresses.begin_query().reserve(&subnet("A"), CAPACITY).is_ok(), "the cloud's own count shows it now");
        assert!(locked(&addresses.0).reserved.is_empty() && locked(&addresses.0).queries.is_empty());
    }
}
