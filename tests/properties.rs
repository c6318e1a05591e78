//! What must hold for every input, tried with thousands of hostile ones.
//!
//! Why it exists: most texts that reach the domain were written by people who never read it (`StorageClass` authors, pods,
//! the cloud), and a wrong answer deletes or exposes somebody's files. Tables in the modules show what is meant; here
//! stands what no input may break: nothing panics, nothing escapes, what one side writes the other side reads.

#![allow(clippy::unwrap_used, reason = "a generator that cannot build its value is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::{Bytes, CapacityError, CapacityRange, DEFAULT_SIZE, RequestedCapacity, Tib};
use azurelustre_csi::domain::error::{Violations, quote};
use azurelustre_csi::domain::filesystem::{
    Filesystem, FilesystemSpec, Observed, ProvisioningState, ReportedMgsAddress,
};
use azurelustre_csi::domain::lifecycle::{self, Desired, Step};
use azurelustre_csi::domain::mount::{MountPlan, Mounted, Occupancy, PublishRequest};
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::domain::mount_source::{FsName, MgsAddress, MountSource};
use azurelustre_csi::domain::names::{FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone};
use azurelustre_csi::domain::parameters::{self, Parameters};
use azurelustre_csi::domain::provisioning::{
    Defaults, DynamicProvision, ProvisionPlan, RequestError, Volume, VolumeRequest,
};
use azurelustre_csi::domain::reclaim::{self, Reclaim, ReclaimStep};
use azurelustre_csi::domain::sku::{CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM, Sku};
use azurelustre_csi::domain::sub_dir::{SubDir, SubDirTemplate};
use azurelustre_csi::domain::template::VARIABLES;
use azurelustre_csi::domain::volume_id::{Origin, VolumeId, VolumeIdFields};
use azurelustre_csi::domain::{polling, tags};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// A failure that was found becomes a table entry beside the rule, not a file of seeds.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}

// Volume ids.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_volume_id_reads_back_as_written_or_is_not_written(
        texts in [hostile(), hostile(), hostile(), hostile(), hostile()], origin in origin(),
    ) {
        let [name, fs_name, mgs_address, sub_dir, resource_group] = texts.each_ref().map(String::as_str);
        let built = VolumeId::new(VolumeIdFields { name, fs_name, mgs_address, sub_dir, origin, resource_group });
        prop_assert_eq!(built.is_err(), texts.iter().any(|text| text.contains('#')));
        if let Ok(id) = built {
            prop_assert_eq!(VolumeId::parse(&id.to_string()), Ok(id.clone()));
            prop_assert_eq!((id.origin(), id.name(), id.resource_group()), (origin, name, resource_group));
            if origin == Origin::Static {
                prop_assert_eq!(reclaim::plan(&id.to_string()), Ok(Reclaim::Nothing), "a static id asks for a deletion");
            }
        }
    }

    #[test]
    fn every_form_of_a_volume_id_gives_its_fields(fields in vec(hostile().prop_map(|text| text.replace('#', "")), 1..9)) {
        let id = VolumeId::parse(&fields.join("#"));
        prop_assert_eq!(id.is_ok(), (3..=6).contains(&fields.len()));
        if let Ok(id) = id {
            let field = |index: usize| fields.get(index).map_or("", String::as_str);
            prop_assert_eq!([id.name(), id.mgs_address(), id.resource_group()], [field(0), field(2), field(5)]);
            prop_assert_eq!([id.fs_name(), id.sub_dir()], [field(1), field(3)].map(|text| text.trim_matches('/')));
            prop_assert_eq!(id.origin() == Origin::Dynamic, field(4) == "t");
        }
    }

    #[test]
    fn any_text_is_read_or_refused_as_a_volume_id(text in hostile()) {
        if let Ok(id) = VolumeId::parse(&text) {
            prop_assert_eq!(VolumeId::parse(&id.to_string()), Ok(id));
        }
    }

    #[test]
    fn only_a_dynamic_id_names_what_to_delete_and_exactly_that(
        name in word(), group in word(), flag in prop_oneof![Just("t".to_owned()), Just("f".to_owned()), hostile()],
        text in hostile(),
    ) {
        for id in [text, format!("{name}#lustrefs#10.0.0.4##{flag}#{group}")] {
            let Ok(Reclaim::Filesystem(target)) = reclaim::plan(&id) else { continue };
            let fields: Vec<&str> = id.split('#').collect();
            prop_assert_eq!((fields[4], fields.len()), ("t", 6));
            prop_assert_eq!((target.name.as_str(), target.resource_group.as_str()), (fields[0], fields[5]));
        }
    }
}

// Sizes.

const TIB: i128 = 1 << 40;

