//! The outside world, one module an adapter. Nothing inside this module is known to `domain`, `ports` or the use-cases.

#[cfg(feature = "arm")]
pub mod arm;
#[cfg(any(feature = "server", feature = "simulator"))]
pub mod clock;
#[cfg(feature = "server")]
pub mod cloud_settings;
#[cfg(feature = "server")]
pub mod csi;
#[cfg(feature = "kernel")]
pub mod host_network;
#[cfg(feature = "kernel")]
pub mod kernel;
#[cfg(feature = "kube")]
pub mod kube;
#[cfg(feature = "kernel")]
pub mod lnet;
#[cfg(feature = "server")]
pub mod log;
#[cfg(any(feature = "kernel", feature = "simulator"))]
mod mountinfo;
#[cfg(feature = "server")]
pub mod no_cloud;
#[cfg(feature = "kernel")]
pub mod node_setup;
#[cfg(feature = "server")]
pub mod node_status;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(any(feature = "kernel", feature = "simulator"))]
mod target;
