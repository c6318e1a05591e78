//! The command line: what to run, how mistakes are reported, which exit code it ends with.
//!
//! It takes the place of the Go driver's binary in manifests that nobody wants to edit, so it reads flags as
//! Go does (`go_flags`) and hands their values on as text; the settings check them together with all others.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

#[cfg(feature = "kernel")]
use super::settings::MounterKind;
use super::settings::{self, DEFAULT_DRIVER_NAME, RawSettings, ServeSettings, Settings, go_bool};
use super::version::VersionInfo;
#[cfg(feature = "kernel")]
use crate::domain::problem::Problem;

mod args;
mod azure;
mod check_objects;
#[cfg(feature = "kernel")]
mod doctor;
mod error;
mod go_flags;
#[cfg(feature = "kernel")]
mod node_setup;
mod probe;
mod serve;
mod setting_flags;

pub use super::command_error::{CommandError, Exit};
#[cfg(feature = "kernel")]
pub use args::DoctorOptions;
pub use args::{CheckObjectsOptions, CheckOptions, Cli, Command, Flags, ProbeOptions, SkusOptions};
#[cfg(feature = "kernel")]
pub use node_setup::NodeSetupOptions;

/// Runs a command line, the program's name first, and reports what went wrong on stderr.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // The words after it are a command of the host's, and none of them is to be read here.
    #[cfg(feature = "kernel")]
    if arguments.get(1).is_some_and(|word| word == super::wiring::node_setup::HOST_EXEC) {
        return super::wiring::node_setup::host_exec(arguments.into_iter().skip(2)).into();
    }
    match parse(arguments).and_then(dispatch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to read it if stderr is gone.
            drop(write!(std::io::stderr(), "{error}"));
            error.exit().into()
        }
    }
}

/// What was asked for. Help is printed on the way.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, CommandError> {
    let mut command = Cli::command();
    command.build();
    let arguments = go_flags::normalise(&command, arguments.into_iter().skip(1))?;
    let program = command.get_name().to_owned();
    let parsed = Cli::command().try_get_matches_from(std::iter::once(program).chain(arguments));
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if !error.use_stderr() => print(&error.render().to_string()).map(|()| None),
        Err(error) => Err(error::of_clap(&error, &command)),
    }
}

fn dispatch(cli: Option<Cli>) -> Result<(), CommandError> {
    let Some(Cli { command, flags }) = cli else { return Ok(()) };
    match command {
        #[cfg(feature = "kernel")]
        None if settings::is_loader(&raw(&flags)) => node_setup::run(&NodeSetupOptions::default()),
        None => serve_or_version(&flags),
        Some(Command::Serve(flags)) => serve_or_version(&flags),
        Some(Command::CheckConfig(options)) => check_config(&options),
        Some(Command::Skus(options)) => print_skus(&options),
        Some(Command::CheckObjects(options)) => print(&check_objects::check(&options)?),
        Some(Command::Probe(options)) => print(&probe::run(&options)?),
        #[cfg(feature = "kernel")]
        Some(Command::Doctor(options)) => doctor::run(&options),
        #[cfg(feature = "kernel")]
        Some(Command::NodeSetup(options)) => node_setup::run(&options),
        Some(Command::Version) => print(&VersionInfo { driver_name: DEFAULT_DRIVER_NAME.to_owned() }.to_string()),
        #[cfg(feature = "simulator")]
        Some(Command::Demo(options)) => serve::runtime()?.block_on(super::demo::run(options)),
    }
}

fn serve_or_version(flags: &Flags) -> Result<(), CommandError> {
    let asked = flags.version.as_deref().map_or(Ok(false), go_bool).map_err(|problem| problem.at("--version"));
    if asked.map_err(CommandError::usage)? {
        let driver_name = flags.settings.get(ServeSettings::DRIVER_NAME).unwrap_or(DEFAULT_DRIVER_NAME).to_owned();
        return print(&VersionInfo { driver_name }.to_string());
    }
    serve::serve(&settings::load(&raw(flags))?)
}

/// Prints every setting in effect, as YAML, with its source; then what the cloud says to them, if it is to be asked.
fn check_config(options: &CheckOptions) -> Result<(), CommandError> {
    let settings = settings::load(&raw(&options.flags))?;
    CommandError::all([azure::usable(&settings), node_usable(&settings)].into_iter().filter_map(Result::err))?;
    print(&in_effect(&settings))?;
    if options.online {
        return print(&azure::check(&settings)?);
    }
    let cloud = &settings.cloud_settings;
    if cloud.reason_for_static_only().is_some() {
        warn("dynamic provisioning is off, only static volumes are served: the cloud settings are incomplete");
        cloud.missing.iter().for_each(|problem| warn(&format!("{problem:#}").replacen("error: ", "", 1)));
    }
    Ok(())
}

/// Keys of the cloud settings that a StorageClass may give instead.
const LEFT_TO_CLASSES: [&str; 5] = ["location", "resourceGroup", "vnetResourceGroup", "vnetName", "subnetName"];

fn in_effect(settings: &Settings) -> String {
    let line = |origin: &settings::EffectiveValue| format!("{}: {:?}  # {}\n", origin.key, origin.value, origin.source);
    let mut lines: String = settings.effective_values.iter().map(line).collect();
    let cloud = &settings.cloud_settings.effective_values;
    if !cloud.is_empty() {
        lines.push_str("cloud-settings:\n");
        lines.extend(cloud.iter().map(|origin| format!("  {}", line(origin))));
        let unset = LEFT_TO_CLASSES.iter().filter(|key| cloud.iter().all(|origin| origin.key != **key));
        lines.extend(unset.map(|key| format!("  {key}: null  # not set; a StorageClass may give it\n")));
    }
    lines
}

/// One line on stderr that does not end the command.
fn warn(text: &str) {
    // Nobody is left to read it if stderr is gone.
    drop(writeln!(std::io::stderr(), "warning: {text}"));
}

/// Whether the node could work with these settings on this machine.
#[cfg_attr(not(feature = "kernel"), allow(clippy::unnecessary_wraps, reason = "nothing is mounted through the kernel"))]
fn node_usable(settings: &Settings) -> Result<(), CommandError> {
    #[cfg(feature = "kernel")]
    if settings.mode.node_id().is_some()
        && settings.values.mounter == MounterKind::Kernel
        && let Some(fault) = super::wiring::node::working_dir_fault(settings)
    {
        return Err(CommandError::usage(Problem::new(fault.message).with_hint(fault.hint)));
    }
    let _ = settings;
    Ok(())
}

fn print_skus(options: &SkusOptions) -> Result<(), CommandError> {
    let controller = [("mode", "controller".to_owned())].into_iter();
    let flags = controller.chain(options.settings.given.iter().cloned()).collect();
    let settings = settings::load(&RawSettings::with_process_environment(flags))?;
    print(&azure::skus(&settings, options.location.as_deref(), &options.output)?)
}

fn raw(flags: &Flags) -> RawSettings {
    RawSettings::with_process_environment(flags.settings.given.clone())
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| CommandError::failed(format!("cannot write to stdout: {error}")))
}
