//! The use-cases: small loops that observe, let the domain decide, and act through ports.
//!
//! [`provision`] gives a cluster its volumes, [`publish`] gives a node its mounts, [`readiness`] is the readiness of the
//! process. They name only `domain` and `ports`, so they run on fakes, on the simulator and on Azure alike.

pub mod claim_events;
pub mod deadline;
pub mod finality;
pub mod in_flight;
pub mod no_node;
pub mod polling;
pub mod provision;
pub mod publish;
pub mod readiness;
pub mod sku_cache;
pub mod time_format;

mod address_reservations;
mod context;
mod creation;
mod deprovision;
mod filesystem_operation;
mod filesystem_records;
mod progress;
mod shared;
mod stop;
mod volume_operations;

use crate::domain::problem::{Notice, Severity};

/// Logs what a request holds that does not stop it. Called once a request, so that each notice is one line.
fn log_notices(notices: &[Notice]) {
    for notice in notices {
        match notice.severity {
            Severity::Warning => tracing::warn!("{notice}"),
            Severity::Debug => tracing::debug!("{notice}"),
        }
    }
}

/// A lock's content, also after a panic elsewhere: everything that these locks guard is valid between any two statements.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
