//! A kernel whose Lustre is one tree of directories: mounts of one source share its data, servers stop, calls hang.
//!
//! Why below the adapter and not beside it: everything of the kernel adapter runs as it would with Lustre. Only the calls
//! themselves are replaced: mount(2) binds a directory of the tree after checking what a server would check, and
//! mountinfo shows that bind mount as the Lustre mount that was asked for. The rest is the real kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use azurelustre_csi::adapters::kernel::mount_args::MountArgs;
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, SysError, Syscalls, UnmountFlags};
use azurelustre_csi::domain::mount_source::{Host, MountSource};
use azurelustre_csi::ports::mounter::Usage;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// One machine's kernel, and the servers that it can reach.
#[derive(Debug)]
pub(crate) struct TreeKernel {
    tree: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    serving: BTreeSet<Ipv4Addr>,
    listening: BTreeSet<IpAddr>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    /// Lustre mounts by their numbers in mountinfo: source, and whether read-only.
    mounts: BTreeMap<u64, (String, bool)>,
    /// What hangs until it is released, and how often it hangs now.
    hanging: BTreeMap<String, usize>,
    /// Lustre mounts that are shown as bind mounts of a directory.
    bound: BTreeSet<u64>,
    /// What fails instead of being done.
    failing: BTreeMap<String, SysError>,
    /// Whether it is Lustre 2.17: the source is shown without escapes, and cut off at a comma of the directory.
    is_2_17: bool,
    /// Whether it is a build of Microsoft, which knows `unique_fsid`.
    is_microsofts: bool,
    /// Whether the kernel runs `SELinux`.
    has_selinux: bool,
    /// What `/sys/module/lustre/version` shows.
    client_version: Option<&'static str>,
    /// Directory in the place of `/`, below which each mount shows its devices.
    devices_below: Option<PathBuf>,
    /// The options that reached mount(2), without the device.
    options: Vec<String>,
    /// How long each mount takes.
    slowness: Duration,
    /// Every call that changes something, in words.
    calls: Vec<String>,
}

