//! Client tuning: setting tunables of `/sys/fs/lustre/{osc,mdc}` for the devices of one mount.
//!
//! Each mount(2) of Lustre has an instance of its own, whose name ends the names of its devices
//! (`lustrefs-OST0000-osc-ffff8b0c4a5d8000`) and of its directory in `/sys/fs/lustre/llite` (`lustrefs-ffff8b0c4a5d8000`).
//! Nothing says which instance a mount point has, so the instances of the file system that appear during the mount are
//! tuned; a second mount of the driver in the same moment gets the same values anyway. Tuning never fails a mount. An OST
//! that is added to a file system later keeps the client's own values until the next mount.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::client_state::{BlockingCalls, KernelFiles};
use crate::domain::client_tuning::{ClientTuning, Tunable};
use crate::domain::mount_source::FsName;

/// Directory of the instances.
const INSTANCES: &str = "/sys/fs/lustre/llite";

/// Sets the tunables of new mounts.
#[derive(Debug)]
pub(super) struct Tuner {
    paths: KernelFiles,
    wanted: ClientTuning,
    /// A store may wait for a lock that Lustre holds while it waits for a server, as an `import` does.
    writes: BlockingCalls,
    /// Warnings that were logged: each once in the life of the process.
    warned: Mutex<BTreeSet<String>>,
}

/// What was set and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Outcome {
    /// How many devices took a value.
    set: BTreeMap<Tunable, usize>,
    /// What no device has, or some refused, each with the reason.
    refused: Vec<String>,
}

impl Tuner {
    pub(super) fn new(paths: KernelFiles, wanted: ClientTuning) -> Self {
        Self { paths, wanted, writes: BlockingCalls::default(), warned: Mutex::default() }
    }

    /// The instances before a mount; none if nothing is to be set.
    pub(super) fn instances(&self) -> Option<BTreeSet<String>> {
        (!self.wanted.is_empty()).then(|| names(&self.paths.path(INSTANCES)))
    }

    /// Sets the tunables of the instances of this file system that were not there before. Waits for at most the limit of
    /// [`BlockingCalls`]; what takes longer goes on alone.
    pub(super) fn tune(&self, fs_name: &FsName, before: Option<&BTreeSet<String>>) {
        let Some(before) = before else { return };
        let new: Vec<String> = names(&self.paths.path(INSTANCES))
            .difference(before)
            .filter_map(|name| name.strip_prefix(fs_name.as_str())?.strip_prefix('-'))
            .filter(|instance| !instance.contains('-'))
            .map(str::to_owned)
            .collect();
        if new.is_empty() {
            self.warn(format!("no new mount shows in {INSTANCES}"));
            return;
        }
        let (paths, wanted) = (self.paths.clone(), self.wanted.clone());
        match self.writes.run(move || set(&paths, &new, &wanted)) {
            Ok(outcome) => self.report(fs_name, outcome),
            Err(why) => self.warn(why),
        }
    }

    fn report(&self, fs_name: &FsName, outcome: Outcome) {
        let set = outcome.set.keys().filter_map(|tunable| {
            let value = self.wanted.values().find(|(other, _)| other == tunable)?.1;
            Some(format!("{}={value}", name_of(*tunable)))
        });
        let set: Vec<String> = set.collect();
        if !set.is_empty() {
            tracing::info!(fs_name = %fs_name, values = set.join(","), "tunables of the Lustre client are set");
        }
        outcome.refused.into_iter().for_each(|why| self.warn(why));
    }

    fn warn(&self, why: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if !warned.contains(&why) {
            tracing::warn!(
                why,
                "a tunable of the Lustre client is not set; the mount works with the client's own value"
            );
            warned.insert(why);
        }
    }
}

/// `osc.max_rpcs_in_flight`, as `lctl get_param` names it.
fn name_of(tunable: Tunable) -> String {
    let (device_type, file) = tunable.device_type_and_file();
    format!("{device_type}.{file}")
}

/// Sets the tunables of all devices of these instances.
fn set(paths: &KernelFiles, instances: &[String], wanted: &ClientTuning) -> Outcome {
    let mut outcome = Outcome::default();
    for (tunable, value) in wanted.values() {
        let (device_type, file) = tunable.device_type_and_file();
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        for device in devices(paths, device_type, instances) {
            match store(&device.join(file), value) {
                Ok(()) => *outcome.set.entry(tunable).or_default() += 1,
                Err(error) => *refused.entry(reason(&error)).or_default() += 1,
            }
        }
        let name = name_of(tunable);
        if refused.is_empty() && !outcome.set.contains_key(&tunable) {
            outcome.refused.push(format!("{name}={value}: the mount has no {device_type} device"));
        }
        outcome.refused.extend(refused.into_keys().map(|why| format!("{name}={value}: {why}")));
    }
    outcome
}

/// The directories of one device type that belong to these instances.
fn devices(paths: &KernelFiles, device_type: &str, instances: &[String]) -> Vec<PathBuf> {
    let directory = paths.path(format!("/sys/fs/lustre/{device_type}"));
    let belongs = |name: &String| {
        let instance = name.rsplit_once('-').map(|(_, instance)| instance);
        instance.is_some_and(|instance| instances.iter().any(|other| other == instance))
    };
    names(&directory).iter().filter(|name| belongs(name)).map(|name| directory.join(name)).collect()
}

/// Writes a number to a file that exists.
fn store(file: &Path, value: u32) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(file)?.write_all(format!("{value}\n").as_bytes())
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "this client does not have it".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            format!("the container may not write the node's /sys ({error})")
        }
        _ => format!("the client refuses the value ({error})"),
    }
}

