//! From settings to node-setup: the host's programs, kernel and LNet behind its ports.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::adapters::lnet::{self, Lnet};
use crate::adapters::node_setup::error::{SetupError, SetupExit};
use crate::adapters::node_setup::host_exec::{self, HostProcesses};
use crate::adapters::node_setup::interfaces::InterfaceRule;
use crate::adapters::node_setup::layout::{HostRoot, PRIVATE_DIR, PrivateDir};
use crate::adapters::node_setup::load::Parameters;
#[cfg(feature = "simulator")]
use crate::adapters::node_setup::network;
use crate::adapters::node_setup::packages::ClientPackages;
use crate::adapters::node_setup::packages::source::{self, PackageSource};
use crate::adapters::node_setup::plan::Replace;
use crate::adapters::node_setup::ports::{ProgressLog, Timer};
use crate::adapters::node_setup::remove::{Kernel, RemoveModule, Rmmod};
use crate::adapters::node_setup::report::{self, SetupResult};
use crate::adapters::node_setup::setup::{NodeSetup, Ready};
use crate::adapters::node_setup::version::ClientVersions;
use crate::app::settings::{NodeSetupSettings, Sourced};
use crate::domain::problem::{Problem, Problems};

/// Where the root of the host is mounted in the container.
const HOST: &str = "/host";
/// This program, for children that change their root. It is the same file whatever the root of this process.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How a run failed, for the command line.
#[derive(Debug)]
pub enum SetupFailure {
    /// Settings are wrong; nothing was done.
    Settings(Problems),
    /// The node is not ready.
    NotReady {
        /// What and why, with what to do.
        problem: Problem,
        /// The exit code.
        exit: SetupExit,
    },
}

impl From<SetupError> for SetupFailure {
    fn from(error: SetupError) -> Self {
        let problem = Problem::new(error.to_string()).with_hint(error.hint);
        Self::NotReady { problem, exit: error.exit }
    }
}

/// Leaves the problems of settings in the termination message, where Kubernetes shows them.
pub fn leave_problems(problems: &Problems, settings: Option<&NodeSetupSettings>) {
    let mut text = problems.as_slice().iter().map(|problem| format!("{problem:#}")).collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(report::TERMINATION_BYTES));
    let host = host_root(settings.and_then(|settings| settings.host_root.as_deref()));
    let exit = SetupExit::WrongSetting as u8;
    let last = SetupResult { at: seconds_since_1970(), exit, message: text.clone(), hint: None, warnings: Vec::new() };
    // The private directory is absent where the command line is tried outside of a pod.
    drop(last.write(&host));
    let path = settings.and_then(|settings| settings.termination_message_path.as_deref());
    if let Err(error) = report::write_termination_message(path, &text) {
        Stderr.warn(&format!("the termination message cannot be written: {error}"));
    }
}

