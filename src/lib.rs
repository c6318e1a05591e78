//! Kubernetes CSI driver for Azure Managed Lustre (AMLFS), and the library that it is made of.
//!
//! ```text
//!   adapters/csi (tonic) ─┐                        ┌─ adapters/simulator
//!                         ├─> ports <── use-cases ─┤
//!   app (wiring, cli) ────┘        └─> domain      └─ further adapters
//! ```
//!
//! - [`domain`]: rules as pure functions; no runtime, no wire format, no clock.
//! - [`ports`]: what the use-cases need from outside and what they offer.
//! - [`app::usecase`]: create, delete, publish, unpublish over the ports.
//! - `adapters`: the outside world; `app`: settings, command line, wiring.
//!
//! Without features the first three build alone, for embedding. Start reading at [`domain::lifecycle`].

pub mod adapters;
pub mod app;
pub mod domain;
pub mod ports;
