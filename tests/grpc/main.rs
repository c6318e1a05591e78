//! The CSI front end as its callers meet it: a real gRPC client over a Unix socket.
//!
//! Behind the three services stand scripted ports, so that every answer is the front end's own doing. The golden tables
//! say which request gets which code; the other tests hold the front end to what no table can say: panics, deadlines,
//! callers that go away, secrets.

// Helpers are test code too, which clippy sees only inside test functions; and no crate is there to reach their items.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod calls;
mod golden;
mod log;
// Shared with other tests, which need more of it.
#[allow(dead_code)]
#[path = "../fakes/log.rs"]
mod log_buffer;
mod ports;
#[cfg(feature = "simulator")]
mod simulated;
mod world;
