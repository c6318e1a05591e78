//! A node: a directory with the files of a host, the real tools of this machine, and a manual clock.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::host_exec::HostProcesses;
use azurelustre_csi::adapters::node_setup::host_state::HostState;
use azurelustre_csi::adapters::node_setup::layout::{HostRoot, PRIVATE_DIR, TMP_DIR, unpacked_dir};
use azurelustre_csi::adapters::node_setup::packages::ClientPackages;
use azurelustre_csi::adapters::node_setup::packages::source::{self, PackageSource};
use azurelustre_csi::adapters::node_setup::ports::{Packages, ProgressLog, RetryPolicy, Timer};
use azurelustre_csi::adapters::node_setup::tools::{HostTools, Invocation, Output, ToolError};
use azurelustre_csi::adapters::node_setup::version::ClientVersion;

use crate::modules::{self, KERNEL};
use crate::repository::{CLIENT, TRUSTED};
use crate::tools;

/// A stub's output of a program; `None` runs the program.
pub(crate) type Stub = Arc<dyn Fn(&Invocation) -> Option<Result<Output, ToolError>> + Send + Sync>;

pub(crate) struct Node {
    dir: tempfile::TempDir,
    pub(crate) host: HostRoot,
    programs: HostProcesses,
    stub: Mutex<Stub>,
    /// Programs that were run.
    runs: Mutex<Vec<Invocation>>,
    /// Sleeps, and an action at each, which gets their number.
    sleeps: Mutex<Vec<Duration>>,
    on_sleep: Mutex<Box<dyn Fn(usize) + Send>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

/// Files of an Ubuntu 24.04 host below `root`, but for its kernel's modules.
pub(crate) fn host_files(root: &Path) {
    for (path, text) in [
        ("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
        ("proc/sys/kernel/osrelease", KERNEL),
        ("proc/sys/kernel/arch", "x86_64\n"),
        ("proc/1/mountinfo", ""),
        ("sys/module/.keep", ""),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_variable("UNUSED", "")
    }

    /// A node whose node-setup has this variable in its environment.
    pub(crate) fn with_variable(name: &str, value: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        host_files(dir.path());
        modules::kernel(dir.path());
        let host = HostRoot::directory(dir.path());
        fs::create_dir_all(host.at(TMP_DIR)).unwrap();
        Self::with_host(dir, host, (name, value))
    }

    /// A node with this root of the host and a variable in its environment; `dir` has the files that describe its state.
    pub(crate) fn with_host(dir: tempfile::TempDir, host: HostRoot, (name, value): (&str, &str)) -> Self {
        let path = tools::path();
        let environment = [("PATH", path.as_str()), (name, value)].map(|(name, value)| (name.into(), value.into()));
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_azurelustre-csi"));
        Self {
            dir,
            programs: HostProcesses::new(host.clone(), binary, environment),
            host,
            stub: Mutex::new(Arc::new(|_| None)),
            runs: Mutex::default(),
            sleeps: Mutex::default(),
            on_sleep: Mutex::new(Box::new(|_| {})),
        }
    }

    pub(crate) fn stub(&self, stub: impl Fn(&Invocation) -> Option<Result<Output, ToolError>> + Send + Sync + 'static) {
        *self.stub.lock().unwrap() = Arc::new(stub);
    }

    pub(crate) fn on_sleep(&self, action: impl Fn(usize) + Send + 'static) {
        *self.on_sleep.lock().unwrap() = Box::new(action);
    }

    pub(crate) fn sleeps(&self) -> usize {
        self.sleeps.lock().unwrap().len()
    }

    /// Attempts of a download.
    pub(crate) fn attempts(&self) -> usize {
        self.runs.lock().unwrap().iter().filter(|run| run.args.iter().any(|arg| arg == "update")).count()
    }

    pub(crate) fn runs(&self) -> Vec<Invocation> {
        self.runs.lock().unwrap().clone()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The unpacked client.
    pub(crate) fn unpacked(&self) -> PathBuf {
        self.host.at(unpacked_dir(KERNEL, &client()))
    }

    /// Fetches the client from a repository that is signed by the trusted key.
    pub(crate) fn ensure(&self, url: &str) -> Result<(), SetupError> {
        self.ensure_from(&trusting(url, &TRUSTED.public()))
    }

    pub(crate) fn ensure_from(&self, source: &PackageSource) -> Result<(), SetupError> {
        self.ensure_with(source, |_| {})
    }

    /// The same on a node with a changed state.
    pub(crate) fn ensure_with(
        &self,
        source: &PackageSource,
        change: impl FnOnce(&mut HostState),
    ) -> Result<(), SetupError> {
        let mut state = HostState::read(&HostRoot::directory(self.dir.path())).unwrap();
        change(&mut state);
        self.packages(source, |packages| packages.ensure(&state, &client(), RetryPolicy::WithBackoff))
    }

    pub(crate) fn packages<T>(&self, source: &PackageSource, action: impl FnOnce(&ClientPackages<'_>) -> T) -> T {
        action(&ClientPackages { tools: self, host: &self.host, source, console: self, timer: self })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.packages(&PackageSource::default(), |packages| packages.is_complete(KERNEL, &client()))
    }

    /// Asserts that the client is complete and no staging directory is left.
    pub(crate) fn assert_ready(&self) {
        assert!(self.is_complete());
        self.assert_no_staging();
        assert!(self.unpacked().is_dir());
    }

    /// Asserts that there is neither an unpacked client nor a staging directory.
    pub(crate) fn assert_nothing_unpacked(&self) {
        assert!(!self.is_complete() && !self.unpacked().exists());
        self.assert_no_staging();
    }

    fn assert_no_staging(&self) {
        let entries = fs::read_dir(self.host.at(PRIVATE_DIR).join(KERNEL)).into_iter().flatten().flatten();
        let names: BTreeSet<_> = entries.map(|entry| entry.file_name()).collect();
        assert!(names.iter().all(|name| name == CLIENT), "{names:?}");
    }

    /// What modprobe would load, without loading it.
    pub(crate) fn modprobe(&self, module: &str) -> String {
        let root = self.unpacked().join("root");
        let args = ["-S", KERNEL, "-C", "/dev/null", "-n", "-v", module];
        tools::run(Command::new("modprobe").arg("-d").arg(root), args)
    }
}

/// The requested client.
pub(crate) fn client() -> ClientVersion {
    ClientVersion::parse(CLIENT).unwrap()
}

/// A repository, and the key that it is signed with.
pub(crate) fn trusting(url: &str, key: &str) -> PackageSource {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.asc");
    fs::write(&file, key).unwrap();
    let url = Some(source::parse_url(url).unwrap());
    PackageSource { url, keys: source::read_keys(&file).unwrap(), sha256: Vec::new() }
}

impl HostTools for Node {
    fn run(&self, run: &Invocation) -> Result<Output, ToolError> {
        self.runs.lock().unwrap().push(run.clone());
        // A stub may panic, which must not poison the lock.
        let stub = Arc::clone(&*self.stub.lock().unwrap());
        stub(run).unwrap_or_else(|| self.programs.run(run))
    }
}

impl ProgressLog for Node {
    fn progress(&self, _: &str) {}
}

impl Timer for Node {
    fn sleep(&self, time: Duration) {
        let count = {
            let mut sleeps = self.sleeps.lock().unwrap();
            sleeps.push(time);
            sleeps.len()
        };
        (self.on_sleep.lock().unwrap())(count);
    }

    fn elapsed(&self) -> Duration {
        self.sleeps.lock().unwrap().iter().sum()
    }

    fn random_fraction(&self) -> f64 {
        0.5
    }
}
