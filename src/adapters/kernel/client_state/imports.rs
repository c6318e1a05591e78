//! Imports: the client's connections to MGS, MDTs and OSTs, from the `import` file of each device.
//!
//! The files (`lprocfs_import_seq_show` in `obdclass/lprocfs_status.c`) show the state of a connection without a request
//! to the server. They are in procfs up to Lustre 2.15 and in debugfs since, and each may block on the lock of its own
//! import while Lustre waits for the server.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use super::blocking_calls::{BlockingCalls, PANICKED};
use super::files::{KernelFiles, one_line, unreadable};

/// Directories of the devices, the newest Lustre's first.
const DIRECTORIES: [&str; 3] = ["/sys/kernel/debug/lustre", "/proc/fs/lustre", "/sys/fs/lustre"];

/// Most devices that are read; a file system of 1000 targets that is mounted 50 times has more.
const MOST_DEVICES: usize = 4096;

/// Type of a client device, by the server at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceType {
    /// Of an MGS (configuration); shared by all mounts of it.
    Mgc,
    /// Of an MDT (names and attributes).
    Mdc,
    /// Of an OST (contents).
    Osc,
}

impl DeviceType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Mgc, Self::Mdc, Self::Osc];

    /// Lustre's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mgc => "mgc",
            Self::Mdc => "mdc",
            Self::Osc => "osc",
        }
    }
}

/// One client device, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// Its type.
    pub device_type: DeviceType,
    /// Such as `lustrefs-MDT0000-mdc-ffff8b0c4a5d8000` or `MGC10.0.0.4@tcp`.
    pub name: String,
}

impl Device {
    /// File system, target (`MDT0000`) and instance (the kernel's number of a mount, which no file connects to a path); none
    /// for the device of an MGS.
    pub fn parts(&self) -> Option<(&str, &str, &str)> {
        let (rest, instance) = self.name.rsplit_once('-')?;
        let rest = rest.strip_suffix(self.device_type.name())?.strip_suffix('-')?;
        let (file_system, target) = rest.rsplit_once('-')?;
        (self.device_type != DeviceType::Mgc).then_some((file_system, target, instance))
    }

