//! The volume context of a publish request: `volumeAttributes` of a PersistentVolume, and what kubelet adds.
//!
//! A PersistentVolume that was written by hand may hold a misspelt key, and `subdir: team-a` in place of `sub-dir` would mount
//! the whole file system for a tenant who is to see one directory. So misspelt keys of this driver are refused, unknown keys
//! are logged, and everything that external-provisioner, kubelet and the releases of the Go driver put there is accepted.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::mount_source::{FsName, MgsAddress, MountSource};
use super::parameters::{
    ALIASES, CREATED_BY_DYNAMIC_PROVISIONING, FS_NAME, KNOWN, MGS_IP_ADDRESS, RESOURCE_GROUP_NAME, SIMULATED, SUB_DIR,
    canonical, context_value, is_reserved,
};
use super::problem::{Notice, Problems};
use super::sub_dir::SubDirTemplate;
use super::text::{nearest, quote};

/// Name of the context in messages.
const FIELD: &str = "volumeAttributes";
/// kubelet's mark of an inline volume (`podInfoOnMount`): `true`, or `false` for a PersistentVolume.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";
/// Keys that a publish reads; a near miss of one of these changes what is mounted.
const MOUNT_KEYS: [&str; 3] = [MGS_IP_ADDRESS, FS_NAME, SUB_DIR];
/// Other words for `sub-dir`, too far from it in spelling.
const SUB_DIR_WORDS: [&str; 3] = ["subpath", "subfolder", "subdirectory"];
/// Keys of earlier releases of the Go driver that have no meaning any more.
const OF_EARLIER_RELEASES: [&str; 8] = [
    "retain-sub-dir",
    "mds-ip-address",
    "amlfilesystem-name",
    "time-of-day-utc",
    "root-squash-mode",
    "root-squash-nid-lists",
    "root-squash-uid",
    "root-squash-gid",
];
/// Keys that the driver itself adds to the context of a volume that it created, also where the StorageClass has them.
const WRITTEN_BY_DRIVER: [&str; 4] = [CREATED_BY_DYNAMIC_PROVISIONING, RESOURCE_GROUP_NAME, MGS_IP_ADDRESS, FS_NAME];

/// What is done about a misspelt key of this driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownAttributes {
    /// The publish is refused.
    #[default]
    Refuse,
    /// A warning is logged, for clusters whose PersistentVolumes cannot be recreated at once.
    Warn,
}

/// Checks the volume context of a publish to `target` and reads what to mount. `mgs-ip-address` must be in it; every mistake
/// is reported.
pub fn parse(
    context: &BTreeMap<String, String>,
    target: &Path,
    unknown: UnknownAttributes,
) -> Result<(MountSource, Vec<Notice>), Problems> {
    let mut problems = Problems::default();
    let mut notices = Vec::new();
    if is_inline(context) {
        problems.add(
            EPHEMERAL,
            "inline (ephemeral) volumes are not supported: every user who may create a pod would choose server and directory; \
             use a PersistentVolumeClaim",
        );
    }
    for key in MOUNT_KEYS {
        check_unambiguous(context, key, &mut problems);
    }
    check_keys(context, target, unknown, &mut problems, &mut notices);
    let source = problems.note(source(context, &mut notices));
    problems.into_result(source.map(|source| (source, notices)))
}

/// Whether kubelet marks the volume as inline. Any value but `false` and the empty one counts.
fn is_inline(context: &BTreeMap<String, String>) -> bool {
    context_value(context, EPHEMERAL).is_some_and(|value| {
        let value = value.trim();
        !(value.is_empty() || value.eq_ignore_ascii_case("false"))
    })
}

/// One key in two spellings with two values is ambiguous, except where the driver itself wrote one of them beside the
/// parameters of a StorageClass.
fn check_unambiguous(context: &BTreeMap<String, String>, key: &str, problems: &mut Problems) {
    let dynamic = context_value(context, CREATED_BY_DYNAMIC_PROVISIONING) == Some("t");
    if dynamic && WRITTEN_BY_DRIVER.contains(&key) && context.contains_key(key) {
        return;
    }
    let mut spellings =
        context.iter().filter(|(other, value)| other.eq_ignore_ascii_case(key) && !value.trim().is_empty());
    let Some((first, value)) = spellings.next() else { return };
    if let Some((second, other)) = spellings.find(|(_, other)| other.trim() != value.trim()) {
        let rule = format!("{} here but {} as `{first}`; give it once", quote(other), quote(value));
        problems.add(second, rule);
    }
}

