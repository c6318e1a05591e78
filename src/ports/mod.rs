//! The ports of the hexagon: what the use-cases need from outside, and what they offer to a front end.
//!
//! Driven ports ([`cloud`], [`mounter`], [`operations`], [`node_faults`], [`orchestrator`], [`clock`]) are implemented by
//! adapters; the driving port ([`inbound`]) is implemented by the use-cases and called by the CSI front end.
//!
//! Conventions of all ports:
//! - **Idempotent**: any call may be repeated, since the caller may have been killed after its effect and before its
//!   answer. Absence is a value, not an error.
//! - **Bounded**: a driven adapter puts a time limit on each call. Callers guard against a broken promise and may stop
//!   waiting at any time; dropping a future never undoes an effect that began.
//! - **Errors are meanings**: a kind that a caller can act on, the resource, the cause; never a transport's code.
//! - Traits are object-safe and `Send + Sync`; use-cases hold them as `Arc<dyn …>`.

pub mod clock;
pub mod cloud;
pub mod inbound;
pub mod mounter;
pub mod node_faults;
pub mod operations;
pub mod orchestrator;

/// Any error as the cause of another. Shared, so that one failure can be reported to every caller that waited for it, with
/// its typed causes.
pub type Cause = std::sync::Arc<dyn std::error::Error + Send + Sync>;
