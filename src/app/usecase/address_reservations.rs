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
    last: u64,
    /// Queries of the cloud whose response is awaited.
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
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Ends a query, and drops reservations that every later response shows.
    fn end_query(&mut self, number: u64) {
        self.queries.remove(&number);
        let oldest = self.queries.first().copied().unwrap_or(u64::MAX);
        self.reserved.retain(|reserved| reserved.released.is_none_or(|released| released > oldest));
    }
}

/// The reservations in all subnets.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressReservations(Arc<Mutex<Table>>);

impl AddressReservations {
    /// To be called before the cloud is queried for the free addresses.
    pub(super) fn begin_query(&self) -> Reservation {
        let mut table = locked(&self.0);
        let number = table.next();
        table.queries.insert(number);
        Reservation { table: Arc::clone(&self.0), number }
    }
}

/// A query of the free addresses, then the addresses that are reserved; to be dropped once the creation is answered, when
/// the cloud counts them itself.
#[derive(Debug)]
pub(super) struct Reservation {
    table: Arc<Mutex<Table>>,
    number: u64,
}

impl Reservation {
    /// Reserves the required addresses; the error is how many of the free ones creations in progress take already.
    pub(super) fn reserve(self, subnet: &SubnetId, capacity: SubnetCapacity) -> Result<Self, u64> {
        let mut table = locked(&self.table);
        let counts = |reserved: &&Reserved| {
            reserved.subnet.is(subnet) && reserved.released.is_none_or(|released| released > self.number)
        };
        let others: u64 = table.reserved.iter().filter(counts).map(|reserved| reserved.addresses).sum();
        if capacity.required > capacity.available.saturating_sub(others) {
            drop(table);
            return Err(others);
        }
        let (subnet, addresses, number) = (subnet.clone(), capacity.required, self.number);
        table.reserved.push(Reserved { subnet, addresses, number, released: None });
        table.end_query(number);
        drop(table);
        Ok(self)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut table = locked(&self.table);
        let released = table.next();
        for reserved in table.reserved.iter_mut().filter(|reserved| reserved.number == self.number) {
            reserved.released = Some(released);
        }
        table.end_query(self.number);
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
