//! Azure Resource Manager: the cloud that file systems really live in.

pub mod credentials;
