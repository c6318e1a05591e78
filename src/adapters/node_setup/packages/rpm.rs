//! Package files in the rpm format: identity by rpm(8), signature by rpmkeys(8), content by rpm2cpio(8) or other programs.

use std::path::{Path, PathBuf};

use super::request::{KMOD, PackageRequest};
use super::{fetch_failures, files};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::DNF_DIR;
use crate::adapters::node_setup::tools::{Invocation, Output, ToolError};

/// Whether an rpm file contains modules of this client for this kernel, by its name, version and file list.
pub(super) fn is_requested(request: &PackageRequest<'_>, package: &Path) -> Result<bool, SetupError> {
    let format = "%{NAME}-%{VERSION}-%{RELEASE}\\n[%{FILENAMES}\\n]";
    let args = ["-qp".into(), "--nosignature".into(), "--qf".into(), format.into(), request.arg(package)];
    let shown = request.run(&format!("cannot read package {}", package.display()), &Invocation::new("rpm", args))?;
    Ok(is_for(&shown.text(), request.kernel, request.client.as_str()))
}

/// Whether a package with this name, version, release and files is the one for this kernel and client. Dots, dashes and
/// underscores are equal, since versions of rpm packages contain no dash.
fn is_for(text: &str, kernel: &str, client: &str) -> bool {
    let plain = |text: &str| text.replace(['-', '_'], ".");
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default();
    let modules = format!("/lib/modules/{kernel}/");
    name.starts_with(KMOD) && plain(name).contains(&plain(client)) && lines.any(|file| file.contains(&modules))
}

/// The key database of rpmkeys(8), as the host sees it.
fn key_database() -> PathBuf {
    Path::new(DNF_DIR).join("rpmdb")
}

/// Makes a key database of the trusted keys alone, and returns the paths of the key files.
pub(super) fn import_keys(request: &PackageRequest<'_>) -> Result<Vec<PathBuf>, SetupError> {
    files::empty_dir(&request.host.at(key_database()))?;
    let keys = request.write_keys(&Path::new(DNF_DIR).join("keys"))?;
    for key in &keys {
        let args = ["--dbpath".into(), request.arg(key_database()), "--import".into(), request.arg(key)];
        request.run(&request.cannot_fetch(), &Invocation::new("rpmkeys", args))?;
    }
    Ok(keys)
}

/// Rejects a package file of the node without a good signature by a trusted key.
pub(super) fn verify_origin(request: &PackageRequest<'_>, package: &Path) -> Result<(), SetupError> {
    import_keys(request)?;
    verify_signature(request, package)
}

/// Rejects an rpm file without a good signature by an imported key. A download need not have verified it.
pub(super) fn verify_signature(request: &PackageRequest<'_>, package: &Path) -> Result<(), SetupError> {
    let output = request.run_manager(&verify_command(request, package))?;
    if output.ok() && is_signed(&output.text()) {
        return Ok(());
    }
    let shown = format!("{} {}", output.text(), output.stderr);
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(SetupError::needs_human(
        request.cannot_fetch(),
        format!("{} has no good signature by a trusted key: {shown}", package.display()),
        "Do not bypass this check. Compare package-url with its origin; trust another key with package-key-file.",
    ))
}

pub(super) fn verify_command(request: &PackageRequest<'_>, package: &Path) -> Invocation {
    let args = ["--dbpath".into(), request.arg(key_database()), "-Kv".into(), request.arg(package)];
    Invocation::new("rpmkeys", args)
}

/// Whether `rpmkeys -Kv` shows at least one good signature and no bad one. A package without any passes as "digests OK".
fn is_signed(text: &str) -> bool {
    let signatures: Vec<&str> = text.lines().filter(|line| line.to_lowercase().contains("signature")).collect();
    let good = |line: &&str| line.to_lowercase().contains("key id") && line.trim_end().ends_with(": OK");
    !signatures.is_empty() && signatures.iter().all(good)
}

