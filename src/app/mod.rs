//! The application: use-cases over the ports, and (with features) the process around them.

#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod command_error;
#[cfg(all(feature = "server", feature = "simulator"))]
pub mod demo;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod settings;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod usecase;
#[cfg(feature = "server")]
pub mod version;
#[cfg(feature = "server")]
pub mod wiring;
