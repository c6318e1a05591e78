//! node-setup on nodes in every state: fake hosts whose kernel, LNet and packages can fail at every step, and the binary
//! itself with stub programs on a fake root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what cannot go on is a failed test")]

mod faults;
mod node;
mod process;
mod run;
