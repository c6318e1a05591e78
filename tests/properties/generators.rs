//! Generators of hostile texts, and of values as the domain, the cloud and the kernel may show them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::{Bytes, CapacityRange, RequestedCapacity, Tib};
use azurelustre_csi::domain::filesystem::{Filesystem, ProvisioningState, ReportedMgsAddress};
use azurelustre_csi::domain::lifecycle::Desired;
use azurelustre_csi::domain::mount::{Mounted, PublishRequest};
use azurelustre_csi::domain::mount_source::FsName;
use azurelustre_csi::domain::names::{
    FilesystemId, FilesystemName, Location, NetworkName, ResourceGroup, SubnetId, Zone,
};
use azurelustre_csi::domain::parameters;
use azurelustre_csi::domain::placement::Placement;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::domain::tags;
use azurelustre_csi::domain::template::VARIABLES;
use azurelustre_csi::domain::volume_id::Origin;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// What has a meaning somewhere: paths, volume ids, templates, URLs, addresses, options, keys; and texts that resemble them.
pub(crate) const FRAGMENTS: &str = ".. . / // ../ # ## #t# t f ${ } $ ${pvc.metadata.name} ${pod.metadata.uid} %2f % ? & \\ , = @ : :/ \
    - _ ( ) a Z 9 0 ä ß İ 𝔘 ' \" ` 10.0.0.4 @tcp @tcp0 fd00::4 lustrefs device= ro flock x- retry= sku-name zone \
    k8s-azure-created-by";
/// Blanks, line breaks, control characters, a direction mark, a letter that lower-cases into ASCII, a combining accent.
pub(crate) const ODD_CHARACTERS: &str = " \t\n\r\0\u{7f}\u{85}\u{a0}\u{2028}\u{202e}\u{feff}\u{212a}\u{301}";

/// Text that tries to be something else.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
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
pub(crate) fn one_of(words: &'static str) -> impl Strategy<Value = String> {
    select(words.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned)
}

/// A plain name.
pub(crate) fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9]([a-zA-Z0-9._()-]{0,8}[a-zA-Z0-9])?"
}

pub(crate) fn origin() -> impl Strategy<Value = Origin> {
    select(&[Origin::Dynamic, Origin::Static][..])
}

/// Bytes of a capacity range: round tebibytes and their neighbours, the ends of the type, anything.
pub(crate) fn bytes() -> impl Strategy<Value = i64> {
    let near = (0_i64..200, -1_i64..=1).prop_map(|(tib, off)| (tib << 40) + off);
    prop_oneof![2 => Just(0), 6 => near, 1 => select(&[i64::MIN, -1, i64::MAX - 1, i64::MAX][..]), 1 => any::<i64>()]
}

pub(crate) fn tebibytes() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0_u32..200, 1 => any::<u32>(), 1 => select(&[1 << 23, 1 << 24, u32::MAX][..])]
}

pub(crate) fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<i64>().prop_map(|number| number.to_string()), "[0-9]{0,4}", hostile()]
}

pub(crate) fn any_parameters() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known = select(&KEYS[..]).prop_flat_map(|(key, spelling, good, bad)| {
        (select(vec![key, spelling]), prop_oneof![select(vec![good, bad]).prop_map(str::to_owned), hostile()])
    });
    let mgs = (Just("mgs-ip-address"), prop_oneof![mgs_text(), hostile()]);
    let known = prop_oneof![9 => known, 1 => mgs].prop_map(|(key, value)| (key.to_owned(), value));
    vec(prop_oneof![9 => known, 1 => (hostile(), hostile())], 0..20).prop_map(|pairs| pairs.into_iter().collect())
}

pub(crate) fn tag_text() -> impl Strategy<Value = String> {
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

pub(crate) fn mount_flag() -> impl Strategy<Value = String> {
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
pub(crate) fn mgs_text() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        4 => any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        1 => "[a-zA-Z]([a-zA-Z0-9-]{0,8}[a-z0-9])?(\\.[a-z][a-z0-9]{0,4}){0,2}",
    ];
    let network = select(&["", "@tcp", "@tcp0", "@tcp1", "@tcp9999", "@o2ib", "@o2ib0", "@o2ib12"][..]);
    let nid = (host, network).prop_map(|(host, network)| format!("{host}{network}"));
    vec(vec(nid, 1..3).prop_map(|nids| nids.join(",")), 1..4).prop_map(|servers| servers.join(":"))
}

pub(crate) fn capability() -> impl Strategy<Value = Capability> {
    let access = prop_oneof![
        18 => vec(mount_flag(), 0..2).prop_map(|flags| Some(AccessType::Mount { flags })),
        1 => Just(Some(AccessType::Block)),
        1 => Just(None),
    ];
    let mode =
        option::weighted(0.9, select(&[AccessMode::MultiNodeMultiWriter, AccessMode::SingleNodeSingleWriter][..]));
    (access, mode).prop_map(|(access, mode)| Capability { access, mode })
}

pub(crate) fn target() -> impl Strategy<Value = PathBuf> {
    prop_oneof![
        8 => "/[a-z]{1,5}(/[a-z .]{1,5}){0,3}".prop_map(PathBuf::from),
        1 => hostile().prop_map(|text| PathBuf::from(format!("/{text}"))),
        1 => vec(any::<u8>(), 0..8).prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes))),
    ]
}

