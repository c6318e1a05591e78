//! Removing kernel modules: `delete_module(2)` without force, in the order in which they depend on each other.

use std::ffi::CString;
use std::fmt::Debug;

use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, delete_module};

use super::tools::{HostTools, Invocation};

/// Why a module was not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// It is not loaded.
    #[error("it is not loaded")]
    NotLoaded,
    /// It is in use, or the kernel refuses for another reason.
    #[error("{0}")]
    Refused(String),
}

/// Removes modules from the kernel, never by force.
pub trait RemoveModule: Debug {
    /// Removes one that nothing uses.
    fn remove(&self, module: &'static str) -> Result<(), RemoveError>;
}

/// The kernel of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Kernel;

impl RemoveModule for Kernel {
    /// `O_NONBLOCK` alone: the kernel answers EWOULDBLOCK at once for a module in use (`delete_module(2)`).
    fn remove(&self, module: &'static str) -> Result<(), RemoveError> {
        let name = CString::new(module).map_err(|error| RemoveError::Refused(error.to_string()))?;
        delete_module(&name, DeleteModuleFlags::O_NONBLOCK).map_err(|errno| match errno {
            Errno::ENOENT => RemoveError::NotLoaded,
            errno => RemoveError::Refused(errno.desc().to_owned()),
        })
    }
}

/// The kernel that a directory describes, whose modules `rmmod` of the caller's `PATH` removes.
#[derive(Debug, Clone, Copy)]
pub struct Rmmod<'a>(pub &'a dyn HostTools);

impl RemoveModule for Rmmod<'_> {
    fn remove(&self, module: &'static str) -> Result<(), RemoveError> {
        let output = self.0.run(&Invocation::new("rmmod", [module]));
        match output.map_err(|error| RemoveError::Refused(error.to_string()))? {
            output if output.ok() => Ok(()),
            output if output.stderr.contains("not currently loaded") => Err(RemoveError::NotLoaded),
            output => Err(RemoveError::Refused(super::tool_failures::last_lines(&output.stderr))),
        }
    }
}
