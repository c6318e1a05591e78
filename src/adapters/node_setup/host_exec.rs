//! Runs programs of the host: in its root by way of this binary, which changes its root and becomes the program.
//!
//! The standard library can start a program in a process group of its own, but cannot change its root; what it offers for
//! that is unsafe. So the child is this binary with the hidden command `host-exec`, which does both in safe calls.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::layout::{HostRoot, PrivateDir};
use super::tools::{HostTools, Invocation, Output, ToolError};

/// The hidden command of this binary.
pub const COMMAND: &str = "host-exec";

/// Exit code of `host-exec` when the program does not exist; the same as a shell's.
const MISSING: i32 = 127;
/// Exit code of `host-exec` when the program cannot be run; the same as a shell's.
const NOT_RUN: i32 = 126;
/// What `host-exec` writes in front of its own failures.
const MARK: &str = "azurelustre-csi host-exec: ";

/// `PATH` of programs that run in the root of the host.
const HOST_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables of this process that programs of the host get: how package tools reach their server.
const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY"];
/// Most bytes of standard output that are kept; an unpacked package is smaller.
const MOST_OUTPUT: u64 = 64 << 20;
/// Most bytes of standard error that are kept, from its end.
const MOST_ERRORS: usize = 64 << 10;
/// How long the output is waited for once the program has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Programs of the host at this root.
#[derive(Debug, Clone)]
pub struct HostProcesses {
    root: HostRoot,
    binary: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl HostProcesses {
    /// Programs of the host, with proxies and, without chroot, `PATH` from `environment`. `binary` is this program.
    pub fn new(root: HostRoot, binary: PathBuf, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let path = |name: &OsString| name == "PATH" && !root.chroot;
        let handed = |name: &OsString| path(name) || PROXIES.iter().any(|proxy| name == proxy);
        let mut environment: Vec<_> = environment.into_iter().filter(|(name, _)| handed(name)).collect();
        let tmp = root.path_in_host(PrivateDir::tmp()).into_os_string();
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
    fn run(&self, run: &Invocation) -> Result<Output, ToolError> {
        let program = run.program;
        let mut child = self.command(run).spawn().map_err(|error| not_started(program, &error))?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let (stdout, stderr) = (reader(child.stdout.take(), keep_start), reader(child.stderr.take(), keep_end));
        feed(&mut child, run.stdin.clone());
        let ended = end_of(child).recv_timeout(run.limit);
        // Whatever the program has started ends with it: nothing may work on the host behind the next step's back.
        let _ = killpg(group, Signal::SIGKILL);
        let status = ended.map_err(|_| ToolError::TimedOut { program, limit: run.limit })?;
        let status = status.map_err(|error| ToolError::Failed { program, why: error.to_string() })?;
        let deadline = Instant::now() + DRAIN;
        let output = Output {
            code: code(status),
            stdout: received(&stdout, deadline),
            stderr: String::from_utf8_lossy(&received(&stderr, deadline)).into_owned(),
        };
        if self.root.chroot { of_child(program, output) } else { Ok(output) }
    }
}

fn not_started(program: &'static str, error: &io::Error) -> ToolError {
    match error.kind() {
        io::ErrorKind::NotFound => ToolError::Missing { program },
        _ => ToolError::Failed { program, why: error.to_string() },
    }
}

/// Failures of `host-exec` itself, which end it with codes that programs use too but with its mark.
fn of_child(program: &'static str, output: Output) -> Result<Output, ToolError> {
    match (output.code, output.stderr.strip_prefix(MARK)) {
        (MISSING, Some(_)) => Err(ToolError::Missing { program }),
        (NOT_RUN, Some(why)) => Err(ToolError::Failed { program, why: why.trim().to_owned() }),
        _ => Ok(output),
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Writes standard input on a thread of its own, since a program may write before it reads.
fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input is no failure of the writer.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
}

fn end_of(mut child: Child) -> Receiver<io::Result<ExitStatus>> {
    let (sender, receiver) = channel();
    thread::spawn(move || drop(sender.send(child.wait())));
    receiver
}

/// Reads a pipe to its end on a thread of its own.
fn reader(pipe: Option<impl Read + Send + 'static>, keep: fn(&mut dyn Read) -> Vec<u8>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || drop(sender.send(pipe.map(|mut pipe| keep(&mut pipe)).unwrap_or_default())));
    receiver
}

fn received(bytes: &Receiver<Vec<u8>>, deadline: Instant) -> Vec<u8> {
    bytes.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_default()
}

fn keep_start(pipe: &mut dyn Read) -> Vec<u8> {
    let mut kept = Vec::new();
    // What was read before a failure counts.
    let _ = pipe.take(MOST_OUTPUT).read_to_end(&mut kept);
    let _ = io::copy(pipe, &mut io::sink());
    kept
}

fn keep_end(pipe: &mut dyn Read) -> Vec<u8> {
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = pipe.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        let beyond = kept.len().saturating_sub(MOST_ERRORS);
        kept.drain(..beyond);
    }
    kept
}

/// The command `host-exec ROOT DIR PROGRAM ARGUMENT…`: becomes the program in that root and directory. Returns only if it
/// cannot: with the exit code, after a line on stderr.
pub fn become_program(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let (failure, code) = match exec(arguments) {
        Ok(never) => match never {},
        Err((what, error)) if error.kind() == io::ErrorKind::NotFound && what.is_empty() => {
            (error.to_string(), MISSING)
        }
        Err((what, error)) => (format!("{what}{error}"), NOT_RUN),
    };
    drop(writeln!(io::stderr(), "{MARK}{failure}"));
    u8::try_from(code).unwrap_or(u8::MAX)
}

fn exec(arguments: impl IntoIterator<Item = OsString>) -> Result<Infallible, (String, io::Error)> {
    let mut arguments = arguments.into_iter();
    let (Some(root), Some(dir), Some(program)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err((String::new(), io::Error::other("needs a root, a directory and a program")));
    };
    let at = |what: &str, path: &OsString| format!("cannot {what} {}: ", path.display());
    nix::unistd::chroot(root.as_os_str()).map_err(|error| (at("change the root to", &root), error.into()))?;
    std::env::set_current_dir(&dir).map_err(|error| (at("enter", &dir), error))?;
    Err((String::new(), Command::new(program).args(arguments).exec()))
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
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, MOST_ERRORS));
        assert!(output.stderr.ends_with("end\n"));
    }

    #[test]
    fn failures_of_the_child_binary_are_not_the_programs() {
        let output = |code, stderr: &str| Output { code, stderr: stderr.to_owned(), ..Output::default() };
        assert_eq!(
            of_child("apt-get", output(127, &format!("{MARK}No such file\n"))),
            Err(ToolError::Missing { program: "apt-get" })
        );
        let denied = of_child("apt-get", output(126, &format!("{MARK}cannot enter /x: denied\n")));
        assert_eq!(denied, Err(ToolError::Failed { program: "apt-get", why: "cannot enter /x: denied".to_owned() }));
        assert_eq!(of_child("apt-get", output(127, "its own")), Ok(output(127, "its own")));
    }

    #[test]
    fn a_root_that_is_no_directory_is_named() {
        let (what, _) = exec(["/no/such/root", "/", "true"].map(OsString::from)).unwrap_err();
        assert_eq!(what, "cannot change the root to /no/such/root: ");
    }
}
