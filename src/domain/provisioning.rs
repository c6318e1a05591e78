//! From a CreateVolume request to a volume: all that can be decided without the cloud.
//!
//! Every mistake that can be found locally is found here, before the first request to the cloud, because
//! only then is a final answer harmless (nothing can have been created yet).

use std::collections::BTreeMap;

use super::access::{self, Capability};
use super::capacity::{Bytes, CapacityError, CapacityRange, RequestedCapacity, STATIC_INCREMENT, Tib};
use super::error::{Violation, Violations, quote};
use super::filesystem::{FilesystemSpec, ReadyFilesystem};
use super::lifecycle::Desired;
use super::names::{FilesystemId, FilesystemName, Location, NetworkName, ResourceGroup, SubnetId};
use super::parameters::{
    CREATED_BY_DYNAMIC_PROVISIONING, DynamicParameters, ExistingParameters, FS_NAME, MGS_IP_ADDRESS, PV_NAME,
    Parameters, RESOURCE_GROUP_NAME, RequestedPlacement, SIMULATED, canonical,
};
use super::sku::Sku;
use super::sub_dir::SubDirTemplate;
use super::tags;
use super::volume_id::{Origin, VolumeId, VolumeIdError, VolumeIdFields};

/// Longest volume name that CSI allows, in bytes (specification, section Size Limits: strings of at most 128 bytes).
const VOLUME_NAME_MAX: usize = 128;
/// Largest size that CSI's signed 64-bit bytes can hold, in the step of static volumes.
const STATIC_MAXIMUM: Tib = Tib(8_388_604);

/// A CreateVolume request in the domain's words (CSI `CreateVolumeRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRequest {
    /// CSI volume name, the idempotency key.
    pub name: String,
    /// `capacity_range` as sent.
    pub capacity: RequestedCapacity,
    /// How the volume will be used.
    pub capabilities: Vec<Capability>,
    /// `StorageClass` parameters and the provisioner's metadata.
    pub parameters: BTreeMap<String, String>,
}

/// What the cluster's cloud settings give where a request is silent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Defaults {
    /// Region of the cluster.
    pub location: Option<Location>,
    /// Resource group of new file systems.
    pub resource_group: Option<ResourceGroup>,
    /// Resource group of the virtual network; the one above where absent.
    pub vnet_resource_group: Option<ResourceGroup>,
    /// Virtual network.
    pub vnet: Option<NetworkName>,
    /// Subnet.
    pub subnet: Option<NetworkName>,
}

/// Why a request is refused without asking the cloud.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// CSI: `INVALID_ARGUMENT`.
    #[error("{0}")]
    Invalid(Violations),
    /// CSI: `OUT_OF_RANGE`.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

impl From<Violations> for RequestError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<Violation> for RequestError {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation.into())
    }
}

impl From<VolumeIdError> for RequestError {
    fn from(error: VolumeIdError) -> Self {
        Violation::new("volume id", error.to_string()).into()
    }
}

/// A volume as CSI describes it to Kubernetes (CSI `Volume`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The id, in the form of [`VolumeId`].
    pub id: VolumeId,
    /// Size.
    pub capacity: Bytes,
    /// What NodePublishVolume will be given.
    pub context: BTreeMap<String, String>,
}

impl Volume {
    /// The same volume, marked in its context as one of a simulated cloud: whoever reads the `PersistentVolume` sees that
    /// nothing behind it is real.
    #[must_use]
    pub fn simulated(mut self) -> Self {
        self.context.insert(SIMULATED.to_owned(), "true".to_owned());
        self
    }
}

/// A request that passed all local checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProvisionPlan {
    /// On an existing file system: this is the whole answer, no cloud needed.
    Existing(Box<Volume>),
    /// Needs a file system of its own.
    Dynamic(Box<DynamicProvision>),
}

