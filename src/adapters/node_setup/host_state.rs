//! State of the host before anything is done, read from files below its root: operating system, kernel, Secure Boot,
//! loaded modules, Lustre mounts and unpacked clients.

use std::fs;

use super::error::SetupError;
use super::layout::{HostRoot, PRIVATE_DIR};
use super::modules::LoadedModules;
use super::os::{Machine, Os};
use super::version::ClientVersion;
use crate::adapters::mountinfo::Mountinfo;

/// `SecureBoot` of the EFI global variables: four bytes of attributes, then 1 where it is on (UEFI specification, 3.3).
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// The state of the host that decides what node-setup does.
#[derive(Debug, Clone)]
pub struct HostState {
    /// The operating system, or why it is not supported; the error counts only if a package must be fetched.
    pub os: Result<Os, SetupError>,
    /// The architecture, or why it is not supported; the error counts only if a package must be fetched.
    pub machine: Result<Machine, SetupError>,
    /// The running kernel's release (`uname -r`).
    pub kernel: String,
    /// Whether the kernel may refuse unsigned modules: under lockdown (`kernel_lockdown(7)`) or Secure Boot.
    pub requires_signed_modules: bool,
    /// The client's modules in the kernel.
    pub modules: LoadedModules,
    /// Mount points of Lustre in the mount namespace of the host; `None` if they cannot be read.
    pub mounts: Option<Vec<String>>,
    /// Clients for this kernel that are unpacked in the private directory, the oldest version first.
    pub unpacked: Vec<ClientVersion>,
    /// Whether `/lib/modules` of the host has a client for this kernel; not read where a complete client is loaded.
    pub host_has_client: bool,
    /// Files that are absent, and what is assumed without them.
    pub warnings: Vec<String>,
}

impl HostState {
    /// Reads the state. Fails without the kernel's release, and in another network namespace than the host's.
    pub fn read(host: &HostRoot) -> Result<Self, SetupError> {
        let mut warnings = Vec::new();
        check_network_namespace(host, &mut warnings)?;
        let kernel = kernel_release(host)?;
        let modules = LoadedModules::read(host);
        if !host.at("/sys/module").is_dir() {
            warnings.push("/sys/module is absent: the modules of the kernel are taken as not loaded".to_owned());
        }
        let os = host.read_text("/etc/os-release").or_else(|| host.read_text("/usr/lib/os-release"));
        Ok(Self {
            os: Os::parse(&os.unwrap_or_default()),
            machine: machine(host, &mut warnings),
            requires_signed_modules: is_locked_down(host) || has_secure_boot(host),
            mounts: lustre_mounts(host, &mut warnings),
            unpacked: unpacked_clients(host, &kernel),
            // modules.dep has half a megabyte.
            host_has_client: !modules.missing().is_empty() && host_has_client(host, &kernel),
            kernel,
            modules,
            warnings,
        })
    }

    /// Why the modules must not be removed because of a mount; `None` if no Lustre is mounted.
    pub fn mount_blocker(&self) -> Option<String> {
        match self.mounts.as_deref() {
            None => Some("whether Lustre is mounted is unknown".to_owned()),
            Some([]) if self.modules.lustre_in_use() => {
                Some("Lustre is mounted in a container, or is being mounted (/sys/module/lustre/refcnt)".to_owned())
            }
            Some([]) => None,
            Some([only]) => Some(format!("Lustre is mounted at {only}")),
            Some([first, more @ ..]) => Some(format!("Lustre is mounted at {first} and {} more paths", more.len())),
        }
    }
}

/// An NI belongs to the network namespace of the process that makes it, so that must be the host's.
fn check_network_namespace(host: &HostRoot, warnings: &mut Vec<String>) -> Result<(), SetupError> {
    const OWN: &str = "/proc/self/ns/net";
    let own = fs::read_link(if host.chroot { OWN.into() } else { host.at(OWN) });
    let (Ok(own), Ok(of_host)) = (own, fs::read_link(host.at("/proc/1/ns/net"))) else {
        warnings.push("the network namespace of the host cannot be read (/proc/1/ns/net)".to_owned());
        return Ok(());
    };
    if own == of_host {
        return Ok(());
    }
    Err(SetupError::wrong_setting(
        "cannot configure LNet on this node",
        format!("this process is in network namespace {}, the host in {}", own.display(), of_host.display()),
        "Set hostNetwork: true in the pod.",
    ))
}