/// Names in a directory; none if it is not there.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    const FILES: [(&str, &str); 4] = [
        ("osc", "max_rpcs_in_flight"),
        ("osc", "max_dirty_mb"),
        ("mdc", "max_rpcs_in_flight"),
        ("mdc", "max_mod_rpcs_in_flight"),
    ];

    fn device(fs: &str, device_type: &str, instance: &str) -> String {
        let target = if device_type == "osc" { "OST0000" } else { "MDT0000" };
        format!("/sys/fs/lustre/{device_type}/{fs}-{target}-{device_type}-{instance}")
    }

    /// What a mount adds to sysfs, with the client's own values.
    fn mount(tree: &Tree, fs: &str, instance: &str) {
        tree.write(format!("{INSTANCES}/{fs}-{instance}/uuid"), "x\n");
        for (device_type, file) in FILES {
            tree.write(format!("{}/{file}", device(fs, device_type, instance)), "2000\n");
        }
    }

    fn values(tree: &Tree, fs: &str, instance: &str) -> Vec<String> {
        let read = |(device_type, file)| {
            let path = tree.files().path(format!("{}/{file}", device(fs, device_type, instance)));
            fs::read_to_string(path).unwrap_or_default().trim().to_owned()
        };
        FILES.map(read).to_vec()
    }

    fn tuner(tree: &Tree) -> Tuner {
        let wanted = ClientTuning::new(Tunable::ALL.into_iter().zip([32, 512, 64, 50])).unwrap();
        Tuner::new(tree.files(), wanted)
    }

    fn fs_name(name: &str) -> FsName {
        crate::domain::mount_source::MountSource::parse(&format!("10.0.0.4:/{name}")).unwrap().fs_name
    }

    #[test]
    fn the_devices_of_the_new_mount_are_tuned_and_no_others() {
        let tree = Tree::default();
        mount(&tree, "lustrefs", "ffff01");
        let tuner = tuner(&tree);
        let before = tuner.instances();
        mount(&tree, "lustrefs", "ffff02");
        mount(&tree, "lustrefs2", "ffff03");
        tuner.tune(&fs_name("lustrefs"), before.as_ref());
        assert_eq!(values(&tree, "lustrefs", "ffff02"), ["32", "512", "64", "50"]);
        for (fs, other) in [("lustrefs", "ffff01"), ("lustrefs2", "ffff03")] {
            assert_eq!(values(&tree, fs, other), ["2000"; 4], "{fs}-{other} is not of this mount");
        }
        assert!(tuner.warned.lock().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_touched_without_a_setting() {
        let tree = Tree::default();
        let tuner = Tuner::new(tree.files(), ClientTuning::default());
        assert_eq!(tuner.instances(), None);
        mount(&tree, "lustrefs", "ffff01");
        tuner.tune(&fs_name("lustrefs"), None);
        assert_eq!(values(&tree, "lustrefs", "ffff01"), ["2000"; 4]);
    }

    #[test]
    fn what_the_client_lacks_or_refuses_is_a_warning_once_and_the_rest_is_set() {
        let tree = Tree::default();
        let tuner = tuner(&tree);
        for instance in ["ffff01", "ffff02"] {
            let before = tuner.instances();
            mount(&tree, "lustrefs", instance);
            let lacking = tree.files().path(format!("{}/max_dirty_mb", device("lustrefs", "osc", instance)));
            fs::remove_file(lacking).unwrap();
            // A directory takes no value, whoever asks.
            let refusing = tree.files().path(format!("{}/max_mod_rpcs_in_flight", device("lustrefs", "mdc", instance)));
            fs::remove_file(&refusing).unwrap();
            fs::create_dir(&refusing).unwrap();
            tuner.tune(&fs_name("lustrefs"), before.as_ref());
            assert_eq!(values(&tree, "lustrefs", instance)[..3], ["32", "", "64"]);
        }
        let warned: Vec<String> = tuner.warned.lock().unwrap().iter().cloned().collect();
        let [refused, lacking] = warned.as_slice() else { panic!("{warned:?}") };
        assert!(refused.starts_with("mdc.max_mod_rpcs_in_flight=50: the client refuses the value"), "{refused}");
        assert_eq!(lacking, "osc.max_dirty_mb=512: this client does not have it");
    }

    /// A pipe without a reader stands for a store that waits for a lock; its writer ends with the process.
    #[test]
    fn a_store_that_blocks_is_given_up() {
        let tree = Tree::default();
        let writes = BlockingCalls::new(std::time::Duration::from_millis(100));
        let tuner = Tuner { writes, ..tuner(&tree) };
        let before = tuner.instances();
        mount(&tree, "lustrefs", "ffff01");
        let blocked = tree.files().path(format!("{}/max_rpcs_in_flight", device("lustrefs", "osc", "ffff01")));
        fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        tuner.tune(&fs_name("lustrefs"), before.as_ref());
        assert!(tuner.warned.lock().unwrap().iter().any(|why| why.contains("did not answer within")));
    }

    #[test]
    fn a_mount_that_shows_nowhere_is_a_warning() {
        let tree = Tree::default();
        let tuner = tuner(&tree);
        tuner.tune(&fs_name("lustrefs"), tuner.instances().as_ref());
        assert!(tuner.warned.lock().unwrap().iter().any(|why| why.contains("no new mount")));
        let before = tuner.instances();
        tree.write(format!("{INSTANCES}/lustrefs-ffff01/uuid"), "x\n");
        tuner.tune(&fs_name("lustrefs"), before.as_ref());
        assert!(tuner.warned.lock().unwrap().contains("osc.max_rpcs_in_flight=32: the mount has no osc device"));
    }
}
