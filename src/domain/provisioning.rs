//! CreateVolume: from a request to a plan, and from a ready file system to the volume; all that needs no cloud.
//!
//! Every mistake that can be found locally is found here, before the first request to the cloud, because only then is a
//! final answer harmless (nothing can have been created yet).

use std::collections::BTreeMap;

use super::access::{self, Capability};
use super::capacity::{Bytes, CapacityError, CapacityRange, RequestedCapacity, STATIC_INCREMENT, Tib};
use super::filesystem::{FilesystemSpec, ReadyFilesystem};
use super::lifecycle::Desired;
use super::names::{FilesystemId, FilesystemName, Location, ResourceGroup, SubnetId};
use super::parameters::{
    CREATED_BY_DYNAMIC_PROVISIONING, DynamicParameters, ExistingParameters, FS_NAME, IdentityId, MGS_IP_ADDRESS,
    MaintenanceWindow, PV_NAME, Parameters, RESOURCE_GROUP_NAME, SIMULATED, canonical,
};
use super::placement::Placement;
use super::problem::{Problem, Problems};
use super::sku::Sku;
use super::sub_dir::SubDirTemplate;
use super::tags;
use super::text::quote;
use super::volume_id::{Origin, VolumeId, VolumeIdFields};

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

/// Why a request is refused without asking the cloud.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// CSI: `INVALID_ARGUMENT`.
    #[error("{0}")]
    Invalid(Problems),
    /// CSI: `OUT_OF_RANGE`.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

impl From<Problems> for RequestError {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}

impl From<Problem> for RequestError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(problem.into())
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
    /// The same volume, marked in its context as one of a simulated cloud, so that the `PersistentVolume` shows it.
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

impl ProvisionPlan {
    /// Checks a request. `defaults` fill what it leaves open.
    ///
    /// # Errors
    /// [`RequestError::Invalid`] with every mistake; [`RequestError::Capacity`] if only the size is wrong.
    pub fn parse(request: &VolumeRequest, defaults: &Placement) -> Result<Self, RequestError> {
        let mut problems = Problems::default();
        if request.name.is_empty() {
            problems.add("name", "missing");
        } else if request.name.len() > VOLUME_NAME_MAX {
            problems.add("name", format!("{} bytes long; CSI allows {VOLUME_NAME_MAX}", request.name.len()));
        }
        problems.note(access::check_all(&request.capabilities));
        if request.parameters.is_empty() {
            problems.add("parameters", "missing; see the StorageClass examples");
            return Err(problems.into());
        }
        match problems.note(Parameters::parse(&request.parameters)) {
            None => Err(problems.into()),
            Some(Parameters::Existing(parameters)) => {
                problems.into_result(Some(()))?;
                Ok(Self::Existing(Box::new(existing_volume(request, &parameters)?)))
            }
            Some(Parameters::Dynamic(parameters)) => {
                Ok(Self::Dynamic(Box::new(DynamicProvision::new(request, *parameters, defaults, problems)?)))
            }
        }
    }
}

fn existing_volume(request: &VolumeRequest, existing: &ExistingParameters) -> Result<Volume, RequestError> {
    let range = CapacityRange::parse(request.capacity)?;
    let capacity = range.round(STATIC_INCREMENT, STATIC_MAXIMUM, "CSI")?.bytes();
    let id = VolumeId::new(VolumeIdFields {
        name: FilesystemName::for_volume(&request.name).to_string(),
        fs_name: existing.fs_name.to_string(),
        mgs_address: existing.mgs_address.clone(),
        sub_dir: template_text(existing.sub_dir.as_ref()),
        origin: Origin::Static,
        resource_group: String::new(),
    })?;
    let mut added = vec![(CREATED_BY_DYNAMIC_PROVISIONING, Origin::Static.flag())];
    if existing.fs_name_replaced {
        added.push((FS_NAME, existing.fs_name.as_str()));
    }
    let context = context(&request.parameters, &added);
    Ok(Volume { id, capacity, context })
}

fn template_text(template: Option<&SubDirTemplate>) -> String {
    template.map_or_else(String::new, SubDirTemplate::to_string)
}

/// Whether a request, right or wrong, is for a volume on an existing file system, so that nothing was ever made for it.
pub fn is_on_existing(request: &VolumeRequest) -> bool {
    values_of(request, MGS_IP_ADDRESS).next().is_some()
}

/// Where the file system of a request is or would be, as far as a refused request still says. `None` for volumes on existing
/// file systems, without a usable name, or with a resource group that is not valid or ambiguous.
pub fn filesystem_id(request: &VolumeRequest, defaults: &Placement) -> Option<FilesystemId> {
    if request.name.is_empty() || request.name.len() > VOLUME_NAME_MAX || is_on_existing(request) {
        return None;
    }
    let mut groups: Vec<&str> = values_of(request, RESOURCE_GROUP_NAME).collect();
    groups.dedup();
    let resource_group = match groups.as_slice() {
        [] => defaults.resource_group.clone()?,
        [group] => ResourceGroup::parse(group).ok()?,
        _ => return None,
    };
    Some(FilesystemId { resource_group, name: FilesystemName::for_volume(&request.name) })
}

/// The values of a parameter in any of its spellings, without blank ones.
fn values_of<'a>(request: &'a VolumeRequest, known: &'a str) -> impl Iterator<Item = &'a str> {
    let spellings = request.parameters.iter().filter(move |(key, _)| canonical(key) == Some(known));
    spellings.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// A plan for a new file system, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicProvision {
    volume_name: String,
    claim: Option<(String, String)>,
    desired: Desired,
    maintenance: MaintenanceWindow,
    identities: Vec<IdentityId>,
    sub_dir: Option<SubDirTemplate>,
    tags: BTreeMap<String, String>,
    /// The request's parameters.
    parameters: BTreeMap<String, String>,
}