/// The rule in numbers that cannot overflow: the smallest multiple of `step` that holds the request, or nothing. Where
/// nothing was asked for, the default gives way to what limit and maximum leave.
fn rounded(required: i64, limit: i64, increment: u32, maximum: u32) -> Option<i128> {
    let step = i128::from(increment.max(1));
    let limit = if limit == 0 { i128::MAX } else { i128::from(limit) };
    let largest = (i128::from(maximum) * TIB).min(limit) / (step * TIB) * step;
    let asked = if required == 0 { DEFAULT_SIZE.0.into() } else { (i128::from(required) + TIB - 1) / TIB };
    let smallest = (asked + step - 1) / step * step;
    let wanted = if required == 0 { smallest.min(largest) } else { smallest };
    (required >= 0 && limit >= i128::from(required) && (1..=largest).contains(&wanted)).then_some(wanted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..config() })]

    #[test]
    fn sizes_are_the_smallest_that_will_do(
        required in bytes(), limit in bytes(), increment in tebibytes(), maximum in tebibytes(),
    ) {
        let range = CapacityRange::parse(RequestedCapacity { required_bytes: required, limit_bytes: limit });
        let size = range.clone().and_then(|range| range.round(Tib(increment), Tib(maximum), "SKU"));
        prop_assert_eq!(size.clone().ok().map(|size| i128::from(size.0)), rounded(required, limit, increment, maximum));
        match size {
            Ok(size) => {
                let (bytes, step) = (i128::from(size.0) * TIB, i128::from(increment.max(1)) * TIB);
                prop_assert!(bytes >= i128::from(required) && bytes % step == 0 && size.0 <= maximum);
                prop_assert!(limit == 0 || bytes <= i128::from(limit));
                prop_assert!(required == 0 || bytes - step < i128::from(required), "{} is more than needed", size);
                prop_assert!(range.unwrap().admits(size.bytes()), "what was made does not satisfy the claim");
            }
            Err(CapacityError::AboveMaximum { required, maximum, .. }) => {
                prop_assert!(i128::from(required.0) > i128::from(maximum.0) * TIB, "{} is not above {}", required, maximum);
            }
            Err(CapacityError::AboveLimit { rounded, limit, .. }) => prop_assert!(rounded > limit),
            Err(CapacityError::Inverted { required, limit }) => prop_assert!(limit < required),
            Err(CapacityError::Negative { value, .. }) => prop_assert!(value < 0),
        }
    }

    #[test]
    fn sizes_are_ordered_and_shown_without_overflow(left in any::<u32>(), right in any::<u32>(), bytes in any::<u64>()) {
        prop_assert!(left > right || Tib(left).bytes() <= Tib(right).bytes());
        prop_assert!(!Tib(left).bytes().to_string().is_empty() && !Bytes(bytes).to_string().is_empty());
    }

    #[test]
    fn a_sku_is_read_or_refused_whatever_the_cloud_says(
        increment in number_text(), maximum in number_text(), size in any::<u32>(),
    ) {
        let capabilities = [(CAPABILITY_INCREMENT, increment.as_str()), (CAPABILITY_MAXIMUM, maximum.as_str())];
        if let Ok(sku) = Sku::from_capabilities("S", vec![], capabilities) {
            prop_assert!(sku.increment.0 > 0 && sku.maximum.0 > 0);
            prop_assert_eq!(sku.throughput(Tib(size)), 0);
        }
    }
}

// Sub-directories.

/// A piece of a template: text, or one of the seven variables.
#[derive(Debug, Clone)]
enum Piece {
    Text(&'static str),
    Variable(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    let texts =
        "a b-c .. . / // /../ ./ # } %2e ä ... ~ \0".split(' ').chain([" ", "\n", "\u{2028}"]).collect::<Vec<_>>();
    prop_oneof![select(texts).prop_map(Piece::Text), (0..VARIABLES.len()).prop_map(Piece::Variable)]
}

fn context() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = select(VARIABLES.map(|(_, key)| key.to_owned()).to_vec());
    btree_map(key, prop_oneof![3 => word(), 1 => hostile()], 0..=VARIABLES.len())
}

/// What a path is without `.` and repeated slashes.
fn plain(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

fn stays_below(root: &str, dir: &SubDir) -> bool {
    let path = Path::new(dir.as_str());
    let joined = Path::new(root).join(path);
    path.components().all(|part| matches!(part, Component::Normal(_)))
        && dir.as_str().split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !dir.as_str().contains(|c: char| c.is_control() || c == '#')
        && joined.starts_with(root)
        && joined != Path::new(root)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    #[test]
    fn no_template_and_no_value_escapes(text in hostile(), context in context()) {
        if let Ok(dir) = SubDirTemplate::parse(&text).and_then(|template| template.expand(&context)) {
            prop_assert!(stays_below("/mnt/root", &dir), "{:?}", dir);
        }
        if let Ok(dir) = SubDir::parse(&text) {
            prop_assert!(stays_below("/mnt/root", &dir), "{:?}", dir);
            prop_assert_eq!(SubDir::parse(dir.as_str()), Ok(dir));
        }
    }

    #[test]
    fn a_template_is_filled_once_left_to_right(pieces in vec(piece(), 0..6), context in context()) {
        let (mut written, mut filled, mut usable) = (String::new(), String::new(), true);
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    written.push_str(text);
                    filled.push_str(text);
                }
                Piece::Variable(index) => {
                    let (variable, key) = VARIABLES[*index];
                    let value = context.get(key).map_or("", String::as_str);
                    usable &= !matches!(value, "" | "." | "..") && !value.contains('/');
                    written.extend(["${", variable, "}"]);
                    filled.push_str(value);
                }
            }
        }
        let Ok(template) = SubDirTemplate::parse(&written) else {
            let with_words = pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "x" }).collect::<String>();
            prop_assert!(SubDir::parse(&with_words).is_err(), "{:?} was refused", written);
            return Ok(());
        };
        prop_assert_eq!(SubDirTemplate::parse(template.as_str()), Ok(template.clone()));
        let expected = SubDir::parse(&filled).ok().filter(|_| usable).map(|_| plain(&filled));
        prop_assert_eq!(template.expand(&context).ok().map(|dir| dir.as_str().to_owned()), expected);
    }
}

// Parameters.

const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one";

/// Key, another spelling of it, a good value, a bad value.
static KEYS: [(&str, &str, &str, &str); 15] = [
    ("sku-name", "SKU-Name", "AMLFS-Durable-Premium-125", "a b"),
    ("maintenance-day-of-week", "Maintenance-Day-Of-Week", " friday ", "Fryday"),
    ("maintenance-time-of-day-utc", "maintenance-time-of-day-UTC", "22:00", "24:00"),
    ("zone", "Zones", "1", "1/2"),
    ("location", "LOCATION", "East US", "east/us"),
    ("resource-group-name", "Resource-Group", "rg1", "../x"),
    ("vnet-resource-group", "VNet-Resource-Group", "rg2", "rg."),
    ("vnet-name", "Vnet-Name", "vnet", "a b"),
    ("subnet-name", "Subnet-Name", "subnet", "-x"),
    ("identities", "Identities", IDENTITY, "mine"),
    ("tags", "TAGS", "team = hpc,\n owner=me\n", "team"),
    ("sub-dir", "Sub-Dir", "/a/${pvc.metadata.name}/", ".."),
    ("tag-value-delimiter", "tagValueDelimiter", ",", "="),
    ("csi.storage.k8s.io/pvc/name", "csi.storage.k8s.io/PVC/name", "claim", LONG),
    ("csi.storage.k8s.io/pvc/namespace", "csi.storage.k8s.io/pvc/nameSpace", "team", LONG),
];
const LONG: &str = match str::from_utf8(&[b'x'; 254]) {
    Ok(text) => text,
    Err(_) => "",
};

