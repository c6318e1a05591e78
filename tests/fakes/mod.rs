//! Test doubles: a manual clock, wrappers that inject faults into a port, servers and a kernel that stubs stand for.
//!
//! None of them is a complete adapter: that is the simulator, which is held to the contract tests.

// Each test target uses a part of them, and a double that cannot continue fails its test.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::clone_on_ref_ptr)]
// ARM's numbers are floats.
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
