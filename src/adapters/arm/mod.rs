//! Azure Resource Manager (ARM) behind the cloud port.
//!
//! ```text
//!   cloud ── client ── pipeline ── http (client, stack: request ids, metrics, log; also for credentials and environment)
//!     │         │          └── token, same origin, limiter, throttle
//!     │         ├── writes: PUT and DELETE as tasks
//!     │         └── error: error responses, their codes and hints
//!     ├── filesystem, skus, subnet_capacity, async_operations: JSON to values of the domain; urls, operation
//!     └── list_polling, single_flight: fewer requests
//! ```
//!
//! The generated crates give the models of SKUs, subnet sizes and networks' usages, entry by entry; requests are sent by this
//! adapter's own HTTP stack, because theirs has no limits, loses ARM's error details, and prints tokens.

mod async_operations;
pub mod client;
pub mod cloud;
pub mod connection;
pub mod credentials;
pub mod environment;
pub mod error;
mod filesystem;
pub mod http;
pub mod limiter;
mod list_polling;
mod operation;
mod pipeline;
pub mod settings;
mod single_flight;
mod skus;
mod subnet_capacity;
mod text;
mod throttle;
pub mod token;
pub mod urls;
pub mod writes;