fn kernel_release(host: &HostRoot) -> Result<String, SetupError> {
    const RELEASE: &str = "/proc/sys/kernel/osrelease";
    let release = host.read_text(RELEASE).unwrap_or_default();
    // It becomes part of paths and package names.
    let plain = release.chars().all(|c| c.is_ascii_alphanumeric() || "._-+~".contains(c));
    if !release.is_empty() && plain && !release.starts_with('.') {
        return Ok(release);
    }
    Err(SetupError::wrong_setting(
        "cannot determine the running kernel",
        format!("{} has no release: {release:?}", host.at(RELEASE).display()),
        format!("Mount the root of the host, with its /proc, at {}.", host.dir.display()),
    ))
}

/// `/proc/sys/kernel/arch` exists since Linux 6.1; on older kernels it is what this program was built for.
fn machine(host: &HostRoot, warnings: &mut Vec<String>) -> Result<Machine, SetupError> {
    let arch = host.read_text("/proc/sys/kernel/arch");
    if arch.is_none() && !host.chroot {
        warnings.push("/proc/sys/kernel/arch is absent: the architecture is taken to be this program's".to_owned());
    }
    Machine::parse(arch.as_deref().unwrap_or(std::env::consts::ARCH))
}

/// `none [integrity] confidentiality`: the mode in brackets is in force (`security/lockdown/lockdown.c`).
fn is_locked_down(host: &HostRoot) -> bool {
    let modes = host.read_text("/sys/kernel/security/lockdown");
    modes.is_some_and(|modes| modes.contains('[') && !modes.contains("[none]"))
}

fn has_secure_boot(host: &HostRoot) -> bool {
    fs::read(host.at(SECURE_BOOT)).is_ok_and(|bytes| bytes.len() == 5 && bytes.last() == Some(&1))
}

fn lustre_mounts(host: &HostRoot, warnings: &mut Vec<String>) -> Option<Vec<String>> {
    const MOUNTS: &str = "/proc/1/mountinfo";
    let Ok(bytes) = fs::read(host.at(MOUNTS)) else {
        warnings.push(format!("{MOUNTS} cannot be read: whether Lustre is mounted is unknown"));
        return None;
    };
    let mounts = Mountinfo::new(bytes);
    let lustre = mounts.entries().filter(|line| line.fs_type == "lustre");
    Some(lustre.map(|line| line.mount_point.to_string_lossy().into_owned()).collect())
}

/// Staging directories are not among them: their names are not versions.
fn unpacked_clients(host: &HostRoot, kernel: &str) -> Vec<ClientVersion> {
    let entries = fs::read_dir(host.at(PRIVATE_DIR).join(kernel)).into_iter().flatten().flatten();
    let recorded = entries.filter(|entry| entry.path().join("ok.json").is_file());
    let mut versions: Vec<_> =
        recorded.filter_map(|entry| ClientVersion::parse(&entry.file_name().to_string_lossy())).collect();
    versions.sort();
    versions
}