impl DynamicProvision {
    /// `problems` are those found before.
    fn new(
        request: &VolumeRequest,
        parameters: DynamicParameters,
        defaults: &Placement,
        mut problems: Problems,
    ) -> Result<Self, RequestError> {
        let name = FilesystemName::for_volume(&request.name);
        if let Some(other) = parameters.pv_name.as_ref().filter(|pv| FilesystemName::for_volume(pv) != name) {
            problems.add(PV_NAME, format!("{} is not the volume {}", quote(other), quote(&request.name)));
        }
        let tags = all_tags(&request.name, &parameters);
        let placed = problems.note(place(name, parameters.placement, defaults));
        let (id, location, subnet) = problems.into_result(placed)?;
        let (sku_name, zone, range) = (parameters.sku_name, parameters.zone, CapacityRange::parse(request.capacity)?);
        Ok(Self {
            volume_name: request.name.clone(),
            claim: parameters.pvc_namespace.zip(parameters.pvc_name),
            desired: Desired { id, location, sku_name, zone, subnet, range },
            maintenance: parameters.maintenance,
            identities: parameters.identities,
            sub_dir: parameters.sub_dir,
            tags,
            parameters: request.parameters.clone(),
        })
    }

    /// Whether both ask for the same file system in the same way, however the requests spell it.
    pub fn is_same_plan(&self, other: &Self) -> bool {
        let Self { maintenance, identities, sub_dir, tags, .. } = other;
        let rest = (&self.maintenance, &self.identities, &self.sub_dir, &self.tags);
        self.desired.is_same(&other.desired) && rest == (maintenance, identities, sub_dir, tags)
    }

    /// Where the file system is or will be.
    pub fn id(&self) -> &FilesystemId {
        &self.desired.id
    }

    /// What an existing file system of this name must be like.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// The CSI volume name, which is the name of the `PersistentVolume` too.
    pub fn volume_name(&self) -> &str {
        &self.volume_name
    }

    /// The claim behind the request, where the provisioner gives it: namespace and name.
    pub fn claim(&self) -> Option<(&str, &str)> {
        self.claim.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()))
    }

    /// The file system to create with this SKU: checks the zone and rounds the size.
    pub fn spec(&self, sku: &Sku) -> Result<FilesystemSpec, RequestError> {
        let Desired { id, location, zone, subnet, range, .. } = &self.desired;
        sku.check_zone(zone.as_ref())?;
        Ok(FilesystemSpec {
            id: id.clone(),
            location: location.clone(),
            sku_name: sku.name.clone(),
            zone: zone.clone(),
            capacity: range.round(sku.increment, sku.largest, &sku.name)?,
            subnet: subnet.clone(),
            maintenance: self.maintenance.clone(),
            identities: self.identities.clone(),
            tags: self.tags.clone(),
        })
    }

    /// The volume that the finished file system makes.
    pub fn volume(&self, ready: &ReadyFilesystem) -> Result<Volume, RequestError> {
        let FilesystemId { resource_group, name } = self.id();
        let id = VolumeId::new(VolumeIdFields {
            name: name.to_string(),
            fs_name: ready.fs_name.to_string(),
            mgs_address: ready.mgs_address.clone(),
            sub_dir: template_text(self.sub_dir.as_ref()),
            origin: Origin::Dynamic,
            resource_group: resource_group.to_string(),
        })?;
        let added = [
            (CREATED_BY_DYNAMIC_PROVISIONING, Origin::Dynamic.flag()),
            (RESOURCE_GROUP_NAME, resource_group.as_str()),
            (MGS_IP_ADDRESS, ready.mgs_address.as_str()),
            (FS_NAME, ready.fs_name.as_str()),
        ];
        Ok(Volume { id, capacity: ready.capacity, context: context(&self.parameters, &added) })
    }
}

/// Where a new file system goes: as the request places it, and the cluster's settings where it is silent.
fn place(
    name: FilesystemName,
    requested: Placement,
    defaults: &Placement,
) -> Result<(FilesystemId, Location, SubnetId), Problems> {
    let default_group = defaults.resource_group.clone();
    let Placement { location, resource_group, vnet_resource_group, vnet, subnet } = requested.or(defaults.clone());
    let vnet_group = vnet_resource_group.or(default_group).or_else(|| resource_group.clone());
    let mut problems = Problems::default();
    let resource_group = required(&mut problems, resource_group, RESOURCE_GROUP_NAME, "resourceGroup");
    let location = required(&mut problems, location, "location", "location");
    let vnet = required(&mut problems, vnet, "vnet-name", "vnetName");
    let subnet = required(&mut problems, subnet, "subnet-name", "subnetName");
    let subnet = vnet_group.zip(vnet).zip(subnet);
    let subnet = subnet.map(|((resource_group, vnet), subnet)| SubnetId { resource_group, vnet, subnet });
    let placed = resource_group.zip(location).zip(subnet);
    problems.into_result(
        placed.map(|((resource_group, location), subnet)| (FilesystemId { resource_group, name }, location, subnet)),
    )
}

fn required<T>(problems: &mut Problems, value: Option<T>, key: &str, setting: &str) -> Option<T> {
    let missing = || format!("missing; give it in the StorageClass or as `{setting}` in the cloud settings");
    problems.note_at(key, value.ok_or_else(missing))
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
