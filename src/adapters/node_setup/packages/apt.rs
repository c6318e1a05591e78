//! Download of the package by apt-get(8) of the host, with a private configuration (apt.conf(5)) and private keys.
//!
//! Without `APT::Update::Error-Mode "any"` an `update` ends with code 0 when the server is unreachable, and `download` takes
//! a name that it does not find as a regular expression, so the control file of the download is compared with the request.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::request::{KMOD, PackageRequest};
use super::{deb, fetch_failures, files, retry};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::APT_DIR;
use crate::adapters::node_setup::os::Machine;
use crate::adapters::node_setup::ports::PlannedStep;
use crate::adapters::node_setup::tools::Invocation;

/// The private configuration, which apt reads after the host's own, so that the host's proxies apply. `dir` is apt's
/// directory as apt sees it. Hooks of the host are cleared: they run programs, or write outside the private directory.
fn config(dir: &Path, machine: Machine) -> String {
    let dir = dir.display();
    let arch = machine.debian();
    format!(
        r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke-Stats;
#clear APT::Update::Auth-Failure;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::State "{dir}";
Dir::State::status "{dir}/status";
Dir::State::lists "{dir}/lists";
Dir::Cache "{dir}/cache";
Dir::Cache::archives "{dir}/cache/archives";
Dir::Log "{dir}";
Dir::Etc::SourceList "{dir}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Etc::Trusted "/dev/null";
Dir::Etc::TrustedParts "/dev/null";
APT::Sandbox::User "root";
#clear APT::Architectures;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Retries "0";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"#
    )
}

/// The directory of downloaded packages, as the host sees it.
fn archives() -> PathBuf {
    Path::new(APT_DIR).join("cache/archives")
}

/// Downloads the package within `time_left`; apt verifies it by the signed index.
pub(super) fn download(request: &PackageRequest<'_>, time_left: Duration) -> Result<PathBuf, SetupError> {
    configure(request)?;
    let downloaded = update_and_download(request, time_left);
    if downloaded.as_ref().is_err_and(|error| error.transient) {
        // The next try must not use lists of a mirror in synchronisation.
        empty_lists(request)?;
    }
    downloaded
}

fn configure(request: &PackageRequest<'_>) -> Result<(), SetupError> {
    let dir = Path::new(APT_DIR);
    let at = |name: &str| request.host.at(dir.join(name));
    files::make_dir(&at("lists/partial"))?;
    files::empty_dir(&at("cache/archives"))?;
    files::make_dir(&at("cache/archives/partial"))?;
    files::write(&at("status"), "")?;
    files::write(&at("apt.conf"), config(&request.host.path_in_host(dir), request.machine))?;
    let keys = request.write_keys(&dir.join("keys"))?;
    let keys: Vec<_> = keys.iter().map(|key| request.host.path_in_host(key).display().to_string()).collect();
    let (arch, url, suite) = (request.machine.debian(), request.source.repository(request.os), request.os.key());
    let sources = format!("deb [arch={arch} signed-by={}] {url}/ {suite} main\n", keys.join(","));
    files::write(&at("sources.list"), sources)
}

fn empty_lists(request: &PackageRequest<'_>) -> Result<(), SetupError> {
    let lists = request.host.at(Path::new(APT_DIR).join("lists"));
    files::empty_dir(&lists)?;
    files::make_dir(&lists.join("partial"))
}

fn update_and_download(request: &PackageRequest<'_>, time_left: Duration) -> Result<PathBuf, SetupError> {
    let updated = request.run_manager(&update_command(request, time_left))?;
    if !updated.ok() {
        return Err(request.manager_failure("apt-get", &updated));
    }
    let output = request.run_manager(&download_command(request, time_left))?;
    if !output.ok() && fetch_failures::is_not_found(&output) {
        return Err(not_published(request));
    }
    if !output.ok() {
        let mut error = request.manager_failure("apt-get", &output);
        // The signed index names the file, so a mirror without it is in synchronisation.
        error.transient |= output.stderr.contains("404 ");
        return Err(error);
    }
    match request.files(&archives(), "deb").as_slice() {
        [package] if deb::is_requested(request, package)? => Ok(package.clone()),
        _ => Err(not_published(request)),
    }
}

/// The error names the clients that the index has for this kernel.
fn not_published(request: &PackageRequest<'_>) -> SetupError {
    let prefix = format!("{KMOD}-{}-", request.kernel);
    let listed = request.tools.run(&command(request, "apt-cache", &["pkgnames", &prefix]));
    let text = listed.map(|output| output.text()).unwrap_or_default();
    let mut published: Vec<&str> = text.lines().filter_map(|name| name.trim().strip_prefix(&prefix)).collect();
    published.sort_unstable();
    request.not_published(&published)
}

fn command(request: &PackageRequest<'_>, program: &'static str, args: &[&str]) -> Invocation {
    let mut config = OsString::from("-c=");
    config.push(request.arg(Path::new(APT_DIR).join("apt.conf")));
    Invocation::new(program, std::iter::once(config).chain(args.iter().map(OsString::from)))
}

fn update_command(request: &PackageRequest<'_>, time_left: Duration) -> Invocation {
    command(request, "apt-get", &["-q", "update"]).within(retry::limit(time_left))
}

fn download_command(request: &PackageRequest<'_>, time_left: Duration) -> Invocation {
    let package = format!("{}={}", deb::name(request), deb::VERSION);
    let run = command(request, "apt-get", &["-q", "download", &package]);
    run.in_dir(request.host.path_in_host(archives())).within(retry::limit(time_left))
}

/// The steps of [`download`].
pub(super) fn planned_download(request: &PackageRequest<'_>, reason: &str) -> Vec<PlannedStep> {
    let files = request.host.path_in_host(Path::new(APT_DIR).join("{apt.conf,sources.list,keys}"));
    let update = update_command(request, Duration::MAX).command_line();
    let download = download_command(request, Duration::MAX).command_line();
    let archives = request.host.path_in_host(archives());
    let is_signed = format!("the index of {} is signed", request.source.repository(request.os));
    vec![
        PlannedStep::new("write apt's private configuration", format!("write {}", files.display()), reason),
        PlannedStep::new("read the package index", update, is_signed),
        PlannedStep::new("download the package", format!("cd {} && {download}", archives.display()), reason),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_keeps_apt_in_its_directory_and_insists_on_signatures() {
        let text = config(Path::new("/d/apt"), Machine::Aarch64);
        for line in [
            "#clear APT::Update::Post-Invoke-Success;",
            "Dir::State \"/d/apt\";",
            "Dir::State::lists \"/d/apt/lists\";",
            "Dir::Etc::SourceParts \"/dev/null\";",
            "Dir::Etc::TrustedParts \"/dev/null\";",
            "APT::Update::Error-Mode \"any\";",
            "APT::Architectures { \"arm64\"; };",
            "Acquire::AllowInsecureRepositories \"false\";",
            "APT::Get::AllowUnauthenticated \"false\";",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
    }
}
