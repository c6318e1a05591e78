//! Unpacking a package file into the staging directory.

use std::ffi::OsString;
use std::path::{Component, Path};
use std::time::Duration;

use super::{Job, PackageFile};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::layout::PrivateDir;
use crate::adapters::node_setup::os::Os;
use crate::adapters::node_setup::ports::PlannedStep;
use crate::adapters::node_setup::tools::Invocation;

/// How long unpacking may take.
const LIMIT: Duration = Duration::from_mins(2);

impl Job<'_> {
    /// Unpacks `path` into the empty directory `root`, both as the host sees them.
    pub(super) fn extract(&self, path: &Path, root: &Path) -> Result<(), SetupError> {
        if self.os == Os::AzureLinux3 {
            return self.extract_rpm(path, root);
        }
        let seen = self.host.path_in_host(path).into_os_string();
        let what = || format!("cannot unpack package {}", path.display());
        let contents =
            self.run(what, &Invocation::new("dpkg-deb", [OsString::from("-c"), seen.clone()]).within(LIMIT))?;
        if let Some(entry) = contents.text().lines().find(|line| !stays_inside(line)) {
            let package = PackageFile { path: path.to_owned(), downloaded: path.starts_with(PrivateDir::apt_dir()) };
            return Err(self.unusable(&package, &format!("it has an entry that leads out of it: {entry}")));
        }
        let args = [OsString::from("-x"), seen, self.host.path_in_host(root).into_os_string()];
        self.run(what, &Invocation::new("dpkg-deb", args).within(LIMIT)).map(drop)
    }

    pub(super) fn planned_unpacking(&self) -> Vec<PlannedStep> {
        let root = self.host.path_in_host(PrivateDir::unpacked(self.kernel, self.client)).join("root");
        let unpack = if self.os == Os::AzureLinux3 { "rpm2cpio … | cpio -idm" } else { "dpkg-deb -x …" };
        vec![
            PlannedStep::new(
                "unpack the package and check its modules",
                format!("{unpack} to {}", root.display()),
                "only modules of this kernel and client are accepted",
            ),
            PlannedStep::new(
                "index the modules",
                self.depmod(&PrivateDir::unpacked(self.kernel, self.client).join("root")).command_line(),
                "modprobe needs the index",
            ),
        ]
    }
}

/// Whether an entry of `dpkg-deb -c` (as `tar -tv`: mode, owner, size, date, time, name) is a directory, a file, or a link, and
/// leads to nothing outside of the package.
fn stays_inside(line: &str) -> bool {
    let (Some(kind), Some(name)) = (line.chars().next(), name_of(line)) else { return false };
    match kind {
        'd' | '-' => is_inside(Path::new(name), Path::new("")),
        'l' => {
            separated(name, " -> ").is_some_and(|(name, target)| link_stays_inside(Path::new(name), Path::new(target)))
        }
        'h' => separated(name, " link to ").is_some_and(|(name, target)| {
            is_inside(Path::new(name), Path::new("")) && is_inside(Path::new(target), Path::new(""))
        }),
        _ => false,
    }
}

/// Name and target of a link; none if the separator stands there twice, since it is not known which one is meant.
fn separated<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(separator).filter(|(_, target)| !target.contains(separator))
}

/// What follows the fifth word.
fn name_of(line: &str) -> Option<&str> {
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace)?..];
    }
    Some(rest.trim_start()).filter(|name| !name.is_empty())
}

/// Whether the symbolic link `name` with this target leads to nothing outside of the root that `name` is relative to. A `..`
/// behind a name is refused, since the name may be a link itself.
pub(super) fn link_stays_inside(name: &Path, target: &Path) -> bool {
    let mut parts = target.components().skip_while(|part| matches!(part, Component::ParentDir | Component::CurDir));
    let dir = name.parent().unwrap_or(Path::new(""));
    is_inside(name, Path::new("")) && is_inside(target, dir) && parts.all(|part| part != Component::ParentDir)
}

/// Whether `path`, taken from `dir`, never leaves the root.
fn is_inside(path: &Path, dir: &Path) -> bool {
    let mut depth = 0_usize;
    dir.components().chain(path.components()).all(|part| match part {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => {
            let above = depth.checked_sub(1);
            depth = above.unwrap_or_default();
            above.is_some()
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_lead_out_of_a_package_are_refused() {
        for (line, expected) in [
            ("drwxr-xr-x root/root         0 2026-01-01 00:00 ./", true),
            ("-rw-r--r-- root/root      1234 2026-01-01 00:00 ./lib/modules/k/lnet.ko", true),
            ("-rw-r--r-- root/root      1234 2026-01-01 00:00 ./a name with spaces", true),
            ("lrwxrwxrwx root/root         0 2026-01-01 00:00 ./a/b -> ../c", true),
            ("hrw-r--r-- root/root         0 2026-01-01 00:00 ./a link to ./b", true),
            ("lrwxrwxrwx root/root         0 2026-01-01 00:00 ./a/b -> ../../c", false),
            ("lrwxrwxrwx root/root         0 2026-01-01 00:00 ./a -> /etc", false),
            ("lrwxrwxrwx root/root         0 2026-01-01 00:00 ./a/b -> ../c/../d", false),
            ("hrw-r--r-- root/root         0 2026-01-01 00:00 ./a link to ../etc/passwd", false),
            ("lrwxrwxrwx root/root         0 2026-01-01 00:00 ./a -> b -> /etc", false),
            ("hrw-r--r-- root/root         0 2026-01-01 00:00 ./a link to b link to /etc/passwd", false),
            ("-rw-r--r-- root/root         0 2026-01-01 00:00 ../etc/passwd", false),
            ("-rw-r--r-- root/root         0 2026-01-01 00:00 ./a/../../b", false),
            ("-rw-r--r-- root/root         0 2026-01-01 00:00 /etc/passwd", false),
            ("crw-r--r-- root/root       1,3 2026-01-01 00:00 ./null", false),
            ("prw-r--r-- root/root         0 2026-01-01 00:00 ./fifo", false),
            ("", false),
            ("lrwxrwxrwx root/root", false),
        ] {
            assert_eq!(stays_inside(line), expected, "{line}");
        }
    }
}
