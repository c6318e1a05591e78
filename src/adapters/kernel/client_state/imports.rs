//! Imports: the client's connections to MGS, MDTs and OSTs, from the `import` file of each device.
//!
//! The files (`lprocfs_import_seq_show` in `obdclass/lprocfs_status.c`) say how the client stands with a server without a
//! request to it. They are in procfs up to Lustre 2.15 and in debugfs since, and each may block on the lock of its own
//! import while Lustre waits for the server.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use super::bounded::BoundedReads;
use super::read::{ClientStatePaths, Observed, one_line, unreadable};

/// Directories that hold devices and their files, the newest Lustre's first.
const PLACES: [&str; 3] = ["/sys/kernel/debug/lustre", "/proc/fs/lustre", "/sys/fs/lustre"];

/// Most devices that are read; a file system of 1000 targets that is mounted 50 times has more.
const MOST_DEVICES: usize = 4096;

/// Kind of the server at the other end.
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

    /// Lustre's name for the type of the device.
    pub fn device_type(self) -> &'static str {
        match self {
            Self::Management => "mgc",
            Self::Metadata => "mdc",
            Self::Objects => "osc",
        }
    }
}

/// One client device, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Kind of its server.
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

/// State of an import, as `enum lustre_imp_state` (`lustre_import.h`) has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportState {
    /// `FULL`: connected. The kernel may take a minute to notice that a server is gone.
    Full,
    /// `IDLE`: disconnected in good order because nothing was requested for a while; OSTs only.
    Idle,
    /// `REPLAY`, `REPLAY_LOCKS`, `REPLAY_WAIT`, `RECOVER` or `EVICTED`: the server has answered a connect or has evicted
    /// this client, and recovery goes on.
    Recovering(String),
    /// No server answers: `DISCONN`, `CONNECTING`, `NEW`, `CLOSED`; or the import was deactivated or invalidated, whatever
    /// its state, such as `FULL (deactive)`.
    Lost(String),
    /// Not known, for this reason.
    Unknown(String),
}

impl ImportState {
    /// The state without its flags.
    fn of_word(word: &str) -> Self {
        match word {
            "FULL" => Self::Full,
            "IDLE" => Self::Idle,
            "REPLAY" | "REPLAY_LOCKS" | "REPLAY_WAIT" | "RECOVER" | "EVICTED" => Self::Recovering(word.to_owned()),
            "DISCONN" | "CONNECTING" | "NEW" | "CLOSED" => Self::Lost(word.to_owned()),
            other => Self::Unknown(format!("the import file shows the state `{}`", one_line(other))),
        }
    }

    /// What the flags of an import make of its state: a deactivated one sends nothing, an invalidated one only recovers.
    fn with_flags(self, flags: &[String]) -> Self {
        let only_invalid = flags.iter().all(|flag| flag == "invalid");
        match self {
            state if flags.is_empty() => state,
            Self::Recovering(state) if only_invalid => Self::Recovering(state),
            Self::Unknown(why) => Self::Unknown(why),
            state => Self::Lost(format!("{state} ({})", flags.join(", "))),
        }
    }
}

impl fmt::Display for ImportState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("FULL"),
            Self::Idle => f.write_str("IDLE"),
            Self::Recovering(state) | Self::Lost(state) => f.write_str(state),
            Self::Unknown(why) => write!(f, "unknown ({why})"),
        }
    }
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its device.
    pub device: Device,
    /// Its state.
    pub state: ImportState,
    /// NIDs at which its server may be.
    pub nids: Vec<String>,
}

/// The imports of the devices that are wanted, sorted by device. One that blocks past the limit is unknown, and so are
/// those after it; unknown as a whole if not even the devices could be listed within the limit.
pub fn read_all(
    reads: &BoundedReads,
    paths: &ClientStatePaths,
    wanted: impl Fn(&Device) -> bool + Send + 'static,
) -> Observed<Vec<Import>> {
    let paths = paths.clone();
    let (steps, incomplete) = reads.collect(move |steps| {
        let devices: Vec<Device> = devices(&paths).into_iter().filter(wanted).collect();
        let mut received = steps.send(Step::Listed(devices.clone()));
        for device in devices {
            if received.is_err() {
                return;
            }
            received = steps.send(Step::Read(read(&paths, device)));
        }
    });
    complete(steps, incomplete.as_deref().unwrap_or("the thread that read panicked"))
}

/// What [`read_all`] receives from its thread.
#[derive(Debug)]
enum Step {
    Listed(Vec<Device>),
    Read(Import),
}

/// All devices that were listed, those that were not read as unknown.
fn complete(steps: Vec<Step>, why: &str) -> Observed<Vec<Import>> {
    let mut steps = steps.into_iter();
    let Some(Step::Listed(devices)) = steps.next() else { return Observed::Unknown(why.to_owned()) };
    let mut imports: Vec<Import> = steps
        .filter_map(|step| match step {
            Step::Read(import) => Some(import),
            Step::Listed(_) => None,
        })
        .collect();
    let unread = devices.into_iter().skip(imports.len()).map(|device| Import {
        device,
        state: ImportState::Unknown(why.to_owned()),
        nids: Vec::new(),
    });
    imports.extend(unread);
    Observed::Known(imports)
}

