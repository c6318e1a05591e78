//! The system calls of a [`TreeKernel`]: bind mounts of its tree, shown as Lustre mounts; the rest is the real kernel's.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use azurelustre_csi::adapters::kernel::mount_args::MountArgs;
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, SysError, Syscalls, UnmountFlags};
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::ports::mounter::Usage;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::TreeKernel;
use crate::fakes::mounts::{entries, mount_id, mount_id_of};

/// The port of the Lustre network on a server (`accept_port` of LNet's socklnd, Lustre manual section 15).
const LNET_PORT: u16 = 988;

/// The device up to a comma behind the file system, and what follows.
fn cut_at_comma(device: &str) -> (&str, &str) {
    let path = device.find(":/").unwrap_or(0);
    device[path..].find(',').map_or((device, ""), |comma| (&device[..path + comma], &device[path + comma + 1..]))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

impl TreeKernel {
    /// Whether the client has this option, so that mount(2) does not fail with `EINVAL`.
    fn knows_option(&self, option: &str) -> bool {
        let state = self.state();
        match option {
            "" | "flock" | "noflock" | "user_xattr" => true,
            "unique_fsid" => state.is_microsofts,
            "context=a:b:c:s0" => state.has_selinux,
            "statfs_project" => state.client_version.is_some_and(|version| version >= "2.17"),
            _ => false,
        }
    }
}

impl Syscalls for TreeKernel {
    fn mount(&self, call: &MountArgs, directory: &File) -> Result<(), SysError> {
        let words = format!("mount {} {}", call.source, call.target.display());
        self.state().calls.push(words);
        self.fail_if_set(&format!("mount {}", call.target.display()))?;
        let (options, device) = call.data.split_once("device=").ok_or(Errno::ENODEV)?;
        let (device, rest) = if self.state().is_2_17 { cut_at_comma(device) } else { (device, "") };
        let options = options.trim_end_matches(',');
        self.state().options.push(options.to_owned());
        let is_valid = options.split(',').chain(rest.split(',')).all(|option| self.knows_option(option));
        (is_valid && call.fs_type == "lustre").then_some(()).ok_or(Errno::EINVAL)?;
        let source = MountSource::parse(device).map_err(|_| Errno::EINVAL)?;
        self.hang_if_set(&format!("mount {}", source.mgs));
        let slowness = self.state().slowness;
        std::thread::sleep(slowness);
        let from = self.serve_directory(&source)?;
        let onto = format!("/proc/self/fd/{}", directory.as_raw_fd());
        mount(Some(&from), onto.as_str(), None::<&Path>, MsFlags::MS_BIND, None::<&Path>)?;
        let flags = MsFlags::from_bits_truncate(call.flags.bits());
        let read_only = flags.contains(MsFlags::MS_RDONLY);
        let kept = flags & (MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC);
        let change = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | kept;
        let changed = mount(None::<&Path>, &call.target, None::<&Path>, change, None::<&Path>);
        match changed.and_then(|()| mount_id(&call.target).map_err(|_| Errno::EIO)) {
            Ok(number) => {
                self.state().mounts.insert(number, (device.to_owned(), read_only));
                self.show_devices(&source, number).map_err(|_| Errno::EIO)?;
                Ok(())
            }
            // As mount(2), which leaves nothing when it fails.
            Err(errno) => Ok(umount2(&call.target, MntFlags::MNT_DETACH).and(Err(errno))?),
        }
    }

    fn unmount(&self, target: &Path, flags: UnmountFlags) -> Result<(), SysError> {
        let word = match flags {
            UnmountFlags::Plain => "plain",
            UnmountFlags::Detach => "detach",
        };
        let words = format!("{word} {}", target.display());
        self.state().calls.push(words.clone());
        self.fail_if_set(&words)?;
        if flags == UnmountFlags::Plain {
            self.hang_if_set(&format!("unmount {}", target.display()));
        }
        Kernel.unmount(target, flags)?;
        self.forget_unmounted();
        self.hang_if_set(&format!("unmounted {}", target.display()));
        Ok(())
    }

    fn statfs(&self, path: &Path) -> Result<Usage, SysError> {
        let words = format!("statfs {}", path.display());
        self.hang_if_set(&words);
        self.fail_if_set(&words)?;
        if let Some(source) = self.source_at(path) {
            let root = MountSource { sub_dir: None, ..source };
            self.serve_directory(&root).map_err(|_| Errno::ENOTCONN)?;
        }
        Kernel.statfs(path)
    }

    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        let bytes = Kernel.mountinfo()?;
        let state = self.state();
        let mut shown = Vec::new();
        for line in entries(&bytes) {
            match mount_id_of(line).and_then(|number| state.mounts.get(&number)) {
                None => shown.extend_from_slice(line),
                Some((source, read_only)) => {
                    let is_bound = mount_id_of(line).is_some_and(|number| state.bound.contains(&number));
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
        let known = self.state().hosts.get(host).cloned();
        known.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn connect(&self, address: SocketAddr, _: Duration) -> io::Result<()> {
        self.fail_if_set("connect").map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        let state = self.state();
        let listens = address.port() == LNET_PORT && state.listening.contains(&address.ip());
        if listens { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    fn client_version(&self) -> Option<String> {
        self.state().client_version.map(|version| format!("{version}\n"))
    }

    fn has_selinux(&self) -> bool {
        self.state().has_selinux
    }

    fn may_mount(&self) -> bool {
        true
    }
}
