//! The in-flight table of a node: one operation at a time for each key.
//!
//! Kubernetes repeats calls whose time ended, so a second NodePublishVolume, or a NodeUnpublishVolume, may arrive while the
//! first still runs. CSI wants ABORTED then ("operation pending for volume", section Error Scheme).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::locked;
use crate::ports::inbound::{Failure, FailureKind};

/// What is being done now, by key.
#[derive(Debug, Default)]
pub struct InFlight(Arc<Mutex<BTreeMap<String, &'static str>>>);

/// The right to work on a key; dropping it, also by a panic or a cancelled call, gives the right back.
#[derive(Debug)]
pub struct InFlightGuard {
    table: Arc<Mutex<BTreeMap<String, &'static str>>>,
    key: String,
}

impl InFlight {
    /// Reserves `key` for `operation`, or fails with the operation in progress.
    pub fn reserve(&self, key: impl Into<String>, operation: &'static str) -> Result<InFlightGuard, Failure> {
        let key = key.into();
        let mut table = locked(&self.0);
        if let Some(other) = table.get(&key) {
            let message = format!("an operation ({other}) on {key} already exists; {operation} has to wait for it");
            return Err(Failure::new(FailureKind::InProgress, message));
        }
        table.insert(key.clone(), operation);
        Ok(InFlightGuard { table: Arc::clone(&self.0), key })
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        locked(&self.table).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_operation_until_it_is_given_back() {
        let table = InFlight::default();
        let first = table.reserve("pvc-1", "create").unwrap();
        let refused = table.reserve("pvc-1", "delete").unwrap_err();
        assert_eq!(refused.kind, FailureKind::InProgress);
        assert!(refused.message.contains("an operation (create) on pvc-1 already exists"));
        assert!(table.reserve("pvc-2", "create").is_ok());
        drop(first);
        assert!(table.reserve("pvc-1", "delete").is_ok());
    }

    #[test]
    fn a_panic_gives_the_key_back() {
        let table = InFlight::default();
        let reserved = table.reserve("pvc-1", "create").unwrap();
        let panicked = std::thread::spawn(move || {
            let _held = reserved;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(table.reserve("pvc-1", "create").is_ok());
    }
}
