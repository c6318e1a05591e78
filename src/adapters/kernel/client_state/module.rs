//! The Lustre client module: whether it is loaded, its version, and its `health_check` (`obdclass/obd_sysfs.c`).

use std::io;

use super::files::{KernelFiles, one_line, unreadable};

/// The directory that exists while the module is loaded.
pub(super) const MODULE: &str = "/sys/module/lustre";
const VERSIONS: [&str; 3] = ["/sys/fs/lustre/version", "/sys/module/lustre/version", "/proc/fs/lustre/version"];
const HEALTH: [&str; 2] = ["/sys/fs/lustre/health_check", "/proc/fs/lustre/health_check"];

/// The Lustre client of this node's kernel. An error is why a value is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whether the module is loaded. If not, whether the kernel could load it is unknown: it tries at the first mount.
    pub loaded: Result<bool, String>,
    /// Such as `2.15.5`; none if the module does not report it.
    pub version: Option<String>,
    /// What its `health_check` reports.
    pub health: Result<Health, String>,
}

/// Lustre's own check. It is about failed assertions and local devices, not about servers that cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// `healthy`.
    Healthy,
    /// `NOT HEALTHY`: a device of this node, with the text about it.
    Unhealthy(String),
    /// `LBUG`: an assertion of Lustre failed; only a restart of the node helps.
    Lbug,
}

impl Client {
    /// A client of which nothing is known, for this reason.
    pub(super) fn unknown(why: String) -> Self {
        Self { loaded: Err(why.clone()), version: None, health: Err(why) }
    }
}

/// Reads the files of sysfs, or of procfs for older versions.
pub fn read(files: &KernelFiles) -> Client {
    let version = VERSIONS.iter().find_map(|path| files.first_line(path));
    // If no version's file exists, the error names the newest.
    let health = HEALTH.iter().find_map(|path| files.text(path).ok()).map_or_else(|| files.text(HEALTH[0]), Ok);
    Client {
        loaded: loaded(files),
        version: version.map(|line| plain_version(&line)),
        health: health.and_then(|text| parse_health(&text)),
    }
}

fn loaded(files: &KernelFiles) -> Result<bool, String> {
    let registered = || files.text("/proc/filesystems").is_ok_and(|text| lists_lustre(&text));
    match std::fs::metadata(files.path(MODULE)) {
        Ok(_) => Ok(true),
        Err(_) if registered() => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound && files.path("/sys/module").is_dir() => Ok(false),
        Err(error) => Err(unreadable(MODULE, &error)),
    }
}

/// Whether `/proc/filesystems` lists the type: `nodev<tab>lustre`.
fn lists_lustre(text: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().last() == Some("lustre"))
}

/// `lustre: 2.12.9` of older versions is `2.12.9`.
fn plain_version(line: &str) -> String {
    one_line(line.strip_prefix("lustre:").unwrap_or(line).trim())
}

/// `healthy`, `NOT HEALTHY` with lines about devices before it, or `LBUG`.
fn parse_health(text: &str) -> Result<Health, String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let contains = |word: &str| lines.iter().any(|line| line.contains(word));
    if contains("LBUG") {
        Ok(Health::Lbug)
    } else if contains("NOT HEALTHY") || contains("unhealthy") {
        Ok(Health::Unhealthy(one_line(&lines.join("; ")).chars().take(300).collect()))
    } else if lines.contains(&"healthy") {
        Ok(Health::Healthy)
    } else {
        Err("the health file contains neither `healthy` nor `NOT HEALTHY`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    #[test]
    fn a_loaded_client_has_version_and_health() {
        let tree = Tree::client();
        let client = read(&tree.files());
        assert_eq!((client.loaded, client.version.as_deref()), (Ok(true), Some("2.17.57")));
        assert_eq!(client.health, Ok(Health::Healthy));
    }

    #[test]
    fn older_paths_and_forms_are_read() {
        let tree = Tree::default();
        tree.write("/proc/filesystems", "nodev\tsysfs\n\text4\nnodev\tlustre\n");
        tree.write("/proc/fs/lustre/version", "lustre: 2.12.9\nkernel: patchless\n");
        tree.write("/proc/fs/lustre/health_check", "healthy\n");
        let client = read(&tree.files());
        assert_eq!((client.loaded, client.version.as_deref()), (Ok(true), Some("2.12.9")));
        assert_eq!(client.health, Ok(Health::Healthy));
        assert!(!lists_lustre("nodev\tlustrefs\nlustre x\n") && !lists_lustre(""));
    }

    #[test]
    fn absent_is_known_only_where_sysfs_is_visible() {
        let tree = Tree::default();
        assert!(read(&tree.files()).loaded.unwrap_err().contains(MODULE));
        tree.write("/sys/module/ext4/refcnt", "1\n");
        let client = read(&tree.files());
        assert_eq!((client.loaded, client.version), (Ok(false), None));
        assert!(client.health.unwrap_err().contains("/sys/fs/lustre/health_check"));
    }

    #[test]
    fn every_health_is_distinguished() {
        for (text, health) in [
            ("healthy\n", Some(Health::Healthy)),
            ("NOT HEALTHY\n", Some(Health::Unhealthy("NOT HEALTHY".to_owned()))),
            (
                "device lustrefs-OST0001 reported unhealthy\nNOT HEALTHY\n",
                Some(Health::Unhealthy("device lustrefs-OST0001 reported unhealthy; NOT HEALTHY".to_owned())),
            ),
            ("LBUG\n", Some(Health::Lbug)),
            ("NOT HEALTHY\nLBUG\n", Some(Health::Lbug)),
            ("", None),
            ("fine\n", None),
        ] {
            assert_eq!(parse_health(text).ok(), health, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_but_the_word_is_healthy(text in any::<String>()) {
            let healthy = text.lines().any(|line| line.trim() == "healthy");
            let unhealthy = ["LBUG", "unhealthy", "NOT HEALTHY"].into_iter().any(|word| text.contains(word));
            prop_assert_eq!(parse_health(&text) == Ok(Health::Healthy), healthy && !unhealthy);
            let unhealthy = format!("{text}\nNOT HEALTHY\nhealthy");
            prop_assert_ne!(parse_health(&unhealthy), Ok(Health::Healthy));
        }
    }
}
