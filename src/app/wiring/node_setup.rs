//! Wiring of node-setup: settings parsed, programs of the host, kernel and LNet behind its ports, results published.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::adapters::clock::SystemClock;
use crate::adapters::lnet::{self, Lnet};
use crate::adapters::node_setup::error::{SetupError, SetupExit};
use crate::adapters::node_setup::host_exec::HostProcesses;
pub use crate::adapters::node_setup::host_exec::{COMMAND as HOST_EXEC, become_program as host_exec};
use crate::adapters::node_setup::interfaces::InterfaceRule;
use crate::adapters::node_setup::layout::{HostRoot, PRIVATE_DIR, RESULT_FILE};
#[cfg(feature = "simulator")]
use crate::adapters::node_setup::lnet_config::simulated_address;
use crate::adapters::node_setup::load::ModuleParameters;
use crate::adapters::node_setup::packages::ClientPackages;
use crate::adapters::node_setup::packages::source::{self, PackageSource};
use crate::adapters::node_setup::plan::ReplaceClient;
use crate::adapters::node_setup::ports::{ProgressLog, Timer};
use crate::adapters::node_setup::remove::{DeleteModule, ModuleRemover, Rmmod};
use crate::adapters::node_setup::report::{self, SetupResult};
use crate::adapters::node_setup::setup::{NodeSetup, SetupSettings};
use crate::adapters::node_setup::version::ClientVersions;
use crate::app::command_error::{CommandError, Exit};
use crate::app::settings::{NodeSetupSettings, Sourced};
use crate::domain::problem::{Problem, Problems};
use crate::ports::clock::Clock;

/// Where the root of the host is mounted in the container.
const HOST: &str = "/host";
/// This program, for children that change their root. It is the same file whatever the root of this process.
const THIS_PROGRAM: &str = "/proc/self/exe";

impl From<SetupError> for CommandError {
    fn from(error: SetupError) -> Self {
        let problem = Problem::new(error.to_string()).with_hint(error.hint);
        Self::new(Exit::Code(error.exit.code()), vec![problem])
    }
}

/// Publishes the problems of settings as [`run`] publishes its result. Without `settings` they go to the default places. The
/// private directory may be absent, where the command line is tried outside of a pod.
pub fn publish_problems(problems: &Problems, settings: Option<&NodeSetupSettings>) {
    let mut text = problems.as_slice().iter().map(|problem| format!("{problem:#}")).collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(report::TERMINATION_BYTES));
    let host = host_root(settings.and_then(|settings| settings.host_root.as_deref()));
    let exit = SetupExit::WrongSetting.code();
    let result = SetupResult { at: unix_time(), exit, message: text.clone(), hint: None, warnings: Vec::new() };
    drop(result.write(&host));
    write_termination_message(settings.and_then(|settings| settings.termination_message_path.as_deref()), &text);
}

fn write_termination_message(path: Option<&Path>, message: &str) {
    if let Err(error) = report::write_termination_message(path, message) {
        warn(&format!("the termination message cannot be written: {error}"));
    }
}

/// The root of the host: a directory of the setting `host-root`, or where the pod mounts it.
fn host_root(directory: Option<&Path>) -> HostRoot {
    directory.map_or_else(|| HostRoot::mounted_at(HOST), |directory| HostRoot::directory(directory.to_owned()))
}

fn unix_time() -> u64 {
    SystemClock::new().unix_time().as_secs()
}

/// The result of the last run on this node, from the private directory as the node's container mounts it.
pub(super) fn last_result() -> Option<SetupResult> {
    SetupResult::read(Path::new(RESULT_FILE))
}

/// Makes this node ready. The text is for standard output; progress and warnings go to standard error.
pub fn run(settings: &NodeSetupSettings, notes: &[String]) -> Result<String, CommandError> {
    let result = with_setup(settings, |setup| {
        warn_each(notes);
        let result = setup.run();
        let published = SetupResult::of(&result, unix_time());
        // A result that cannot be published is no failure of the node.
        if let Err(error) = published.write(setup.host) {
            warn(&format!("{PRIVATE_DIR}: the result cannot be left for doctor node: {error}"));
        }
        write_termination_message(settings.termination_message_path.as_deref(), &published.termination_message());
        result
    });
    let ready = result.inspect_err(|problems| publish_problems(problems, Some(settings)))??;
    warn_each(&ready.warnings);
    Ok(format!("{ready}\n"))
}

