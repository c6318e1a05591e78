//! What the benchmarks over the socket have in common: the empty handlers, the servers, the client and its lanes.
//!
//! Why one place: ratios of two benchmarks mean the same only if both measure in the same way.

pub(crate) mod client;
pub(crate) mod floor;
pub(crate) mod lanes;
pub(crate) mod serving;
