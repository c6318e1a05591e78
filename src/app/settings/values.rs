//! Parsers of single settings: text to value. The reader adds the source of the text to their problems.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::cloud::{CredentialSelection, unreadable};
use crate::app::telemetry::LogFormat;
use crate::domain::client_tuning::Tunable;
use crate::domain::go_bool::go_bool;
use crate::domain::problem::Problem;
use crate::domain::text::{nearest, quote};
use crate::domain::volume_attributes::UnknownAttributes;

/// Longest node id, in bytes (CSI specification, `NodeGetInfoResponse.node_id`).
const NODE_ID_MAX: usize = 256;
/// Longest driver name, in bytes (CSI specification, `GetPluginInfoResponse.name`).
const DRIVER_NAME_MAX: usize = 63;
/// Beyond this a simulated day lasts less than a tenth of a second: a typing mistake.
const SPEED_MAX: f64 = 1_000_000.0;

/// The CSI services of the setting `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Services {
    /// Creation and deletion of volumes.
    Controller,
    /// Mounts.
    Node,
    /// Both.
    All,
}

/// Where file systems come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloudKind {
    /// Azure Resource Manager.
    Arm,
    /// The simulator, in memory. Only in builds that have it.
    Simulator,
}

/// How volumes are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MounterKind {
    /// By the kernel's Lustre client.
    Kernel,
    /// By the simulator, as directories. Only in builds that have it.
    Simulator,
}

/// The value of one of these words.
fn choice<T: Copy>(text: &str, options: &[(&'static str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = options.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
    let hint = nearest(text, words.iter().copied())
        .map_or_else(|| "use one of these".to_owned(), |word| format!("did you mean `{word}`?"));
    Err(Problem::new(format!("{} is not one of {}", quote(text), words.join(", "))).with_hint(hint))
}

pub(super) fn services(text: &str) -> Result<Services, Problem> {
    choice(text, &[("controller", Services::Controller), ("node", Services::Node), ("all", Services::All)])
}

pub(super) fn cloud(text: &str) -> Result<CloudKind, Problem> {
    let kind = choice(text, &[("arm", CloudKind::Arm), ("simulator", CloudKind::Simulator)])?;
    if kind == CloudKind::Simulator { with_simulator(kind) } else { Ok(kind) }
}

pub(super) fn auth(text: &str) -> Result<CredentialSelection, Problem> {
    choice(text, &[("auto", CredentialSelection::Auto), ("cli", CredentialSelection::AzureCli)])
}

pub(super) fn unknown_attributes(text: &str) -> Result<UnknownAttributes, Problem> {
    choice(text, &[("refuse", UnknownAttributes::Refuse), ("warn", UnknownAttributes::Warn)])
}

pub(super) fn mounter(text: &str) -> Result<MounterKind, Problem> {
    let kind = choice(text, &[("kernel", MounterKind::Kernel), ("simulator", MounterKind::Simulator)])?;
    if kind == MounterKind::Simulator { with_simulator(kind) } else { Ok(kind) }
}

/// The value, in builds that have the simulator.
pub(super) fn with_simulator<T>(value: T) -> Result<T, Problem> {
    if cfg!(feature = "simulator") {
        return Ok(value);
    }
    Err(Problem::new("this build has no simulator")
        .with_hint("release images have none; build with `--features simulator`"))
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Problem> {
    choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// Any text.
#[allow(clippy::unnecessary_wraps, reason = "it stands among parsers that can fail")]
pub(super) fn text<T: for<'a> From<&'a str>>(text: &str) -> Result<T, Problem> {
    Ok(T::from(text))
}

/// The value of a tunable of the Lustre client.
pub(super) fn tunable(tunable: Tunable) -> impl FnOnce(&str) -> Result<u32, Problem> {
    move |text| tunable.parse(text).map_err(invalid_tuning)
}

/// A problem of the client's tunables.
pub(super) fn invalid_tuning(message: String) -> Problem {
    Problem::new(message).with_hint("correct it, or leave the client its own value")
}

/// A boolean as the Go driver's loader spells it, or as Go does.
pub(super) fn yes_or_no(text: &str) -> Result<bool, Problem> {
    match text {
        "yes" | "Yes" | "YES" => Ok(true),
        "no" | "No" | "NO" => Ok(false),
        other => go_bool(other).map_err(|problem| problem.with_hint("write yes or no")),
    }
}

/// Whether LNet is simulated.
pub(super) fn simulated_lnet(text: &str) -> Result<bool, Problem> {
    let simulated = choice(text, &[("ioctl", false), ("simulated", true)])?;
    if simulated { with_simulator(true) } else { Ok(false) }
}

/// klog's verbosity.
pub(super) fn verbosity(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| {
        Problem::new(format!("{} is not a valid verbosity", quote(text)))
            .with_hint("give a whole number; from 4 on it is debug, from 6 on trace")
    })
}

pub(super) fn speed(text: &str) -> Result<f64, Problem> {
    let number = text.parse().ok().filter(|speed: &f64| *speed > 0.0 && *speed <= SPEED_MAX);
    number.ok_or_else(|| {
        let problem = Problem::new(format!("{} is not a valid speed", quote(text)));
        problem.with_hint(format!("give simulated seconds per second, more than 0, at most {SPEED_MAX}"))
    })
}

pub(super) fn node_id(text: &str) -> Result<String, Problem> {
    if text.starts_with("$(") {
        let problem = Problem::new(format!("{} was not replaced by Kubernetes", quote(text)));
        return Err(problem.with_hint("define this variable in the container's `env` from the field spec.nodeName"));
    }
    if text.len() > NODE_ID_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let problem = Problem::new(format!("{} is not a valid node name", quote(text)));
        return Err(
            problem.with_hint(format!("give the node's name in Kubernetes, at most {NODE_ID_MAX} bytes, no blanks"))
        );
    }
    Ok(text.to_owned())
}

pub(super) fn driver_name(text: &str) -> Result<String, Problem> {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let valid = bytes.len() <= DRIVER_NAME_MAX
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last());
    if valid {
        return Ok(text.to_owned());
    }
    let problem = Problem::new(format!("{} is not a valid CSI driver name", quote(text)));
    Err(problem.with_hint(format!(
        "use at most {DRIVER_NAME_MAX} letters, digits, dashes and dots, alphanumeric at both ends"
    )))
}

/// An absolute path.
pub fn absolute(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        return Ok(path);
    }
    Err(Problem::new(format!("{} is not an absolute path", quote(text))).with_hint("begin it with /"))
}

