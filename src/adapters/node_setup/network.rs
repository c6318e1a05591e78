//! Network of the host for LNet: facts from sysfs and procfs, and the steps from what LNet has to what it should have.

mod facts;
mod steps;

pub(super) use self::facts::INTERFACES;
pub use self::facts::{Interface, NetworkFacts, collect};
pub use self::steps::{LnetStep, apply, local_nis, steps};