/// The steps that [`run`] would take, each with its command and its reason.
pub fn dry_run(settings: &NodeSetupSettings, notes: &[String]) -> Result<String, CommandError> {
    let (steps, warnings) = with_setup(settings, |setup| setup.dry_run())??;
    warn_each(notes);
    warn_each(&warnings);
    if steps.is_empty() {
        return Ok("nothing to do\n".to_owned());
    }
    let lines = steps.iter().enumerate().map(|(at, step)| format!("{}. {step}\n", at + 1));
    Ok(lines.collect())
}

/// The result of `operation` on the setup that the settings describe.
fn with_setup<T>(settings: &NodeSetupSettings, operation: impl FnOnce(NodeSetup<'_>) -> T) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let parsed = setup_settings(settings, &mut problems);
    let source = &package_source(settings, &mut problems);
    let parsed = &problems.into_result(parsed)?;
    let host = &host_root(settings.host_root.as_deref());
    let tools = &HostProcesses::new(host.clone(), PathBuf::from(THIS_PROGRAM), std::env::vars_os());
    let lnet = &*lnet_of(settings, host);
    let (console, timer, rmmod) = (&Stderr, &RealTime(Instant::now()), Rmmod(tools));
    let remover: &dyn ModuleRemover = if host.chroot { &DeleteModule } else { &rmmod };
    let packages = &ClientPackages { tools, host, source, console, timer };
    Ok(operation(NodeSetup { host, tools, lnet, remover, packages, console, timer, settings: parsed }))
}

fn setup_settings(settings: &NodeSetupSettings, problems: &mut Problems) -> Option<SetupSettings> {
    let versions = parsed(settings.client_version.as_ref(), ClientVersions::parse, problems).unwrap_or_default();
    let interfaces = parsed(Some(&settings.interfaces), InterfaceRule::parse, problems);
    let replace = parsed(Some(&settings.replace), ReplaceClient::parse, problems);
    let parameters = ModuleParameters {
        ptlrpcd_per_cpt_max: settings.ptlrpcd_per_cpt_max,
        ksocklnd_credits: settings.ksocklnd_credits,
    };
    Some(SetupSettings { versions, install: settings.install, replace: replace?, interfaces: interfaces?, parameters })
}

/// The value of a setting that the adapter parses; `None` where it is not set, or with its problem noted.
fn parsed<T>(setting: Option<&Sourced>, parse: fn(&str) -> Result<T, String>, problems: &mut Problems) -> Option<T> {
    let Sourced { text, source } = setting?;
    problems.note(parse(text).map_err(|message| Problem::new(message).at(source)))
}

fn package_source(settings: &NodeSetupSettings, problems: &mut Problems) -> PackageSource {
    let keys = settings.package_key_file.as_deref().map(source::read_keys);
    let keys = keys.map(|keys| keys.map_err(|why| Problem::new(format!("package-key-file: {why}"))));
    PackageSource {
        url: parsed(settings.package_url.as_ref(), source::parse_url, problems),
        keys: keys.and_then(|keys| problems.note(keys)).unwrap_or_default(),
        sha256: parsed(settings.package_sha256.as_ref(), source::parse_hashes, problems).unwrap_or_default(),
    }
}

/// The host's LNet, or a simulated one that is kept in the private directory.
fn lnet_of(settings: &NodeSetupSettings, host: &HostRoot) -> Box<dyn Lnet> {
    #[cfg(feature = "simulator")]
    if settings.simulated_lnet {
        let (file, host) = (host.at(PRIVATE_DIR).join("simulated-lnet"), host.clone());
        return Box::new(lnet::simulated::device(&file, move |name| simulated_address(&host, name)));
    }
    let _ = settings;
    Box::new(lnet::device(host.at(lnet::DEVICE)))
}

/// Progress on standard error. A closed standard error is ignored.
#[derive(Debug)]
struct Stderr;

impl ProgressLog for Stderr {
    fn progress(&self, line: &str) {
        drop(writeln!(std::io::stderr(), "{line}"));
    }
}

fn warn(text: &str) {
    Stderr.progress(&format!("warning: {text}"));
}

fn warn_each(texts: &[String]) {
    for text in texts {
        warn(text);
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
