//! Azure Resource Manager (ARM) behind the cloud port.
//!
//! ```text
//!   cloud ── client ── generated clients and own pipeline ── transport ── wire (HTTP)
//!     │                                                         │
//!     ├── filesystem, skus, room, operations: wire mapping      └── limiter, metrics, failure
//!     └── waiting, shared: fewer requests
//! ```
//!
//! Why so many small parts: each keeps one promise that the use-cases rely on: which answers are refusals ([`failure`]),
//! where tokens may go ([`transport`]), that a list is never believed too much (`waiting`), that no name addresses
//! another resource (`path`).

pub mod client;
pub mod cloud;
pub mod connection;
pub mod credentials;
pub mod environment;
pub mod failure;
mod filesystem;
pub mod http;
pub mod limiter;
pub mod metrics;
mod operations;
mod path;
mod random;
mod room;
mod shared;
mod skus;
pub mod transport;
mod waiting;
pub mod wire;