/// Where the file system of a request is or would be, as far as a refused request still says. `None` for
/// volumes on existing file systems, without a usable name, or with a resource group that is none or ambiguous.
pub fn locate(request: &VolumeRequest, defaults: &Defaults) -> Option<FilesystemId> {
    if request.name.is_empty() || request.name.len() > VOLUME_NAME_MAX || is_on_existing(request) {
        return None;
    }
    let mut groups: Vec<&str> = values(request, RESOURCE_GROUP_NAME).collect();
    groups.dedup();
    let resource_group = match groups.as_slice() {
        [] => defaults.resource_group.clone()?,
        [group] => ResourceGroup::parse(group).ok()?,
        _ => return None,
    };
    Some(FilesystemId { resource_group, name: FilesystemName::for_volume(&request.name) })
}

/// Whether a request, right or wrong, is for a volume on an existing file system, so that nothing was ever made for it.
pub fn is_on_existing(request: &VolumeRequest) -> bool {
    values(request, MGS_IP_ADDRESS).next().is_some()
}

/// What a request gives for a parameter in any of its spellings; blank values count as not given.
fn values<'a>(request: &'a VolumeRequest, known: &'a str) -> impl Iterator<Item = &'a str> {
    let given = request.parameters.iter().filter(move |(key, _)| canonical(key) == Some(known));
    given.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// A plan for a new file system, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicProvision {
    id: FilesystemId,
    location: Location,
    subnet: SubnetId,
    range: CapacityRange,
    parameters: DynamicParameters,
    tags: BTreeMap<String, String>,
    context: BTreeMap<String, String>,
}

impl ProvisionPlan {
    /// Checks a request. `defaults` fill what it leaves open.
    pub fn parse(request: &VolumeRequest, defaults: &Defaults) -> Result<Self, RequestError> {
        let mut violations = Violations::default();
        if request.name.is_empty() {
            violations.push("name", "missing");
        } else if request.name.len() > VOLUME_NAME_MAX {
            violations.push("name", format!("{} bytes long; CSI allows {VOLUME_NAME_MAX}", request.name.len()));
        }
        if let Err(more) = access::check_all(&request.capabilities) {
            violations.extend(more);
        }
        if request.parameters.is_empty() {
            violations.push("parameters", "missing; see the StorageClass examples");
            return Err(violations.into());
        }
        match Parameters::parse(&request.parameters) {
            Ok(Parameters::Dynamic(parameters)) => {
                let placement = Placement::resolve(request, &parameters, defaults);
                let placement = placement.map_err(|more| violations.extend(more)).ok();
                let placement = violations.into_result(placement)?;
                let range = CapacityRange::parse(request.capacity)?;
                Ok(Self::Dynamic(Box::new(DynamicProvision::new(request, *parameters, placement, range))))
            }
            Ok(Parameters::Existing(parameters)) => {
                violations.into_result(Some(()))?;
                Ok(Self::Existing(Box::new(existing_volume(request, &parameters)?)))
            }
            Err(more) => {
                violations.extend(more);
                Err(violations.into())
            }
        }
    }
}

fn existing_volume(request: &VolumeRequest, existing: &ExistingParameters) -> Result<Volume, RequestError> {
    let range = CapacityRange::parse(request.capacity)?;
    let capacity = range.round(STATIC_INCREMENT, STATIC_MAXIMUM, "CSI")?.bytes();
    let id = VolumeId::new(VolumeIdFields {
        name: FilesystemName::for_volume(&request.name).as_str(),
        fs_name: existing.fs_name.as_str(),
        mgs_address: &existing.mgs_text,
        sub_dir: existing.sub_dir.as_ref().map_or("", SubDirTemplate::as_str),
        origin: Origin::Static,
        resource_group: "",
    })?;
    let mut added = vec![(CREATED_BY_DYNAMIC_PROVISIONING, Origin::Static.flag())];
    if existing.fs_name_replaced {
        added.push((FS_NAME, existing.fs_name.as_str()));
    }
    let context = context(&request.parameters, &added);
    Ok(Volume { id, capacity, context })
}