/// How each key of [`KEYS`] is written and whether its value is good; the first three are always there.
fn written_keys(bad_percent: u8) -> impl Strategy<Value = Vec<(&'static str, &'static str, bool)>> {
    let optional = subsequence(&KEYS[3..], 0..=KEYS.len() - 3);
    let chosen = optional.prop_map(|more| KEYS[..3].iter().copied().chain(more).collect::<Vec<_>>());
    (chosen, vec((any::<bool>(), 0_u8..100), KEYS.len())).prop_map(move |(keys, how)| {
        let write = |((key, spelling, good, bad), (plain, roll))| {
            let is_good = roll < 100 - bad_percent;
            (if plain { key } else { spelling }, if is_good { good } else { bad }, is_good)
        };
        keys.into_iter().zip(how).map(write).collect()
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn exactly_the_bad_keys_and_values_are_told(
        keys in written_keys(30), unknown in vec(hostile(), 0..4),
        mgs in option::of(select(&[("10.0.0.4", true), (" mgs.example:10.0.0.5@tcp ", true), ("", false), ("a#b", false)][..])),
    ) {
        let mgs = mgs.map(|(value, good)| ("MGS-ip-address", value, good));
        let known = keys.iter().copied().chain(mgs);
        let unknown = unknown.iter().filter(|key| parameters::canonical(key).is_none() && !parameters::is_reserved(key));
        let map: BTreeMap<String, String> = known.clone().map(|(key, value, _)| (key.to_owned(), value.to_owned()))
            .chain(unknown.clone().map(|key| (key.clone(), "x".to_owned()))).collect();
        let expected: BTreeSet<String> = known.filter(|(_, _, good)| !good).map(|(key, _, _)| key.to_owned())
            .chain(unknown.map(|key| quote(key))).collect();
        let told = match Parameters::parse(&map) {
            Ok(read) => {
                prop_assert_eq!(matches!(read, Parameters::Existing(_)), mgs.is_some());
                BTreeSet::new()
            }
            Err(violations) => violations.as_slice().iter().map(|violation| violation.field.clone()).collect(),
        };
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn any_parameters_are_read_or_refused_with_a_reason(map in any_parameters()) {
        if let Err(violations) = Parameters::parse(&map) {
            prop_assert!(!violations.is_empty());
            prop_assert!(!violations.as_slice().iter().any(|violation| violation.rule.is_empty()));
        }
    }

    #[test]
    fn quoted_text_stays_on_its_line(text in hostile()) {
        prop_assert!(!quote(&text).contains(char::is_control));
        prop_assert!(quote(&text).len() <= 1000);
    }
}

// Tags.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tags_never_touch_the_drivers_own(text in prop_oneof![tag_text(), hostile()]) {
        let Ok(tags) = tags::parse("tags", &text, ",", |_| Some("value")) else { return Ok(()) };
        let keys: BTreeSet<String> = tags.keys().map(|key| key.to_ascii_lowercase()).collect();
        prop_assert!(tags.len() <= 46 && keys.len() == tags.len());
        for reserved in [tags::CREATED_BY, tags::PVC_NAME, tags::PVC_NAMESPACE, tags::PV_NAME] {
            prop_assert!(!keys.contains(reserved));
        }
        for (key, value) in &tags {
            prop_assert!(!key.is_empty() && !key.contains(['<', '>', '%', '&', '\\', '?', '/', ',', '=']));
            let expanded = !key.contains("${") && !value.contains("${");
            prop_assert!(expanded);
            prop_assert!(!key.contains(char::is_control) && !value.contains(char::is_control));
            prop_assert!(key.chars().count() <= 512 && value.chars().count() <= 256);
        }
    }

    #[test]
    fn tags_are_read_as_meant_whatever_blanks_surround_them(
        tags in btree_map("[a-z][a-z0-9 .:-]{0,9}[a-z0-9]", "([a-zA-Z0-9/?&%]([ -:<=?-z,]{0,9}[a-zA-Z0-9=])?)?", 0..8),
        blank in select(&["", " ", "\n", " \t", "\r\n"][..]),
        delimiter in select(&[";", "|", ",", ">", "||"][..]),
    ) {
        prop_assume!(!tags.values().any(|value| value.contains(delimiter)));
        let pairs: Vec<String> = tags.iter().map(|(key, value)| format!("{blank}{key}{blank}={blank}{value}{blank}")).collect();
        prop_assert_eq!(tags::parse("tags", &pairs.join(delimiter), delimiter, |_| None), Ok(tags));
    }
}

// Mount options, sources and plans.

/// Everything that may ever be said to the kernel, written out a second time on purpose.
const WORDS: &str = "ro rw nosuid nodev noexec sync nodiratime relatime noatime flock noflock localflock user_xattr \
    nouser_xattr checksum nochecksum lruresize nolruresize lazystatfs nolazystatfs user_fid2path nouser_fid2path verbose \
    noverbose encrypt noencrypt statfs_project nostatfs_project always_ping 32bitapi nolock unique_fsid";

fn options_of(words: &[&'static str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..config() })]

    #[test]
    fn nothing_but_allowed_words_reaches_the_kernel(flags in vec(mount_flag(), 0..6)) {
        let Ok(options) = MountOptions::parse(&flags) else { return Ok(()) };
        let words = options.words();
        for word in &words {
            prop_assert!(WORDS.split(' ').any(|allowed| allowed == *word), "{}", word);
            prop_assert!(!word.contains([',', '=']));
        }
        let again: Vec<String> = options_of(&words).into_iter().chain(options.selinux.clone()).collect();
        prop_assert_eq!(MountOptions::parse(&again), Ok(options.clone()));
        prop_assert_eq!(MountOptions::parse(&[again.join(",")]), Ok(options.clone()), "one string with all of them");
        prop_assert_eq!(options.missing_from(&options_of(&words)), None);
        let single = flags.iter().all(|flag| !flag.contains([',', '"']));
        let trimmed: Vec<&str> = flags.iter().map(|flag| flag.trim()).collect();
        prop_assert!(!single || !trimmed.iter().any(|flag| flag.starts_with("device")));
        let last = trimmed.iter().rev().find(|flag| ["ro", "rw"].contains(flag));
        prop_assert!(!single || options.read_only == last.is_some_and(|flag| *flag == "ro"));
    }

    #[test]
    fn a_label_of_selinux_cannot_end_early(flags in vec(mount_flag(), 0..6)) {
        let Ok(options) = MountOptions::parse(&flags) else { return Ok(()) };
        let mut keys = BTreeSet::new();
        for label in &options.selinux {
            let (key, value) = label.split_once('=').unwrap();
            prop_assert!(["context", "fscontext", "defcontext", "rootcontext"].contains(&key) && keys.insert(key));
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let alphabet = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c) || (c == ',' && quoted.is_some());
            let plain = quoted.unwrap_or(value);
            prop_assert!(!plain.is_empty() && plain.chars().all(alphabet), "{}", label);
        }
    }

    #[test]
    fn an_mgs_address_has_one_normal_form(text in prop_oneof![mgs_text(), hostile()]) {
        if let Ok(address) = MgsAddress::parse(&text) {
            let shown = address.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_whitespace() || c.is_control() || "#/".contains(c)), "{:?}", shown);
            prop_assert_eq!(MgsAddress::parse(&shown), Ok(address));
        }
    }

    #[test]
    fn generated_mgs_addresses_are_taken(text in mgs_text()) {
        prop_assert!(MgsAddress::parse(&text).is_ok(), "{}", text);
    }

    #[test]
    fn a_mount_source_has_one_normal_form(
        mgs in mgs_text(), slashes in "/{1,3}", fs_name in "[a-zA-Z0-9_-]{1,8}", dir in hostile(), text in hostile(),
    ) {
        for text in [text, format!("{mgs}:{slashes}{fs_name}{slashes}{dir}")] {
            let Ok(source) = MountSource::parse(&text) else { continue };
            prop_assert!(!source.to_string().contains(|c: char| c.is_control() || c == '#'));
            prop_assert!(source.sub_dir.as_ref().is_none_or(|dir| stays_below("/mnt", dir)));
            prop_assert_eq!(MountSource::parse(&source.to_string()), Ok(source.clone()));
            prop_assert_eq!(MountSource::parse(&source.root().to_string()), Ok(source.root()));
        }
    }

    #[test]
    fn a_file_system_name_is_one_path_component(text in hostile()) {
        if let Ok(name) = FsName::parse(&text) {
            prop_assert!((1..=8).contains(&name.as_str().len()) && !name.as_str().contains(['/', '#', '.']));
        }
    }

    #[test]
    fn any_publish_request_is_planned_or_refused_with_a_reason(request in publish_request()) {
        let planned = MountPlan::new(&request);
        prop_assert!(!planned.as_ref().is_err_and(Violations::is_empty));
        let Ok(plan) = planned else { return Ok(()) };
        prop_assert!(plan.target == request.target && plan.target.is_absolute() && plan.target.file_name().is_some());
        prop_assert!(!plan.target.components().any(|part| part == Component::ParentDir) && !plan.volume_id.is_empty());
        prop_assert!(plan.source.sub_dir.as_ref().is_none_or(|dir| stays_below("/mnt", dir)));
        prop_assert!(plan.options.read_only || !request.read_only);
        prop_assert_eq!(plan.occupancy(&[]), Occupancy::Free);

        let ours = Mounted {
            source: plan.source.to_string(),
            fs_type: "lustre".to_owned(),
            options: options_of(&plan.options.words()),
        };
        let mounted = |one: &Mounted| plan.occupancy(std::slice::from_ref(one));
        prop_assert_eq!(mounted(&ours), Occupancy::AsPlanned, "a repeated call does not find its own mount");
        for other in [
            Mounted { source: format!("{}/more", plan.source), ..ours.clone() },
            Mounted { source: "10.9.9.9@tcp:/lustrefs".to_owned(), ..ours.clone() },
            Mounted { fs_type: "tmpfs".to_owned(), ..ours.clone() },
            Mounted { options: options_of(if plan.options.read_only { &["rw"] } else { &["ro"] }), ..ours.clone() },
        ] {
            prop_assert!(matches!(mounted(&other), Occupancy::Other(_)), "{:?}", other);
        }
    }

    #[test]
    fn what_is_found_is_never_mounted_over(request in publish_request(), found in vec(any_mount(), 1..4)) {
        if let Ok(plan) = MountPlan::new(&request) {
            prop_assert!(matches!(plan.occupancy(&found), Occupancy::AsPlanned | Occupancy::Other(_)));
        }
    }
}

