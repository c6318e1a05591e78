//! The index that modprobe(8) reads, made by depmod(8) over the package's modules and those of the kernel.
//!
//! depmod follows a symbolic link to the kernel's own modules. Without it the modules that the client needs of the kernel
//! are left out of the index without a word, and loading fails with `Unknown symbol`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::verify::MODULE_DIRS;
use super::{Job, files};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::tools::Invocation;

/// Files of the kernel's directory that depmod reads besides modules.
const KERNEL_FILES: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// How long depmod may take: it reads all modules of the kernel.
const LIMIT: Duration = Duration::from_mins(2);

impl Job<'_> {
    /// Where the host's modules of the running kernel are, as the host sees them.
    fn kernel_dir(&self) -> PathBuf {
        Path::new("/lib/modules").join(self.kernel)
    }

    /// Indexes the modules below `root`, which is as the host sees it.
    pub(super) fn index(&self, root: &Path) -> Result<(), SetupError> {
        let kernel_dir = self.kernel_dir();
        let in_tree = kernel_dir.join("kernel");
        if !self.host.at(&in_tree).is_dir() {
            return Err(SetupError::needs_human(
                format!("cannot index the modules of client {}", self.client),
                format!("the modules of the running kernel are not on the node: {} is no directory", in_tree.display()),
                "Reboot the node into a kernel whose modules are installed.",
            ));
        }
        let at = self.host.at(root);
        link_both_places(&at).map_err(|error| files::failed("link the modules in", &at, &error))?;
        let dir = at.join(MODULE_DIRS[0]).join(self.kernel);
        files::try_remove(&dir.join("kernel"))
            .and_then(|()| symlink(self.host.path_in_host(&in_tree), dir.join("kernel")))
            .map_err(|error| files::failed("link the kernel's modules in", &dir, &error))?;
        for name in KERNEL_FILES {
            let from = self.host.at(kernel_dir.join(name));
            if from.is_file() {
                fs::copy(&from, dir.join(name)).map_err(|error| files::failed("copy", &from, &error))?;
            }
        }
        let what = || format!("cannot index the modules of client {}", self.client);
        self.run(what, &self.depmod(root)).map(drop)
    }

    /// `-C /dev/null` ignores depmod.d of the host.
    pub(super) fn depmod(&self, root: &Path) -> Invocation {
        let root = self.host.path_in_host(root).into_os_string();
        let args = [OsString::from("-b"), root, "-C".into(), "/dev/null".into(), self.kernel.into()];
        Invocation::new("depmod", args).within(LIMIT)
    }
}

/// kmod reads `lib/modules`, or `usr/lib/modules` where it was built for a merged `/usr`; packages use either.
fn link_both_places(root: &Path) -> std::io::Result<()> {
    let [lib, usr] = MODULE_DIRS.map(|dir| root.join(dir));
    match (lib.is_dir(), usr.is_dir()) {
        (true, false) => {
            fs::create_dir_all(root.join("usr/lib"))?;
            symlink("../../lib/modules", usr)
        }
        (false, true) => {
            fs::create_dir_all(root.join("lib"))?;
            symlink("../usr/lib/modules", lib)
        }
        _ => Ok(()),
    }
}
