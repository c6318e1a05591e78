//! The use-cases under fire: a fault at every step, before and after its effect; the process killed at every step; races.
//!
//! Why it exists: what this driver promises is about the bad days. Each case runs on the simulator with a clock that never
//! waits, retries as Kubernetes does, and then counts what exists: one file system, one accepted creation, nothing leaked,
//! nothing foreign deleted, and no final failure while anything existed.

mod create;
mod delete;
#[path = "../fakes/mod.rs"]
mod fakes;
mod mounts;
mod patience;
mod races;
mod rules;
mod world;