// Names.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_volume_has_a_valid_name_of_its_own(one in hostile(), other in hostile()) {
        let name = FilesystemName::for_volume(&one);
        prop_assert_eq!(FilesystemName::parse(name.as_str()), Ok(name.clone()));
        prop_assert_eq!(&FilesystemName::for_volume(&one), &name);
        prop_assert_eq!(&FilesystemName::for_volume(name.as_str()), &name);
        prop_assert_eq!(FilesystemName::for_volume(&other) == name, one == other);
    }

    #[test]
    fn no_name_can_change_the_path_of_a_request(text in prop_oneof![hostile(), word()]) {
        let names = [
            FilesystemName::parse(&text).map(|name| name.to_string()),
            ResourceGroup::parse(&text).map(|name| name.to_string()),
            NetworkName::parse(&text).map(|name| name.to_string()),
            Location::parse(&text).map(|name| name.to_string()),
            Zone::parse(&text).map(|name| name.to_string()),
        ];
        for name in names.into_iter().flatten() {
            let bad = |c: char| c.is_control() || c.is_whitespace() || "/\\%?#&:;".contains(c);
            prop_assert!(!name.is_empty() && !name.contains(bad) && !matches!(name.as_str(), "." | ".."), "{:?}", name);
        }
        if let Ok(location) = Location::parse(&text) {
            prop_assert_eq!(Location::parse(location.as_str()), Ok(location));
        }
        if let Ok(group) = ResourceGroup::parse(&text) {
            prop_assert!(group.is(&group));
        }
    }
}

