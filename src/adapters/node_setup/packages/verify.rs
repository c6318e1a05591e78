//! Checks of an unpacked package, before anything in it is used.

use std::fs;
use std::path::{Path, PathBuf};

use super::unpack::link_stays_inside;
use super::{Job, PackageFile, modinfo};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::version::ClientVersion;

/// Modules that a package must have: those that are loaded, and those that they are made of.
const REQUIRED: [&str; 10] = ["lnet", "ksocklnd", "obdclass", "ptlrpc", "lustre", "mgc", "mdc", "lmv", "lov", "osc"];

/// Endings of module files, plain and compressed.
const ENDINGS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// What is in an unpacked package.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    /// Module files, relative to the root, sorted.
    pub(super) modules: Vec<PathBuf>,
}

impl Tree {
    /// The file of a module.
    fn module(&self, name: &str) -> Option<&PathBuf> {
        self.modules.iter().find(|path| module_name(path).as_deref() == Some(name))
    }
}

/// The name of the module in a file, with underscores as the kernel spells it; `None` if the file is no module.
pub(super) fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let name = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending))?;
    Some(name.replace('-', "_"))
}

/// Reads the tree below `root` and checks it: no links out of it, no special files, modules of `kernel` alone, none of them
/// empty (depmod accepts an empty one), the required ones present. The error says what is wrong.
pub(super) fn tree(root: &Path, kernel: &str) -> Result<Tree, String> {
    let mut modules = Vec::new();
    walk(root, Path::new(""), &mut modules)?;
    modules.sort();
    kernels(root, kernel)?;
    let own = |path: &PathBuf| MODULE_DIRS.iter().any(|dir| path.starts_with(Path::new(dir).join(kernel)));
    if let Some(stray) = modules.iter().find(|path| !own(path)) {
        return Err(format!("module {} is not in lib/modules/{kernel}", stray.display()));
    }
    let tree = Tree { modules };
    let missing: Vec<_> = REQUIRED.into_iter().filter(|name| tree.module(name).is_none()).collect();
    if missing.is_empty() { Ok(tree) } else { Err(format!("it has no module {}", missing.join(", "))) }
}

/// Where modules of all kernels are; the second with distributions that have merged `/usr`.
pub(super) const MODULE_DIRS: [&str; 2] = ["lib/modules", "usr/lib/modules"];

fn kernels(root: &Path, kernel: &str) -> Result<(), String> {
    let entries = MODULE_DIRS.iter().flat_map(|dir| fs::read_dir(root.join(dir)).into_iter().flatten().flatten());
    let mut found: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    if found == [kernel] {
        return Ok(());
    }
    let found = if found.is_empty() { "no kernel".to_owned() } else { found.join(", ") };
    Err(format!("its lib/modules is for {found}, not for {kernel} alone"))
}

fn walk(root: &Path, dir: &Path, modules: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", dir.display());
    for entry in fs::read_dir(root.join(dir)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = dir.join(entry.file_name());
        let meta = entry.metadata().map_err(failed)?;
        if meta.is_dir() {
            walk(root, &path, modules)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(entry.path()).map_err(failed)?;
            if !link_stays_inside(&path, &target) || module_name(&path).is_some() {
                return Err(format!("{} is a link to {}", path.display(), target.display()));
            }
        } else if !meta.is_file() {
            return Err(format!("{} is neither a file nor a directory", path.display()));
        } else if module_name(&path).is_some() {
            if meta.len() == 0 {
                return Err(format!("module {} is empty", path.display()));
            }
            modules.push(path);
        }
    }
    Ok(())
}

impl Job<'_> {
    /// Checks what modinfo(8) says of the modules: kernel, client, and signer where signatures are required.
    pub(super) fn verify_modules(&self, package: &PackageFile, root: &Path, tree: &Tree) -> Result<(), SetupError> {
        let all: Vec<&PathBuf> = tree.modules.iter().collect();
        let lustre: Vec<&PathBuf> = tree.module("lustre").into_iter().collect();
        let vermagic = self.modinfo("vermagic", root, &all)?;
        let version = self.modinfo("version", root, &lustre)?;
        let signers = if self.signed { Some(self.modinfo("signer", root, &all)?) } else { None };
        fits(&vermagic, all.len(), self.kernel)
            .and_then(|()| is_version(&version, self.client))
            .and_then(|()| signers.map_or(Ok(()), |signers| are_signed(&signers, all.len())))
            .map_err(|fault| self.unusable(package, &fault))
    }

    fn modinfo(&self, field: &str, root: &Path, modules: &[&PathBuf]) -> Result<Vec<String>, SetupError> {
        let files = modules.iter().map(|module| self.host.path_in_host(root.join(module)));
        let what = || format!("cannot read the modules of client {}", self.client);
        Ok(modinfo::values(&self.run(what, &modinfo::of(field, files))?))
    }
}

