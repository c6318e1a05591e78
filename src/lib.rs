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
//! Start reading at [`domain::lifecycle`].
//!
//! # Embedding
//!
//! Without features the first three build alone, with a handful of small dependencies:
//! `azurelustre-csi = { version = "…", default-features = false }`. The decisions are plain functions:
//!
//! ```
//! use azurelustre_csi::domain::capacity::{CapacityRange, RequestedCapacity, Tib};
//! use azurelustre_csi::domain::filesystem::Observed;
//! use azurelustre_csi::domain::reclaim::{self, ReclaimStep};
//!
//! // A claim of 17 TiB on AMLFS-Durable-Premium-125, which is sold in steps of 16 TiB up to 128 TiB.
//! let range = CapacityRange::parse(RequestedCapacity::at_least(17 << 40))?;
//! let size = range.round(Tib(16), Tib(128), "AMLFS-Durable-Premium-125")?;
//! assert_eq!(size, Tib(32));
//!
//! // Deleting a volume: what its id names, and what to do about what is there.
//! let Some(id) = reclaim::plan("pvc-1#lustrefs#10.0.0.4##t#team")? else { unreachable!() };
//! assert_eq!(id.to_string(), "pvc-1 in resource group team");
//! assert_eq!(reclaim::next(&Observed::Absent, &id.name), ReclaimStep::Done);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/plan.rs` goes from a request to a finished plan. To have the work done too, implement
//! [`ports::cloud::Cloud`] or [`ports::mounter::Mounter`] and hand it to the use-cases.

pub mod adapters;
pub mod app;
pub mod domain;
pub mod ports;
