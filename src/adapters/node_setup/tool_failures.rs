//! Known failures of the host's programs: patterns of their output, each with cause, hint and exit code; those of
//! modprobe(8), which prints the errors of the kernel.

use std::path::Path;

use super::error::{SetupError, SetupExit};

/// A failure that the output of a program shows.
pub(super) struct KnownFailure {
    /// Any of these in the output, in lower case, shows it.
    pub(super) patterns: &'static [&'static str],
    /// What causes it.
    pub(super) cause: &'static str,
    /// What to do, in the imperative.
    pub(super) hint: &'static str,
    /// Who has to act.
    pub(super) exit: SetupExit,
    /// Whether the next try may succeed within seconds.
    pub(super) transient: bool,
}

impl KnownFailure {
    /// Whether this output shows it.
    pub(super) fn is_in(&self, output: &str) -> bool {
        contains_any(output, self.patterns)
    }
}

/// Whether `output` contains one of these patterns, which are in lower case.
pub(super) fn contains_any(output: &str, patterns: &[&str]) -> bool {
    let output = output.to_lowercase();
    patterns.iter().any(|pattern| output.contains(pattern))
}

/// The first of the `known` failures that `output` shows, as the reason why `what` failed.
pub(super) fn classify(known: &[KnownFailure], what: &str, output: &str) -> Option<SetupError> {
    let failure = known.iter().find(|failure| failure.is_in(output))?;
    Some(SetupError {
        exit: failure.exit,
        what: what.to_owned(),
        why: format!("{}: {}", failure.cause, last_lines(output)),
        hint: failure.hint.to_owned(),
        transient: failure.transient,
    })
}

/// The last lines of a program's output, as one line.
pub(super) fn last_lines(output: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.split_at(lines.len().saturating_sub(LINES)).1.join("; ");
    last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Failures of modprobe, the particular before the general. `{dir}` in a hint is the directory of the modules.
const MODPROBE: [KnownFailure; 7] = [
    KnownFailure {
        patterns: &["key was rejected by service", "required key not available"],
        cause: "the kernel does not trust the signature of the module: a Confidential VM, or a module without a signature",
        hint: "Add the certificate \"Azure Services Linux Kmod PCA\" to the UEFI keys of the VM, or use nodes with Trusted Launch.",
        exit: SetupExit::NeedsHuman,
        transient: false,
    },
    KnownFailure {
        patterns: &["operation not permitted"],
        cause: "kernel lockdown accepts signed modules only, or the container may not load modules",
        hint: "Run the container privileged; with Secure Boot, add the certificate \"Azure Services Linux Kmod PCA\" to the UEFI keys, or use nodes with Trusted Launch.",
        exit: SetupExit::NeedsHuman,
        transient: false,
    },
    KnownFailure {
        patterns: &["exec format error", "unknown symbol"],
        cause: "the module was built for another kernel, or a module of the kernel that it needs is missing",
        hint: "Remove {dir} on the node and start the pod again.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["not found in directory"],
        cause: "the unpacked modules are incomplete",
        hint: "Remove {dir} on the node and start the pod again.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["network is down"],
        cause: "an interface of LNet does not exist, is down, or has no IPv4 address",
        hint: "Correct lnet-interfaces, or bring the interface up.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["invalid argument"],
        cause: "the parameter networks is malformed, ksocklnd is not loaded, or modules of another client version are (dmesg: disagrees about version)",
        hint: "Correct lnet-interfaces; drain the node and reboot it if another version is loaded.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
    KnownFailure {
        patterns: &["cannot allocate memory"],
        cause: "the node has no memory for it",
        hint: "Free memory on the node.",
        exit: SetupExit::TryAgain,
        transient: false,
    },
];

/// The failure of a modprobe that ended with `code`. `dir` is the directory of the modules.
pub(super) fn of_modprobe(module: &str, stderr: &str, code: i32, dir: &Path) -> SetupError {
    let what = format!("cannot load module {module}");
    let Some(mut error) = classify(&MODPROBE, &what, stderr) else {
        let end = last_lines(stderr);
        let why = if end.is_empty() { format!("modprobe ended with code {code} without a message") } else { end };
        return SetupError::try_again(what, why, "Read the kernel's log (dmesg) of the node.");
    };
    error.hint = error.hint.replace("{dir}", &dir.display().to_string());
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_kernel_has_its_cause_hint_and_exit_code() {
        for (stderr, code, cause, hint) in [
            ("modprobe: ERROR: could not insert 'lnet': Key was rejected by service", 3, "signature", "UEFI keys"),
            ("modprobe: ERROR: could not insert 'lnet': Required key not available", 3, "signature", "Trusted Launch"),
            ("modprobe: ERROR: could not insert 'lnet': Operation not permitted", 3, "lockdown", "Trusted Launch"),
            ("modprobe: ERROR: could not insert 'lnet': Exec format error", 1, "another kernel", "Remove /d"),
            (
                "modprobe: ERROR: could not insert 'lnet': Unknown symbol in module, or unknown parameter (see dmesg)",
                1,
                "missing",
                "Remove /d",
            ),
            ("modprobe: FATAL: Module lnet not found in directory R/lib/modules/K", 1, "incomplete", "Remove /d"),
            ("modprobe: ERROR: could not insert 'lustre': Network is down", 1, "IPv4", "lnet-interfaces"),
            ("modprobe: ERROR: could not insert 'lustre': Invalid argument", 1, "networks is malformed", "reboot"),
            ("modprobe: ERROR: could not insert 'lustre': Cannot allocate memory", 1, "memory", "Free memory"),
            ("something new", 1, "something new", "dmesg"),
            ("", 1, "code 1 without a message", "dmesg"),
        ] {
            let error = of_modprobe("lnet", stderr, 1, Path::new("/d"));
            assert_eq!(error.exit.code(), code, "{stderr}");
            assert!(error.why.contains(cause) && error.why.contains(stderr), "{error}");
            assert!(error.hint.contains(hint), "{}", error.hint);
        }
    }

    #[test]
    fn the_output_of_a_program_is_one_bounded_line() {
        let lines: Vec<String> = (0..100).map(|n| format!(" line\t{n}\n\n")).collect();
        assert_eq!(last_lines(&lines.concat()), "line 94; line 95; line 96; line 97; line 98; line 99");
    }
}
