//! The Lustre client module: whether it is loaded, its version, and its `health_check` (`obdclass/obd_sysfs.c`).

use std::io;

use super::read::{ClientStatePaths, Observed, one_line, unreadable};

/// The directory that is there while the module is.
pub(super) const MODULE: &str = "/sys/module/lustre";
const VERSIONS: [&str; 3] = ["/sys/fs/lustre/version", "/sys/module/lustre/version", "/proc/fs/lustre/version"];
const HEALTH: [&str; 2] = ["/sys/fs/lustre/health_check", "/proc/fs/lustre/health_check"];

/// The Lustre client of this node's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whether the module is loaded. If not, whether the kernel could load it is unknown: it tries at the first mount.
    pub loaded: Observed<bool>,
    /// Such as `2.15.5`; none if the module does not report it.
    pub version: Option<String>,
    /// What it says of itself.
    pub health: Observed<Health>,
}

/// Lustre's own check. It is about failed assertions and local devices, not about servers that cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Nothing is wrong.
    Healthy,
    /// A device of this node is not well, with what is said about it.
    Unhealthy(String),
    /// An assertion of Lustre failed; only a restart of the node helps.
    Broken,
}

/// Reads the files of sysfs, or of procfs for older versions.
pub fn read(paths: &ClientStatePaths) -> Client {
    let version = VERSIONS.iter().find_map(|path| paths.line(path));
    // The place of newer versions is the one to name when there is none.
    let place = HEALTH.into_iter().find(|path| paths.text(path).is_ok()).unwrap_or(HEALTH[0]);
    Client {
        loaded: loaded(paths),
        version: version.map(|line| plain_version(&line)),
        health: paths.observe(place).and_then(|text| parse_health(&text)),
    }
}

fn loaded(paths: &ClientStatePaths) -> Observed<bool> {
    let registered = || paths.text("/proc/filesystems").is_ok_and(|text| lists_lustre(&text));
    match std::fs::metadata(paths.at(MODULE)) {
        Ok(_) => Observed::Known(true),
        Err(_) if registered() => Observed::Known(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound && paths.at("/sys/module").is_dir() => {
            Observed::Known(false)
        }
        Err(error) => Observed::Unknown(unreadable(MODULE, &error)),
    }
}

/// Whether `/proc/filesystems` lists the type: `nodev<tab>lustre`.
pub(super) fn lists_lustre(text: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().last() == Some("lustre"))
}

/// `lustre: 2.12.9` of older versions is `2.12.9`.
fn plain_version(line: &str) -> String {
    one_line(line.strip_prefix("lustre:").unwrap_or(line).trim())
}

/// `healthy`, `NOT HEALTHY` with lines about devices before it, or `LBUG`.
pub(super) fn parse_health(text: &str) -> Observed<Health> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let sick = |line: &&str| line.contains("NOT HEALTHY") || line.contains("unhealthy");
    if lines.iter().any(|line| line.contains("LBUG")) {
        Observed::Known(Health::Broken)
    } else if lines.iter().any(sick) {
        let about: String = one_line(&lines.join("; ")).chars().take(300).collect();
        Observed::Known(Health::Unhealthy(about))
    } else if lines.contains(&"healthy") {
        Observed::Known(Health::Healthy)
    } else {
        Observed::Unknown("the health file says neither `healthy` nor `NOT HEALTHY`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    #[test]
    fn a_loaded_client_tells_version_and_health() {
        let tree = Tree::client();
        let client = read(&tree.paths());
        assert_eq!((client.loaded, client.version.as_deref()), (Observed::Known(true), Some("2.17.57")));
        assert_eq!(client.health, Observed::Known(Health::Healthy));
    }

    #[test]
    fn older_places_and_forms_are_understood() {
        let tree = Tree::default();
        tree.write("/proc/filesystems", "nodev\tsysfs\n\text4\nnodev\tlustre\n");
        tree.write("/proc/fs/lustre/version", "lustre: 2.12.9\nkernel: patchless\n");
        tree.write("/proc/fs/lustre/health_check", "healthy\n");
        let client = read(&tree.paths());
        assert_eq!((client.loaded, client.version.as_deref()), (Observed::Known(true), Some("2.12.9")));
        assert_eq!(client.health, Observed::Known(Health::Healthy));
        assert!(!lists_lustre("nodev\tlustrefs\nlustre x\n") && !lists_lustre(""));
    }

    #[test]
    fn absent_is_known_only_where_sysfs_is_there_to_say_so() {
        let tree = Tree::default();
        assert!(read(&tree.paths()).loaded.unknown().unwrap().contains(MODULE));
        tree.write("/sys/module/ext4/refcnt", "1\n");
        let client = read(&tree.paths());
        assert_eq!((client.loaded, client.version), (Observed::Known(false), None));
        assert!(client.health.unknown().unwrap().contains("/sys/fs/lustre/health_check"));
    }

    #[test]
    fn every_health_is_told_apart() {
        for (text, health) in [
            ("healthy\n", Some(Health::Healthy)),
            ("NOT HEALTHY\n", Some(Health::Unhealthy("NOT HEALTHY".to_owned()))),
            (
                "device lustrefs-OST0001 reported unhealthy\nNOT HEALTHY\n",
                Some(Health::Unhealthy("device lustrefs-OST0001 reported unhealthy; NOT HEALTHY".to_owned())),
            ),
            ("LBUG\n", Some(Health::Broken)),
            ("NOT HEALTHY\nLBUG\n", Some(Health::Broken)),
            ("", None),
            ("fine\n", None),
        ] {
            assert_eq!(parse_health(text).known(), health.as_ref(), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_but_the_word_is_healthy(text in any::<String>()) {
            let said = text.lines().any(|line| line.trim() == "healthy");
            let sick = ["LBUG", "unhealthy", "NOT HEALTHY"].into_iter().any(|word| text.contains(word));
            prop_assert_eq!(parse_health(&text) == Observed::Known(Health::Healthy), said && !sick);
            let sick = format!("{text}\nNOT HEALTHY\nhealthy");
            prop_assert_ne!(parse_health(&sick), Observed::Known(Health::Healthy));
        }
    }
}