// Life cycle and deletion.

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..config() })]

    #[test]
    fn no_state_of_the_world_leads_to_a_wrong_step((found, ours) in filesystem(), desired in desired()) {
        let step = lifecycle::next(&Observed::Present(Box::new(found.clone())), &desired);
        prop_assert_eq!(matches!(step, Step::NotOwned(_)), !ours);
        let was_ready = !found.mgs_address.as_str().trim().is_empty();
        let ended = matches!(found.state, ProvisioningState::Failed | ProvisioningState::Canceled);
        let usable = MgsAddress::parse(found.mgs_address.as_str()).is_ok() && found.capacity.is_some();
        match step {
            Step::Create => prop_assert!(false, "it is there"),
            Step::Ready(ready) => {
                prop_assert!(found.state == ProvisioningState::Succeeded && usable && agrees(&found, &desired));
                prop_assert_eq!((ready.mgs_text.as_str(), Some(ready.capacity)), (found.mgs_address.as_str(), found.capacity));
            }
            Step::Wait(state) => {
                prop_assert!(agrees(&found, &desired) && state == found.state && !ended);
                prop_assert!(state != ProvisioningState::Succeeded || !usable, "ready, but waited for");
            }
            Step::DeleteFailed { reason } => {
                prop_assert!(ended && !was_ready && agrees(&found, &desired));
                prop_assert_eq!(reason, found.failure);
            }
            Step::FailedAfterReady { .. } => prop_assert!(ended && was_ready),
            Step::Conflict(differences) => prop_assert!(!differences.is_empty() && !agrees(&found, &desired)),
            Step::NotOwned(_) => {}
        }
    }

    #[test]
    fn only_ours_is_deleted((found, ours) in filesystem()) {
        let step = reclaim::next(&Observed::Present(Box::new(found.clone())), &volume_name());
        match step {
            ReclaimStep::Refuse(_) => prop_assert!(!ours),
            ReclaimStep::Delete => prop_assert!(ours && found.state != ProvisioningState::Deleting),
            ReclaimStep::Wait => prop_assert!(ours && found.state == ProvisioningState::Deleting),
            ReclaimStep::Done => prop_assert!(false, "it is still there"),
        }
    }

    #[test]
    fn states_keep_their_word(word in prop_oneof![hostile(), state().prop_map(|state| state.as_str().to_owned())]) {
        let state = ProvisioningState::parse(&word);
        prop_assert_eq!(ProvisioningState::parse(state.as_str()), state);
    }

    #[test]
    fn pauses_are_bounded(look in any::<u32>(), asked in option::of(duration()), budget in option::of(duration())) {
        let pause = polling::pause(look, asked);
        prop_assert!(pause >= Duration::from_secs(2) && pause <= polling::LONGEST_RETRY_AFTER);
        prop_assert!(asked.is_some() || pause <= polling::LONGEST_PAUSE);
        prop_assert!(asked.is_none_or(|asked| pause >= asked.min(polling::LONGEST_RETRY_AFTER)));
        prop_assert!(pause <= polling::pause(look.saturating_add(1), asked), "a later look comes sooner");
        let recreate = polling::recreate_pause(look);
        prop_assert!(recreate >= Duration::from_secs(30) && recreate <= Duration::from_mins(10));
        let (all, working) = (budget.unwrap_or(polling::DEFAULT_BUDGET), polling::working_time(budget));
        prop_assert!(working <= all && all.checked_sub(working).unwrap() <= Duration::from_secs(5));
        prop_assert!(working > Duration::ZERO || all.is_zero());
        prop_assert!(!polling::in_words(all).is_empty());
    }
}

// The whole way: what one call writes, the next one reads.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_new_file_system_is_recognised_reported_mounted_and_deleted(
        (request, address) in (dynamic_request(), mgs_text()), increment in select(&[1_u32, 3, 4, 8, 16, 48][..]),
    ) {
        let plan = dynamic(&request)?;
        let zones = plan.desired().zone.into_iter().collect();
        let sku = Sku { name: "AMLFS-Durable-Premium-125".into(), increment: Tib(increment), maximum: Tib(768), largest: Tib(768), bandwidth_per_tib: 1, zones };
        let spec = plan.spec(&sku).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let next = |state, address: &str| lifecycle::next(&Observed::Present(Box::new(as_made(&spec, state, address))), &plan.desired());
        prop_assert_eq!(next(ProvisioningState::Creating, ""), Step::Wait(ProvisioningState::Creating));
        prop_assert_eq!(next(ProvisioningState::Failed, ""), Step::DeleteFailed { reason: None });
        let Step::Ready(ready) = next(ProvisioningState::Succeeded, &address) else {
            return Err(TestCaseError::fail("not ready"));
        };
        let volume = plan.volume(&ready).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(VolumeId::parse(&volume.id.to_string()), Ok(volume.id.clone()));
        prop_assert_eq!(reclaim::plan(&volume.id.to_string()), Ok(Reclaim::Filesystem(spec.id.clone())));
        let there = Observed::Present(Box::new(as_made(&spec, ProvisioningState::Succeeded, &address)));
        prop_assert_eq!(reclaim::next(&there, &spec.id.name), ReclaimStep::Delete);
        can_be_mounted(&volume, &address)?;
    }

    #[test]
    fn a_volume_on_an_existing_file_system_is_mounted_and_never_deleted(
        (keys, address) in (written_keys(0), mgs_text()), name in volume_name_text(), size in 0_i64..1 << 50,
    ) {
        let mut request = request(name, &keys, RequestedCapacity::at_least(size));
        request.parameters.insert("Mgs-IP-Address".to_owned(), format!(" {address} "));
        let Ok(ProvisionPlan::Existing(volume)) = ProvisionPlan::parse(&request, &Defaults::default()) else {
            return Err(TestCaseError::fail("refused"));
        };
        prop_assert!(volume.capacity.0 >= size.unsigned_abs());
        prop_assert_eq!(VolumeId::parse(&volume.id.to_string()), Ok(volume.id.clone()));
        prop_assert_eq!(reclaim::plan(&volume.id.to_string()), Ok(Reclaim::Nothing));
        can_be_mounted(&volume, &address)?;
    }

    #[test]
    fn any_request_is_taken_or_refused_with_a_reason(
        name in hostile(), (required_bytes, limit_bytes) in (bytes(), bytes()), access in capability(), parameters in any_parameters(),
    ) {
        let capacity = RequestedCapacity { required_bytes, limit_bytes };
        let request = VolumeRequest { name, capacity, capabilities: vec![access], parameters };
        let answer = ProvisionPlan::parse(&request, &defaults());
        prop_assert_eq!(&answer, &ProvisionPlan::parse(&request, &defaults()), "the same request, another answer");
        if let Err(RequestError::Invalid(violations)) = answer {
            prop_assert!(!violations.is_empty());
        }
    }
}

