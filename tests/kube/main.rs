//! The Kubernetes adapter's own cases, against a stub of an API server over HTTP: what is asked, in which words, how often,
//! and what a failure means. The laws that hold for every orchestrator are in `tests/contract`.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails by panicking

mod connection;
mod events;
#[path = "../fakes/mod.rs"]
mod fakes;
mod silence;
mod taints;
mod world;
