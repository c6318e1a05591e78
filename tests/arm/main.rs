//! The ARM adapter against stub endpoints that answer as Azure does.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod credentials;
#[path = "../fakes/mod.rs"]
mod fakes;
