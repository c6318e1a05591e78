//! Debian binary packages (deb(5)) by dpkg-deb(1): name, SHA-256 and content.

use std::path::Path;
use std::time::Duration;

use super::files::{self, is_link_within_root, is_within_root};
use super::request::{KMOD, PackageRequest};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::tools::Invocation;

/// The version of every package with modules; the client's version is a part of the package's name.
pub(super) const VERSION: &str = "1";
/// Time limit of unpacking.
const LIMIT: Duration = Duration::from_mins(2);

/// The package's name, which contains kernel and client.
pub(super) fn name(request: &PackageRequest<'_>) -> String {
    format!("{KMOD}-{}-{}", request.kernel, request.client)
}

/// Whether the control file of a package has the requested name, version and architecture.
pub(super) fn is_requested(request: &PackageRequest<'_>, package: &Path) -> Result<bool, SetupError> {
    let format = "--showformat=${Package} ${Version} ${Architecture}";
    let run = Invocation::new("dpkg-deb", [format.into(), "-W".into(), request.arg(package)]);
    let shown = request.run(&format!("cannot read package {}", package.display()), &run)?.text();
    Ok(shown.trim() == format!("{} {VERSION} {}", name(request), request.machine.debian()))
}

/// Rejects a package file of the node whose SHA-256 no setting accepts: a `.deb` has no signature of its own.
pub(super) fn verify_hash(request: &PackageRequest<'_>, package: &Path) -> Result<(), SetupError> {
    let hash = files::sha256(&request.host.at(package)).map_err(|error| files::failed("read", package, &error))?;
    if request.source.accepts(&hash) {
        return Ok(());
    }
    Err(SetupError::wrong_setting(
        request.cannot_fetch(),
        format!("{} has SHA-256 {hash}, which package-sha256 does not name", package.display()),
        "Compare the hash with the one of the package's origin, then add it to package-sha256; or remove the file.",
    ))
}

/// Unpacks a package into the empty directory `root`, if every entry stays within it.
pub(super) fn unpack(request: &PackageRequest<'_>, package: &Path, root: &Path) -> Result<(), SetupError> {
    let what = format!("cannot unpack package {}", package.display());
    let run = |option: &str, dir: Option<&Path>| {
        let args = [option.into(), request.arg(package)].into_iter().chain(dir.map(|dir| request.arg(dir)));
        request.run(&what, &Invocation::new("dpkg-deb", args).within(LIMIT))
    };
    let contents = run("-c", None)?.text();
    if let Some(entry) = contents.lines().find(|line| !is_entry_within_root(line)) {
        return Err(request.unusable(package, &format!("it has an entry that leads out of it: {entry}")));
    }
    run("-x", Some(root)).map(drop)
}

/// Whether an entry of `dpkg-deb -c` (as `tar -tv`: mode, owner, size, date, time, name) is a directory, a file, or a link,
/// and leads to nothing outside of the package.
fn is_entry_within_root(line: &str) -> bool {
    let (Some(kind), Some(name)) = (line.chars().next(), entry_name(line)) else { return false };
    let is_within = |name: &str| is_within_root(Path::new(""), Path::new(name));
    match kind {
        'd' | '-' => is_within(name),
        'l' => name_and_target(name, " -> ")
            .is_some_and(|(name, target)| is_link_within_root(Path::new(name), Path::new(target))),
        'h' => name_and_target(name, " link to ").is_some_and(|(name, target)| is_within(name) && is_within(target)),
        _ => false,
    }
}

/// Name and target of a link; `None` if the separator occurs twice, since either may be part of a name.
fn name_and_target<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(separator).filter(|(_, target)| !target.contains(separator))
}

/// The text after the fifth word.
fn entry_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for _ in 0..5 {
        rest = rest.trim_start();
        rest = &rest[rest.find(char::is_whitespace)?..];
    }
    Some(rest.trim_start()).filter(|name| !name.is_empty())
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
            assert_eq!(is_entry_within_root(line), expected, "{line}");
        }
    }
}