/// Where a new file system goes: what the request says, and the cluster's settings where it is silent.
struct Placement {
    id: FilesystemId,
    location: Location,
    subnet: SubnetId,
}

impl Placement {
    fn resolve(
        request: &VolumeRequest,
        parameters: &DynamicParameters,
        defaults: &Defaults,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let name = FilesystemName::for_volume(&request.name);
        if let Some(other) = parameters.pv_name.as_ref().filter(|pv| FilesystemName::for_volume(pv) != name) {
            violations.push(PV_NAME, format!("{} is not the volume {}", quote(other), quote(&request.name)));
        }
        let RequestedPlacement { location, resource_group, vnet_resource_group, vnet, subnet } = &parameters.placement;
        let vnet_group = vnet_resource_group.as_ref().or(defaults.vnet_resource_group.as_ref());
        let vnet_group = vnet_group.or(defaults.resource_group.as_ref()).or(resource_group.as_ref());
        let mut missing = |key: &str, setting: &str| {
            violations
                .push(key, format!("missing; give it in the StorageClass or as `{setting}` in the cloud settings"));
        };
        let group = given(resource_group.as_ref(), defaults.resource_group.as_ref(), || {
            missing(RESOURCE_GROUP_NAME, "resourceGroup");
        });
        let location = given(location.as_ref(), defaults.location.as_ref(), || missing("location", "location"));
        let vnet = given(vnet.as_ref(), defaults.vnet.as_ref(), || missing("vnet-name", "vnetName"));
        let subnet = given(subnet.as_ref(), defaults.subnet.as_ref(), || missing("subnet-name", "subnetName"));
        let complete = (|| {
            Some(Self {
                id: FilesystemId { resource_group: group?, name },
                location: location?,
                subnet: SubnetId { resource_group: vnet_group?.clone(), vnet: vnet?, subnet: subnet? },
            })
        })();
        violations.into_result(complete)
    }
}

impl DynamicProvision {
    fn new(
        request: &VolumeRequest,
        parameters: DynamicParameters,
        Placement { id, location, subnet }: Placement,
        range: CapacityRange,
    ) -> Self {
        let (tags, context) = (all_tags(&request.name, &parameters), request.parameters.clone());
        Self { id, location, subnet, range, parameters, tags, context }
    }

    /// Whether both ask for the same file system in the same way, however the requests spell it.
    pub fn is_same_plan(&self, other: &Self) -> bool {
        let id = self.id.name == other.id.name && self.id.resource_group.is(&other.id.resource_group);
        let place = self.location == other.location && self.subnet.is(&other.subnet);
        let sku = self.parameters.sku_name.eq_ignore_ascii_case(&other.parameters.sku_name);
        // The claim is in the tags, the placement in id, location and subnet.
        let DynamicParameters { zone, maintenance, identities, sub_dir, .. } = &other.parameters;
        let rest = (&self.parameters.zone, &self.parameters.maintenance, &self.parameters.identities);
        let parameters = rest == (zone, maintenance, identities) && self.parameters.sub_dir == *sub_dir;
        id && place && sku && parameters && self.range == other.range && self.tags == other.tags
    }

    /// Where the file system is or will be.
    pub fn id(&self) -> &FilesystemId {
        &self.id
    }

    /// Region.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Subnet.
    pub fn subnet(&self) -> &SubnetId {
        &self.subnet
    }

    /// SKU as the request spells it.
    pub fn sku_name(&self) -> &str {
        &self.parameters.sku_name
    }

    /// The CSI volume name, where the provisioner gives it (it is the name of the `PersistentVolume` too); else the file
    /// system's name, which differs from it only where AMLFS cannot take it.
    pub fn volume_name(&self) -> &str {
        self.parameters.pv_name.as_deref().unwrap_or_else(|| self.id.name.as_str())
    }

