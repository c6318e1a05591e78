//! Known failures of apt, tdnf and dnf: patterns of their output, each with cause, hint, exit code, and whether it is transient.
//! Texts of apt: apt's sources (`apt-pkg/`, `methods/`); of tdnf: `common/tdnferror.h`; of dnf and tdnf's downloads: curl(1).

use super::files::{DISK_FULL_HINT, READ_ONLY_HINT};
use super::source::without_userinfo;
use crate::adapters::node_setup::error::{SetupError, SetupExit};
use crate::adapters::node_setup::tool_failures::{KnownFailure, classify, contains_any, last_lines};
use crate::adapters::node_setup::tools::{Output, ToolError};

/// A package that does not exist, by apt and by tdnf or dnf.
const NOT_FOUND: [&str; 8] = [
    "unable to locate package",
    "couldn't find any package by",
    "was not found",
    "no packages found",
    "no matching package",
    "no package ",
    "no candidate version",
    "unable to find a match",
];

/// Failures of package managers, the particular before the general.
const FAILURES: [KnownFailure; 12] = [
    KnownFailure {
        patterns: &[
            "no_pubkey",
            "badsig",
            "expkeysig",
            "revkeysig",
            "expired signature",
            "nosplit",
            "nodata",
            "signatures were invalid",
            "missing key",
            "signature verification failed",
            "gpg check failed",
            "public key is not installed",
            "bad signature",
        ],
        cause: "the signature is not by a trusted key: a mirror or proxy altered the repository, or its key changed",
        hint: "Do not bypass this check. Compare package-url with its origin; trust another key with package-key-file.",
        exit: SetupExit::NeedsHuman,
        transient: false,
    },
    KnownFailure {
        patterns: &["no space left on device", "don't have enough free space", "disk quota exceeded"],
        cause: "the node's disk is full",
        hint: DISK_FULL_HINT,
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["read-only file system", "permission denied"],
        cause: "the private directory cannot be written",
        hint: READ_ONLY_HINT,
        exit: SetupExit::WrongSetting,
        transient: false,
    },
    KnownFailure {
        patterns: &["407 ", "proxy authentication required", "proxy code 407"],
        cause: "the proxy asks for credentials",
        hint: "Give the node's proxy credentials in https_proxy, or in /etc/apt/apt.conf.d of the node.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &[
            "certificate verification failed",
            "certificate is not trusted",
            "handshake failed",
            "ssl peer certificate",
            "ssl certificate problem",
            "certificate has expired",
        ],
        cause: "the TLS certificate of the server or of a proxy is not trusted by the node",
        hint: "Add the proxy's certificate authority to the node's trust store, or exempt packages.microsoft.com from inspection.",
        exit: SetupExit::NeedsHuman,
        transient: false,
    },
    KnownFailure {
        patterns: &["is not valid yet"],
        cause: "the node's clock is behind",
        hint: "Correct the node's clock.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["release file for", "is expired"],
        cause: "the repository is out of date",
        hint: "Update the mirror (package-url).",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &[
            "could not resolve",
            "couldn't resolve",
            "temporary failure",
            "could not connect",
            "couldn't connect",
            "unable to connect",
            "connection failed",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "no route to host",
            "timed out",
            "timeout was reached",
            "read error",
            "error reading from server",
            "undetermined error",
            "failed to connect",
            "cannot initiate the connection",
            "recv failure",
            "tls connection was non-properly terminated",
            "empty reply from server",
            "failed to receive",
            "could not handshake",
            "closed the connection",
            "ssl connection failed",
            "something wicked happened",
            "could not wait for server",
        ],
        cause: "the package server cannot be reached: DNS, firewall or proxy",
        hint: "Allow packages.microsoft.com:443 from the node, set a proxy, or use a mirror (package-url) or a package file.",
        exit: SetupExit::TryAgain,
        transient: true,
    },
    KnownFailure {
        patterns: &[
            "unexpected size",
            "hash sum mismatch",
            "file has changed",
            "checksum",
            "does not match",
            "mirror sync",
        ],
        cause: "the download differs from the signed index: a mirror in synchronisation, or a cache",
        hint: "Wait until the mirror is synchronised, or empty the cache between.",
        exit: SetupExit::TryAgain,
        transient: true,
    },
    KnownFailure {
        patterns: &[
            "429 ",
            "500 ",
            "502 ",
            "503 ",
            "504 ",
            "too many requests",
            "internal server error",
            "service unavailable",
            "bad gateway",
            "gateway time",
        ],
        cause: "the package server is overloaded or fails",
        hint: "Wait, or use a mirror (package-url).",
        exit: SetupExit::TryAgain,
        transient: true,
    },
    KnownFailure {
        patterns: &["does not have a release file", "404 ", "403 ", "cannot download repomd"],
        cause: "the URL has no signed repository for this operating system, or refuses access to it",
        hint: "Correct package-url; allow packages.microsoft.com:443.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    // apt prints this for every repository without a release file, so it comes after the causes of that.
    KnownFailure {
        patterns: &["is not signed"],
        cause: "the repository has no signature that can be read: a mirror or proxy altered it",
        hint: "Do not bypass this check. Compare package-url with its origin.",
        exit: SetupExit::NeedsHuman,
        transient: false,
    },
];

/// Whether the output of a package manager shows that the package does not exist.
pub(super) fn is_not_found(output: &Output) -> bool {
    let text = failure_output(output);
    !FAILURES.iter().any(|failure| failure.transient && failure.is_in(&text)) && contains_any(&text, &NOT_FOUND)
}

