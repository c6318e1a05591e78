//! Azure Resource Manager (ARM) behind the cloud port.
//!
//! ```text
//!   cloud ── client ── transport ── http_stack ── wire (HTTP)
//!     │         │          │            └── request ids, metrics, log; also below credentials and environment
//!     │         │          └── tokens, same origin, limiter, throttle
//!     │         ├── writes: requests that change something
//!     │         └── answer, reason, causes, failure: what a response means
//!     ├── filesystem, skus, subnet_capacity, async_operations, path: wire mapping
//!     └── list_polling, single_flight: fewer requests
//! ```
//!
//! The generated crates give the models of SKUs, subnet sizes and networks' usages, entry by entry; requests are sent by this
//! adapter's own HTTP stack, because theirs has no limits, loses what ARM says, and prints tokens.

mod answer;
mod async_operations;
mod causes;
pub mod client;
pub mod cloud;
pub mod connection;
pub mod credentials;
pub mod environment;
pub mod failure;
mod filesystem;
pub mod http;
pub mod http_stack;
pub mod limiter;
mod list_polling;
pub mod metrics;
mod path;
mod reason;
mod retry_after;
pub mod secret;
pub mod settings;
mod single_flight;
mod skus;
mod subnet_capacity;
mod throttle;
pub mod transport;
pub mod wire;
pub mod writes;
