//! Parameters of a `StorageClass`: keys, aliases, and their values read into checked types.
//!
//! Keys compare without case, some have two spellings, and every mistake is reported at once, each with the nearest
//! valid name. A non-empty `mgs-ip-address` makes the volume static; everything else asks for a new file system.

use std::collections::BTreeMap;
use std::fmt;

use super::mount_source::{DEFAULT_FS_NAME, FsName, MgsAddress};
use super::names::{Location, NetworkName, ResourceGroup, Zone};
use super::placement::Placement;
use super::problem::{Notice, Problems};
use super::sub_dir::SubDirTemplate;
use super::tags;
use super::text::{nearest, quote};

pub use values::{IdentityId, MaintenanceWindow};
use values::{day_of_week, identities, sku_name, time_of_day};

/// Address of an existing file system's MGS; in a volume context the one that publish mounts from.
pub const MGS_IP_ADDRESS: &str = "mgs-ip-address";
/// Lustre file system name.
pub const FS_NAME: &str = "fs-name";
/// Sub-directory template.
pub const SUB_DIR: &str = "sub-dir";
/// Resource group of the file system.
pub const RESOURCE_GROUP_NAME: &str = "resource-group-name";
/// Volume context key that repeats the origin flag of the volume id.
pub const CREATED_BY_DYNAMIC_PROVISIONING: &str = "created-by-dynamic-provisioning";
/// Volume context key (`volumeAttributes` of a `PersistentVolume`) that says `true` where nothing behind the volume is real.
/// No parameter: a class cannot ask for it.
pub const SIMULATED: &str = "simulated";
/// Provisioner's metadata: the claim.
pub const PVC_NAME: &str = "csi.storage.k8s.io/pvc/name";
/// Provisioner's metadata: the claim's namespace.
pub const PVC_NAMESPACE: &str = "csi.storage.k8s.io/pvc/namespace";
/// Provisioner's metadata: the PersistentVolume.
pub const PV_NAME: &str = "csi.storage.k8s.io/pv/name";

/// Second spellings and the key that each stands for.
pub(super) const ALIASES: [(&str, &str); 3] = [
    ("zones", "zone"),
    // Microsoft's article has this one.
    ("resource-group", RESOURCE_GROUP_NAME),
    // The spelling of the Azure Disk and Azure File drivers.
    ("tagValueDelimiter", TAG_VALUE_DELIMITER),
];

/// What stands between two tags.
const TAG_VALUE_DELIMITER: &str = "tag-value-delimiter";

/// Keys that Kubernetes' own components put beside the user's: `csi.storage.k8s.io/…` (external-provisioner's metadata,
/// kubelet's pod information) and `storage.kubernetes.io/…` (`csiProvisionerIdentity`).
const RESERVED_PREFIXES: [&str; 2] = ["csi.storage.k8s.io/", "storage.kubernetes.io/"];

pub(super) const KNOWN: [&str; 19] = [
    "sku-name",
    "zone",
    "maintenance-day-of-week",
    "maintenance-time-of-day-utc",
    "location",
    RESOURCE_GROUP_NAME,
    "vnet-resource-group",
    "vnet-name",
    "subnet-name",
    "identities",
    "tags",
    TAG_VALUE_DELIMITER,
    SUB_DIR,
    MGS_IP_ADDRESS,
    FS_NAME,
    PVC_NAME,
    PVC_NAMESPACE,
    PV_NAME,
    // A volume's own context is a valid set of parameters: validators send it back.
    CREATED_BY_DYNAMIC_PROVISIONING,
];

/// The parameters of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameters {
    /// A volume on a file system that exists.
    Existing(ExistingParameters),
    /// A file system to be created.
    Dynamic(Box<DynamicParameters>),
}

/// Parameters of a static volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingParameters {
    /// A valid [`MgsAddress`] as the user wrote it, without blanks and without the full stop that may end a host name; the
    /// volume id holds this text.
    pub mgs_address: String,
    /// Lustre file system name, `lustrefs` unless a possible one is given.
    pub fs_name: FsName,
    /// Whether [`fs_name`](Self::fs_name) stands in place of a name that no Lustre can have.
    pub fs_name_replaced: bool,
    /// Directory of the volume, if not the root.
    pub sub_dir: Option<SubDirTemplate>,
}

/// Parameters of a volume that gets a file system of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicParameters {
    /// SKU; whether the region offers it is checked against the SKU list later.
    pub sku_name: String,
    /// Availability zone.
    pub zone: Option<Zone>,
    /// Maintenance window.
    pub maintenance: MaintenanceWindow,
    /// Region, resource group and subnet.
    pub placement: Placement,
    /// User-assigned identities.
    pub identities: Vec<IdentityId>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// Directory of the volume, if not the root.
    pub sub_dir: Option<SubDirTemplate>,
    /// Name of the claim, where the provisioner gives it.
    pub pvc_name: Option<String>,
    /// Namespace of the claim, where the provisioner gives it.
    pub pvc_namespace: Option<String>,
    /// Name of the PersistentVolume, where the provisioner gives it.
    pub pv_name: Option<String>,
}

