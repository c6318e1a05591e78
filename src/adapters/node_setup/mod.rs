//! The Lustre client of a node: kernel modules and LNet, made ready by the init container `node-setup`.
//!
//! ```text
//!   facts ──> plan (pure) ──> act, one step after the other ──> facts
//! ```
//!
//! Only the package with the modules of the running kernel is fetched, by the package tools of the host, and unpacked below
//! [`layout::PRIVATE_DIR`]; nothing else of the host is written. LNet is configured by module parameters and ioctl. Modules
//! are never unloaded while a Lustre file system is mounted, never by force, and never when the container ends.

pub mod error;
pub mod layout;
pub mod os;
pub mod tools;
pub mod version;
