//! Connections to servers, from the `import` file of each Lustre device.
//!
//! Why it exists: asking a file system whose servers are gone takes the caller with it. These files tell the same without
//! a request to any server. They moved between versions (proc up to 2.15, debugfs since), and each may block on the lock
//! of its own connection.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use super::read::{FactPaths, one_line, unreadable};

/// Where devices are listed and their files found, the likeliest to hold them first.
const PLACES: [&str; 3] = ["/sys/kernel/debug/lustre", "/proc/fs/lustre", "/sys/fs/lustre"];

/// Devices that are looked at; a file system of 1000 targets mounted 50 times has more, and tells enough with these.
const MOST_DEVICES: usize = 4096;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Configuration, from an MGS; shared by all mounts of it.
    Management,
    /// Names and attributes, from an MDT.
    Metadata,
    /// Contents, from an OST.
    Objects,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Management, Self::Metadata, Self::Objects];

    /// The type of the devices that make such connections.
    pub fn device_type(self) -> &'static str {
        match self {
            Self::Management => "mgc",
            Self::Metadata => "mdc",
            Self::Objects => "osc",
        }
    }
}

/// One device and what its name tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// What it connects to.
    pub service: Service,
    /// Such as `lustrefs-MDT0000-mdc-ffff8b0c4a5d8000` or `MGC10.0.0.4@tcp`.
    pub name: String,
}

impl Device {
    /// File system, target (`MDT0000`) and mount (a number of the kernel that no file connects to a path), for devices of
    /// a file system.
    pub fn parts(&self) -> Option<(&str, &str, &str)> {
        let (rest, mount) = self.name.rsplit_once('-')?;
        let rest = rest.strip_suffix(self.service.device_type())?.strip_suffix('-')?;
        let (file_system, target) = rest.rsplit_once('-')?;
        (self.service != Service::Management).then_some((file_system, target, mount))
    }

    /// The NID after which a management device is named: the first one of the mounts that share it.
    pub fn mgs_nid(&self) -> Option<&str> {
        if self.service == Service::Management { self.name.strip_prefix("MGC") } else { None }
    }
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportState {
    /// `FULL`: in use. The kernel may take a while to notice that a server is gone.
    Connected,
    /// `IDLE`: given up by the client because nobody needed it; it comes back when somebody does.
    Idle,
    /// Anything else, as the kernel says it: `DISCONN`, `CONNECTING`, `EVICTED`, `FULL (deactive)` …
    Lost(String),
    /// Not known, for this reason.
    Unknown(String),
}

impl fmt::Display for ImportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("FULL"),
            Self::Idle => f.write_str("IDLE"),
            Self::Lost(state) => f.write_str(state),
            Self::Unknown(why) => write!(f, "unknown ({why})"),
        }
    }
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Whose it is.
    pub device: Device,
    /// How it is.
    pub state: ImportState,
    /// NIDs at which its server may be.
    pub nids: Vec<String>,
}

/// All devices, sorted, each once. A place that cannot be listed is passed over.
pub(super) fn devices(paths: &FactPaths) -> Vec<Device> {
    let mut found = BTreeSet::new();
    for service in Service::ALL {
        for place in PLACES {
            let folder = paths.at(format!("{place}/{}", service.device_type()));
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_DEVICES) {
                if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type().is_ok_and(|t| t.is_dir()))
                {
                    found.insert(Device { service, name });
                }
            }
        }
    }
    found.into_iter().take(MOST_DEVICES).collect()
}

/// The connection of a device. May block.
pub(super) fn read(paths: &FactPaths, device: Device) -> Import {
    let mut told = None;
    for place in PLACES {
        let path = format!("{place}/{}/{}/import", device.service.device_type(), device.name);
        match paths.text(&path) {
            Ok(text) => {
                let (state, nids) = parse(&text);
                return Import { device, state, nids };
            }
            // The first place that has the file and refuses it tells more than one that never had it.
            Err(error) if told.is_none() || error.kind() != io::ErrorKind::NotFound => {
                told = Some(unreadable(&path, &error));
            }
            Err(_) => {}
        }
    }
    let why = told.unwrap_or_else(|| "no import file".to_owned());
    Import { device, state: ImportState::Unknown(why), nids: Vec::new() }
}