fn dynamic(request: &VolumeRequest) -> Result<DynamicProvision, TestCaseError> {
    match ProvisionPlan::parse(request, &defaults()) {
        Ok(ProvisionPlan::Dynamic(plan)) => Ok(*plan),
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

/// The file system that the cloud shows after a PUT of `spec`.
fn as_made(spec: &FilesystemSpec, state: ProvisioningState, mgs_address: &str) -> Filesystem {
    Filesystem {
        location: Some(spec.location.clone()),
        sku_name: Some(spec.sku_name.to_uppercase()),
        zones: spec.zone.iter().cloned().collect(),
        capacity: Some(spec.capacity.bytes()),
        subnet: Some(spec.subnet.clone()),
        state,
        mgs_address: ReportedMgsAddress::parse(mgs_address),
        fs_name: None,
        tags: spec.tags.clone(),
        failure: None,
    }
}

/// The context is good to publish with, and for `ValidateVolumeCapabilities`, which sends it back as parameters.
fn can_be_mounted(volume: &Volume, address: &str) -> Result<(), TestCaseError> {
    let again = Parameters::parse(&volume.context);
    prop_assert!(matches!(again, Ok(Parameters::Existing(_))), "{:?}", again);
    let mut context = volume.context.clone();
    context.extend(VARIABLES.map(|(_, key)| (key.to_owned(), "x".to_owned())));
    let capability =
        Capability { access: Some(AccessType::Mount { flags: vec![] }), mode: Some(AccessMode::MultiNodeMultiWriter) };
    let (volume_id, target) = (volume.id.to_string(), PathBuf::from("/target"));
    let plan = MountPlan::new(&PublishRequest { volume_id, target, capability, read_only: false, context });
    prop_assert_eq!(plan.map(|plan| plan.source.mgs), Ok(MgsAddress::parse(address).unwrap()));
    Ok(())
}

// Generators.

/// What has a meaning to somebody: paths, volume ids, templates, URLs, addresses, options, keys; and a few look-alikes.
const FRAGMENTS: &str = ".. . / // ../ # ## #t# t f ${ } $ ${pvc.metadata.name} ${pod.metadata.uid} %2f % ? & \\ , = @ : :/ \
    - _ ( ) a Z 9 0 ä ß İ 𝔘 ' \" ` 10.0.0.4 @tcp @tcp0 fd00::4 lustrefs device= ro flock x- retry= sku-name zone \
    k8s-azure-created-by";
/// Blanks, line breaks, control characters, a direction mark, a letter that lower-cases into ASCII, a combining accent.
const ODD_CHARACTERS: &str = " \t\n\r\0\u{7f}\u{85}\u{a0}\u{2028}\u{202e}\u{feff}\u{212a}\u{301}";

/// Text that tries to be something else.
fn hostile() -> impl Strategy<Value = String> {
    let odd = select(ODD_CHARACTERS.chars().collect::<Vec<_>>());
    let fragment = prop_oneof![
        20 => one_of(FRAGMENTS),
        4 => odd.prop_map(String::from),
        1 => any::<char>().prop_map(String::from),
        1 => Just(LONG.to_owned()),
    ];
    prop_oneof![9 => vec(fragment, 0..7).prop_map(|parts| parts.concat()), 1 => any::<String>()]
}

/// One of the words of a list.
fn one_of(words: &'static str) -> impl Strategy<Value = String> {
    select(words.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned)
}

/// A plain name.
fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-zA-Z0-9._()-]{0,8}[a-zA-Z0-9])?"
}

fn origin() -> impl Strategy<Value = Origin> {
    select(&[Origin::Dynamic, Origin::Static][..])
}

/// Bytes of a capacity range: round tebibytes and their neighbours, the ends of the type, anything.
fn bytes() -> impl Strategy<Value = i64> {
    let near = (0_i64..200, -1_i64..=1).prop_map(|(tib, off)| (tib << 40) + off);
    prop_oneof![2 => Just(0), 6 => near, 1 => select(&[i64::MIN, -1, i64::MAX - 1, i64::MAX][..]), 1 => any::<i64>()]
}

fn tebibytes() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0_u32..200, 1 => any::<u32>(), 1 => select(&[1 << 23, 1 << 24, u32::MAX][..])]
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<i64>().prop_map(|number| number.to_string()), "[0-9]{0,4}", hostile()]
}

fn any_parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known = select(&KEYS[..]).prop_flat_map(|(key, spelling, good, bad)| {
        (select(vec![key, spelling]), prop_oneof![select(vec![good, bad]).prop_map(str::to_owned), hostile()])
    });
    let mgs = (Just("mgs-ip-address"), prop_oneof![mgs_text(), hostile()]);
    let known = prop_oneof![9 => known, 1 => mgs].prop_map(|(key, value)| (key.to_owned(), value));
    vec(prop_oneof![9 => known, 1 => (hostile(), hostile())], 0..20).prop_map(|pairs| pairs.into_iter().collect())
}

