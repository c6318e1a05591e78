//! A kernel whose Lustre is one tree of directories: mounts of one source share its data, servers stop, calls hang and fail.
//!
//! All of the kernel adapter runs as it does with Lustre; only its system calls are replaced (`syscalls`): mount(2) binds a
//! directory of the tree after the checks of a server, and mountinfo shows that bind mount as the requested Lustre mount.

mod syscalls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use azurelustre_csi::adapters::kernel::syscalls::{Kernel, SysError, Syscalls};
use azurelustre_csi::domain::mount_source::{Host, MountSource};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::mounts::{entries, mount_id, mount_id_of};

/// The kernel of one machine, and the servers that it can reach.
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
    /// Lustre mounts by their mount IDs in mountinfo: source, and whether read-only.
    mounts: BTreeMap<u64, (String, bool)>,
    /// Names of calls that hang until they are released, and how many hang now.
    hanging: BTreeMap<String, usize>,
    /// Lustre mounts that are shown as bind mounts of a directory.
    bound: BTreeSet<u64>,
    /// Names of calls that fail and have no effect.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Starts a server with an empty file system.
    pub(crate) fn serve(&self, address: Ipv4Addr) {
        std::fs::create_dir_all(self.files(address)).unwrap();
        let mut state = self.state();
        state.serving.insert(address);
        state.listening.insert(address.into());
    }

    /// Stops a server.
    pub(crate) fn stop(&self, address: Ipv4Addr) {
        let mut state = self.state();
        state.serving.remove(&address);
        state.listening.remove(&IpAddr::V4(address));
    }

    /// Where a server keeps its files.
    pub(crate) fn files(&self, address: Ipv4Addr) -> PathBuf {
        self.tree.join(address.to_string())
    }

    /// Gives a host its addresses.
    pub(crate) fn host(&self, name: &str, addresses: &[IpAddr]) {
        self.state().hosts.insert(name.to_owned(), addresses.to_vec());
    }

    /// From now on a host cannot be resolved.
    pub(crate) fn host_is_unknown(&self, name: &str) {
        self.state().hosts.remove(name);
    }

    /// Opens or closes the port of a server, independently of its file system.
    pub(crate) fn listen(&self, address: IpAddr, listens: bool) {
        let mut state = self.state();
        if listens {
            state.listening.insert(address)
        } else {
            state.listening.remove(&address)
        };
    }

    /// From now on calls of this name hang: `mount 10.0.0.4@tcp`, `unmount /path` before it is done, `unmounted /path`
    /// after, `statfs /path`.
    pub(crate) fn hang(&self, call: &str) {
        self.state().hanging.insert(call.to_owned(), 0);
    }

    /// Releases all calls of this name that hang, and lets later ones pass.
    pub(crate) fn release(&self, call: &str) {
        self.state().hanging.remove(call);
        self.changed.notify_all();
    }

    /// How many calls of this name hang.
    pub(crate) fn hanging(&self, call: &str) -> usize {
        self.state().hanging.get(call).copied().unwrap_or_default()
    }

    /// From now on calls of this name fail: `mount /path`, `statfs /path`, `plain /path`, `detach /path`, `connect`.
    pub(crate) fn fail(&self, call: &str, errno: Option<Errno>) {
        self.fail_with(call, errno.map(SysError::from));
    }

    /// The same with any number.
    pub(crate) fn fail_with(&self, call: &str, errno: Option<SysError>) {
        let mut state = self.state();
        match errno {
            Some(errno) => state.failing.insert(call.to_owned(), errno),
            None => state.failing.remove(call),
        };
    }

    /// From now on the client knows `unique_fsid`, or the kernel runs `SELinux`.
    pub(crate) fn become_special(&self, is_microsofts: bool, has_selinux: bool) {
        let mut state = self.state();
        (state.is_microsofts, state.has_selinux) = (is_microsofts, has_selinux);
    }

    /// From now on the client shows this version, and knows the options of that version.
    pub(crate) fn become_version(&self, version: &'static str) {
        self.state().client_version = Some(version);
    }

    /// From now on each mount shows its devices below this directory, in the place of `/`.
    pub(crate) fn show_devices_below(&self, root: &Path) {
        self.state().devices_below = Some(root.to_owned());
    }

    /// What a mount adds to sysfs: an instance, an OSC and an MDC with a client's own values.
    fn show_devices(&self, source: &MountSource, number: u64) -> io::Result<()> {
        let Some(root) = self.state().devices_below.clone() else { return Ok(()) };
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
        self.state().options.clone()
    }

    /// From now on it behaves as Lustre 2.17.
    pub(crate) fn become_2_17(&self) {
        self.state().is_2_17 = true;
    }

    /// Shows the mount at a path as a bind mount of a directory of Lustre.
    pub(crate) fn show_as_bind(&self, path: &Path) {
        let number = mount_id(path).unwrap();
        self.state().bound.insert(number);
    }

    /// From now on each mount takes this long.
    pub(crate) fn slow_down(&self, slowness: Duration) {
        self.state().slowness = slowness;
    }

    /// Every call so far that changes something.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Blocks while calls of this name hang.
    fn hang_if_set(&self, call: &str) {
        let mut state = self.state();
        while let Some(count) = state.hanging.get_mut(call) {
            *count += 1;
            state = self.changed.wait(state).unwrap();
            if let Some(count) = state.hanging.get_mut(call) {
                *count -= 1;
            }
        }
    }

    /// The error that calls of this name are to fail with.
    fn fail_if_set(&self, call: &str) -> Result<(), SysError> {
        self.state().failing.get(call).copied().map_or(Ok(()), Err)
    }

    /// The directory that a source names, after the checks of a server.
    fn serve_directory(&self, source: &MountSource) -> Result<PathBuf, Errno> {
        let numeric = |host: &Host| match host {
            Host::V4(address) => Ok(*address),
            _ => Err(Errno::EINVAL),
        };
        let addresses: Vec<Ipv4Addr> =
            source.mgs.servers().iter().flatten().map(|nid| numeric(&nid.host)).collect::<Result<_, _>>()?;
        let serving = self.state().serving.clone();
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
        let mount = mount_id(path).ok()?;
        MountSource::parse(&self.state().mounts.get(&mount)?.0).ok()
    }

    /// Removes mounts that are unmounted from the state, since the kernel uses mount IDs again.
    fn forget_unmounted(&self) {
        // In this order: a mount that is entered meanwhile is either listed or waits for the lock.
        let mut state = self.state();
        let listed: BTreeSet<u64> = entries(&Kernel.mountinfo().unwrap()).filter_map(mount_id_of).collect();
        state.mounts.retain(|mount, _| listed.contains(mount));
    }
}

impl Drop for TreeKernel {
    fn drop(&mut self) {
        umount2(&self.tree, MntFlags::MNT_DETACH).ok();
    }
}
