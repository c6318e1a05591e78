//! The ARM adapter, and the driver on top of it, against ARM's REST interface in front of the simulator.
//!
//! What ARM may answer, and what may happen to a request on its way, decides whether a file system leaks.
//! Most cases run without a network on a clock that never waits, so that every fault can be played at every request;
//! what the real HTTP client makes of resets and silence is tested over sockets.

// Helpers of tests end their test; clippy's switches for that reach test functions only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::clone_on_ref_ptr,
    clippy::unchecked_time_subtraction
)]

mod answers;
mod attacks;
mod crashes;
mod credentials;
#[path = "../fakes/mod.rs"]
mod fakes;
mod figures;
mod guards;
mod http;
mod load;
mod matrix;
mod ownership;
mod refusals;
mod replay;
mod replicas;
mod rules;
mod secrets;
mod stack;
mod story;
mod throttling;
// Shared with the cases of the use-cases, which need more of it.
#[allow(dead_code)]
#[path = "../usecases/world.rs"]
mod world;
mod writes;