fn check_keys(
    context: &BTreeMap<String, String>,
    target: &Path,
    unknown: UnknownAttributes,
    problems: &mut Problems,
    notices: &mut Vec<Notice>,
) {
    let unknown_keys: Vec<&String> = context.keys().filter(|key| !is_accepted(key)).collect();
    let near: Vec<(&String, &str)> = unknown_keys.iter().filter_map(|key| Some((*key, near_miss(key)?))).collect();
    let far: Vec<String> = unknown_keys.iter().filter(|key| near_miss(key).is_none()).map(|key| quote(key)).collect();
    let owner = owner(target);
    for (key, meant) in near {
        let asked = format!("{} is not an attribute of this driver; did you mean {meant}?", quote(key));
        match unknown {
            UnknownAttributes::Refuse => problems.add(
                format!("{FIELD} of {owner}"),
                format!(
                    "{asked} Set the PersistentVolume's reclaim policy to Retain, delete it and create it again with the \
                     right key; to mount such volumes meanwhile, run the driver with --unknown-volume-attributes=warn"
                ),
            ),
            UnknownAttributes::Warn => notices.push(Notice::warning(format!("{FIELD} of {owner}"), asked)),
        }
    }
    if !far.is_empty() {
        let message = format!("{} passed over; this driver does not know {}", far.join(", "), them(far.len()));
        notices.push(Notice::warning(format!("{FIELD} of {owner}"), message));
    }
}

fn them(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn is_accepted(key: &str) -> bool {
    canonical(key).is_some()
        || is_reserved(key)
        || key.eq_ignore_ascii_case(SIMULATED)
        || OF_EARLIER_RELEASES.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// The key that an unknown one was meant to be, if it is near enough. The net is wide for keys that decide what is mounted
/// and narrow for the others, which a publish does not read.
fn near_miss(key: &str) -> Option<&'static str> {
    // A key with a domain in front belongs to that domain.
    if key.split_once('/').is_some_and(|(domain, _)| domain.contains('.')) {
        return None;
    }
    let plain = letters(key);
    if SUB_DIR_WORDS.contains(&plain.as_str()) {
        return Some(SUB_DIR);
    }
    let all = || KNOWN.into_iter().chain(ALIASES.map(|(alias, _)| alias)).filter(|known| !is_reserved(known));
    let distance = |known: &str| strsim::osa_distance(&plain, &letters(known));
    let begins_alike = |known: &&str| known.get(..1) == plain.get(..1);
    let wide = |known: &&str| distance(known) <= letters(known).len() / 4;
    let narrow = |known: &&str| distance(known) <= usize::from(plain.len() >= 6);
    all()
        .find(|known| letters(known) == plain)
        .or_else(|| nearest(key, MOUNT_KEYS).filter(begins_alike))
        .or_else(|| MOUNT_KEYS.into_iter().find(wide))
        .or_else(|| all().find(narrow))
}

/// A key without case and punctuation: `subDir`, `sub_dir` and `sub-dir` are one.
fn letters(key: &str) -> String {
    key.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

/// The PersistentVolume that a target path of kubelet belongs to, for messages:
/// `…/volumes/kubernetes.io~csi/<PersistentVolume>/mount`.
fn owner(target: &Path) -> String {
    let mut parts = target.components().skip_while(|part| *part != Component::Normal("kubernetes.io~csi".as_ref()));
    match parts.nth(1) {
        Some(Component::Normal(name)) => format!("PersistentVolume {}", quote(&name.to_string_lossy())),
        _ => "the PersistentVolume".to_owned(),
    }
}

fn source(context: &BTreeMap<String, String>, notices: &mut Vec<Notice>) -> Result<MountSource, Problems> {
    let mut problems = Problems::default();
    let mgs = match context_value(context, MGS_IP_ADDRESS).map(str::trim) {
        None | Some("") => {
            problems.add(MGS_IP_ADDRESS, "missing in the volume context (volumeAttributes of the PersistentVolume)");
            None
        }
        Some(text) => problems.note_at(MGS_IP_ADDRESS, MgsAddress::parse(text)),
    };
    let (fs_name, notice) = FsName::of_volume(context_value(context, FS_NAME).unwrap_or_default());
    notices.extend(notice);
    let template =
        context_value(context, SUB_DIR).map(|text| SubDirTemplate::parse(text).and_then(|t| t.expand(context)));
    let sub_dir = template.and_then(|expanded| problems.note_at(SUB_DIR, expanded));
    problems.into_result(mgs.map(|mgs| MountSource { mgs, fs_name, sub_dir }))
}

#[cfg(test)]
mod tests;
