//! The domain: types and rules of the driver, free of any input or output.
//!
//! What may be created, kept, deleted or mounted is decided here, in synchronous functions over plain
//! values, so that each decision can be read in one place, tested with a table and embedded in other automation.
//! Nothing in this module knows a clock, a runtime, a wire format or a log.
//!
//! Reading order: [`names`], [`volume_id`], [`parameters`], [`sku`] and [`capacity`] (what is asked for);
//! [`filesystem`], [`lifecycle`] and [`reclaim`] (what is there and what to do about it);
//! [`volume_attributes`], [`sub_dir`], [`mount_options`] and [`mount`] (how a volume reaches a pod).

pub mod access;
pub mod capacity;
pub mod client_tuning;
pub mod confirmation;
pub mod filesystem;
pub mod go_bool;
pub mod history;
pub mod lifecycle;
pub mod lustre_version;
pub mod mount;
pub mod mount_options;
pub mod mount_source;
pub mod names;
pub mod ownership;
pub mod parameters;
pub mod placement;
pub mod problem;
pub mod provisioning;
pub mod reclaim;
pub mod request_limits;
pub mod sku;
pub mod sub_dir;
pub mod tags;
pub mod template;
pub mod text;
pub mod volume_attributes;
pub mod volume_id;
