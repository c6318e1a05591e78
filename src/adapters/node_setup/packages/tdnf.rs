//! Download of the package by tdnf(8) of Azure Linux 3, or by dnf(8) where tdnf fails for other reasons than the network.
//!
//! The name of the package with the modules is a requirement of the metapackage, whose own name is made of client and
//! kernel. Written from documentation; not tried on a node of Azure Linux.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::request::{KMOD, PackageRequest};
use super::{fetch_failures, files, retry, rpm};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::DNF_DIR;
use crate::adapters::node_setup::ports::PlannedStep;
use crate::adapters::node_setup::tools::{Invocation, ToolError};

/// The only repository that is used.
const REPOSITORY: &str = "azurelustre-csi-amlfs";

/// Name, version and release of the metapackage.
fn metapackage(request: &PackageRequest<'_>) -> String {
    let kernel = request.kernel.strip_suffix(&format!(".{}", request.machine.rpm())).unwrap_or(request.kernel);
    format!("amlfs-lustre-client-{}-{}-1", request.client.with_underscores(), kernel.replace(['-', '_'], "."))
}

/// The directory of downloaded packages, as the host sees it.
fn downloads() -> PathBuf {
    Path::new(DNF_DIR).join("rpms")
}

/// Downloads the package within `time_left` and verifies its signature.
pub(super) fn download(request: &PackageRequest<'_>, time_left: Duration) -> Result<PathBuf, SetupError> {
    configure(request)?;
    let name = find_package(request, time_left)?;
    download_by_any(request, &name, time_left)?;
    let package = downloaded(request)?;
    rpm::verify_signature(request, &package)?;
    Ok(package)
}

fn configure(request: &PackageRequest<'_>) -> Result<(), SetupError> {
    let dir = Path::new(DNF_DIR);
    let at = |name: &str| request.host.at(dir.join(name));
    files::make_dir(&at("repos"))?;
    files::empty_dir(&at("cache"))?;
    files::empty_dir(&at("rpms"))?;
    let keys: Vec<_> = rpm::import_keys(request)?.iter().map(|key| request.host.path_in_host(key)).collect();
    files::write(&at("tdnf.conf"), config(&request.host.path_in_host(dir)))?;
    let repository = repository(&request.source.repository(request.os), &keys);
    files::write(&at("repos").join(format!("{REPOSITORY}.repo")), repository)
}

/// The package with the modules, as the metapackage requires it.
fn find_package(request: &PackageRequest<'_>, time_left: Duration) -> Result<String, SetupError> {
    let output = request.run_manager(&query_command(request, time_left))?;
    if !output.ok() && !fetch_failures::is_not_found(&output) {
        return Err(request.manager_failure("tdnf", &output));
    }
    required_kmod(&output.text()).ok_or_else(|| request.not_published(&[]))
}

/// tdnf may fail on the read-only rpm database of the host; dnf, where the host has it, downloads without it.
fn download_by_any(request: &PackageRequest<'_>, package: &str, time_left: Duration) -> Result<(), SetupError> {
    let output = request.run_manager(&download_command(request, package, time_left))?;
    if output.ok() {
        return Ok(());
    }
    let error = request.manager_failure("tdnf", &output);
    if error.transient {
        return Err(error);
    }
    match request.tools.run(&dnf_command(request, package, time_left)) {
        Ok(output) if output.ok() => Ok(()),
        Ok(output) => Err(request.manager_failure("dnf", &output)),
        Err(ToolError::Missing { .. }) => Err(error),
        Err(failed) => Err(fetch_failures::not_run(&request.cannot_fetch(), &failed)),
    }
}

/// The package among the downloads, which may include packages that it requires.
fn downloaded(request: &PackageRequest<'_>) -> Result<PathBuf, SetupError> {
    let mut packages = request.files(&downloads(), "rpm");
    packages.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(KMOD)));
    match packages.as_slice() {
        [package] => Ok(package.clone()),
        packages => Err(SetupError::try_again(
            request.cannot_fetch(),
            format!("tdnf succeeded, yet {} packages {KMOD}* are in {}", packages.len(), downloads().display()),
            "Run node-setup with --dry-run for the commands, and run them on the node.",
        )),
    }
}

fn command<const N: usize>(
    request: &PackageRequest<'_>,
    program: &'static str,
    args: [OsString; N],
    time_left: Duration,
) -> Invocation {
    let config = request.arg(Path::new(DNF_DIR).join("tdnf.conf"));
    let options = ["-c".into(), config, "-q".into(), "-y".into()];
    Invocation::new(program, options.into_iter().chain(args)).within(retry::limit(time_left))
}