pub(crate) fn publish_request() -> impl Strategy<Value = PublishRequest> {
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

pub(crate) fn any_mount() -> impl Strategy<Value = Mounted> {
    let source = prop_oneof![hostile(), mgs_text().prop_map(|mgs| format!("{mgs}:/lustrefs"))];
    let fs_type = select(&["lustre", "tmpfs", "Lustre", ""][..]);
    (source, fs_type, vec(mount_flag(), 0..4)).prop_map(|(source, fs_type, options)| Mounted {
        source,
        fs_type: fs_type.to_owned(),
        options,
    })
}

pub(crate) fn state() -> impl Strategy<Value = ProvisioningState> {
    use ProvisioningState::{Canceled, Creating, Deleting, Failed, Succeeded, Unknown, Updating};
    prop_oneof![
        3 => select(vec![Succeeded, Failed]),
        2 => select(vec![Creating, Deleting, Updating, Canceled]),
        1 => hostile().prop_map(Unknown),
    ]
}

/// The volume that the file systems of [`filesystem`] are meant for; AMLFS cannot take its name as it is.
pub(crate) const VOLUME: &str = "pvc/1";

pub(crate) fn volume_name() -> FilesystemName {
    FilesystemName::for_volume(VOLUME)
}

/// Tags, and whether they prove that the file system was made by us for [`VOLUME`].
pub(crate) fn owner_tags() -> impl Strategy<Value = (BTreeMap<String, String>, bool)> {
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

pub(crate) fn subnet(name: &str) -> SubnetId {
    SubnetId {
        resource_group: ResourceGroup::parse(name).unwrap(),
        vnet: NetworkName::parse("vnet").unwrap(),
        subnet: NetworkName::parse("subnet").unwrap(),
    }
}

pub(crate) fn zones(names: &[&str]) -> Vec<Zone> {
    names.iter().map(|name| Zone::parse(name).unwrap()).collect()
}

/// A file system as the cloud may show it, and whether its tags are ours for [`VOLUME`].
pub(crate) fn filesystem() -> impl Strategy<Value = (Filesystem, bool)> {
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

pub(crate) fn desired() -> impl Strategy<Value = Desired> {
    let zone = select(vec![Zone::parse("1").ok(), Zone::parse("1").ok(), None]);
    (zone, 0_i64..=6, option::of(7_i64..9)).prop_map(|(zone, required, limit)| Desired {
        id: FilesystemId { resource_group: ResourceGroup::parse("rg").unwrap(), name: volume_name() },
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

/// Whether nothing that cannot change differs; what the cloud does not report agrees.
pub(crate) fn agrees(found: &Filesystem, desired: &Desired) -> bool {
    found.location.as_ref().is_none_or(|location| *location == desired.location)
        && found.sku_name.as_ref().is_none_or(|sku| sku.to_lowercase() == desired.sku_name.to_lowercase())
        && found.zones == desired.zone.iter().cloned().collect::<Vec<_>>()
        && found.subnet.as_ref().is_none_or(|subnet| subnet.resource_group.as_str().eq_ignore_ascii_case("rg"))
        && found.capacity.is_none_or(|size| desired.range.admits(size))
}

pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![any::<u64>().prop_map(Duration::from_secs), (0_u64..400_000).prop_map(Duration::from_millis)]
}

pub(crate) fn defaults() -> Placement {
    Placement {
        location: Location::parse("eastus").ok(),
        resource_group: ResourceGroup::parse("MC_rg").ok(),
        vnet_resource_group: None,
        vnet: NetworkName::parse("vnet").ok(),
        subnet: NetworkName::parse("subnet").ok(),
    }
}

/// A volume name that CSI allows, most of them such as AMLFS cannot take.
pub(crate) fn volume_name_text() -> impl Strategy<Value = String> {
    let name = |text: &String| (1..=128).contains(&text.len());
    prop_oneof![word(), hostile().prop_filter("CSI allows 1 to 128 bytes", name)]
}

pub(crate) fn request(name: String, keys: &[(&str, &str, bool)], capacity: RequestedCapacity) -> VolumeRequest {
    let capability =
        Capability { access: Some(AccessType::Mount { flags: vec![] }), mode: Some(AccessMode::SingleNodeWriter) };
    let parameters = keys.iter().map(|(key, value, _)| ((*key).to_owned(), (*value).to_owned())).collect();
    VolumeRequest { name, capacity, capabilities: vec![capability], parameters }
}

/// A request for a file system that is in order; some optional keys are there with nothing in them.
pub(crate) fn dynamic_request() -> impl Strategy<Value = VolumeRequest> {
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

pub(crate) const IDENTITY: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one";

/// Key, another spelling of it, a good value, a bad value.
pub(crate) static KEYS: [(&str, &str, &str, &str); 15] = [
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
pub(crate) const LONG: &str = match str::from_utf8(&[b'x'; 254]) {
    Ok(text) => text,
    Err(_) => "",
};

/// How each key of [`KEYS`] is written and whether its value is good; the first three are always there.
pub(crate) fn written_keys(bad_percent: u8) -> impl Strategy<Value = Vec<(&'static str, &'static str, bool)>> {
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

/// Everything that may ever be said to the kernel, written out a second time on purpose.
pub(crate) const WORDS: &str = "ro rw nosuid nodev noexec sync nodiratime relatime noatime flock noflock localflock user_xattr \
    nouser_xattr checksum nochecksum lruresize nolruresize lazystatfs nolazystatfs user_fid2path nouser_fid2path verbose \
    noverbose encrypt noencrypt statfs_project nostatfs_project sync_on_close \
    nosync_on_close always_ping 32bitapi nolock unique_fsid";

pub(crate) fn context() -> impl Strategy<Value = BTreeMap<String, String>> {
    let key = select(VARIABLES.map(|(_, key)| key.to_owned()).to_vec());
    btree_map(key, prop_oneof![3 => word(), 1 => hostile()], 0..=VARIABLES.len())
}