/// Unpacks an rpm file into `root` by the first of three ways for which the host has the programs.
pub(super) fn unpack(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<(), SetupError> {
    let what = format!("cannot unpack package {}", package.display());
    let mut missing = Vec::new();
    for unpack in [unpack_by_cpio, unpack_by_tar, unpack_by_rpm] {
        match unpack(request, package, root) {
            Ok(output) if output.ok() => return Ok(()),
            Ok(output) => return Err(fetch_failures::of_tool(&what, "unpacking", &output)),
            Err(ToolError::Missing { program }) => missing.push(program),
            Err(error) => return Err(fetch_failures::not_run(&what, &error)),
        }
    }
    Err(SetupError::needs_human(
        what,
        format!("the host has none of {}", missing.join(", ")),
        "Add cpio to the node image.",
    ))
}

fn unpack_by_cpio(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<Output, ToolError> {
    // Before rpm2cpio, whose output would be of no use on a host without cpio.
    request.tools.run(&Invocation::new("cpio", ["--version"]))?;
    let archive = request.tools.run(&Invocation::new("rpm2cpio", [request.arg(package)]))?;
    if !archive.ok() {
        return Ok(archive);
    }
    let cpio = Invocation::new("cpio", ["-idm", "--quiet", "--no-absolute-filenames"]);
    request.tools.run(&cpio.in_dir(request.host.path_in_host(root)).with_input(archive.stdout))
}

/// rpm2archive(8) writes a compressed tar archive to standard output if it reads the package from standard input.
fn unpack_by_tar(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<Output, ToolError> {
    request.tools.run(&Invocation::new("tar", ["--version"]))?;
    let package = std::fs::read(request.host.at(package))
        .map_err(|error| ToolError::Failed { program: "rpm2archive", why: error.to_string() })?;
    let archive = request.tools.run(&Invocation::new("rpm2archive", ["-"]).with_input(package))?;
    if !archive.ok() {
        return Ok(archive);
    }
    let args = ["-xzf".into(), "-".into(), "--no-same-owner".into(), "-C".into(), request.arg(root)];
    request.tools.run(&Invocation::new("tar", args).with_input(archive.stdout))
}

fn unpack_by_rpm(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<Output, ToolError> {
    let flags = ["--nodeps", "--noscripts", "--notriggers", "--nosignature", "--ignorearch", "-i"].map(Into::into);
    let args = ["--root".into(), request.arg(root)].into_iter().chain(flags).chain([request.arg(package)]);
    request.tools.run(&Invocation::new("rpm", args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_recognised_by_client_and_kernel() {
        let text = "kmod-lustre-client-2.17.0_24_gf517bc4-6.6.119.3-1\n/lib/modules/6.6.119.3-1.azl3/extra/lnet.ko\n";
        assert!(is_for(text, "6.6.119.3-1.azl3", "2.17.0-24-gf517bc4"));
        assert!(!is_for(text, "6.6.119.3-1.azl3", "2.17.0-19-gbb5310f"));
        assert!(!is_for(text, "6.6.119.3", "2.17.0-24-gf517bc4"));
        assert!(!is_for(&text.replace("kmod-", ""), "6.6.119.3-1.azl3", "2.17.0-24-gf517bc4"));
        assert!(!is_for("", "k", "v"));
    }

    #[test]
    fn only_a_good_signature_counts() {
        let ok = "x.rpm:\n    Header V4 RSA/SHA256 Signature, key ID be1229cf: OK\n    Header SHA256 digest: OK\n    MD5 digest: OK\n";
        assert!(is_signed(ok));
        for text in [
            "",
            "x.rpm:\n    Header SHA256 digest: OK\n    MD5 digest: OK\n",
            &ok.replace("be1229cf: OK", "be1229cf: NOKEY"),
            &ok.replace("be1229cf: OK", "be1229cf: BAD"),
            &format!("{ok}    V4 RSA/SHA256 Signature, key ID be1229cf: BAD\n"),
        ] {
            assert!(!is_signed(text), "{text}");
        }
    }
}
