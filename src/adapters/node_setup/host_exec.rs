//! Process runner for programs of the host, in the host's root by way of the hidden command `host-exec` of this binary.
//!
//! The standard library can start a program in a process group of its own, but cannot change its root; what it offers for
//! that is unsafe. So the child is this binary with the command `host-exec`, which changes its root and executes the
//! program, both in safe calls.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::layout::{HostRoot, TMP_DIR};
use super::tools::{HostTools, Invocation, Output, ToolError};

/// The hidden command of this binary.
pub const COMMAND: &str = "host-exec";

/// Exit code of `host-exec` when the program does not exist; the same as a shell's.
const EXIT_NOT_FOUND: u8 = 127;
/// Exit code of `host-exec` when the program cannot be executed; the same as a shell's.
const EXIT_NOT_EXECUTED: u8 = 126;
/// Prefix of the messages of `host-exec` itself.
const MESSAGE_PREFIX: &str = "azurelustre-csi host-exec: ";

/// `PATH` of programs that run in the root of the host.
const HOST_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables of this process that programs of the host get: how package tools reach their server.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];
/// Most bytes of standard output that are kept; an unpacked package is smaller.
const MAX_STDOUT: u64 = 64 << 20;
/// Most bytes of standard error that are kept, from its end.
const MAX_STDERR: usize = 64 << 10;
/// How long the output is waited for once the program has ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs programs of the host at this root.
#[derive(Debug, Clone)]
pub struct HostProcesses {
    root: HostRoot,
    binary: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl HostProcesses {
    /// A runner whose programs get the proxies of `environment` and, without chroot, its `PATH`. `binary` is this program.
    pub fn new(root: HostRoot, binary: PathBuf, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let is_path = |name: &OsString| name == "PATH" && !root.chroot;
        let inherited = |name: &OsString| is_path(name) || PROXIES.iter().any(|proxy| name == proxy);
        let mut environment: Vec<_> = environment.into_iter().filter(|(name, _)| inherited(name)).collect();
        let tmp = root.path_in_host(TMP_DIR).into_os_string();
        let fixed = [("LC_ALL", "C".into()), ("HOME", tmp.clone()), ("TMPDIR", tmp)];
        environment.extend(fixed.map(|(name, value)| (name.into(), value)));
        environment.push(("DEBIAN_FRONTEND".into(), "noninteractive".into()));
        if root.chroot {
            environment.push(("PATH".into(), HOST_PATH.into()));
        }
        Self { root, binary, environment }
    }

    fn command(&self, run: &Invocation) -> Command {
        let cwd = run.cwd.as_deref().unwrap_or(Path::new("/"));
        let mut command = if self.root.chroot {
            let mut command = Command::new(&self.binary);
            command.arg(COMMAND).arg(&self.root.dir).arg(cwd).arg(run.program);
            command
        } else {
            let mut command = Command::new(run.program);
            command.current_dir(cwd);
            command
        };
        command.args(&run.args).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl HostTools for HostProcesses {
    /// Reads and writes the pipes on threads of their own, since a program may write before it reads.
    fn run(&self, run: &Invocation) -> Result<Output, ToolError> {
        let program = run.program;
        let mut child = self.command(run).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ToolError::Missing { program },
            _ => ToolError::Failed { program, why: error.to_string() },
        })?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = run.stdin.clone();
        // A program that does not read its input is no failure.
        on_thread(move || stdin.map(|mut pipe| pipe.write_all(&input)));
        let stdout = on_thread(move || stdout.map(read_start).unwrap_or_default());
        let stderr = on_thread(move || stderr.map(read_end).unwrap_or_default());
        let ended = on_thread(move || child.wait()).recv_timeout(run.limit);
        // No process that the program started may change the host during the next step.
        let _ = killpg(group, Signal::SIGKILL);
        let status = ended.map_err(|_| ToolError::TimedOut { program, limit: run.limit })?;
        let status = status.map_err(|error| ToolError::Failed { program, why: error.to_string() })?;
        let deadline = Instant::now() + OUTPUT_TIMEOUT;
        let read_until = |output: &Receiver<Vec<u8>>| {
            output.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_default()
        };
        let output = Output {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout: read_until(&stdout),
            stderr: String::from_utf8_lossy(&read_until(&stderr)).into_owned(),
        };
        if self.root.chroot { without_own_failure(program, output) } else { Ok(output) }
    }
}

/// The output of the program; an error if `host-exec` itself failed, which has exit codes of programs too but its prefix.
fn without_own_failure(program: &'static str, output: Output) -> Result<Output, ToolError> {
    match (u8::try_from(output.code), output.stderr.strip_prefix(MESSAGE_PREFIX)) {
        (Ok(EXIT_NOT_FOUND), Some(_)) => Err(ToolError::Missing { program }),
        (Ok(EXIT_NOT_EXECUTED), Some(why)) => Err(ToolError::Failed { program, why: why.trim().to_owned() }),
        _ => Ok(output),
    }
}

/// Runs `work` on a thread of its own; the receiver gets its result.
fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = channel();
    thread::spawn(move || drop(sender.send(work())));
    receiver
}

