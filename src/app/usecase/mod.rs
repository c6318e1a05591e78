//! The use-cases: small loops that observe, let the domain decide, and act through ports.
//!
//! [`provision`] gives a cluster its volumes, [`publish`] gives a node its mounts, [`readiness`] says when the process can
//! do its work. They name only `domain` and `ports`, so they run on fakes, on the simulator and on Azure alike.

pub mod attempts;
pub mod claim_events;
pub mod deadline;
pub mod finality;
pub mod in_flight;
pub mod mount_failure;
pub mod no_node;
mod notices;
pub mod polling;
pub mod provision;
pub mod publish;
pub mod readiness;
pub mod sku_cache;
pub mod time_format;

mod addresses;
mod context;
mod creation;
mod deprovision;
mod poller;
mod progress;
mod shared;
mod stop;
mod volume_operations;

/// A lock's content, also after a panic elsewhere: everything that these locks guard is valid between any two statements.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
