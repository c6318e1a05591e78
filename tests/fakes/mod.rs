//! Doubles that only make sense in tests: a clock turned by hand, and wrappers that inject faults into a port.
//!
//! Why not in `adapters`: nothing here is complete behaviour. What can stand in for Azure and Lustre as a whole is the
//! simulator, which is itself held to the contract.

// Each test target takes what it needs, and a double that cannot go on ends its test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::clone_on_ref_ptr)]
// Sizes and counts on their way through ARM's floats.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

#[cfg(feature = "arm")]
pub(crate) mod arm;
pub(crate) mod clock;
pub(crate) mod faulty;
#[cfg(feature = "kube")]
pub(crate) mod kube;
#[cfg(feature = "server")]
pub(crate) mod log;
#[cfg(feature = "kernel")]
pub(crate) mod lustre;
pub(crate) mod mounts;
