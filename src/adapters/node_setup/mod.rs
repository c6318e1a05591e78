//! Setup of the Lustre client on a node, for the init container `node-setup`: kernel modules and LNet.
//!
//! ```text
//!   prepare: host_state, interfaces ──> plan (pure) ──> execute: packages, remove, load ──> lnet_config
//! ```
//!
//! Only the package with the modules of the running kernel is fetched, by the package tools of the host, and unpacked below
//! [`layout::PRIVATE_DIR`]; nothing else of the host is written. LNet is configured by module parameters and ioctl. Modules
//! are never removed while a Lustre file system is mounted, never by force, and never when the container ends.

mod dry_run;
pub mod error;
mod execute;
pub mod host_exec;
pub mod host_state;
pub mod interfaces;
pub mod layout;
pub mod lnet_config;
pub mod load;
mod lock;
pub mod modules;
pub mod os;
pub mod packages;
pub mod plan;
pub mod ports;
mod prepare;
pub mod remove;
pub mod report;
mod run;
pub mod setup;
mod tool_failures;
pub mod tools;
pub mod version;