/// Whether `/lib/modules` of the host has a client for this kernel, by its `modules.dep` (modules.dep(5)).
pub(super) fn host_has_client(host: &HostRoot, kernel: &str) -> bool {
    let index = host.read_text(format!("/lib/modules/{kernel}/modules.dep")).unwrap_or_default();
    index.lines().any(|line| line.split(':').next().is_some_and(|file| file.contains("/lustre.ko")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with Ubuntu 24.04 and these files changed; an empty text removes one.
    fn state(changed: &[(&str, &str)]) -> Result<HostState, SetupError> {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            ("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
            ("proc/sys/kernel/osrelease", "6.8.0-1046-azure\n"),
            ("proc/sys/kernel/arch", "x86_64\n"),
            ("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"),
            ("sys/kernel/security/lockdown", "[none] integrity confidentiality\n"),
            ("sys/module/.keep", "x"),
        ];
        for (path, text) in files.iter().chain(changed) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if text.is_empty() { fs::remove_file(path).unwrap() } else { fs::write(path, text).unwrap() }
        }
        for pid in ["1", "self"] {
            let ns = dir.path().join(format!("proc/{pid}/ns/net"));
            fs::create_dir_all(ns.parent().unwrap()).unwrap();
            let other = changed.iter().any(|(path, _)| *path == "other-namespace") && pid == "self";
            std::os::unix::fs::symlink(if other { "net:[7]" } else { "net:[1]" }, ns).unwrap();
        }
        HostState::read(&HostRoot::directory(dir.path()))
    }

    #[test]
    fn a_complete_tree_has_no_warning() {
        let state = state(&[]).unwrap();
        assert_eq!((state.os, state.machine), (Ok(Os::Noble), Ok(Machine::X86_64)));
        assert_eq!(
            (state.kernel.as_str(), state.requires_signed_modules, state.mounts),
            ("6.8.0-1046-azure", false, Some(Vec::new()))
        );
        assert_eq!((state.warnings, state.host_has_client, state.unpacked), (Vec::<String>::new(), false, Vec::new()));
    }

    #[test]
    fn an_absent_file_is_a_warning() {
        for path in ["proc/sys/kernel/arch", "proc/1/mountinfo"] {
            let state = state(&[(path, "")]).unwrap();
            assert!(matches!(state.warnings.as_slice(), [warning] if warning.contains(path)), "{:?}", state.warnings);
        }
        assert_eq!(
            state(&[("proc/1/mountinfo", "")]).unwrap().mount_blocker().as_deref(),
            Some("whether Lustre is mounted is unknown")
        );
    }

    #[test]
    fn without_a_kernel_release_or_in_another_namespace_a_setting_is_wrong() {
        for (changed, word) in [
            (("proc/sys/kernel/osrelease", ""), "osrelease"),
            (("proc/sys/kernel/osrelease", "../../etc\n"), "../../etc"),
            (("other-namespace", "x"), "net:[7]"),
        ] {
            let error = state(&[changed]).unwrap_err();
            assert_eq!(error.exit.code(), 2);
            assert!(error.why.contains(word), "{error}");
        }
    }

    #[test]
    fn lockdown_and_secure_boot_require_signed_modules() {
        assert!(
            state(&[("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")])
                .unwrap()
                .requires_signed_modules
        );
        assert!(state(&[(&SECURE_BOOT[1..], "\u{6}\0\0\0\u{1}")]).unwrap().requires_signed_modules);
        assert!(!state(&[(&SECURE_BOOT[1..], "\u{6}\0\0\0\0")]).unwrap().requires_signed_modules);
    }

    #[test]
    fn mounts_modules_of_the_host_and_unpacked_clients_are_found() {
        let k = "6.8.0-1046-azure";
        let state = state(&[
            (
                "proc/1/mountinfo",
                "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 / /mnt/a rw - lustre 10.0.0.4@tcp:/lustrefs rw\n",
            ),
            (
                &format!("lib/modules/{k}/modules.dep"),
                "kernel/fs/x.ko:\nupdates/kernel/fs/lustre/lustre.ko.zst: updates/obdclass.ko\n",
            ),
            (&format!("var/lib/azurelustre-csi/{k}/2.17.0-19-gbb5310f/ok.json"), "{}"),
            (&format!("var/lib/azurelustre-csi/{k}/2.15.8-39-g2d32b59/ok.json"), "{}"),
            (&format!("var/lib/azurelustre-csi/{k}/2.17.0-24-gf517bc4/root"), "not complete"),
            (&format!("var/lib/azurelustre-csi/{k}/2.17.0-24-gf517bc4.tmp-7/ok.json"), "{}"),
        ]);
        let state = state.unwrap();
        assert_eq!(state.mount_blocker().as_deref(), Some("Lustre is mounted at /mnt/a"));
        assert!(state.host_has_client);
        let versions: Vec<_> = state.unpacked.iter().map(ClientVersion::as_str).collect();
        assert_eq!(versions, ["2.15.8-39-g2d32b59", "2.17.0-19-gbb5310f"]);
    }
}