    /// The claim behind the request, where the provisioner gives it: namespace and name.
    pub fn claim(&self) -> Option<(&str, &str)> {
        self.parameters.pvc_namespace.as_deref().zip(self.parameters.pvc_name.as_deref())
    }

    /// What an existing file system of this name is held against.
    pub fn desired(&self) -> Desired {
        Desired {
            name: self.id.name.clone(),
            location: self.location.clone(),
            sku_name: self.parameters.sku_name.clone(),
            zone: self.parameters.zone.clone(),
            subnet: self.subnet.clone(),
            range: self.range,
        }
    }

    /// The file system to create with this SKU: checks the zone and rounds the size.
    pub fn spec(&self, sku: &Sku) -> Result<FilesystemSpec, RequestError> {
        sku.check_zone(self.parameters.zone.as_ref())?;
        Ok(FilesystemSpec {
            id: self.id.clone(),
            location: self.location.clone(),
            sku_name: sku.name.clone(),
            zone: self.parameters.zone.clone(),
            capacity: self.range.round(sku.increment, sku.largest, &sku.name)?,
            subnet: self.subnet.clone(),
            maintenance: self.parameters.maintenance.clone(),
            identities: self.parameters.identities.clone(),
            tags: self.tags.clone(),
        })
    }

    /// The volume that the finished file system makes.
    pub fn volume(&self, ready: &ReadyFilesystem) -> Result<Volume, RequestError> {
        let group = self.id.resource_group.as_str();
        let id = VolumeId::new(VolumeIdFields {
            name: self.id.name.as_str(),
            fs_name: ready.fs_name.as_str(),
            mgs_address: &ready.mgs_text,
            sub_dir: self.parameters.sub_dir.as_ref().map_or("", SubDirTemplate::as_str),
            origin: Origin::Dynamic,
            resource_group: group,
        })?;
        let added = [
            (CREATED_BY_DYNAMIC_PROVISIONING, Origin::Dynamic.flag()),
            (RESOURCE_GROUP_NAME, group),
            (MGS_IP_ADDRESS, ready.mgs_text.as_str()),
            (FS_NAME, ready.fs_name.as_str()),
        ];
        Ok(Volume { id, capacity: ready.capacity, context: context(&self.context, &added) })
    }
}

/// What the request gives, else the default; calls `missing` where there is neither.
fn given<T: Clone>(requested: Option<&T>, default: Option<&T>, missing: impl FnOnce()) -> Option<T> {
    let given = requested.or(default).cloned();
    if given.is_none() {
        missing();
    }
    given
}

/// The volume context: the request's parameters, with `added` in place of those keys in another case, and of a second
/// spelling that holds something else (nothing, where a default was taken): validators send the context back.
fn context(parameters: &BTreeMap<String, String>, added: &[(&str, &str)]) -> BTreeMap<String, String> {
    let replaced = |key: &str, value: &str| {
        let contradicts = |known: &str, new: &str| canonical(key) == Some(known) && value.trim() != new;
        added.iter().any(|(known, new)| known.eq_ignore_ascii_case(key) || contradicts(known, new))
    };
    let mut context = parameters.clone();
    context.retain(|key, value| !replaced(key, value));
    context.extend(added.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    context
}

fn all_tags(volume_name: &str, parameters: &DynamicParameters) -> BTreeMap<String, String> {
    let mut all = parameters.tags.clone();
    let mut put = |key: &str, value: &str| drop(all.insert(key.to_owned(), value.to_owned()));
    put(tags::CREATED_BY, tags::CREATED_BY_US);
    put(tags::PV_NAME, volume_name);
    for (key, value) in [(tags::PVC_NAME, &parameters.pvc_name), (tags::PVC_NAMESPACE, &parameters.pvc_namespace)] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    all
}

#[cfg(test)]
mod tests;