fn tag_text() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        word(),
        hostile(),
        Just(" K8S-Azure-Created-By ".to_owned()),
        Just(tags::PV_NAME.to_uppercase()),
        "[a-c]{1,2}",
    ];
    vec((key, prop_oneof![word(), hostile()]), 0..60)
        .prop_map(|pairs| pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","))
}

fn mount_flag() -> impl Strategy<Value = String> {
    let others = "atime strictatime norelatime suid _netdev nofail x-systemd.automount retry=5 defaults";
    let injected = "device=10.0.0.9@tcp:/x x-a,device=b flock,ro retry=1,device=y comment=, devicex context=\"a:b,device=x \
        context=\"a\",device=x x-a=\",device=x";
    let go = "no_unique_fsid acl noacl noatime,flock context=u:r:t:s0 context=\"u:r:t:s0:c1,c2\" rootcontext=a:b sync_on_close";
    prop_oneof![
        8 => one_of(WORDS),
        4 => one_of(others),
        2 => one_of(go),
        1 => one_of(injected),
        1 => (one_of(WORDS), hostile()).prop_map(|(word, more)| format!("{word}{more}")),
        1 => hostile(),
    ]
}

/// A valid address, in any of its forms.
fn mgs_text() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        4 => any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        1 => "[a-zA-Z]([a-zA-Z0-9-]{0,8}[a-z0-9])?(\\.[a-z][a-z0-9]{0,4}){0,2}",
    ];
    let network = select(&["", "@tcp", "@tcp0", "@tcp1", "@tcp9999", "@o2ib", "@o2ib0", "@o2ib12"][..]);
    let nid = (host, network).prop_map(|(host, network)| format!("{host}{network}"));
    vec(vec(nid, 1..3).prop_map(|nids| nids.join(",")), 1..4).prop_map(|servers| servers.join(":"))
}

fn capability() -> impl Strategy<Value = Capability> {
    let access = prop_oneof![
        18 => vec(mount_flag(), 0..2).prop_map(|flags| Some(AccessType::Mount { flags })),
        1 => Just(Some(AccessType::Block)),
        1 => Just(None),
    ];
    let mode =
        option::weighted(0.9, select(&[AccessMode::MultiNodeMultiWriter, AccessMode::SingleNodeSingleWriter][..]));
    (access, mode).prop_map(|(access, mode)| Capability { access, mode })
}

fn target() -> impl Strategy<Value = PathBuf> {
    prop_oneof![
        8 => "/[a-z]{1,5}(/[a-z .]{1,5}){0,3}".prop_map(PathBuf::from),
        1 => hostile().prop_map(|text| PathBuf::from(format!("/{text}"))),
        1 => vec(any::<u8>(), 0..8).prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes))),
    ]
}

