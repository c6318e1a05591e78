//! placeholder
pub mod lustre;
pub mod servers;
