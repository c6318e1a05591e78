//! placeholder
pub mod servers;
pub mod lustre;
