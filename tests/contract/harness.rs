//! How a law becomes a trial, and where it runs.

use std::future::Future;

use libtest_mimic::{Failed, Trial};

/// Runs a law on a runtime of its own.
pub(crate) fn run(law: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(law)
}

/// A law that runs.
pub(crate) fn trial(
    port: &str,
    adapter: &str,
    law: &str,
    body: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::test(format!("{port}::{adapter}::{law}"), body)
}

/// A law that cannot run here, and why. Asked to run all the same (`--include-ignored`), it fails.
pub(crate) fn ignored(port: &str, adapter: &str, law: &str, reason: &str) -> Trial {
    let text = reason.to_owned();
    Trial::test(format!("{port}::{adapter}::{law} ({reason})"), || Err(text.into())).with_ignored_flag(true)
}
