//! The use-cases under fire: a fault at every step, before and after its effect; the process killed at every step; races.
//!
//! What this driver promises is about the bad days. Each case runs on the simulator with a clock that never
//! waits, retries as Kubernetes does, and then counts what exists: one file system, one accepted creation, nothing leaked,
//! nothing deleted that is not owned by this driver, and no final failure while anything existed.

// Helpers of tests end their test; clippy's switches for that reach test functions only.
#![allow(clippy::unwrap_used, clippy::panic, clippy::clone_on_ref_ptr, clippy::unchecked_time_subtraction)]

mod callers;
mod claim_events;
mod create;
mod deadlines;
mod delete;
mod existing_filesystems;
mod failed_creations;
#[path = "../fakes/mod.rs"]
mod fakes;
mod finality;
mod mounts;
mod races;
mod readiness;
mod requests;
mod retry_limits;
mod world;
