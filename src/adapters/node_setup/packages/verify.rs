//! Verification of an unpacked package before it is used: files of the tree, and what modinfo(8) shows of the modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use super::request::PackageRequest;
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::tools::Invocation;
use crate::adapters::node_setup::version::ClientVersion;

/// Modules that a package must contain: those that are loaded, and those that they depend on.
const REQUIRED: [&str; 10] = ["lnet", "ksocklnd", "obdclass", "ptlrpc", "lustre", "mgc", "mdc", "lmv", "lov", "osc"];

/// Extensions of module files, plain and compressed (`kernel/module/decompress.c`).
const EXTENSIONS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Directories with the modules of all kernels; the second in distributions with a merged `/usr`.
pub(super) const MODULE_DIRS: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// The name of the module in a file, with underscores as the kernel spells it; `None` if the file is not a module.
pub(super) fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let name = EXTENSIONS.iter().find_map(|extension| file.strip_suffix(extension))?;
    Some(name.replace('-', "_"))
}

/// The file of a module.
fn find<'a>(modules: &'a [PathBuf], name: &str) -> Option<&'a PathBuf> {
    modules.iter().find(|path| module_name(path).as_deref() == Some(name))
}

/// The module files below `root`, relative to it and sorted, if the tree has no link out of it, no special file, modules of
/// `kernel` alone, no empty one (depmod accepts it), and the required ones. The error says what is wrong.
pub(super) fn module_files(root: &Path, kernel: &str) -> Result<Vec<PathBuf>, String> {
    let mut modules = Vec::new();
    for (path, meta) in files::walk(root).map_err(|error| format!("it cannot be read: {error}"))? {
        check_entry(root, &path, &meta)?;
        if meta.is_file() && module_name(&path).is_some() {
            modules.push(path);
        }
    }
    modules.sort();
    check_kernel(root, kernel)?;
    let of_kernel = |path: &PathBuf| MODULE_DIRS.iter().any(|dir| path.starts_with(Path::new(dir).join(kernel)));
    if let Some(stray) = modules.iter().find(|path| !of_kernel(path)) {
        return Err(format!("module {} is not in lib/modules/{kernel}", stray.display()));
    }
    let missing: Vec<_> = REQUIRED.into_iter().filter(|name| find(&modules, name).is_none()).collect();
    if missing.is_empty() { Ok(modules) } else { Err(format!("it has no module {}", missing.join(", "))) }
}

fn check_entry(root: &Path, path: &Path, meta: &fs::Metadata) -> Result<(), String> {
    let is_module = module_name(path).is_some();
    if meta.is_symlink() {
        let target =
            fs::read_link(root.join(path)).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if is_module || !files::is_link_within_root(path, &target) {
            return Err(format!("{} is a link to {}", path.display(), target.display()));
        }
    } else if !meta.is_dir() && !meta.is_file() {
        return Err(format!("{} is neither a file nor a directory", path.display()));
    } else if meta.is_file() && is_module && meta.len() == 0 {
        return Err(format!("module {} is empty", path.display()));
    }
    Ok(())
}

fn check_kernel(root: &Path, kernel: &str) -> Result<(), String> {
    let entries = MODULE_DIRS.iter().flat_map(|dir| fs::read_dir(root.join(dir)).into_iter().flatten().flatten());
    let mut found: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.sort();
    if found == [kernel] {
        return Ok(());
    }
    let found = if found.is_empty() { "no kernel".to_owned() } else { found.join(", ") };
    Err(format!("its lib/modules is for {found}, not for {kernel} alone"))
}

/// Checks fields of the modules by modinfo(8): kernel, client, and signer where signatures are required.
pub(super) fn modinfo_fields(
    request: &PackageRequest<'_>,
    package: &Path,
    root: &Path,
    modules: &[PathBuf],
) -> Result<(), SetupError> {
    let values = |field, files: &[&PathBuf]| modinfo(request, field, files.iter().map(|file| root.join(file)));
    let all: Vec<_> = modules.iter().collect();
    let vermagic = values("vermagic", &all)?;
    let version = values("version", &find(modules, "lustre").into_iter().collect::<Vec<_>>())?;
    let signers = if request.requires_signed_modules { Some(values("signer", &all)?) } else { None };
    check_vermagic(&vermagic, all.len(), request.kernel)
        .and_then(|()| check_version(&version, request.client))
        .and_then(|()| signers.map_or(Ok(()), |signers| check_signers(&signers, all.len())))
        .map_err(|fault| request.unusable(package, &fault))
}

