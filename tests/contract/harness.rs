//! How a law becomes a trial.

use libtest_mimic::{Failed, Trial};

/// A law that runs.
pub(crate) fn trial(
    port: &str,
    adapter: &str,
    law: &str,
    body: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::test(format!("{port}::{adapter}::{law}"), body)
}

/// A law that cannot run here, and why.
pub(crate) fn ignored(port: &str, adapter: &str, law: &str, reason: &str) -> Trial {
    Trial::test(format!("{port}::{adapter}::{law} ({reason})"), || Ok(())).with_ignored_flag(true)
}