fn query_command(request: &PackageRequest<'_>, time_left: Duration) -> Invocation {
    command(request, "tdnf", ["repoquery", "--requires", &metapackage(request)].map(OsString::from), time_left)
}

fn download_command(request: &PackageRequest<'_>, package: &str, time_left: Duration) -> Invocation {
    let dir = request.arg(downloads());
    let args = ["install".into(), "--downloadonly".into(), "--downloaddir".into(), dir, package.into()];
    command(request, "tdnf", args, time_left)
}

fn dnf_command(request: &PackageRequest<'_>, package: &str, time_left: Duration) -> Invocation {
    let dir = request.host.path_in_host(DNF_DIR);
    let [repos, cache, log] = [("reposdir", "repos"), ("cachedir", "cache"), ("logdir", "cache")]
        .map(|(name, path)| OsString::from(format!("--setopt={name}={}", dir.join(path).display())));
    let args = [repos, cache, log, "download".into(), "--destdir".into(), request.arg(downloads()), package.into()];
    command(request, "dnf", args, time_left)
}

/// The steps of [`download`].
pub(super) fn planned_download(request: &PackageRequest<'_>, reason: &str) -> Vec<PlannedStep> {
    let files = request.host.path_in_host(Path::new(DNF_DIR).join("{tdnf.conf,repos,keys}"));
    let query = query_command(request, Duration::MAX).command_line();
    let download = download_command(request, &format!("{KMOD}-…"), Duration::MAX).command_line();
    let verify = rpm::verify_command(request, &downloads().join("….rpm")).command_line();
    vec![
        PlannedStep::new("write tdnf's private configuration", format!("write {}", files.display()), reason),
        PlannedStep::new("find the package with the modules", query, format!("{} requires it", metapackage(request))),
        PlannedStep::new("download the package", download, reason),
        PlannedStep::new("verify its signature", verify, "downloading may skip this check"),
    ]
}

/// The configuration, tdnf.conf(5). `dir` is tdnf's directory as tdnf sees it.
fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "[main]\ngpgcheck=1\nrepo_gpgcheck=0\ninstallonly_limit=3\nclean_requirements_on_remove=0\nrepodir={dir}/repos\ncachedir={dir}/cache\n"
    )
}

/// The repository file, dnf.conf(5), "repo options".
fn repository(url: &str, keys: &[PathBuf]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| format!("file://{}", key.display())).collect();
    let keys = keys.join(" ");
    format!("[{REPOSITORY}]\nname=Azure Managed Lustre\nbaseurl={url}\nenabled=1\ngpgcheck=1\ngpgkey={keys}\n")
}

/// The package with the modules among requirements, as a name to install: `NAME = VERSION` becomes `NAME-VERSION`.
fn required_kmod(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| name.starts_with(KMOD))?;
        let version = (words.next() == Some("=")).then(|| words.next()).flatten();
        let package = version.map_or_else(|| name.to_owned(), |version| format!("{name}-{version}"));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+~^:".contains(c);
        package.chars().all(plain).then_some(package)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_modules_package_is_found_among_the_requirements() {
        for (text, expected) in [
            (
                "lustre-client-2.17.0\nkmod-lustre-client-2.17.0_24 = 6.6.119.3-1\nkernel = 6.6\n",
                Some("kmod-lustre-client-2.17.0_24-6.6.119.3-1"),
            ),
            ("kmod-lustre-client\n", Some("kmod-lustre-client")),
            ("kmod-lustre-client >= 2\n", Some("kmod-lustre-client")),
            ("kmod-lustre-client(x) = 1\n", None),
            ("kernel = 6.6\n", None),
            ("", None),
        ] {
            assert_eq!(required_kmod(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_repository_names_every_key() {
        let text = repository("https://m/x", &["/d/a.asc".into(), "/d/b.asc".into()]);
        assert!(
            text.contains("\nbaseurl=https://m/x\n") && text.contains("\ngpgkey=file:///d/a.asc file:///d/b.asc\n")
        );
        assert!(config(Path::new("/d")).contains("\nrepodir=/d/repos\ncachedir=/d/cache\n"));
    }

    proptest! {
        #[test]
        fn a_required_package_is_one_word_without_shell_characters(text in "(kmod-lustre-client[ -~]{0,20}\n?){0,4}") {
            if let Some(package) = required_kmod(&text) {
                prop_assert!(package.starts_with(KMOD) && !package.contains([' ', ';', '$', '/', '(']), "{}", package);
            }
        }
    }
}
