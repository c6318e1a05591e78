//! The report of `doctor node`: client state, mounts, imports, connectivity and operations of one node, and its findings.
//!
//! It is collected without a running driver; what only a running driver knows ([`DriverStatus`]) is part of the request.
//!
//! ```text
//!   mounts, connectivity, blocked_threads, unmounted_targets   what client_state does not read
//!   collect     reads everything, in the order that the findings need
//!   findings    what is wrong and what to do about it, pure
//!   report      data and JSON; text: its Display
//! ```

mod blocked_threads;
mod collect;
mod connectivity;
mod findings;
mod mounts;
mod report;
mod text;
mod unmounted_targets;

pub use self::collect::{DriverStatus, Request, collect};
pub use self::report::{
    AddressReport, ClientReport, ConnectionReport, MountReport, NidReport, NodeReport, OperationReport, ServerReport,
    SetupReport,
};

#[cfg(test)]
mod tests;
