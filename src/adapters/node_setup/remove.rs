//! Removal of kernel modules: `delete_module(2)` without force.

use std::ffi::CString;
use std::fmt::Debug;

use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, delete_module};

use super::tool_failures::last_lines;
use super::tools::{HostTools, Invocation};

/// Removes modules from the kernel, never by force.
pub trait ModuleRemover: Debug {
    /// Removes a module that nothing uses; success where it is not loaded. The error is the kernel's reason.
    fn remove(&self, module: &'static str) -> Result<(), String>;
}

/// Removes modules from the kernel of this machine.
#[derive(Debug, Clone, Copy)]
pub struct DeleteModule;

impl ModuleRemover for DeleteModule {
    /// `O_NONBLOCK` alone: the kernel answers EWOULDBLOCK at once for a module in use (`delete_module(2)`).
    fn remove(&self, module: &'static str) -> Result<(), String> {
        let name = CString::new(module).map_err(|error| error.to_string())?;
        match delete_module(&name, DeleteModuleFlags::O_NONBLOCK) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.desc().to_owned()),
        }
    }
}

/// Removes modules by `rmmod(8)` of the caller's `PATH`, for a directory in the place of a host.
#[derive(Debug, Clone, Copy)]
pub struct Rmmod<'a>(pub &'a dyn HostTools);

impl ModuleRemover for Rmmod<'_> {
    fn remove(&self, module: &'static str) -> Result<(), String> {
        let output = self.0.run(&Invocation::new("rmmod", [module])).map_err(|error| error.to_string())?;
        if output.ok() || output.stderr.contains("not currently loaded") {
            return Ok(());
        }
        Err(last_lines(&output.stderr))
    }
}
