//! Arguments of mount(2) for a Lustre source: type, flags and data (mount(2); `lustre/utils/mount_lustre.c`).
//!
//! Tests compare them with the calls that mount.lustre was observed to make. Two things differ from that helper: options
//! are matched whole by the domain, so that `nouser_xattr` is not lost as `nouser`, and a host name is replaced by its
//! address without `mgsname=`, which would hide the sub-directory from mountinfo.

use std::path::{Path, PathBuf};

use sys_mount::MountFlags;

use crate::domain::mount::FS_TYPE;
use crate::domain::mount_options::{AccessTime, MountOptions};
use crate::domain::mount_source::MountSource;

/// Most bytes of data: the kernel copies one page, of which the last byte is a zero, and truncates the rest without an
/// error (`copy_mount_options` in `fs/namespace.c`).
const DATA_MAX: usize = 4095;

/// The arguments of one mount(2) call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountArgs {
    /// `10.0.0.4@tcp:/lustrefs/dir`. Lustre itself reads `device=` only.
    pub source: String,
    /// Mount point, free of symbolic links.
    pub target: PathBuf,
    /// `lustre`, or the type that stands for it in tests.
    pub fs_type: String,
    /// Generic options.
    pub flags: MountFlags,
    /// Options of Lustre, and `device=` with the source as the last of them: Lustre takes everything after it as part of the
    /// device. Empty for any other type.
    pub data: String,
}

/// Source and options together are longer than mount(2) takes: a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl MountArgs {
    /// The arguments that mount a source at a target. Host names in the source must have been resolved.
    pub fn new(source: &MountSource, options: &MountOptions, target: &Path, fs_type: &str) -> Result<Self, TooLong> {
        let source = source.to_string();
        let data = if fs_type == FS_TYPE { data(&source, options) } else { String::new() };
        if data.len().max(source.len()) > DATA_MAX {
            return Err(TooLong);
        }
        Ok(Self { source, target: target.to_owned(), fs_type: fs_type.to_owned(), flags: flags(options), data })
    }
}

fn data(source: &str, options: &MountOptions) -> String {
    let device = format!("device={source}");
    let labels = options.selinux.iter().map(String::as_str);
    options.lustre.iter().copied().chain(labels).chain([device.as_str()]).collect::<Vec<_>>().join(",")
}

fn flags(options: &MountOptions) -> MountFlags {
    let access_time = match options.access_time {
        AccessTime::Strict => MountFlags::STRICTATIME,
        AccessTime::Relative => MountFlags::RELATIME,
        AccessTime::Never => MountFlags::NOATIME,
    };
    let switches = [
        (options.read_only, MountFlags::RDONLY),
        (options.no_suid, MountFlags::NOSUID),
        (options.no_dev, MountFlags::NODEV),
        (options.no_exec, MountFlags::NOEXEC),
        (options.synchronous, MountFlags::SYNCHRONOUS),
        (options.no_dir_atime, MountFlags::NODIRATIME),
    ];
    switches.into_iter().filter_map(|(on, flag)| on.then_some(flag)).fold(access_time, |all, flag| all | flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(source: &str, options: &str, fs_type: &str) -> Result<MountArgs, TooLong> {
        let flags: Vec<String> = options.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        let (source, options) = (MountSource::parse(source).unwrap(), MountOptions::parse(&flags).unwrap());
        MountArgs::new(&source, &options, Path::new("/target"), fs_type)
    }

    /// The calls that mount.lustre was observed to make, and those where it loses an option.
    #[test]
    fn calls_are_those_of_the_mount_helper() {
        const STRICT: MountFlags = MountFlags::STRICTATIME;
        let locked_down =
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
        let plain = "10.99.0.1@tcp:/lustrefs";
        for (source, options, flags, data) in [
            (plain, "", STRICT, "device=10.99.0.1@tcp:/lustrefs"),
            (
                "10.99.0.1@tcp0:/lustrefs/sub",
                "ro,noatime,nosuid,nodev,noexec,flock,_netdev,x-systemd.automount,user_xattr,lazystatfs",
                locked_down,
                "flock,user_xattr,lazystatfs,device=10.99.0.1@tcp:/lustrefs/sub",
            ),
            (plain, "relatime", MountFlags::RELATIME, "device=10.99.0.1@tcp:/lustrefs"),
            (
                plain,
                "defaults,nodiratime,nouser_xattr,rw",
                MountFlags::NODIRATIME | STRICT,
                "nouser_xattr,device=10.99.0.1@tcp:/lustrefs",
            ),
            (plain, "nofail,retry=5", STRICT, "device=10.99.0.1@tcp:/lustrefs"),
            (plain, "sync,strictatime", MountFlags::SYNCHRONOUS | STRICT, "device=10.99.0.1@tcp:/lustrefs"),
            (
                "10.0.0.4,10.1.0.4@tcp1:10.0.0.5@tcp0:/lustrefs//team a/b,c/",
                "",
                STRICT,
                "device=10.0.0.4@tcp,10.1.0.4@tcp1:10.0.0.5@tcp:/lustrefs/team a/b,c",
            ),
        ] {
            let args = args(source, options, FS_TYPE).unwrap();
            assert_eq!((args.flags, args.data.as_str()), (flags, data), "{source} {options}");
            assert_eq!(Some(args.source.as_str()), data.split_once("device=").map(|(_, device)| device));
            assert_eq!((args.fs_type.as_str(), args.target.as_path()), (FS_TYPE, Path::new("/target")));
        }
    }

    #[test]
    fn labels_come_before_the_device() {
        let labelled =
            args("10.0.0.4:/lustrefs", "flock,context=system_u:object_r:container_file_t:s0", FS_TYPE).unwrap();
        let data = "flock,context=system_u:object_r:container_file_t:s0,device=10.0.0.4@tcp:/lustrefs";
        assert_eq!(labelled.data, data);
    }

    #[test]
    fn other_types_get_no_options_of_lustre() {
        let args = args("10.0.0.4:/lustrefs", "flock,ro", "tmpfs").unwrap();
        assert_eq!((args.data.as_str(), args.source.as_str()), ("", "10.0.0.4@tcp:/lustrefs"));
        assert_eq!(args.flags, MountFlags::RDONLY | MountFlags::STRICTATIME);
    }

    /// A truncated device is another directory.
    #[test]
    fn data_that_the_kernel_would_truncate_is_refused() {
        let source = |names: usize| format!("10.0.0.4@tcp:/lustrefs/{}", vec!["x".repeat(250); names].join("/"));
        assert!(args(&source(16), "", FS_TYPE).is_ok());
        let longest = format!("{}/{}", source(16), "x".repeat(DATA_MAX - source(16).len() - "/device=".len()));
        assert_eq!(args(&longest, "", FS_TYPE).unwrap().data.len(), DATA_MAX);
        assert_eq!(args(&longest, "flock", FS_TYPE), Err(TooLong));
        assert_eq!(args(&format!("{longest}x"), "", FS_TYPE), Err(TooLong));
    }
}