/// The failure that the output of a package manager shows.
pub(super) fn of_manager(what: &str, program: &str, output: &Output) -> SetupError {
    classify(&FAILURES, what, &failure_output(output)).unwrap_or_else(|| of_tool(what, program, output))
}

/// The failure of another program, or an unknown one, by its exit code and the end of its output.
pub(super) fn of_tool(what: &str, program: &str, output: &Output) -> SetupError {
    let end = last_lines(&failure_output(output));
    let code = format!("{program} ended with code {}", output.code);
    let why = if end.is_empty() { code } else { format!("{code}: {end}") };
    SetupError::try_again(
        what,
        why,
        "Run node-setup with --dry-run for the commands, and run the failing one on the node.",
    )
}

/// A program that did not run to its end.
pub(super) fn not_run(what: &str, error: &ToolError) -> SetupError {
    let why = error.to_string();
    match error {
        ToolError::Missing { program } => SetupError::needs_human(
            what,
            why,
            format!("Use nodes that have {program}, or add the unpacked client to the node image."),
        ),
        ToolError::TimedOut { .. } => {
            SetupError::try_again(what, why, "Check the network and the load of the node.").transient()
        }
        ToolError::Failed { .. } => SetupError::try_again(what, why, "Check the node's file systems."),
    }
}

/// Standard error of a failed program, or standard output where that is empty (tdnf), without passwords in URLs.
fn failure_output(output: &Output) -> String {
    let text = if output.stderr.trim().is_empty() { output.text() } else { output.stderr.clone() };
    without_userinfo(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stderr: &str) -> Output {
        Output { code: 100, stdout: Vec::new(), stderr: stderr.to_owned() }
    }

    #[test]
    fn each_failure_has_its_cause_exit_code_and_whether_it_is_transient() {
        let u = "https://packages.microsoft.com/repos/amlfs-noble noble";
        for (stderr, cause, exit, transient) in [
            (format!("W: GPG error: {u} InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY EB3E94ADBE1229CF\nE: The repository '{u} InRelease' is not signed."), "signature", 3, false),
            (format!("W: GPG error: {u}: BADSIG EB3E94ADBE1229CF\nE: Failed to fetch Could not connect"), "signature", 3, false),
            (format!("E: {u} Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)"), "signature", 3, false),
            (format!("E: The repository '{u} InRelease' is not signed."), "signature", 3, false),
            ("E: Failed to fetch U/dists/noble/InRelease  Could not resolve 'packages.microsoft.com'".into(), "reached", 1, true),
            ("E: Failed to fetch U  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)".into(), "reached", 1, true),
            ("E: Failed to fetch U  Connection timed out".into(), "reached", 1, true),
            ("E: Failed to fetch U  Invalid response from proxy: HTTP/1.1 407 Proxy Authentication Required".into(), "credentials", 1, false),
            ("E: Failed to fetch U  Certificate verification failed: The certificate is NOT trusted.".into(), "TLS", 3, false),
            ("E: Failed to fetch U  File has unexpected size (10 != 20). Mirror sync in progress?".into(), "signed index", 1, true),
            ("E: Failed to fetch U  Hash Sum mismatch".into(), "signed index", 1, true),
            ("E: Failed to fetch U  503  Service Unavailable [IP: 10.0.0.1 443]".into(), "overloaded", 1, true),
            (format!("E: Failed to fetch U  503  Service Unavailable\nE: The repository '{u} InRelease' is not signed."), "overloaded", 1, true),
            (format!("E: Failed to fetch U  403  Forbidden\nE: The repository '{u} InRelease' is not signed."), "refuses access", 1, false),
            (format!("E: Failed to fetch U  Could not handshake: Error in the pull function.\nE: The repository '{u} InRelease' is not signed."), "reached", 1, true),
            ("E: Failed to fetch U  404  Not Found".into(), "no signed repository", 1, false),
            (format!("E: The repository '{u} Release' does not have a Release file."), "no signed repository", 1, false),
            (format!("E: Release file for {u} is not valid yet (invalid for another 1h)"), "clock", 1, false),
            (format!("E: Release file for {u} is expired (invalid since 2d)."), "out of date", 1, false),
            ("E: Write error - write (28: No space left on device)".into(), "full", 1, false),
            ("E: List directory is missing. - Acquire (30: Read-only file system)".into(), "written", 2, false),
            ("Error: curl#6: Couldn't resolve host name".into(), "reached", 1, true),
            ("E: Internal Error".into(), "code 100: E: Internal Error", 1, false),
            (String::new(), "code 100", 1, false),
        ] {
            let error = of_manager("cannot fetch", "apt-get", &output(&stderr));
            assert_eq!((error.exit.code(), error.transient), (exit, transient), "{stderr}: {error}");
            assert!(error.why.contains(cause) && !error.hint.is_empty(), "{error}");
        }
    }

    #[test]
    fn a_package_that_does_not_exist_differs_from_a_failing_network() {
        for (stderr, expected) in [
            ("E: Unable to locate package kmod-x", true),
            ("E: Couldn't find any package by glob 'x'", true),
            ("E: Version '1' for 'kmod-x' was not found", true),
            ("Error(1011) : No matching packages not found or not installed", true),
            ("Error: Unable to find a match: x", true),
            ("E: Failed to fetch U  Could not resolve host: was not found", false),
            ("E: something else", false),
            ("", false),
        ] {
            assert_eq!(is_not_found(&output(stderr)), expected, "{stderr}");
        }
    }

    #[test]
    fn the_password_of_a_proxy_is_not_in_the_message() {
        let error = of_manager("x", "apt-get", &output("E: Could not connect to http://joe:s3cret@proxy:3128"));
        assert!(!error.to_string().contains("s3cret") && error.why.contains("proxy:3128"), "{error}");
    }
}