/// A type of file systems, as /proc/filesystems names them.
pub(super) fn fs_type(text: &str) -> Result<String, Problem> {
    let valid = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if valid {
        return Ok(text.to_owned());
    }
    Err(Problem::new(format!("{} is not a valid type of file systems", quote(text))).with_hint("leave it at lustre"))
}

/// Permissions in octal digits.
pub(super) fn permissions(text: &str) -> Result<u32, Problem> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o1777);
    mode.ok_or_else(|| {
        let problem = Problem::new(format!("{} is not a valid octal mode", quote(text)));
        problem.with_hint("give octal digits up to 1777, such as 0775")
    })
}

/// A whole number of this range.
pub(super) fn whole_number<T>(range: RangeInclusive<T>) -> impl FnOnce(&str) -> Result<T, Problem>
where
    T: FromStr + PartialOrd + Display,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (start, end) = range.into_inner();
            Problem::new(format!("{} is not a whole number from {start} to {end}", quote(text))).with_hint("give one")
        })
    }
}

/// Seconds or minutes: `90s`, `2m`, `90`.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| (1..=3600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        let problem = Problem::new(format!("{} is not a time from 1 second to 1 hour", quote(text)));
        problem.with_hint("give seconds or minutes, such as 90s or 2m")
    })
}

/// A file that must exist.
pub(super) fn existing_file(text: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(Problem::new(format!("{} is not a file", quote(text))).with_hint("name a file")),
        Err(error) => Err(unreadable(&path, &error)),
    }
}
