//! Result of a run: the termination message of the container, and `node-setup.json`, which `doctor node` reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::SetupError;
use super::layout::{HostRoot, RESULT_FILE};
use super::setup::Ready;

/// The termination message of a container whose pod sets no `terminationMessagePath` (`Container` of the Kubernetes API).
pub const TERMINATION_LOG: &str = "/dev/termination-log";
/// Most bytes of a termination message; kubelet cuts what is longer (`Container.terminationMessagePath`).
pub const TERMINATION_BYTES: usize = 4096;

/// The result of a run; content of `node-setup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupResult {
    /// When the run ended, in seconds since 1970.
    pub at: u64,
    /// Its exit code; 0 is ready.
    pub exit: u8,
    /// `ready: …`, or what failed and why.
    pub message: String,
    /// What to do about a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is other than the settings ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl SetupResult {
    /// The result of a run that ended at `at`, in seconds since 1970.
    pub fn of(result: &Result<Ready, SetupError>, at: u64) -> Self {
        let (exit, message, hint, warnings) = match result {
            Ok(ready) => (0, ready.to_string(), None, ready.warnings.clone()),
            Err(error) => (error.exit.code(), error.to_string(), Some(error.hint.clone()), Vec::new()),
        };
        Self { at, exit, message, hint, warnings }
    }

    /// The termination message, at most [`TERMINATION_BYTES`] long: the beginning and the end of the message, the hint, and
    /// as many warnings as fit.
    pub fn termination_message(&self) -> String {
        let prefix = if self.exit == 0 { "" } else { "error: " };
        let hint = self.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        let hint = shortened(&hint, TERMINATION_BYTES / 2);
        let mut text = shortened(&format!("{prefix}{}", self.message), TERMINATION_BYTES - hint.len()) + &hint;
        for warning in &self.warnings {
            let line = format!("\nwarning: {warning}");
            if text.len() + line.len() <= TERMINATION_BYTES {
                text.push_str(&line);
            }
        }
        text
    }

    /// Writes `node-setup.json` into the private directory of the host; a reader sees the old file or the new one.
    pub fn write(&self, host: &HostRoot) -> io::Result<()> {
        let path = host.at(RESULT_FILE);
        let new = path.with_extension("json.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }

    /// The result at `path`; `None` where it is absent or cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

/// Writes the termination message to the file of the setting, which is created, or to [`TERMINATION_LOG`], which exists in a
/// container.
pub fn write_termination_message(setting: Option<&Path>, message: &str) -> io::Result<()> {
    let file = match setting {
        Some(path) => File::create(path),
        None => OpenOptions::new().write(true).truncate(true).open(TERMINATION_LOG),
    };
    match file {
        Err(error) if setting.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        file => file?.write_all(message.as_bytes()),
    }
}

/// `text` in at most `limit` bytes: its beginning and its end.
fn shortened(text: &str, limit: usize) -> String {
    const GAP: &str = " … ";
    if text.len() <= limit {
        return text.to_owned();
    }
    let rest = limit.saturating_sub(GAP.len());
    let start = text.floor_char_boundary(rest - rest / 3);
    let end = text.ceil_char_boundary(text.len() - rest / 3);
    format!("{}{GAP}{}", &text[..start], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: &str) -> SetupResult {
        let error = SetupError::try_again("cannot fetch client 2.17.0", why, "Allow packages.microsoft.com:443.");
        SetupResult::of(&Err(error), 7)
    }

    #[test]
    fn a_termination_message_keeps_cause_and_hint_within_4096_bytes() {
        let short = failed("no route").termination_message();
        assert_eq!(short, "error: cannot fetch client 2.17.0: no route\nhint: Allow packages.microsoft.com:443.");
        for long in ["x".repeat(9000), "ü".repeat(9000), "𝄞".repeat(4000)] {
            let text = failed(&format!("the cause {long} the end")).termination_message();
            assert!(text.len() <= 4096 && text.len() > 4000, "{}", text.len());
            assert!(text.starts_with("error: cannot fetch client 2.17.0: the cause"));
            assert!(text.contains("the end\nhint: Allow packages.microsoft.com:443."));
        }
        let many = SetupResult { warnings: vec!["w".repeat(900); 9], ..failed("x") };
        assert!(many.termination_message().len() <= 4096);
        let long_hint = SetupResult { hint: Some("h".repeat(9000)), ..failed(&"x".repeat(9000)) };
        assert!(long_hint.termination_message().len() <= 4096);
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let host = HostRoot::directory(dir.path());
        let path = host.at(RESULT_FILE);
        assert_eq!(SetupResult::read(&path), None);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        for result in [failed("x"), SetupResult { exit: 0, hint: None, warnings: vec!["w".to_owned()], ..failed("y") }]
        {
            result.write(&host).unwrap();
            assert_eq!(SetupResult::read(&path), Some(result));
        }
        fs::write(&path, "{").unwrap();
        assert_eq!(SetupResult::read(&path), None);
    }

    #[test]
    fn the_termination_file_of_the_setting_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        write_termination_message(Some(&path), "text").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "text");
        assert!(write_termination_message(Some(&dir.path().join("no/log")), "text").is_err());
    }
}
