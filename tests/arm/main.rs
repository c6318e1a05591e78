//! The ARM adapter, and the driver on top of it, against ARM's REST interface in front of the simulator.
//!
//! The responses of ARM, and faults of requests on their way, decide whether a file system leaks. Most cases run without a
//! network on a manual clock, so that every fault is injected into every request; resets and time-outs of the real HTTP
//! client are tested over sockets.

// Helpers of tests end their test; clippy's switches for that reach test functions only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::clone_on_ref_ptr,
    clippy::unchecked_time_subtraction
)]

mod crashes;
mod creation_log;
mod credentials;
mod error_details;
#[path = "../fakes/mod.rs"]
mod fakes;
mod fault_matrix;
mod final_failures;
mod http;
mod list_polling;
mod load;
mod ownership;
mod rate_limits;
mod recorded;
mod replicas;
mod request_counts;
mod responses;
mod scripted;
mod secrets;
mod stack;
mod subnet_capacity;
mod tokens;
// Shared with the cases of the use-cases, which need more of it.
#[allow(dead_code)]
#[path = "../usecases/world.rs"]
mod world;
mod writes;