/// The first bytes of a pipe, which is read to its end.
fn read_start(mut pipe: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    // What was read before a failure counts.
    let _ = pipe.by_ref().take(MAX_STDOUT).read_to_end(&mut kept);
    let _ = io::copy(&mut pipe, &mut io::sink());
    kept
}

/// The last bytes of a pipe.
fn read_end(mut pipe: impl Read) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = pipe.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        let beyond = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..beyond);
    }
    kept
}

/// The command `host-exec ROOT DIR PROGRAM ARGUMENT…`: executes the program in that root and directory. Returns only if it
/// cannot: with the exit code, after a line on stderr.
pub fn become_program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let Err((code, message)) = exec(arguments);
    drop(writeln!(io::stderr(), "{MESSAGE_PREFIX}{message}"));
    code
}

fn exec(arguments: impl IntoIterator<Item = OsString>) -> Result<Infallible, (u8, String)> {
    let mut arguments = arguments.into_iter();
    let (Some(root), Some(dir), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err((EXIT_NOT_EXECUTED, "needs a root, a directory and a program".to_owned()));
    };
    let failed = |what: &str, path: &OsString, error: io::Error| {
        (EXIT_NOT_EXECUTED, format!("cannot {what} {}: {error}", path.display()))
    };
    nix::unistd::chroot(root.as_os_str()).map_err(|errno| failed("change the root to", &root, errno.into()))?;
    std::env::set_current_dir(&dir).map_err(|error| failed("enter", &dir, error))?;
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == io::ErrorKind::NotFound { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTED };
    Err((code, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> HostProcesses {
        let environment =
            std::env::vars_os().chain([("SECRET".into(), "x".into()), ("https_proxy".into(), "p".into())]);
        HostProcesses::new(HostRoot::directory("/nowhere"), PathBuf::new(), environment)
    }

    fn shell(script: &str) -> Invocation {
        Invocation::new("sh", ["-c", script])
    }

    #[test]
    fn a_program_gets_a_cleared_environment_its_input_and_its_directory() {
        let output =
            programs().run(&shell("env | sort; pwd; cat; echo bad >&2; exit 7").with_input(b"in".to_vec())).unwrap();
        let text = output.text();
        assert_eq!((output.code, output.stderr.as_str()), (7, "bad\n"));
        for line in [
            "LC_ALL=C",
            "https_proxy=p",
            "DEBIAN_FRONTEND=noninteractive",
            "TMPDIR=/nowhere/var/lib/azurelustre-csi/tmp",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in {text}");
        }
        assert!(!text.contains("SECRET") && text.ends_with("/\nin"), "{text}");
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let missing = programs().run(&Invocation::new("no-such-program", ["x"]));
        assert_eq!(missing, Err(ToolError::Missing { program: "no-such-program" }));
    }

    #[test]
    fn at_its_limit_a_program_is_killed_with_all_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let limit = Duration::from_millis(200);
        // The child of the program holds the FIFO open for writing: once it is dead, a reader sees the end.
        let (sender, dead) = channel();
        let path = fifo.clone();
        thread::spawn(move || sender.send(std::fs::read(path)));
        let script = format!("exec 3>{0}; (sleep 600) & wait", fifo.display());
        let ended = programs().run(&shell(&script).within(limit));
        assert_eq!(ended, Err(ToolError::TimedOut { program: "sh", limit }));
        assert_eq!(dead.recv_timeout(Duration::from_secs(20)).unwrap().unwrap(), b"");
    }

    #[test]
    fn much_output_does_not_stop_a_program() {
        let output =
            programs().run(&shell("head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; echo end >&2")).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, MAX_STDERR));
        assert!(output.stderr.ends_with("end\n"));
    }

    #[test]
    fn failures_of_host_exec_are_not_those_of_the_program() {
        let output = |code, stderr: &str| Output { code, stderr: stderr.to_owned(), ..Output::default() };
        assert_eq!(
            without_own_failure("apt-get", output(127, &format!("{MESSAGE_PREFIX}No such file\n"))),
            Err(ToolError::Missing { program: "apt-get" })
        );
        let denied = without_own_failure("apt-get", output(126, &format!("{MESSAGE_PREFIX}cannot enter /x: denied\n")));
        assert_eq!(denied, Err(ToolError::Failed { program: "apt-get", why: "cannot enter /x: denied".to_owned() }));
        assert_eq!(without_own_failure("apt-get", output(127, "its own")), Ok(output(127, "its own")));
    }

    #[test]
    fn a_root_that_is_no_directory_is_named() {
        let Err((code, message)) = exec(["/no/such/root", "/", "true"].map(OsString::from));
        assert_eq!(code, EXIT_NOT_EXECUTED);
        assert!(message.starts_with("cannot change the root to /no/such/root: "), "{message}");
    }
}
