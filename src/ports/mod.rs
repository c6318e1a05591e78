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

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

pub mod clock;
pub mod cloud;
pub mod inbound;
pub mod mounter;
pub mod node_faults;
pub mod operations;
pub mod orchestrator;

/// Any error as the cause of another. Shared, so that one failure can be reported to every caller that waited for it; the
/// concrete type stays behind [`Error::source`], so that a caller may downcast it.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// The cause in a box, such as text.
    pub fn boxed(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::from(cause.into()))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Cause {
    fn from(cause: E) -> Self {
        Self(Arc::new(cause))
    }
}

// Not an error itself, so that `Error::source` of an error that holds a cause leads to the cause, not to its handle.
impl Deref for Cause {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