impl Parameters {
    /// Reads all parameters. On failure every bad key and value is reported.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, Problems> {
        let mut reader = ParameterReader::new(parameters);
        let parsed = match reader.text(MGS_IP_ADDRESS) {
            Some(_) => {
                // Values that a static volume does not use are checked too.
                reader.dynamic(false);
                reader.existing().map(Self::Existing)
            }
            None => reader.dynamic(true).map(|dynamic| Self::Dynamic(Box::new(dynamic))),
        };
        reader.problems.into_result(parsed)
    }
}

/// One request's parameters by canonical key, and what is wrong with them so far.
struct ParameterReader<'a> {
    /// Canonical key to (key as written, value).
    values: BTreeMap<&'static str, (&'a str, &'a str)>,
    problems: Problems,
}

impl<'a> ParameterReader<'a> {
    fn new(parameters: &'a BTreeMap<String, String>) -> Self {
        let mut reader = Self { values: BTreeMap::new(), problems: Problems::default() };
        for (key, value) in parameters {
            match canonical(key) {
                None if is_reserved(key) => {}
                None => reader.problems.add(quote(key), unknown_key(key)),
                Some(known) => reader.take(known, key, value),
            }
        }
        reader
    }

    fn take(&mut self, known: &'static str, key: &'a str, value: &'a str) {
        match self.values.insert(known, (key, value)) {
            Some((first, other)) if other.trim() != value.trim() => {
                self.problems
                    .add(key, format!("{} here but {} as `{first}`; give it once", quote(value), quote(other)));
            }
            _ => {}
        }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).map(|(_, value)| *value)
    }

    /// Parses the value of `key` if there is one; an empty value is a problem, except where empty means "default".
    fn parsed<T, E: fmt::Display>(&mut self, key: &str, parse: impl FnOnce(&'a str) -> Result<T, E>) -> Option<T> {
        let (written, value) = *self.values.get(key)?;
        self.problems.note_at(written, parse(value))
    }

    /// Like [`ParameterReader::parsed`] for keys whose empty value means "use the default", as the Go driver reads them.
    fn optional<T, E: fmt::Display>(&mut self, key: &str, parse: impl FnOnce(&'a str) -> Result<T, E>) -> Option<T> {
        let empty = self.text(key).is_none_or(|value| value.trim().is_empty());
        if empty { None } else { self.parsed(key, |value| parse(value.trim())) }
    }

    /// Like [`ParameterReader::optional`]; where the value is `wanted` but not given, that is a problem.
    fn required<T, E: fmt::Display>(
        &mut self,
        key: &str,
        wanted: bool,
        rule: &str,
        parse: impl FnOnce(&'a str) -> Result<T, E>,
    ) -> Option<T> {
        if wanted && self.text(key).is_none_or(|value| value.trim().is_empty()) {
            self.problems.add(key, rule);
        }
        self.optional(key, parse)
    }

    fn metadata(&mut self, key: &str) -> Option<String> {
        self.optional(key, |value| if value.len() <= 253 { Ok(value.to_owned()) } else { Err("longer than 253 bytes") })
    }

    fn sub_dir(&mut self) -> Option<SubDirTemplate> {
        self.parsed(SUB_DIR, SubDirTemplate::parse)
    }

    fn existing(&mut self) -> Option<ExistingParameters> {
        self.parsed(MGS_IP_ADDRESS, MgsAddress::parse)?;
        let mgs_address = without_final_dots(self.text(MGS_IP_ADDRESS)?.trim());
        let (fs_name, notice) = FsName::of_volume(self.text(FS_NAME).unwrap_or_default());
        let sub_dir = self.text(SUB_DIR).and_then(|text| SubDirTemplate::parse(text).ok());
        let fs_name_replaced = notice.is_some();
        Some(ExistingParameters { mgs_address, fs_name, fs_name_replaced, sub_dir })
    }

    fn dynamic(&mut self, wanted: bool) -> Option<DynamicParameters> {
        let rule = "missing; for example AMLFS-Durable-Premium-125 (or give mgs-ip-address of an existing file system)";
        let sku_name = self.required("sku-name", wanted, rule, sku_name);
        let rule = "missing; one of Monday to Sunday";
        let day_of_week = self.required("maintenance-day-of-week", wanted, rule, day_of_week);
        let rule = "missing; HH:MM in UTC";
        let time_of_day_utc = self.required("maintenance-time-of-day-utc", wanted, rule, time_of_day);
        let zone = self.optional("zone", Zone::parse);
        let placement = self.placement();
        let identities = self.optional("identities", identities).unwrap_or_default();
        let (tags, sub_dir) = (self.tags(), self.sub_dir());
        let [claim, namespace, volume] = [PVC_NAME, PVC_NAMESPACE, PV_NAME].map(|key| self.metadata(key));
        // Everything is read by now, so that every mistake is reported.
        Some(DynamicParameters {
            sku_name: sku_name?,
            zone,
            maintenance: MaintenanceWindow { day_of_week: day_of_week?, time_of_day_utc: time_of_day_utc? },
            placement,
            identities,
            tags,
            sub_dir,
            pvc_name: claim,
            pvc_namespace: namespace,
            pv_name: volume,
        })
    }

    fn placement(&mut self) -> Placement {
        Placement {
            location: self.optional("location", Location::parse),
            resource_group: self.optional(RESOURCE_GROUP_NAME, ResourceGroup::parse),
            vnet_resource_group: self.optional("vnet-resource-group", ResourceGroup::parse),
            vnet: self.optional("vnet-name", NetworkName::parse),
            subnet: self.optional("subnet-name", NetworkName::parse),
        }
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let delimiter = self.optional(TAG_VALUE_DELIMITER, tags::parse_delimiter);
        let Some((written, value)) = self.values.get("tags") else { return BTreeMap::new() };
        let delimiter = delimiter.unwrap_or(tags::DEFAULT_DELIMITER);
        let tags = tags::parse(written, value, delimiter, |key| self.text(key));
        self.problems.note(tags).unwrap_or_default()
    }
}

/// What a request's parameters hold that does not stop it but should be logged: an `fs-name` that is not used, and keys of
/// newer Kubernetes components that this driver does not know.
pub fn notices(parameters: &BTreeMap<String, String>) -> Vec<Notice> {
    let unknown = parameters.keys().filter(|key| canonical(key).is_none() && is_reserved(key));
    let passed_over = |key: &String| Notice::debug(quote(key), "passed over; this driver does not know it");
    fs_name_notice(parameters).into_iter().chain(unknown.map(passed_over)).collect()
}

fn fs_name_notice(parameters: &BTreeMap<String, String>) -> Option<Notice> {
    let fs_name = context_value(parameters, FS_NAME)?;
    if context_value(parameters, MGS_IP_ADDRESS).is_some() {
        return FsName::of_volume(fs_name).1;
    }
    if matches!(fs_name.trim().trim_matches('/'), "" | DEFAULT_FS_NAME) {
        return None;
    }
    let message =
        format!("{} is passed over; a new AMLFS file system is always named {DEFAULT_FS_NAME}", quote(fs_name));
    Some(Notice::warning(FS_NAME, message))
}

/// Whether a key belongs to Kubernetes' own components, known to this driver or not.
pub fn is_reserved(key: &str) -> bool {
    let begins = |prefix: &&str| key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    RESERVED_PREFIXES.iter().any(begins)
}

/// An MGS address without the full stops that end its host names, and otherwise as written.
fn without_final_dots(mgs_text: &str) -> String {
    let nid = |nid: &str| match nid.split_once('@') {
        Some((host, network)) => format!("{}@{network}", host.strip_suffix('.').unwrap_or(host)),
        None => nid.strip_suffix('.').unwrap_or(nid).to_owned(),
    };
    let server = |nids: &str| nids.split(',').map(nid).collect::<Vec<_>>().join(",");
    mgs_text.split(':').map(server).collect::<Vec<_>>().join(":")
}

/// The key that a spelling stands for.
pub fn canonical(key: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(key)).map(|(_, known)| *known);
    alias.or_else(|| KNOWN.iter().find(|known| known.eq_ignore_ascii_case(key)).copied())
}

/// Value of a key in a volume context, in any case. The key as the driver writes it counts first, and one with a
/// value before an empty one.
pub fn context_value<'a>(context: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    let written = context.get_key_value(key);
    let spellings = || written.into_iter().chain(context.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key)));
    let with_value = spellings().find(|(_, value)| !value.trim().is_empty());
    with_value.or_else(|| spellings().next()).map(|(_, value)| value.as_str())
}

fn unknown_key(key: &str) -> String {
    let all = KNOWN.iter().copied().chain(ALIASES.iter().map(|(alias, _)| *alias));
    let hint = nearest(key, all).map(|near| format!("did you mean {near}?"));
    format!("invalid parameter; {}", hint.as_deref().unwrap_or("this driver does not know it"))
}

mod values;

#[cfg(test)]
mod tests;
