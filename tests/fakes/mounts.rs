//! Mount plans of tests, and what is really mounted in this process.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use azurelustre_csi::domain::mount::MountPlan;
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::domain::mount_source::{Host, MountSource};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use tempfile::TempDir;

/// The whole file system of a server.
pub(crate) fn source(server: Ipv4Addr) -> MountSource {
    MountSource::parse(&format!("{server}:/lustrefs")).unwrap()
}

/// The IPv4 addresses of a source's servers.
pub(crate) fn addresses(source: &MountSource) -> impl Iterator<Item = Ipv4Addr> {
    let hosts = source.mgs.servers().iter().flatten().map(|nid| &nid.host);
    hosts.filter_map(|host| if let Host::V4(address) = host { Some(*address) } else { None })
}

/// The address of a server that no other test of this process has: mounts are seen by the whole process, and which volume
/// they are may follow from their source.
pub(crate) fn new_address() -> Ipv4Addr {
    static NUMBERS: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NUMBERS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

/// A temporary directory for mounts. Dropping it unmounts what is below, so that no file is removed through a mount.
pub(crate) struct MountRoot(TempDir);

impl MountRoot {
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    /// Without symbolic links.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }
}

impl Drop for MountRoot {
    fn drop(&mut self) {
        unmount_below(self.0.path());
    }
}

/// The plan to mount a source read and write, for the volume `volume`.
pub(crate) fn plan(source: &MountSource, target: &Path) -> MountPlan {
    MountPlan {
        volume_id: "volume".into(),
        source: source.clone(),
        target: target.to_owned(),
        options: MountOptions::default(),
        exclusive: false,
    }
}

/// The mount ID of the mount that a path is on (`mnt_id` of `proc_pid_fdinfo(5)`).
pub(crate) fn mount_id(path: &Path) -> io::Result<u64> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap();
    Ok(id.trim().parse().unwrap())
}

/// The lines of mountinfo (`proc_pid_mountinfo(5)`), one for each mount.
pub(crate) fn entries(mountinfo: &[u8]) -> impl Iterator<Item = &[u8]> {
    mountinfo.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The first field of such a line.
pub(crate) fn mount_id_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

/// The mount points of this process, unescaped.
pub(crate) fn mount_points() -> Vec<PathBuf> {
    let bytes = std::fs::read("/proc/self/mountinfo").unwrap();
    let points = entries(&bytes).filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(|point| OsString::from_vec(unescape(point)).into()).collect()
}

/// Unmounts every mount below a directory, the innermost first.
fn unmount_below(root: &Path) {
    let root = root.canonicalize().unwrap();
    let mut points = mount_points();
    points.retain(|point| point.starts_with(&root));
    points.sort_by_key(|point| std::cmp::Reverse(point.as_os_str().len()));
    for point in points {
        umount2(&point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).ok();
    }
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut parts = field.split(|byte| *byte == b'\\');
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(3);
        plain.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 8).unwrap());
        plain.extend_from_slice(rest);
    }
    plain
}