/// Reads the state and the servers' NIDs out of an import file; the rest of it may say what it likes. A connection that
/// was deactivated or made invalid is lost whatever its state says: that is how Lustre itself judges.
pub(super) fn parse(text: &str) -> (ImportState, Vec<String>) {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.trim().split_once(':'));
        lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim()).next()
    };
    let list = |key: &str| {
        let words = value(key).unwrap_or_default().trim_matches(['[', ']']).split(',');
        words.map(|word| word.trim().trim_matches('"')).filter(|word| !word.is_empty()).map(one_line)
    };
    let mut nids: Vec<String> = list("failover_nids").collect();
    let current = value("current_connection").map(|nid| one_line(nid.trim_matches('"')));
    nids.extend(current.filter(|nid| nid.contains('@') && !nids.contains(nid)));
    let off: Vec<String> = list("import_flags").filter(|flag| flag == "invalid" || flag == "deactive").collect();
    let state = match value("state") {
        None | Some("") => ImportState::Unknown("the import file names no state".to_owned()),
        Some(state) if !off.is_empty() => ImportState::Lost(format!("{} ({})", one_line(state), off.join(", "))),
        Some("FULL") => ImportState::Connected,
        Some("IDLE") => ImportState::Idle,
        Some(state) => ImportState::Lost(one_line(state)),
    };
    (state, nids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::kernel::facts::tests::{Tree, import};

    fn device(service: Service, name: &str) -> Device {
        Device { service, name: name.to_owned() }
    }

    #[test]
    fn an_import_tells_state_and_servers() {
        let (state, nids) = parse(&import("FULL", "10.99.0.1@tcp"));
        assert_eq!((state, nids), (ImportState::Connected, vec!["10.99.0.1@tcp".to_owned()]));
        let newer = "import:\n    state: DISCONN\n    import_flags: [ replayable, pingable ]\n    connection:\n       failover_nids: [ \"10.0.0.4@tcp\", \"10.0.0.5@tcp\" ]\n       nids_stats:\n          \"10.0.0.4@tcp\": { connects: 1 }\n       current_connection: \"<none>\"\n";
        let (state, nids) = parse(newer);
        assert_eq!(state, ImportState::Lost("DISCONN".to_owned()));
        assert_eq!(nids, ["10.0.0.4@tcp", "10.0.0.5@tcp"]);
    }

    #[test]
    fn only_full_and_idle_are_well_and_only_while_active() {
        assert_eq!(parse("state: IDLE").0, ImportState::Idle);
        for state in ["CLOSED", "NEW", "DISCONN", "CONNECTING", "REPLAY", "RECOVER", "EVICTED", "<UNKNOWN>", "full"] {
            assert_eq!(parse(&format!("state: {state}")).0, ImportState::Lost(state.to_owned()));
        }
        let forced = import("FULL", "10.99.0.1@tcp").replace("replayable,", "invalid, deactive, replayable,");
        assert_eq!(parse(&forced).0, ImportState::Lost("FULL (invalid, deactive)".to_owned()));
        for odd in ["", "import:\n", "current_state: FULL", "state:\n"] {
            assert!(matches!(parse(odd).0, ImportState::Unknown(_)), "{odd}");
        }
    }

    #[test]
    fn names_of_devices_are_taken_apart_from_the_right() {
        let mdc = device(Service::Metadata, "my-fs-MDT0000-mdc-ffff8b0c4a5d8000");
        assert_eq!(mdc.parts(), Some(("my-fs", "MDT0000", "ffff8b0c4a5d8000")));
        assert_eq!(device(Service::Objects, "lustrefs-OST000a-osc-1").parts(), Some(("lustrefs", "OST000a", "1")));
        for odd in ["", "-", "MDT0000-mdc-1", "lustrefs-MDT0000-osc-1", "lustrefs-MDT0000-xmdc-1"] {
            assert_eq!(device(Service::Metadata, odd).parts(), None, "{odd}");
        }
        let mgc = device(Service::Management, "MGC10.0.0.4@tcp");
        assert_eq!((mgc.mgs_nid(), mgc.parts(), mdc.mgs_nid()), (Some("10.0.0.4@tcp"), None, None));
    }

    #[test]
    fn files_are_found_in_every_place_and_devices_listed_once() {
        let tree = Tree::client();
        tree.write("/proc/fs/lustre/osc/lustrefs-OST0001-osc-ffff01/import", &import("IDLE", "10.99.0.1@tcp"));
        tree.write("/sys/fs/lustre/osc/lustrefs-OST0002-osc-ffff01/uuid", "x\n");
        tree.write("/sys/fs/lustre/mdc/lustrefs-MDT0000-mdc-ffff01/uuid", "x\n");
        tree.write("/sys/fs/lustre/mdc/no-directory", "x\n");
        let imports: Vec<Import> =
            devices(&tree.paths()).into_iter().map(|device| read(&tree.paths(), device)).collect();
        let shown: Vec<_> = imports.iter().map(|import| (import.device.name.as_str(), &import.state)).collect();
        assert_eq!(
            shown[..4],
            [
                ("MGC10.99.0.1@tcp", &ImportState::Connected),
                ("lustrefs-MDT0000-mdc-ffff01", &ImportState::Connected),
                ("lustrefs-OST0000-osc-ffff01", &ImportState::Connected),
                ("lustrefs-OST0001-osc-ffff01", &ImportState::Idle),
            ]
        );
        let ("lustrefs-OST0002-osc-ffff01", ImportState::Unknown(why)) = shown[4] else { panic!("{shown:?}") };
        assert!(why.contains("is debugfs mounted"), "{why}");
        assert_eq!(shown.len(), 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_and_no_name_is_too_odd(text in any::<String>(), name in "[a-zA-Z0-9@.-]{0,40}") {
            let (state, nids) = parse(&text);
            prop_assert!(nids.iter().all(|nid| !nid.chars().any(char::is_control)));
            prop_assert!(!state.to_string().chars().any(char::is_control));
            for service in Service::ALL {
                let device = device(service, &name);
                if let Some((file_system, target, mount)) = device.parts() {
                    prop_assert_eq!(format!("{file_system}-{target}-{}-{mount}", service.device_type()), name.as_str());
                }
            }
        }

        #[test]
        fn the_state_is_found_among_lines_of_any_kind(
            before in proptest::collection::vec("[ ]{0,8}[a-z_]{6,12}: [a-z0-9 ]{0,20}", 0..9), state in "[A-Z_]{1,12}",
        ) {
            let (found, _) = parse(&format!("import:\n{}\n    state: {state}\n    later: x\n", before.join("\n")));
            prop_assert_eq!(found.to_string(), state);
        }
    }
}