    /// The NID after which the device of an MGS is named: the first one of the mounts that share it.
    pub fn mgs_nid(&self) -> Option<&str> {
        self.name.strip_prefix("MGC").filter(|_| self.device_type == DeviceType::Mgc)
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
    /// this client, and the client recovers.
    Recovering(String),
    /// No server answers: `DISCONN`, `CONNECTING`, `NEW`, `CLOSED`; or the import was deactivated or invalidated in any
    /// state, such as `FULL (deactive)`.
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

    /// The state that follows from the import's flags as well: a deactivated import sends nothing, an invalidated one only
    /// recovers.
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

/// The imports of the wanted devices, sorted by device. One that blocks past the limit is unknown, and so are those after
/// it. The error is why not even the devices could be listed within the limit.
pub fn read_all(
    calls: &BlockingCalls,
    files: &KernelFiles,
    wanted: impl Fn(&Device) -> bool + Send + 'static,
) -> Result<Vec<Import>, String> {
    let files = files.clone();
    // First all devices, then each with its state.
    let (results, incomplete) = calls.stream(move |results| {
        let devices: Vec<Device> = devices(&files).into_iter().filter(wanted).collect();
        let mut sent = results.send(devices.iter().cloned().map(|device| unknown(device, "")).collect::<Vec<_>>());
        for device in devices {
            if sent.is_err() {
                return;
            }
            sent = results.send(vec![read(&files, device)]);
        }
    });
    let why = incomplete.as_deref().unwrap_or(PANICKED);
    let mut results = results.into_iter();
    let listed = results.next().ok_or(why)?;
    let mut imports: Vec<Import> = results.flatten().collect();
    imports.extend(listed.into_iter().skip(imports.len()).map(|import| unknown(import.device, why)));
    Ok(imports)
}

fn unknown(device: Device, why: &str) -> Import {
    Import { device, state: ImportState::Unknown(why.to_owned()), nids: Vec::new() }
}

/// All devices, sorted, each once. A directory that cannot be listed is left out.
fn devices(files: &KernelFiles) -> Vec<Device> {
    let mut found = BTreeSet::new();
    for (device_type, directory) in DeviceType::ALL.into_iter().flat_map(|kind| DIRECTORIES.map(|path| (kind, path))) {
        let directory = files.path(format!("{directory}/{}", device_type.name()));
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten().take(MOST_DEVICES) {
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type().is_ok_and(|t| t.is_dir())) {
                found.insert(Device { device_type, name });
            }
        }
    }
    found.into_iter().take(MOST_DEVICES).collect()
}

/// The import of a device. May block.
fn read(files: &KernelFiles, device: Device) -> Import {
    let mut failed: Option<String> = None;
    for directory in DIRECTORIES {
        let path = format!("{directory}/{}/{}/import", device.device_type.name(), device.name);
        match files.attribute(&path) {
            Ok(text) => {
                let (state, nids) = parse(&text);
                return Import { device, state, nids };
            }
            // A directory that has the file and refuses it explains more than one that does not have it.
            Err(error) if failed.is_none() || error.kind() != io::ErrorKind::NotFound => {
                failed = Some(unreadable(&path, &error));
            }
            Err(_) => {}
        }
    }
    unknown(device, &failed.unwrap_or_default())
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

    fn device(device_type: DeviceType, name: &str) -> Device {
        Device { device_type, name: name.to_owned() }
    }

    #[test]
    fn an_import_has_state_and_servers() {
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
        for malformed in
            ["", "import:\n", "current_state: FULL", "state:\n", "state: <UNKNOWN>", "state: full", "state: BETTER"]
        {
            assert!(matches!(parse(malformed).0, ImportState::Unknown(_)), "{malformed}");
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
    fn names_of_devices_are_split_from_the_right() {
        let mdc = device(DeviceType::Mdc, "my-fs-MDT0000-mdc-ffff8b0c4a5d8000");
        assert_eq!(mdc.parts(), Some(("my-fs", "MDT0000", "ffff8b0c4a5d8000")));
        assert_eq!(device(DeviceType::Osc, "lustrefs-OST000a-osc-1").parts(), Some(("lustrefs", "OST000a", "1")));
        for malformed in ["", "-", "MDT0000-mdc-1", "lustrefs-MDT0000-osc-1", "lustrefs-MDT0000-xmdc-1"] {
            assert_eq!(device(DeviceType::Mdc, malformed).parts(), None, "{malformed}");
        }
        let mgc = device(DeviceType::Mgc, "MGC10.0.0.4@tcp");
        assert_eq!((mgc.mgs_nid(), mgc.parts(), mdc.mgs_nid()), (Some("10.0.0.4@tcp"), None, None));
    }

    #[test]
    fn files_are_found_in_every_directory_and_devices_listed_once() {
        let tree = Tree::client();
        tree.write("/proc/fs/lustre/osc/lustrefs-OST0001-osc-ffff01/import", &import("IDLE", "10.99.0.1@tcp"));
        tree.write("/sys/fs/lustre/osc/lustrefs-OST0002-osc-ffff01/uuid", "x\n");
        tree.write("/sys/fs/lustre/mdc/lustrefs-MDT0000-mdc-ffff01/uuid", "x\n");
        tree.write("/sys/fs/lustre/mdc/no-directory", "x\n");
        let imports: Vec<Import> =
            devices(&tree.files()).into_iter().map(|device| read(&tree.files(), device)).collect();
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
        fn every_text_and_name_is_accepted(text in any::<String>(), name in "[a-zA-Z0-9@.-]{0,40}") {
            let (state, nids) = parse(&text);
            prop_assert!(nids.iter().all(|nid| !nid.chars().any(char::is_control)));
            prop_assert!(!state.to_string().chars().any(char::is_control));
            for device_type in DeviceType::ALL {
                let device = device(device_type, &name);
                if let Some((file_system, target, instance)) = device.parts() {
                    prop_assert_eq!(format!("{file_system}-{target}-{}-{instance}", device_type.name()), name.as_str());
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