fn fits(vermagic: &[String], modules: usize, kernel: &str) -> Result<(), String> {
    let other = vermagic.iter().find(|line| line.split_whitespace().next() != Some(kernel));
    match other {
        Some(other) => Err(format!("its modules are for kernel {other:?}, and {kernel} is running")),
        None if vermagic.len() != modules => Err(format!(
            "{} of its {modules} modules do not say for which kernel they are",
            modules.saturating_sub(vermagic.len())
        )),
        None => Ok(()),
    }
}

fn is_version(version: &[String], client: &ClientVersion) -> Result<(), String> {
    let found = version.first().map(String::as_str).unwrap_or_default();
    if ClientVersion::parse(found).as_ref() == Some(client) {
        return Ok(());
    }
    Err(format!("its module lustre has version {found:?}, not {}", client.with_underscores()))
}

fn are_signed(signers: &[String], modules: usize) -> Result<(), String> {
    let signed = signers.iter().filter(|signer| !signer.is_empty()).count();
    if signed == modules {
        return Ok(());
    }
    Err(format!(
        "{} of its {modules} modules have no signature, and lockdown or Secure Boot of this node requires one",
        modules.saturating_sub(signed)
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const K: &str = "6.8.0-1046-azure";

    /// What is done to a package before it is checked.
    type Change<'a> = &'a dyn Fn(&Path);

    /// A package with all required modules, changed.
    fn checked(change: impl FnOnce(&Path)) -> Result<Tree, String> {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("lib/modules").join(K).join("updates");
        fs::create_dir_all(&modules).unwrap();
        for name in REQUIRED {
            fs::write(modules.join(format!("{name}.ko")), "x").unwrap();
        }
        change(dir.path());
        tree(dir.path(), K)
    }

    #[test]
    fn a_whole_package_is_accepted_also_compressed_and_with_merged_usr() {
        assert_eq!(checked(|_| {}).unwrap().modules.len(), REQUIRED.len());
        let updates = |root: &Path| root.join("lib/modules").join(K).join("updates");
        assert!(
            checked(|root| fs::rename(updates(root).join("osc.ko"), updates(root).join("osc.ko.zst")).unwrap()).is_ok()
        );
        assert!(checked(|root| symlink("lnet.ko", updates(root).join("link")).unwrap()).is_ok());
        let merged = checked(|root| {
            fs::create_dir(root.join("usr")).unwrap();
            fs::rename(root.join("lib"), root.join("usr/lib")).unwrap();
        });
        assert!(merged.is_ok(), "{merged:?}");
    }

    #[test]
    fn each_fault_of_a_package_is_named() {
        let updates = |root: &Path| root.join("lib/modules").join(K).join("updates");
        let cases: [(&str, Change<'_>); 10] = [
            ("link to /etc", &|root| symlink("/etc", root.join("x")).unwrap()),
            ("link to ../..", &|root| symlink("../..", root.join("lib/x")).unwrap()),
            ("osc.ko is a link", &|root| {
                fs::rename(updates(root).join("osc.ko"), root.join("osc")).unwrap();
                symlink("../../../../osc", updates(root).join("osc.ko")).unwrap();
            }),
            ("neither a file", &|root| {
                nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
            ("lnet.ko is empty", &|root| fs::write(updates(root).join("lnet.ko"), "").unwrap()),
            ("no module mgc, osc", &|root| {
                for name in ["osc.ko", "mgc.ko"] {
                    fs::remove_file(updates(root).join(name)).unwrap();
                }
            }),
            ("for 6.8.0-1046-azure, other", &|root| fs::create_dir(root.join("lib/modules/other")).unwrap()),
            ("for no kernel", &|root| fs::remove_dir_all(root.join("lib/modules").join(K)).unwrap()),
            ("for 6.8.0-1046-azure, 6.8.0-1046-azure", &|root| {
                fs::create_dir_all(root.join("usr/lib/modules").join(K)).unwrap();
            }),
            ("is not in lib/modules", &|root| fs::write(root.join("stray.ko"), "x").unwrap()),
        ];
        for (expected, change) in cases {
            let fault = checked(change).unwrap_err();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }

    #[test]
    fn kernel_client_and_signer_must_be_those_of_the_node() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert!(fits(&lines(&["k SMP mod_unload", "k SMP"]), 2, "k").is_ok());
        for (found, modules) in [(&["k SMP", "k2 SMP"][..], 2), (&["k SMP"], 2), (&["k2"], 1), (&[""], 1), (&[], 1)] {
            assert!(fits(&lines(found), modules, "k").is_err(), "{found:?}");
        }
        let client = ClientVersion::parse("2.17.0-24-gf517bc4").unwrap();
        assert!(is_version(&lines(&["2.17.0_24_gf517bc4"]), &client).is_ok());
        for found in [&["2.17.0_19_gbb5310f"][..], &["2.17.0"], &[""], &[]] {
            assert!(is_version(&lines(found), &client).is_err(), "{found:?}");
        }
        assert!(are_signed(&lines(&["a", "a"]), 2).is_ok());
        for found in [&["a", ""][..], &["a"], &[]] {
            assert!(are_signed(&lines(found), 2).is_err(), "{found:?}");
        }
    }
}
