//! The Lustre client of a node: kernel modules and LNet, made ready by the init container `node-setup`.
//!
//! ```text
//!   facts ──> plan (pure) ──> act, one step after the other ──> facts
//! ```
//!
//! Only the package with the modules of the running kernel is fetched, by the package tools of the host, and unpacked below
//! [`layout::PRIVATE_DIR`]; nothing else of the host is written. LNet is configured by module parameters and ioctl. Modules
//! are never removed while a Lustre file system is mounted, never by force, and never when the container ends.

mod act;
pub mod error;
pub mod host_exec;
pub mod host_state;
pub mod interfaces;
pub mod layout;
pub mod load;
mod lock;
pub mod modules;
pub mod network;
pub mod os;
pub mod packages;
pub mod plan;
pub mod ports;
pub mod remove;
pub mod report;
pub mod setup;
mod tool_failures;
pub mod tools;
pub mod version;