impl TreeKernel {
    /// A kernel whose servers keep their files in a tmpfs at this path, which must not exist.
    pub(crate) fn new(tree: &Path) -> io::Result<Self> {
        std::fs::create_dir(tree)?;
        mount(Some("tree"), tree, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        Ok(Self { tree: tree.to_owned(), state: Mutex::default(), changed: Condvar::new() })
    }

    /// Starts a server with an empty file system.
    pub(crate) fn serve(&self, address: Ipv4Addr) {
        std::fs::create_dir_all(self.files(address)).unwrap();
        let mut state = self.state.lock().unwrap();
        state.serving.insert(address);
        state.listening.insert(address.into());
    }

    /// Stops a server.
    pub(crate) fn stop(&self, address: Ipv4Addr) {
        let mut state = self.state.lock().unwrap();
        state.serving.remove(&address);
        state.listening.remove(&IpAddr::V4(address));
    }

    /// Where a server keeps its files.
    pub(crate) fn files(&self, address: Ipv4Addr) -> PathBuf {
        self.tree.join(address.to_string())
    }

    /// Gives a host its addresses.
    pub(crate) fn host(&self, name: &str, addresses: &[IpAddr]) {
        self.state.lock().unwrap().hosts.insert(name.to_owned(), addresses.to_vec());
    }

    /// From now on a host cannot be resolved.
    pub(crate) fn host_is_unknown(&self, name: &str) {
        self.state.lock().unwrap().hosts.remove(name);
    }

    /// Lets a port answer or not, whatever the server does.
    pub(crate) fn listen(&self, address: IpAddr, listens: bool) {
        let mut state = self.state.lock().unwrap();
        if listens {
            state.listening.insert(address)
        } else {
            state.listening.remove(&address)
        };
    }

    /// From now on calls of this name hang: `mount 10.0.0.4@tcp`, `unmount /path` before it is done, `unmounted /path`
    /// after, `statfs /path`.
    pub(crate) fn hang(&self, what: &str) {
        self.state.lock().unwrap().hanging.insert(what.to_owned(), 0);
    }

    /// Lets all calls of this name go on.
    pub(crate) fn release(&self, what: &str) {
        self.state.lock().unwrap().hanging.remove(what);
        self.changed.notify_all();
    }

    /// How many calls of this name hang.
    pub(crate) fn hanging(&self, what: &str) -> usize {
        self.state.lock().unwrap().hanging.get(what).copied().unwrap_or_default()
    }

    /// From now on calls of this name fail: `mount /path`, `statfs /path`, `plain /path`, `detach /path`, `connect`.
    pub(crate) fn fail(&self, what: &str, errno: Option<Errno>) {
        self.fail_with(what, errno.map(SysError::from));
    }

    /// The same with any number.
    pub(crate) fn fail_with(&self, what: &str, errno: Option<SysError>) {
        let mut state = self.state.lock().unwrap();
        match errno {
            Some(errno) => state.failing.insert(what.to_owned(), errno),
            None => state.failing.remove(what),
        };
    }

    /// From now on the client knows `unique_fsid`, or the kernel runs `SELinux`.
    pub(crate) fn become_special(&self, is_microsofts: bool, has_selinux: bool) {
        let mut state = self.state.lock().unwrap();
        (state.is_microsofts, state.has_selinux) = (is_microsofts, has_selinux);
    }

    /// From now on the client shows this version, and knows the options of that version.
    pub(crate) fn become_version(&self, version: &'static str) {
        self.state.lock().unwrap().client_version = Some(version);
    }

    /// From now on each mount shows its devices below this directory, in the place of `/`.
    pub(crate) fn show_devices_below(&self, root: &Path) {
        self.state.lock().unwrap().devices_below = Some(root.to_owned());
    }

    /// What a mount adds to sysfs: an instance, an OSC and an MDC with a client's own values.
    fn show_devices(&self, source: &MountSource, number: u64) -> io::Result<()> {
        let Some(root) = self.state.lock().unwrap().devices_below.clone() else { return Ok(()) };
        let (lustre, fs) = (root.join("sys/fs/lustre"), source.fs_name.as_str());
        std::fs::create_dir_all(lustre.join(format!("llite/{fs}-ffff{number}")))?;
        for (device_type, target, files) in [
            ("osc", "OST0000", [("max_rpcs_in_flight", "8"), ("max_dirty_mb", "2000")]),
            ("mdc", "MDT0000", [("max_rpcs_in_flight", "8"), ("max_mod_rpcs_in_flight", "7")]),
        ] {
            let device = lustre.join(device_type).join(format!("{fs}-{target}-{device_type}-ffff{number}"));
            std::fs::create_dir_all(&device)?;
            files.iter().try_for_each(|(file, value)| std::fs::write(device.join(file), format!("{value}\n")))?;
        }
        Ok(())
    }

    /// The options of Lustre of every mount(2) so far.
    pub(crate) fn options(&self) -> Vec<String> {
        self.state.lock().unwrap().options.clone()
    }

    /// From now on it behaves as Lustre 2.17.
    pub(crate) fn become_2_17(&self) {
        self.state.lock().unwrap().is_2_17 = true;
    }

    /// Shows the mount at a path as a bind mount of a directory of Lustre.
    pub(crate) fn show_as_bind(&self, path: &Path) {
        let number = mount_number(path).unwrap();
        self.state.lock().unwrap().bound.insert(number);
    }

    /// From now on each mount takes this long.
    pub(crate) fn slow_down(&self, slowness: Duration) {
        self.state.lock().unwrap().slowness = slowness;
    }

    /// Every call so far that changes something.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    fn pass(&self, what: &str) {
        let mut state = self.state.lock().unwrap();
        while let Some(count) = state.hanging.get_mut(what) {
            *count += 1;
            state = self.changed.wait(state).unwrap();
            if let Some(count) = state.hanging.get_mut(what) {
                *count -= 1;
            }
        }
    }

    fn may(&self, what: &str) -> Result<(), SysError> {
        self.state.lock().unwrap().failing.get(what).copied().map_or(Ok(()), Err)
    }

