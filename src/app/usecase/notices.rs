//! Notices of the domain as log lines.

use crate::domain::problem::{Notice, Severity};

/// Logs what a request holds that does not stop it. Called once a request, so that each notice is one line.
pub(super) fn log(notices: &[Notice]) {
    for notice in notices {
        match notice.severity {
            Severity::Warning => tracing::warn!("{notice}"),
            Severity::Debug => tracing::debug!("{notice}"),
        }
    }
}
