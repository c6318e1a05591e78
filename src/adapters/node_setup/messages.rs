//! What failures of modprobe mean: the kernel's refusals as modprobe(8) prints them, each with its cause and cure.

use std::path::Path;

use super::error::{SetupError, SetupExit};

/// A refusal.
struct Refusal {
    /// Text of modprobe that shows it.
    shows: &'static [&'static str],
    /// What causes it.
    cause: &'static str,
    /// What to do, with `{dir}` for the directory of the modules.
    cure: &'static str,
    /// Who has to act.
    exit: SetupExit,
}

/// Those that are known, the particular before the general.
const REFUSALS: [Refusal; 7] = [
    Refusal {
        shows: &["Key was rejected by service", "Required key not available"],
        cause: "the kernel does not trust the signature of the module: a Confidential VM, or a module without a signature",
        cure: "Add the certificate \"Azure Services Linux Kmod PCA\" to the UEFI keys of the VM, or use nodes with Trusted Launch.",
        exit: SetupExit::NeedsHuman,
    },
    Refusal {
        shows: &["Operation not permitted"],
        cause: "kernel lockdown accepts signed modules only, or the container may not load modules",
        cure: "Run the container privileged; with Secure Boot, add the certificate \"Azure Services Linux Kmod PCA\" to the UEFI keys, or use nodes with Trusted Launch.",
        exit: SetupExit::NeedsHuman,
    },
    Refusal {
        shows: &["Exec format error", "Unknown symbol"],
        cause: "the module was built for another kernel, or a module of the kernel that it needs is missing",
        cure: "Remove {dir} on the node and start the pod again.",
        exit: SetupExit::TryAgain,
    },
    Refusal {
        shows: &["not found in directory"],
        cause: "the unpacked modules are incomplete",
        cure: "Remove {dir} on the node and start the pod again.",
        exit: SetupExit::TryAgain,
    },
    Refusal {
        shows: &["Network is down"],
        cause: "an interface of LNet does not exist, is down, or has no IPv4 address",
        cure: "Correct lnet-interfaces, or bring the interface up.",
        exit: SetupExit::TryAgain,
    },
    Refusal {
        shows: &["Invalid argument"],
        cause: "the parameter networks is malformed, ksocklnd is not loaded, or modules of another client version are (dmesg: disagrees about version)",
        cure: "Correct lnet-interfaces; drain the node and reboot it if another version is loaded.",
        exit: SetupExit::TryAgain,
    },
    Refusal {
        shows: &["Cannot allocate memory"],
        cause: "the node has no memory for it",
        cure: "Free memory on the node.",
        exit: SetupExit::TryAgain,
    },
];

/// The failure that modprobe's output shows. `dir` is where the modules are.
pub fn of_modprobe(module: &str, stderr: &str, code: i32, dir: &Path) -> SetupError {
    let what = format!("cannot load module {module}");
    let said = said(stderr);
    let known = REFUSALS.iter().find(|refusal| refusal.shows.iter().any(|shows| stderr.contains(shows)));
    let Some(refusal) = known else {
        let why = if said.is_empty() { format!("modprobe ended with code {code} without a word") } else { said };
        return SetupError::try_again(what, why, "Read the kernel's log (dmesg) of the node.");
    };
    SetupError {
        exit: refusal.exit,
        what,
        why: format!("{}: {said}", refusal.cause),
        hint: refusal.cure.replace("{dir}", &dir.display().to_string()),
        transient: false,
    }
}

/// The last lines that a program wrote, as one line.
pub fn said(stderr: &str) -> String {
    const LINES: usize = 6;
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.split_at(lines.len().saturating_sub(LINES)).1.join("; ");
    last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_has_its_cause_its_cure_and_its_exit_code() {
        for (stderr, code, cause, cure) in [
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
            ("", 1, "code 1 without a word", "dmesg"),
        ] {
            let error = of_modprobe("lnet", stderr, 1, Path::new("/d"));
            assert_eq!(error.exit.code(), code, "{stderr}");
            assert!(error.why.contains(cause) && error.why.contains(stderr), "{error}");
            assert!(error.hint.contains(cure), "{}", error.hint);
        }
    }

    #[test]
    fn what_a_program_wrote_is_one_bounded_line() {
        let lines: Vec<String> = (0..100).map(|n| format!(" line\t{n}\n\n")).collect();
        assert_eq!(said(&lines.concat()), "line 94; line 95; line 96; line 97; line 98; line 99");
    }
}
