//! Whether the index has every module that the client's modules need: depmod leaves out what it does not find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::verify::{MODULE_DIRS, module_name};
use super::{Job, PackageFile, files, modinfo};
use crate::adapters::node_setup::error::SetupError;

impl Job<'_> {
    /// Refuses an index in which a module lacks what it depends on.
    pub(super) fn verify_dependencies(&self, package: &PackageFile, root: &Path) -> Result<(), SetupError> {
        let dir = root.join(MODULE_DIRS[0]).join(self.kernel);
        let read = |name: &str| {
            let path = self.host.at(dir.join(name));
            fs::read_to_string(&path).map_err(|error| files::failed("read", &path, &error))
        };
        let index = read("modules.dep")?;
        let builtin = read("modules.builtin").unwrap_or_default();
        let own: Vec<PathBuf> = own_modules(&index).map(|file| self.host.path_in_host(dir.join(file))).collect();
        let what = || format!("cannot read the modules of client {}", self.client);
        let depends = modinfo::values(&self.run(what, &modinfo::of("depends", own.into_iter()))?);
        let missing = missing(&depends, &index, &builtin);
        if missing.is_empty() {
            return Ok(());
        }
        let mut error = self.unusable(
            package,
            &format!("its modules need {}, which kernel {} does not have", missing.join(", "), self.kernel),
        );
        "Install the package with the kernel's further modules (linux-modules-extra) in the node image."
            .clone_into(&mut error.hint);
        Err(error)
    }
}

/// Files of an index that are not the kernel's own.
fn own_modules(index: &str) -> impl Iterator<Item = &str> {
    indexed(index).filter(|file| !file.starts_with("kernel/"))
}

/// The module files of `modules.dep` (modules.dep(5)): each line is a file, a colon, and the files that it needs.
fn indexed(index: &str) -> impl Iterator<Item = &str> {
    index.lines().filter_map(|line| line.split_once(':')).map(|(file, _)| file.trim())
}

/// Modules that are needed (comma-separated values of the field `depends`) and neither in the index nor built in.
fn missing(depends: &[String], index: &str, builtin: &str) -> Vec<String> {
    let known: BTreeSet<String> =
        indexed(index).chain(builtin.lines().map(str::trim)).filter_map(|file| module_name(Path::new(file))).collect();
    let needed = depends.iter().flat_map(|line| line.split(',')).map(|name| name.trim().replace('-', "_"));
    let missing: BTreeSet<String> = needed.filter(|name| !name.is_empty() && !known.contains(name)).collect();
    missing.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_indexed_nor_built_in_is_missing() {
        let index = "updates/lnet.ko: kernel/net/sunrpc/sunrpc.ko\nkernel/net/sunrpc/sunrpc.ko:\nkernel/lib/crc-t10dif.ko.zst:\n";
        let builtin = "kernel/lib/libcrc32c.ko\n";
        let depends = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert!(missing(&depends(&["sunrpc,crc-t10dif", "", "libcrc32c,lnet"]), index, builtin).is_empty());
        assert_eq!(missing(&depends(&["sunrpc,ib_core", "rdma-cm,ib_core"]), index, builtin), ["ib_core", "rdma_cm"]);
        assert_eq!(own_modules(index).collect::<Vec<_>>(), ["updates/lnet.ko"]);
    }
}
