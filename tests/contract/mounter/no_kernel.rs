//! What stands for the kernel adapter where it is not compiled in.

use super::world::MounterWorld;

pub(crate) const UNAVAILABLE: Option<&str> = Some("needs --features kernel");

pub(crate) fn on_tmpfs() -> std::io::Result<Box<dyn MounterWorld>> {
    Err(std::io::ErrorKind::Unsupported.into())
}

pub(crate) fn on_a_tree() -> std::io::Result<Box<dyn MounterWorld>> {
    Err(std::io::ErrorKind::Unsupported.into())
}
