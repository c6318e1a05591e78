//! Azure Resource Manager (ARM) behind the cloud port.
//!
//! ```text
//!   cloud ── client ── transport ── wire (HTTP)
//!     │         │          └── tokens, limiter, throttle, metrics
//!     │         └── answer, reason, causes, failure: what an answer means
//!     ├── filesystem, skus, room, operations, path: wire mapping
//!     ├── writes: requests that change something
//!     └── waiting, shared: fewer requests
//! ```
//!
//! The generated crates give the models of SKUs, subnet sizes and networks' usages; requests are sent by this adapter's own
//! HTTP stack, because theirs has no limits, loses what ARM says, and prints tokens.

mod answer;
mod causes;
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
mod reason;
mod retry_after;
mod room;
mod shared;
mod skus;
mod throttle;
pub mod transport;
mod waiting;
pub mod wire;
pub mod writes;