fn publish_request() -> impl Strategy<Value = PublishRequest> {
    let volume_id = prop_oneof![4 => word(), 1 => hostile()];
    let address = prop_oneof![9 => mgs_text().prop_map(Some), 1 => option::of(hostile())];
    let fs_name = prop_oneof![4 => option::of("[a-z0-9]{1,8}"), 1 => hostile().prop_map(Some)];
    let dir = prop_oneof![3 => Just(None), 3 => word().prop_map(Some), 1 => hostile().prop_map(Some)];
    let attributes = (address, fs_name, dir, context());
    (volume_id, target(), capability(), any::<bool>(), attributes).prop_map(
        |(volume_id, target, capability, read_only, (address, fs_name, dir, mut context))| {
            let attributes = [("Mgs-Ip-Address", address), ("fs-name", fs_name), ("SUB-DIR", dir)];
            context.extend(attributes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
            PublishRequest { volume_id, target, capability, read_only, context }
        },
    )
}

fn any_mount() -> impl Strategy<Value = Mounted> {
    let source = prop_oneof![hostile(), mgs_text().prop_map(|mgs| format!("{mgs}:/lustrefs"))];
    let fs_type = select(&["lustre", "tmpfs", "Lustre", ""][..]);
    (source, fs_type, vec(mount_flag(), 0..4)).prop_map(|(source, fs_type, options)| Mounted {
        source,
        fs_type: fs_type.to_owned(),
        options,
    })
}

fn state() -> impl Strategy<Value = ProvisioningState> {
    use ProvisioningState::{Canceled, Creating, Deleting, Failed, Succeeded, Unknown, Updating};
    prop_oneof![
        3 => select(vec![Succeeded, Failed]),
        2 => select(vec![Creating, Deleting, Updating, Canceled]),
        1 => hostile().prop_map(Unknown),
    ]
}

/// The volume that the file systems of [`filesystem`] are meant for; AMLFS cannot take its name as it is.
const VOLUME: &str = "pvc/1";

fn volume_name() -> FilesystemName {
    FilesystemName::for_volume(VOLUME)
}

/// Tags, and whether they prove that the file system was made by us for [`VOLUME`].
fn owner_tags() -> impl Strategy<Value = (BTreeMap<String, String>, bool)> {
    let (creator, volume) = ("k8s-azure-created-by", "kubernetes.io-created-for-pv-name");
    let creator_key = select(vec![creator.to_owned(), creator.to_uppercase()]);
    let us = "kubernetes-azurelustre-csi-driver";
    let creator_value = prop_oneof![4 => Just(us.to_owned()), 1 => Just(us.to_uppercase()), 1 => Just(format!("{us} ")), 1 => hostile()];
    let volume_value = prop_oneof![
        4 => Just(VOLUME.to_owned()),
        1 => Just(volume_name().to_string()),
        1 => Just("pvc/2".to_owned()),
        1 => hostile(),
    ];
    let noise = btree_map(word(), hostile(), 0..2);
    (option::weighted(0.9, (creator_key, creator_value)), option::of(volume_value), noise).prop_map(
        move |(created, made_for, mut tags)| {
            let ours = created.as_ref().is_some_and(|(_, value)| value == us)
                && made_for.as_ref().is_none_or(|value| *value == VOLUME || *value == volume_name().to_string());
            tags.extend(created);
            tags.extend(made_for.map(|value| (volume.to_owned(), value)));
            (tags, ours)
        },
    )
}

fn subnet(name: &str) -> SubnetId {
    SubnetId {
        resource_group: ResourceGroup::parse(name).unwrap(),
        vnet: NetworkName::parse("vnet").unwrap(),
        subnet: NetworkName::parse("subnet").unwrap(),
    }
}

fn zones(names: &[&str]) -> Vec<Zone> {
    names.iter().map(|name| Zone::parse(name).unwrap()).collect()
}

/// A file system as the cloud may show it, and whether its tags are ours for [`VOLUME`].
fn filesystem() -> impl Strategy<Value = (Filesystem, bool)> {
    let address = prop_oneof![3 => Just(String::new()), 1 => Just(" \n".to_owned()), 3 => mgs_text(), 1 => hostile()];
    let shape = (
        option::weighted(0.7, select(vec!["eastus"; 9].into_iter().chain(["westus"]).collect::<Vec<_>>())),
        option::weighted(0.7, select(vec!["AMLFS-A", "amlfs-a", "AMLFS-A", "AMLFS-a", "AMLFS-B"])),
        select(vec![zones(&["1"]), zones(&["1"]), zones(&["1"]), zones(&[]), zones(&["1", "2"]), zones(&["2"])]),
        option::weighted(
            0.9,
            prop_oneof![4 => (4_u32..=8).prop_map(|tib| Tib(tib).bytes()), 1 => any::<u64>().prop_map(Bytes)],
        ),
        option::weighted(0.7, select(vec![subnet("rg"), subnet("RG"), subnet("rg"), subnet("other")])),
    );
    let fs_name = option::of(Just(FsName::default()));
    (shape, state(), address, fs_name, owner_tags(), option::of(hostile())).prop_map(
        |((location, sku, zones, capacity, subnet), state, mgs_address, fs_name, (tags, ours), failure)| {
            let location = location.map(|name| Location::parse(name).unwrap());
            let sku_name = sku.map(str::to_owned);
            let mgs_address = ReportedMgsAddress::parse(&mgs_address);
            let found =
                Filesystem { location, sku_name, zones, capacity, subnet, state, mgs_address, fs_name, tags, failure };
            (found, ours)
        },
    )
}

fn desired() -> impl Strategy<Value = Desired> {
    let zone = select(vec![Zone::parse("1").ok(), Zone::parse("1").ok(), None]);
    (zone, 0_i64..=6, option::of(7_i64..9)).prop_map(|(zone, required, limit)| Desired {
        name: volume_name(),
        location: Location::parse("East US").unwrap(),
        sku_name: "AMLFS-A".to_owned(),
        zone,
        subnet: subnet("Rg"),
        range: CapacityRange::parse(RequestedCapacity {
            required_bytes: required << 40,
            limit_bytes: limit.unwrap_or(0) << 40,
        })
        .unwrap(),
    })
}

/// Whether nothing that cannot change differs; what the cloud does not tell agrees.
fn agrees(found: &Filesystem, desired: &Desired) -> bool {
    found.location.as_ref().is_none_or(|location| *location == desired.location)
        && found.sku_name.as_ref().is_none_or(|sku| sku.to_lowercase() == desired.sku_name.to_lowercase())
        && found.zones == desired.zone.iter().cloned().collect::<Vec<_>>()
        && found.subnet.as_ref().is_none_or(|subnet| subnet.resource_group.as_str().eq_ignore_ascii_case("rg"))
        && found.capacity.is_none_or(|size| desired.range.admits(size))
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![any::<u64>().prop_map(Duration::from_secs), (0_u64..400_000).prop_map(Duration::from_millis)]
}

fn defaults() -> Defaults {
    Defaults {
        location: Location::parse("eastus").ok(),
        resource_group: ResourceGroup::parse("MC_rg").ok(),
        vnet_resource_group: None,
        vnet: NetworkName::parse("vnet").ok(),
        subnet: NetworkName::parse("subnet").ok(),
    }
}

/// A volume name that CSI allows, most of them such as AMLFS cannot take.
fn volume_name_text() -> impl Strategy<Value = String> {
    let name = |text: &String| (1..=128).contains(&text.len());
    prop_oneof![word(), hostile().prop_filter("CSI allows 1 to 128 bytes", name)]
}

fn request(name: String, keys: &[(&str, &str, bool)], capacity: RequestedCapacity) -> VolumeRequest {
    let capability =
        Capability { access: Some(AccessType::Mount { flags: vec![] }), mode: Some(AccessMode::SingleNodeWriter) };
    let parameters = keys.iter().map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())).collect();
    VolumeRequest { name, capacity, capabilities: vec![capability], parameters }
}

/// A request for a file system that is in order; some optional keys are there with nothing in them.
fn dynamic_request() -> impl Strategy<Value = VolumeRequest> {
    let size = (0_i64..100 << 40, prop_oneof![Just(0_i64), 200_i64 << 40..300 << 40]);
    let emptied =
        option::of(select(&["resource-group", "zones", "location", "vnet-name", "csi.storage.k8s.io/pv/name"][..]));
    (volume_name_text(), written_keys(0), size, emptied).prop_map(
        |(name, keys, (required_bytes, limit_bytes), emptied)| {
            let mut request = request(name, &keys, RequestedCapacity { required_bytes, limit_bytes });
            if let Some(key) = emptied {
                let same = |known: &String| parameters::canonical(known) == parameters::canonical(key);
                request.parameters.retain(|known, _| !same(known));
                request.parameters.insert(key.to_owned(), String::new());
            } else if request.name.trim() == request.name {
                request.parameters.insert(parameters::PV_NAME.to_owned(), request.name.clone());
            }
            request
        },
    )
}
