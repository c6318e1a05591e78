//! The module index of modprobe(8), made by depmod(8) from the package's modules and those of the kernel.
//!
//! depmod follows a symbolic link to the kernel's own modules. Without it the modules of the kernel that the client depends on
//! are left out of the index without an error, and loading fails with `Unknown symbol`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files;
use super::request::PackageRequest;
use super::verify::{MODULE_DIRS, modinfo, module_name};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::tools::Invocation;

/// Files of the kernel's directory that depmod reads besides modules.
const KERNEL_FILES: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// Time limit of depmod, which reads all modules of the kernel.
const LIMIT: Duration = Duration::from_mins(2);

/// Indexes the modules below `root`, which is as the host sees it.
pub(super) fn create(request: &PackageRequest<'_>, root: &Path) -> Result<(), SetupError> {
    let what = format!("cannot index the modules of client {}", request.client);
    let kernel_dir = Path::new("/lib/modules").join(request.kernel);
    let in_tree = kernel_dir.join("kernel");
    if !request.host.at(&in_tree).is_dir() {
        return Err(SetupError::needs_human(
            what,
            format!("the modules of the running kernel are not on the node: {} is no directory", in_tree.display()),
            "Reboot the node into a kernel whose modules are installed.",
        ));
    }
    let at = request.host.at(root);
    link_module_dirs(&at).map_err(|error| files::failed("link the modules in", &at, &error))?;
    let dir = at.join(MODULE_DIRS[0]).join(request.kernel);
    files::try_remove(&dir.join("kernel"))
        .and_then(|()| symlink(request.host.path_in_host(&in_tree), dir.join("kernel")))
        .map_err(|error| files::failed("link the kernel's modules in", &dir, &error))?;
    for name in KERNEL_FILES {
        let from = request.host.at(kernel_dir.join(name));
        if from.is_file() {
            fs::copy(&from, dir.join(name)).map_err(|error| files::failed("copy", &from, &error))?;
        }
    }
    request.run(&what, &depmod(request, root)).map(drop)
}

/// `-C /dev/null` ignores depmod.d(5) of the host.
pub(super) fn depmod(request: &PackageRequest<'_>, root: &Path) -> Invocation {
    let args = ["-b".into(), request.arg(root), "-C".into(), "/dev/null".into(), request.kernel.into()];
    Invocation::new("depmod", args).within(LIMIT)
}

/// kmod reads `lib/modules`, or `usr/lib/modules` where it was built for a merged `/usr`; packages use either.
fn link_module_dirs(root: &Path) -> std::io::Result<()> {
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

/// Rejects an index without every module that the client's modules depend on: depmod leaves out those that it does not find.
pub(super) fn verify_dependencies(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<(), SetupError> {
    let dir = root.join(MODULE_DIRS[0]).join(request.kernel);
    let read = |name: &str| {
        let path = request.host.at(dir.join(name));
        fs::read_to_string(&path).map_err(|error| files::failed("read", &path, &error))
    };
    let index = read("modules.dep")?;
    let builtin = read("modules.builtin").unwrap_or_default();
    let depends = modinfo(request, "depends", client_modules(&index).map(|file| dir.join(file)))?;
    let missing: Vec<_> = missing_modules(&depends, &index, &builtin).into_iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!("its modules need {}, which kernel {} does not have", missing.join(", "), request.kernel);
    let hint =
        "Install the package with the kernel's further modules (linux-modules-extra) in the node image.".to_owned();
    Err(SetupError { hint, ..request.unusable(package, &why) })
}

/// Module files of an index that are not the kernel's own.
fn client_modules(index: &str) -> impl Iterator<Item = PathBuf> {
    indexed_files(index).filter(|file| !file.starts_with("kernel/")).map(PathBuf::from)
}

/// The module files of `modules.dep` (modules.dep(5)): each line is a file, a colon, and the files that it depends on.
fn indexed_files(index: &str) -> impl Iterator<Item = &str> {
    index.lines().filter_map(|line| line.split_once(':')).map(|(file, _)| file.trim())
}

/// Modules that are needed (comma-separated values of the field `depends`) and neither in the index nor built in.
fn missing_modules(depends: &[String], index: &str, builtin: &str) -> BTreeSet<String> {
    let files = indexed_files(index).chain(builtin.lines().map(str::trim));
    let known: BTreeSet<String> = files.filter_map(|file| module_name(Path::new(file))).collect();
    let needed = depends.iter().flat_map(|line| line.split(',')).map(|name| name.trim().replace('-', "_"));
    needed.filter(|name| !name.is_empty() && !known.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_neither_indexed_nor_built_in_is_missing() {
        let index = "updates/lnet.ko: kernel/net/sunrpc/sunrpc.ko\nkernel/net/sunrpc/sunrpc.ko:\nkernel/lib/crc-t10dif.ko.zst:\n";
        let builtin = "kernel/lib/libcrc32c.ko\n";
        let depends = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert!(missing_modules(&depends(&["sunrpc,crc-t10dif", "", "libcrc32c,lnet"]), index, builtin).is_empty());
        let missing = missing_modules(&depends(&["sunrpc,ib_core", "rdma-cm,ib_core"]), index, builtin);
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["ib_core", "rdma_cm"]);
        assert_eq!(client_modules(index).collect::<Vec<_>>(), [Path::new("updates/lnet.ko")]);
    }
}