/// The root of the host: a directory that a flag names, or where the pod mounts it.
fn host_root(directory: Option<&Path>) -> HostRoot {
    directory.map_or_else(|| HostRoot::mounted_at(HOST), |directory| HostRoot::directory(directory.to_owned()))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How the last run on this node ended, as the node's container sees the private directory.
pub(super) fn last_result() -> Option<SetupResult> {
    SetupResult::read(&PrivateDir::last_result())
}

/// The command that children of node-setup are.
pub const HOST_EXEC: &str = host_exec::COMMAND;

/// Becomes a program in the root of the host; returns the exit code of a failure to do so.
pub fn host_exec(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    host_exec::become_program(arguments)
}

/// Makes this node ready. The text is for standard output; progress and warnings go to standard error.
pub fn run(settings: &NodeSetupSettings, notes: &[String]) -> Result<String, SetupFailure> {
    let parts = Parts::of(settings)?;
    for note in notes {
        parts.console.warn(note);
    }
    let result = parts.with_setup(|setup| setup.run());
    parts.leave(&result, settings.termination_message_path.as_deref());
    let ready = result?;
    ready.warnings.iter().for_each(|warning| parts.console.warn(warning));
    Ok(format!("{ready}\n"))
}

/// The steps that [`run`] would take, each with its command and its reason.
pub fn dry_run(settings: &NodeSetupSettings, notes: &[String]) -> Result<String, SetupFailure> {
    let parts = Parts::of(settings)?;
    let (steps, warnings) = parts.with_setup(|setup| setup.dry_run())?;
    notes.iter().chain(&warnings).for_each(|warning| parts.console.warn(warning));
    if steps.is_empty() {
        return Ok("nothing to do\n".to_owned());
    }
    let lines = steps.iter().enumerate().map(|(at, step)| format!("{}. {step}", at + 1));
    Ok(lines.collect::<Vec<_>>().join("\n") + "\n")
}

/// Everything that a run needs.
struct Parts {
    host: HostRoot,
    programs: HostProcesses,
    lnet: Box<dyn Lnet>,
    console: Stderr,
    source: PackageSource,
    timer: RealTime,
    versions: ClientVersions,
    interfaces: InterfaceRule,
    replace: Replace,
    install: bool,
    parameters: Parameters,
}

impl Parts {
    fn of(settings: &NodeSetupSettings) -> Result<Self, SetupFailure> {
        let mut problems = Problems::default();
        let versions = read(settings.client_version.as_ref(), ClientVersions::parse, &mut problems);
        let interfaces = read(Some(&settings.interfaces), InterfaceRule::parse, &mut problems);
        let replace = read(Some(&settings.replace), replace, &mut problems);
        let source = package_source(settings, &mut problems);
        if !problems.as_slice().is_empty() {
            return Err(SetupFailure::Settings(problems));
        }
        let host = host_root(settings.host_root.as_deref());
        let programs = HostProcesses::new(host.clone(), PathBuf::from(THIS_PROGRAM), std::env::vars_os());
        Ok(Self {
            programs,
            lnet: lnet_of(settings, &host),
            host,
            console: Stderr,
            source,
            timer: RealTime(Instant::now()),
            versions: versions.unwrap_or_default(),
            interfaces: interfaces.unwrap_or(InterfaceRule::Auto),
            replace: replace.unwrap_or_default(),
            install: settings.install,
            parameters: Parameters {
                ptlrpcd_per_cpt_max: settings.ptlrpcd_per_cpt_max,
                ksocklnd_credits: settings.ksocklnd_credits,
            },
        })
    }

    fn with_setup<T>(&self, act: impl FnOnce(NodeSetup<'_>) -> T) -> T {
        let rmmod = Rmmod(&self.programs);
        let remover: &dyn RemoveModule = if self.host.chroot { &Kernel } else { &rmmod };
        let packages = ClientPackages {
            tools: &self.programs,
            host: &self.host,
            source: &self.source,
            console: &self.console,
            timer: &self.timer,
        };
        act(NodeSetup {
            host: &self.host,
            tools: &self.programs,
            lnet: self.lnet.as_ref(),
            remover,
            packages: &packages,
            console: &self.console,
            timer: &self.timer,
            versions: &self.versions,
            install: self.install,
            replace: self.replace,
            interfaces: &self.interfaces,
            parameters: self.parameters,
        })
    }

    /// Leaves the result where Kubernetes and `doctor node` read it. That it cannot be left is no failure of the node.
    fn leave(&self, result: &Result<Ready, SetupError>, termination: Option<&Path>) {
        let last = SetupResult::of(result, seconds_since_1970());
        if let Err(error) = last.write(&self.host) {
            self.console.warn(&format!("{PRIVATE_DIR}: the result cannot be left for doctor node: {error}"));
        }
        if let Err(error) = report::write_termination_message(termination, &last.termination_message()) {
            self.console.warn(&format!("the termination message cannot be written: {error}"));
        }
    }
}

/// The value of a setting that the adapter judges; `None` where it was not given, or with its problem noted.
fn read<T>(given: Option<&Sourced>, parse: fn(&str) -> Result<T, String>, problems: &mut Problems) -> Option<T> {
    let Sourced { text, source } = given?;
    problems.note(parse(text).map_err(|message| Problem::new(message).at(source)))
}

fn package_source(settings: &NodeSetupSettings, problems: &mut Problems) -> PackageSource {
    let keys = settings.package_key_file.as_deref().map(source::read_keys);
    let keys = keys.map(|keys| keys.map_err(|why| Problem::new(format!("package-key-file: {why}"))));
    PackageSource {
        url: read(settings.package_url.as_ref(), source::parse_url, problems),
        keys: keys.and_then(|keys| problems.note(keys)).unwrap_or_default(),
        sha256: read(settings.package_sha256.as_ref(), source::parse_hashes, problems).unwrap_or_default(),
    }
}

fn replace(text: &str) -> Result<Replace, String> {
    match text {
        "idle" => Ok(Replace::Idle),
        "never" => Ok(Replace::Never),
        _ => Err(format!("{text:?} is neither idle nor never")),
    }
}

/// The host's LNet, or a simulated one that is kept in the private directory.
fn lnet_of(settings: &NodeSetupSettings, host: &HostRoot) -> Box<dyn Lnet> {
    #[cfg(feature = "simulator")]
    if settings.simulated_lnet {
        let (file, host) = (host.at(PRIVATE_DIR).join("simulated-lnet"), host.clone());
        return Box::new(lnet::simulated::open(&file, move |name| network::simulated_address(&host, name)));
    }
    let _ = settings;
    Box::new(lnet::open(host.at(lnet::DEVICE)))
}

/// Progress and warnings on standard error.
#[derive(Debug)]
struct Stderr;

impl Stderr {
    fn warn(&self, text: &str) {
        self.progress(&format!("warning: {text}"));
    }
}

impl ProgressLog for Stderr {
    fn progress(&self, line: &str) {
        // Nobody is left to read it if stderr is gone.
        drop(writeln!(std::io::stderr(), "{line}"));
    }
}

/// Real time since the start of the run.
#[derive(Debug)]
struct RealTime(Instant);

impl Timer for RealTime {
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// The standard library seeds its hash maps at random, which is enough to spread nodes over time.
    fn random_fraction(&self) -> f64 {
        let random = RandomState::new().build_hasher().finish() >> 32;
        f64::from(u32::try_from(random).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }
}