/// The lines of `modinfo -F FIELD FILE…`, in the order of the files. A file without the field has no line; an empty value is
/// an empty line.
pub(super) fn modinfo(
    request: &PackageRequest<'_>,
    field: &str,
    files: impl Iterator<Item = PathBuf>,
) -> Result<Vec<String>, SetupError> {
    let args = ["-F".into(), field.into()].into_iter().chain(files.map(|file| request.arg(file)));
    let what = format!("cannot read the modules of client {}", request.client);
    let output = request.run(&what, &Invocation::new("modinfo", args))?;
    Ok(output.text().lines().map(|line| line.trim().to_owned()).collect())
}

fn check_vermagic(vermagic: &[String], modules: usize, kernel: &str) -> Result<(), String> {
    let other = vermagic.iter().find(|line| line.split_whitespace().next() != Some(kernel));
    match other {
        Some(other) => Err(format!("its modules are for kernel {other:?}, and {kernel} is running")),
        None if vermagic.len() != modules => {
            Err(format!("{} of its {modules} modules have no field vermagic", modules.saturating_sub(vermagic.len())))
        }
        None => Ok(()),
    }
}

fn check_version(version: &[String], client: &ClientVersion) -> Result<(), String> {
    let found = version.first().map(String::as_str).unwrap_or_default();
    if ClientVersion::parse(found).as_ref() == Some(client) {
        return Ok(());
    }
    Err(format!("its module lustre has version {found:?}, not {}", client.with_underscores()))
}

fn check_signers(signers: &[String], modules: usize) -> Result<(), String> {
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

    /// A change of a package before it is verified.
    type Change<'a> = &'a dyn Fn(&Path);

    /// A package with all required modules, changed.
    fn verified(change: impl FnOnce(&Path)) -> Result<Vec<PathBuf>, String> {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("lib/modules").join(K).join("updates");
        fs::create_dir_all(&modules).unwrap();
        for name in REQUIRED {
            fs::write(modules.join(format!("{name}.ko")), "x").unwrap();
        }
        change(dir.path());
        module_files(dir.path(), K)
    }

    #[test]
    fn a_whole_package_is_accepted_also_compressed_and_with_merged_usr() {
        assert_eq!(verified(|_| {}).unwrap().len(), REQUIRED.len());
        let updates = |root: &Path| root.join("lib/modules").join(K).join("updates");
        assert!(
            verified(|root| fs::rename(updates(root).join("osc.ko"), updates(root).join("osc.ko.zst")).unwrap())
                .is_ok()
        );
        assert!(verified(|root| symlink("lnet.ko", updates(root).join("link")).unwrap()).is_ok());
        let merged = verified(|root| {
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
            let fault = verified(change).unwrap_err();
            assert!(fault.contains(expected), "{expected}: {fault}");
        }
    }

    #[test]
    fn kernel_client_and_signer_must_be_those_of_the_node() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        assert!(check_vermagic(&lines(&["k SMP mod_unload", "k SMP"]), 2, "k").is_ok());
        for (found, modules) in [(&["k SMP", "k2 SMP"][..], 2), (&["k SMP"], 2), (&["k2"], 1), (&[""], 1), (&[], 1)] {
            assert!(check_vermagic(&lines(found), modules, "k").is_err(), "{found:?}");
        }
        let client = ClientVersion::parse("2.17.0-24-gf517bc4").unwrap();
        assert!(check_version(&lines(&["2.17.0_24_gf517bc4"]), &client).is_ok());
        for found in [&["2.17.0_19_gbb5310f"][..], &["2.17.0"], &[""], &[]] {
            assert!(check_version(&lines(found), &client).is_err(), "{found:?}");
        }
        assert!(check_signers(&lines(&["a", "a"]), 2).is_ok());
        for found in [&["a", ""][..], &["a"], &[]] {
            assert!(check_signers(&lines(found), 2).is_err(), "{found:?}");
        }
    }
}
