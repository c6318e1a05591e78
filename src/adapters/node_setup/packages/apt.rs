//! Downloading the package by apt of the host, with a private configuration and a private key ring.
//!
//! Without `APT::Update::Error-Mode "any"` an `update` ends with code 0 when the server is unreachable, and a name that is
//! not found is tried as a regular expression, so what was downloaded is compared with what was asked for.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Job, fetch_errors, files, limit, not_run};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PrivateDir;
use crate::adapters::node_setup::os::Machine;
use crate::adapters::node_setup::ports::PlannedStep;
use crate::adapters::node_setup::tools::Invocation;

/// The version of every package of modules; the client's version is a part of the package's name.
const VERSION: &str = "1";
/// How long one run of apt-get may take.
const LIMIT: Duration = Duration::from_secs(150);

/// Hooks of the host that would run programs, or write outside the private directory.
const HOOKS: [&str; 7] = [
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
    "APT::Update::Post-Invoke-Stats",
    "APT::Update::Auth-Failure",
    "DPkg::Pre-Invoke",
    "DPkg::Post-Invoke",
];

/// The configuration that is read after the host's own, whose proxies count. `dir` is apt's directory as apt sees it.
fn config(dir: &Path, machine: Machine) -> String {
    let hooks = HOOKS.map(|hook| format!("#clear {hook};\n")).concat();
    let dir = dir.display();
    let arch = machine.debian();
    format!(
        r#"{hooks}Dir::State "{dir}";
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

impl Job<'_> {
    /// The package's name, which holds kernel and client.
    fn deb_name(&self) -> String {
        format!("kmod-lustre-client-{}-{}", self.kernel, self.client)
    }

    /// Downloads the package; the path is as the host sees it.
    pub(super) fn download_by_apt(&self, left: Duration) -> Result<PathBuf, SetupError> {
        self.configure_apt()?;
        let fetched = self.apt_get(&self.update(left)).and_then(|()| self.download(left));
        if fetched.as_ref().is_err_and(|error| error.transient) {
            // What is kept of a mirror in synchronisation would be taken as the truth by the next try.
            self.empty_lists()?;
        }
        fetched
    }

    fn configure_apt(&self) -> Result<(), SetupError> {
        let dir = PrivateDir::apt_dir();
        let (seen, at) = (self.host.path_in_host(&dir), |name: &str| self.host.at(dir.join(name)));
        files::make_dir(&at("lists/partial"))?;
        files::empty_dir(&at("cache/archives"))?;
        files::make_dir(&at("cache/archives/partial"))?;
        files::write(&at("status"), "")?;
        files::write(&at("apt.conf"), config(&seen, self.machine))?;
        files::empty_dir(&at("keys"))?;
        let mut keys = Vec::new();
        for (name, key) in self.source.trusted_keys() {
            files::write(&at("keys").join(&name), key)?;
            keys.push(seen.join("keys").join(name).display().to_string());
        }
        files::write(&at("sources.list"), self.sources(&keys))
    }

    fn sources(&self, keys: &[String]) -> String {
        let (arch, url, suite) = (self.machine.debian(), self.source.repository(self.os), self.os.key());
        format!("deb [arch={arch} signed-by={}] {url}/ {suite} main\n", keys.join(","))
    }

    fn empty_lists(&self) -> Result<(), SetupError> {
        let lists = self.host.at(PrivateDir::apt_dir().join("lists"));
        files::empty_dir(&lists)?;
        files::make_dir(&lists.join("partial"))
    }

    fn with_config(&self, program: &'static str, args: &[&str]) -> Invocation {
        let mut config = OsString::from("-c=");
        config.push(self.host.path_in_host(PrivateDir::apt_dir().join("apt.conf")));
        Invocation::new(program, std::iter::once(config).chain(args.iter().map(OsString::from)))
    }

    fn update(&self, left: Duration) -> Invocation {
        self.with_config("apt-get", &["-q", "update"]).within(limit(LIMIT, left))
    }

    fn download_command(&self, left: Duration) -> Invocation {
        let archives = self.host.path_in_host(PrivateDir::apt_dir().join("cache/archives"));
        let package = format!("{}={VERSION}", self.deb_name());
        self.with_config("apt-get", &["-q", "download", &package]).in_dir(archives).within(limit(LIMIT, left))
    }

    fn apt_get(&self, run: &Invocation) -> Result<(), SetupError> {
        let output = self.tools.run(run).map_err(|error| not_run(self.what(), &error))?;
        if output.ok() { Ok(()) } else { Err(fetch_errors::of_fetch(&self.what(), "apt-get", &output)) }
    }

    fn download(&self, left: Duration) -> Result<PathBuf, SetupError> {
        let output = self.tools.run(&self.download_command(left)).map_err(|error| not_run(self.what(), &error))?;
        if fetch_errors::is_not_found(&output) && !output.ok() {
            return Err(self.not_published());
        }
        if !output.ok() {
            let mut error = fetch_errors::of_fetch(&self.what(), "apt-get", &output);
            // The signed index names it, so a mirror that does not have it yet is being synchronised.
            error.transient |= output.stderr.contains("404 ");
            return Err(error);
        }
        let archives = PrivateDir::apt_dir().join("cache/archives");
        let entries = fs::read_dir(self.host.at(&archives)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name());
        let debs: Vec<_> = names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "deb")).collect();
        match debs.as_slice() {
            [name] if self.is_asked_for(&archives.join(name))? => Ok(archives.join(name)),
            _ => Err(self.not_published()),
        }
    }

    /// Whether a package file says that it is the package that is asked for.
    pub(super) fn is_asked_for(&self, path: &Path) -> Result<bool, SetupError> {
        let args = [OsString::from("-f"), self.host.path_in_host(path).into()];
        let fields = ["Package", "Version", "Architecture"].map(OsString::from);
        let run = Invocation::new("dpkg-deb", args.into_iter().chain(fields));
        let what = || format!("cannot read package {}", path.display());
        let text = self.run(what, &run)?.text();
        let field = |name| control_field(&text, name).unwrap_or_default();
        Ok(field("Package") == self.deb_name()
            && field("Version") == VERSION
            && field("Architecture") == self.machine.debian())
    }

    /// No package for this kernel and client: the message names the clients that exist for this kernel.
    fn not_published(&self) -> SetupError {
        let prefix = format!("kmod-lustre-client-{}-", self.kernel);
        let listed = self.tools.run(&self.with_config("apt-cache", &["pkgnames", &prefix]));
        let text = listed.map(|output| output.text()).unwrap_or_default();
        let mut exist: Vec<&str> = text.lines().filter_map(|name| name.trim().strip_prefix(&prefix)).collect();
        exist.sort_unstable();
        self.no_client(&exist)
    }

    /// The failure for a kernel without the client that is asked for.
    pub(super) fn no_client(&self, exist: &[&str]) -> SetupError {
        let url = self.source.repository(self.os);
        let exist = match exist {
            [] => "none for this kernel exists there".to_owned(),
            versions => format!("for this kernel exist there: {}", versions.join(", ")),
        };
        SetupError::try_again(
            self.what(),
            format!("kernel {} has no client {} at {url}; {exist}", self.kernel, self.client),
            "Wait until it is published, usually within a working day after the kernel; or set client-version to one that exists; or pin the node image.",
        )
    }

    pub(super) fn planned_by_apt(&self, reason: &str) -> Vec<PlannedStep> {
        let dir = PrivateDir::apt_dir();
        let (update, download) = (self.update(LIMIT), self.download_command(LIMIT));
        let archives = self.host.path_in_host(dir.join("cache/archives"));
        let url = self.source.repository(self.os);
        vec![
            PlannedStep::new(
                "write apt's private configuration",
                format!("write {}", self.host.path_in_host(dir.join("{apt.conf,sources.list,keys}")).display()),
                reason,
            ),
            PlannedStep::new("read the package index", update.command_line(), format!("the index of {url} is signed")),
            PlannedStep::new(
                "download the package",
                format!("cd {} && {}", archives.display(), download.command_line()),
                reason,
            ),
        ]
    }
}

/// The value of a field in the output of `dpkg-deb -f` (deb-control(5)): names compare without case.
fn control_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.eq_ignore_ascii_case(name)).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn fields_of_a_control_file_are_read_by_name() {
        let text = "Package: kmod-x\nversion:1\n Architecture: no\nArchitecture: all\n";
        assert_eq!(control_field(text, "Package"), Some("kmod-x"));
        assert_eq!(control_field(text, "Version"), Some("1"));
        assert_eq!(control_field(text, "Architecture"), Some("all"));
        assert_eq!(control_field(text, "Depends"), None);
    }

    proptest! {
        #[test]
        fn any_value_of_a_field_is_found_and_any_text_is_read(value in "[!-~]([ -~]*[!-~])?", text in ".*") {
            let written = format!("Package: {value}\nVersion: 1\n");
            prop_assert_eq!(control_field(&written, "Package"), Some(value.as_str()));
            let _ = control_field(&text, "Package");
        }
    }
}