    /// The directory that a source names, after the checks of a server.
    fn serve_directory(&self, source: &MountSource) -> Result<PathBuf, Errno> {
        let numeric = |host: &Host| match host {
            Host::V4(address) => Ok(*address),
            _ => Err(Errno::EINVAL),
        };
        let addresses: Vec<Ipv4Addr> =
            source.mgs.servers().iter().flatten().map(|nid| numeric(&nid.host)).collect::<Result<_, _>>()?;
        let serving = self.state.lock().unwrap().serving.clone();
        let address = addresses.into_iter().find(|address| serving.contains(address)).ok_or(Errno::ETIMEDOUT)?;
        if source.fs_name.as_str() != "lustrefs" {
            return Err(Errno::ENOENT);
        }
        let mut directory = self.files(address);
        for name in source.sub_dir.iter().flat_map(|dir| dir.as_str().split('/')) {
            directory.push(name);
            let found = std::fs::symlink_metadata(&directory).map_err(|_| Errno::ENOENT)?;
            found.is_dir().then_some(()).ok_or(Errno::ENOTDIR)?;
        }
        Ok(directory)
    }

    fn source_at(&self, path: &Path) -> Option<MountSource> {
        let mount = mount_number(path).ok()?;
        MountSource::parse(&self.state.lock().unwrap().mounts.get(&mount)?.0).ok()
    }

    /// Forgets mounts that are gone: their numbers are used again.
    fn prune(&self) {
        // In this order: a mount that is entered meanwhile is either listed or waits for the lock.
        let mut state = self.state.lock().unwrap();
        let listed: BTreeSet<u64> = lines(&Kernel.mountinfo().unwrap()).filter_map(number_of).collect();
        state.mounts.retain(|mount, _| listed.contains(mount));
    }
}

/// The number of the mount that a path is on.
fn mount_number(path: &Path) -> io::Result<u64> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap();
    Ok(number.trim().parse().unwrap())
}