/// All devices, sorted, each once. A directory that cannot be listed is left out.
fn devices(paths: &ClientStatePaths) -> Vec<Device> {
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

/// The import of a device. May block.
fn read(paths: &ClientStatePaths, device: Device) -> Import {
    let mut refused = None;
    for place in PLACES {
        let path = format!("{place}/{}/{}/import", device.service.device_type(), device.name);
        match paths.text(&path) {
            Ok(text) => {
                let (state, nids) = parse(&text);
                return Import { device, state, nids };
            }
            // A place that has the file and refuses it explains more than one that never had it.
            Err(error) if refused.is_none() || error.kind() != io::ErrorKind::NotFound => {
                refused = Some(unreadable(&path, &error));
            }
            Err(_) => {}
        }
    }
    let why = refused.unwrap_or_else(|| "no import file".to_owned());
    Import { device, state: ImportState::Unknown(why), nids: Vec::new() }
}

/// Parses the state and the servers' NIDs of an import file; its other lines differ between versions and do not matter.
fn parse(text: &str) -> (ImportState, Vec<String>) {
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
        Some(word) => ImportState::of_word(word).with_flags(&off),
    };
    (state, nids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::kernel::client_state::tests::{Tree, import};

    fn device(service: Service, name: &str) -> Device {
        Device { service, name: name.to_owned() }
    }

    #[test]
    fn an_import_tells_state_and_servers() {
        let (state, nids) = parse(&import("FULL", "10.99.0.1@tcp"));
        assert_eq!((state, nids), (ImportState::Full, vec!["10.99.0.1@tcp".to_owned()]));
        let newer = "import:\n    state: DISCONN\n    import_flags: [ replayable, pingable ]\n    connection:\n       failover_nids: [ \"10.0.0.4@tcp\", \"10.0.0.5@tcp\" ]\n       nids_stats:\n          \"10.0.0.4@tcp\": { connects: 1 }\n       current_connection: \"<none>\"\n";
        let (state, nids) = parse(newer);
        assert_eq!(state, ImportState::Lost("DISCONN".to_owned()));
        assert_eq!(nids, ["10.0.0.4@tcp", "10.0.0.5@tcp"]);
    }

    #[test]
    fn states_are_classified_by_whether_a_server_answers() {
        assert_eq!(parse("state: FULL").0, ImportState::Full);
        assert_eq!(parse("state: IDLE").0, ImportState::Idle);
        for state in ["CLOSED", "NEW", "DISCONN", "CONNECTING"] {
            assert_eq!(parse(&format!("state: {state}")).0, ImportState::Lost(state.to_owned()));
        }
        for state in ["REPLAY", "REPLAY_LOCKS", "REPLAY_WAIT", "RECOVER", "EVICTED"] {
            assert_eq!(parse(&format!("state: {state}")).0, ImportState::Recovering(state.to_owned()));
        }
        for odd in
            ["", "import:\n", "current_state: FULL", "state:\n", "state: <UNKNOWN>", "state: full", "state: BETTER"]
        {
            assert!(matches!(parse(odd).0, ImportState::Unknown(_)), "{odd}");
        }
    }

    #[test]
    fn flags_of_an_import_count_more_than_its_state() {
        for (state, flags, expected) in [
            ("FULL", "invalid, deactive, ", ImportState::Lost("FULL (invalid, deactive)".to_owned())),
            ("FULL", "invalid, ", ImportState::Lost("FULL (invalid)".to_owned())),
            ("IDLE", "deactive, ", ImportState::Lost("IDLE (deactive)".to_owned())),
            ("EVICTED", "invalid, ", ImportState::Recovering("EVICTED".to_owned())),
            ("EVICTED", "invalid, deactive, ", ImportState::Lost("EVICTED (invalid, deactive)".to_owned())),
            ("DISCONN", "invalid, ", ImportState::Lost("DISCONN (invalid)".to_owned())),
        ] {
            let text = import(state, "10.99.0.1@tcp").replace("replayable,", &format!("{flags}replayable,"));
            assert_eq!(parse(&text).0, expected);
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
                ("MGC10.99.0.1@tcp", &ImportState::Full),
                ("lustrefs-MDT0000-mdc-ffff01", &ImportState::Full),
                ("lustrefs-OST0000-osc-ffff01", &ImportState::Full),
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
            before in proptest::collection::vec("[ ]{0,8}[a-z_]{6,12}: [a-z0-9 ]{0,20}", 0..9), state in "(FULL|IDLE|DISCONN|REPLAY_WAIT)",
        ) {
            let (found, _) = parse(&format!("import:\n{}\n    state: {state}\n    later: x\n", before.join("\n")));
            prop_assert_eq!(found.to_string(), state);
        }
    }
}
