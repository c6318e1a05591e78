//! Client tuning: setting tunables of `/sys/fs/lustre/{osc,mdc}` for the devices of one mount.
//!
//! Each mount(2) of Lustre has an instance of its own, whose name ends the names of its devices
//! (`lustrefs-OST0000-osc-ffff8b0c4a5d8000`) and of its directory in `/sys/fs/lustre/llite` (`lustrefs-ffff8b0c4a5d8000`).
//! No file connects an instance to a mount point, so the instances of the file system that appear during the mount are
//! tuned; a second mount of the driver at the same time gets the same values anyway. Tuning never fails a mount. An OST
//! that is added to a file system later keeps the client's own values until the next mount.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::client_state::{BlockingCalls, KernelFiles};
use crate::domain::client_tuning::ClientTuning;
use crate::domain::mount_source::FsName;

/// Directory of the instances.
const INSTANCES: &str = "/sys/fs/lustre/llite";

/// Sets the tunables of new mounts.
#[derive(Debug)]
pub(super) struct Tuner {
    files: KernelFiles,
    wanted: ClientTuning,
    /// A write may wait for a lock that Lustre holds while it waits for a server, as the read of an `import` file does.
    writes: BlockingCalls,
    /// Warnings that were logged: each once in the life of the process.
    warned: Mutex<BTreeSet<String>>,
}

impl Tuner {
    pub(super) fn new(files: KernelFiles, wanted: ClientTuning) -> Self {
        Self { files, wanted, writes: BlockingCalls::default(), warned: Mutex::default() }
    }

    /// The instances before a mount; none if nothing is to be set.
    pub(super) fn instances(&self) -> Option<BTreeSet<String>> {
        (!self.wanted.is_empty()).then(|| names(&self.files.path(INSTANCES)))
    }

    /// Sets the tunables of the instances of this file system that are not among those before the mount. Waits for at most
    /// the limit of [`BlockingCalls`]; a write that takes longer ends on its own thread.
    pub(super) fn tune(&self, fs_name: &FsName, before: Option<&BTreeSet<String>>) {
        let Some(before) = before else { return };
        let new: Vec<String> = names(&self.files.path(INSTANCES))
            .difference(before)
            .filter_map(|name| name.strip_prefix(fs_name.as_str())?.strip_prefix('-'))
            .filter(|instance| !instance.contains('-'))
            .map(str::to_owned)
            .collect();
        if new.is_empty() {
            self.warn(&format!("no new mount shows in {INSTANCES}"));
            return;
        }
        let (files, wanted) = (self.files.clone(), self.wanted.clone());
        match self.writes.run(move || set(&files, &new, &wanted)) {
            Ok((set, refused)) => {
                if !set.is_empty() {
                    tracing::info!(%fs_name, values = set.join(","), "tunables of the Lustre client are set");
                }
                for why in &refused {
                    self.warn(why);
                }
            }
            Err(why) => self.warn(&why),
        }
    }

    fn warn(&self, why: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(why.to_owned()) {
            tracing::warn!(
                why,
                "a tunable of the Lustre client is not set; the mount works with the client's own value"
            );
        }
    }
}

/// Sets the tunables of all devices of these instances. Returns those that a device took, as `lctl set_param` writes them
/// (`osc.max_rpcs_in_flight=32`), and those that no device has or some refuse, each with the reason.
fn set(files: &KernelFiles, instances: &[String], wanted: &ClientTuning) -> (Vec<String>, Vec<String>) {
    let (mut set, mut refused) = (Vec::new(), Vec::new());
    for (tunable, value) in wanted.values() {
        let (device_type, file) = tunable.device_type_and_file();
        let parameter = format!("{device_type}.{file}={value}");
        let devices = devices(files, device_type, instances);
        let results: Vec<io::Result<()>> = devices.iter().map(|device| write(&device.join(file), value)).collect();
        if results.is_empty() {
            refused.push(format!("{parameter}: the mount has no {device_type} device"));
        }
        let reasons: BTreeSet<String> = results.iter().filter_map(|result| result.as_ref().err()).map(reason).collect();
        refused.extend(reasons.iter().map(|why| format!("{parameter}: {why}")));
        if results.iter().any(Result::is_ok) {
            set.push(parameter);
        }
    }
    (set, refused)
}

/// The directories of one device type that belong to these instances.
fn devices(files: &KernelFiles, device_type: &str, instances: &[String]) -> Vec<PathBuf> {
    let directory = files.path(format!("/sys/fs/lustre/{device_type}"));
    let belongs = |name: &String| {
        let instance = name.rsplit_once('-').map(|(_, instance)| instance);
        instance.is_some_and(|instance| instances.iter().any(|other| other == instance))
    };
    names(&directory).iter().filter(|name| belongs(name)).map(|name| directory.join(name)).collect()
}

/// Writes a number to a file that exists.
fn write(file: &Path, value: u32) -> io::Result<()> {
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
    use crate::domain::client_tuning::Tunable;

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
    fn a_tunable_that_is_absent_or_refused_is_a_warning_once_and_the_rest_is_set() {
        let tree = Tree::default();
        let tuner = tuner(&tree);
        for instance in ["ffff01", "ffff02"] {
            let before = tuner.instances();
            mount(&tree, "lustrefs", instance);
            let lacking = tree.files().path(format!("{}/max_dirty_mb", device("lustrefs", "osc", instance)));
            fs::remove_file(lacking).unwrap();
            // A directory takes no value, also from root.
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

    /// A pipe without a reader stands for a file whose write waits for a lock; its writer ends with the process.
    #[test]
    fn a_blocked_write_is_abandoned() {
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
    fn a_mount_without_an_instance_is_a_warning() {
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