fn lines(mountinfo: &[u8]) -> impl Iterator<Item = &[u8]> {
    mountinfo.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn number_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

/// The device up to a comma behind the file system, and what follows.
fn cut_at_comma(device: &str) -> (&str, &str) {
    let path = device.find(":/").unwrap_or(0);
    device[path..].find(',').map_or((device, ""), |comma| (&device[..path + comma], &device[path + comma + 1..]))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

impl Syscalls for TreeKernel {
    fn mount(&self, call: &MountArgs, directory: &File) -> Result<(), SysError> {
        let words = format!("mount {} {}", call.source, call.target.display());
        self.state.lock().unwrap().calls.push(words);
        self.may(&format!("mount {}", call.target.display()))?;
        let (options, device) = call.data.split_once("device=").ok_or(Errno::ENODEV)?;
        let (device, rest) = if self.state.lock().unwrap().is_2_17 { cut_at_comma(device) } else { (device, "") };
        let mut known = vec!["flock", "noflock", "user_xattr"];
        {
            let mut state = self.state.lock().unwrap();
            state.options.push(options.trim_end_matches(',').to_owned());
            known.extend(state.is_microsofts.then_some("unique_fsid"));
            known.extend(state.has_selinux.then_some("context=a:b:c:s0"));
            known.extend(state.client_version.is_some_and(|version| version >= "2.17").then_some("statfs_project"));
        }
        let valid =
            options.split(',').chain(rest.split(',')).all(|option| option.is_empty() || known.contains(&option));
        (valid && call.fs_type == "lustre").then_some(()).ok_or(Errno::EINVAL)?;
        let source = MountSource::parse(device).map_err(|_| Errno::EINVAL)?;
        self.pass(&format!("mount {}", source.mgs));
        let slowness = self.state.lock().unwrap().slowness;
        std::thread::sleep(slowness);
        let from = self.serve_directory(&source)?;
        let onto = format!("/proc/self/fd/{}", directory.as_raw_fd());
        mount(Some(&from), onto.as_str(), None::<&Path>, MsFlags::MS_BIND, None::<&Path>)?;
        let flags = MsFlags::from_bits_truncate(call.flags.bits());
        let read_only = flags.contains(MsFlags::MS_RDONLY);
        let kept = flags & (MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC);
        let change = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | kept;
        let changed = mount(None::<&Path>, &call.target, None::<&Path>, change, None::<&Path>);
        match changed.and_then(|()| mount_number(&call.target).map_err(|_| Errno::EIO)) {
            Ok(number) => {
                self.state.lock().unwrap().mounts.insert(number, (device.to_owned(), read_only));
                self.show_devices(&source, number).map_err(|_| Errno::EIO)?;
                Ok(())
            }
            // As mount(2), which leaves nothing when it fails.
            Err(errno) => Ok(umount2(&call.target, MntFlags::MNT_DETACH).and(Err(errno))?),
        }
    }

    fn unmount(&self, target: &Path, how: UnmountFlags) -> Result<(), SysError> {
        let word = match how {
            UnmountFlags::Plain => "plain",
            UnmountFlags::Detach => "detach",
        };
        let words = format!("{word} {}", target.display());
        self.state.lock().unwrap().calls.push(words.clone());
        self.may(&words)?;
        if how == UnmountFlags::Plain {
            self.pass(&format!("unmount {}", target.display()));
        }
        Kernel.unmount(target, how)?;
        self.prune();
        self.pass(&format!("unmounted {}", target.display()));
        Ok(())
    }

    fn statfs(&self, path: &Path) -> Result<Usage, SysError> {
        let words = format!("statfs {}", path.display());
        self.pass(&words);
        self.may(&words)?;
        if let Some(source) = self.source_at(path) {
            let root = MountSource { sub_dir: None, ..source };
            self.serve_directory(&root).map_err(|_| Errno::ENOTCONN)?;
        }
        Kernel.statfs(path)
    }

    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        let bytes = Kernel.mountinfo()?;
        let state = self.state.lock().unwrap();
        let mut shown = Vec::new();
        for line in lines(&bytes) {
            match number_of(line).and_then(|number| state.mounts.get(&number)) {
                None => shown.extend_from_slice(line),
                Some((source, read_only)) => {
                    let is_bound = number_of(line).is_some_and(|number| state.bound.contains(&number));
                    let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
                    fields[3] = if is_bound { b"/sub" } else { b"/" };
                    fields.truncate(fields.iter().position(|field| *field == b"-").unwrap());
                    let access = if *read_only { "ro" } else { "rw" };
                    let shown_source = if state.is_2_17 { source.clone() } else { escape(source) };
                    let added = format!(" - lustre {shown_source} {access},flock,lazystatfs,checksum");
                    shown.extend_from_slice(&[fields.join(&b' '), added.into_bytes()].concat());
                }
            }
            shown.push(b'\n');
        }
        Ok(shown)
    }

    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let known = self.state.lock().unwrap().hosts.get(host).cloned();
        known.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn connect(&self, address: SocketAddr, _: Duration) -> io::Result<()> {
        self.may("connect").map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        let state = self.state.lock().unwrap();
        let listens = address.port() == 988 && state.listening.contains(&address.ip());
        if listens { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    fn client_version(&self) -> Option<String> {
        self.state.lock().unwrap().client_version.map(|version| format!("{version}\n"))
    }

    fn has_selinux(&self) -> bool {
        self.state.lock().unwrap().has_selinux
    }

    fn may_mount(&self) -> bool {
        true
    }
}

impl Drop for TreeKernel {
    fn drop(&mut self) {
        umount2(&self.tree, MntFlags::MNT_DETACH).ok();
    }
}

/// The points of all mounts of this process, unescaped.
pub(crate) fn mount_points() -> Vec<PathBuf> {
    let bytes = Kernel.mountinfo().unwrap();
    let points = lines(&bytes).filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(|point| OsString::from_vec(unescape(point)).into()).collect()
}

/// Takes away every mount below a directory, the innermost first.
pub(crate) fn unmount_below(root: &Path) {
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
