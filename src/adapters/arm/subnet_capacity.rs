//! [`SubnetCapacities`]: how many addresses a file system needs (`getRequiredAmlFSSubnetsSize`), and how many a subnet has
//! left (`VirtualNetworks_ListUsage`).
//!
//! Both responses are shared: the required size depends on SKU and capacity alone, and the usage of a network is one response
//! for all of its subnets. What this process has requested since is subtracted, so that a thousand claims in one second do
//! not all count on the same free addresses.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_mgmt_network::package_2024_03::models::VirtualNetworkUsage;
use azure_mgmt_storagecache::package_2024_03::models::{RequiredAmlFilesystemSubnetsSizeInfo, SkuName};
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::error::ArmError;
use super::operation::{GET_REQUIRED_SUBNET_SIZE, LIST_SUBNET_USAGE};
use super::single_flight::{Fetched, SingleFlight};
use super::urls::parse_subnet_id;
use crate::domain::capacity::Tib;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::names::{FilesystemId, SubnetId};
use crate::ports::clock::Clock;
use crate::ports::cloud::{CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// How long the required size of a SKU and capacity is kept.
const REQUIRED_MAX_AGE: Duration = Duration::from_mins(10);
/// How long the usage of a network is kept.
const USAGE_MAX_AGE: Duration = Duration::from_secs(2);
/// How long a requested file system is counted by this process.
const RESERVED_FOR: Duration = Duration::from_mins(1);

/// A resource group and a network, in lower case.
type Network = (String, String);
/// A SKU in lower case and a capacity.
type Size = (String, Tib);

/// Required sizes and usages, shared.
#[derive(Debug)]
pub(super) struct SubnetCapacities {
    required: SingleFlight<Size, u64>,
    usages: SingleFlight<Network, Vec<VirtualNetworkUsage>>,
    reservations: Mutex<Reservations>,
}

#[derive(Debug, Default)]
struct Reservations {
    required: HashMap<Size, u64>,
    reserved: HashMap<FilesystemId, Reservation>,
}

/// The addresses of a requested file system.
#[derive(Debug)]
struct Reservation {
    subnet: SubnetId,
    addresses: u64,
    at: Duration,
}

impl Default for SubnetCapacities {
    fn default() -> Self {
        Self {
            required: SingleFlight::new(REQUIRED_MAX_AGE),
            usages: SingleFlight::new(USAGE_MAX_AGE),
            reservations: Mutex::default(),
        }
    }
}

impl SubnetCapacities {
    /// How many addresses a file system needs and how many are free.
    pub(super) async fn subnet_capacity(
        &self,
        request: &SubnetCapacityRequest,
        client: &Client,
        clock: &dyn Clock,
    ) -> Result<SubnetCapacity, CloudError> {
        let size = size(&request.sku_name, request.capacity);
        let required = self.required.get(&size, clock, required(request, client)).await?.value;
        self.locked().required.insert(size, required);
        let subnet = &request.subnet;
        let network = (subnet.resource_group.as_str().to_lowercase(), subnet.vnet.as_str().to_ascii_lowercase());
        let usages = self.usages.get(&network, clock, usages(subnet, client)).await?;
        let free = free(subnet, &usages.value).ok_or_else(|| no_subnet(subnet, &usages))?;
        Ok(SubnetCapacity { required, available: free.saturating_sub(self.reserved(subnet, usages.requested_at)) })
    }

    /// Counts the addresses of a requested file system until the network's usage shows them; once, even if it is requested
    /// again.
    pub(super) fn reserve(&self, spec: &FilesystemSpec, now: Duration) {
        let mut reservations = self.locked();
        let addresses = reservations.required.get(&size(&spec.sku_name, spec.capacity)).copied().unwrap_or(0);
        reservations.reserved.retain(|_, reservation| now.saturating_sub(reservation.at) < RESERVED_FOR);
        reservations.reserved.insert(spec.id.clone(), Reservation { subnet: spec.subnet.clone(), addresses, at: now });
    }

    /// Addresses in the subnet that were reserved since.
    fn reserved(&self, subnet: &SubnetId, since: Duration) -> u64 {
        let reservations = self.locked();
        let later =
            reservations.reserved.values().filter(|reserved| reserved.at >= since && reserved.subnet.is(subnet));
        later.map(|reserved| reserved.addresses).sum()
    }

    fn locked(&self) -> MutexGuard<'_, Reservations> {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(sku_name: &str, capacity: Tib) -> Size {
    (sku_name.to_ascii_lowercase(), capacity)
}

async fn required(request: &SubnetCapacityRequest, client: &Client) -> Result<u64, CloudError> {
    let required = async {
        #[allow(clippy::cast_precision_loss, reason = "the model wants a float; sizes are far below 2^24 TiB")]
        let body = RequiredAmlFilesystemSubnetsSizeInfo {
            storage_capacity_ti_b: Some(request.capacity.0 as f32),
            sku: Some(SkuName { name: Some(request.sku_name.clone()) }),
        };
        let url = client.urls.storage_cache("getRequiredAmlFSSubnetsSize")?;
        let response = client.post(&url, &serde_json::json!(body)).await?;
        let size = response.json.get("filesystemSubnetSize").and_then(Value::as_f64).map(|size| whole(size.ceil()));
        let unreadable = || response.unreadable("no filesystemSubnetSize in the answer");
        size.filter(|size| *size > 0).ok_or_else(unreadable)
    };
    let resource = format!("{} of {}", request.sku_name, request.capacity);
    required.await.map_err(|error: ArmError| error.into_cloud_error(&GET_REQUIRED_SUBNET_SIZE, resource))
}

async fn usages(subnet: &SubnetId, client: &Client) -> Result<Vec<VirtualNetworkUsage>, CloudError> {
    let usages = async {
        client.list(client.urls.subnet_usage(subnet)?, |entry| VirtualNetworkUsage::deserialize(entry).ok()).await
    };
    let resource = format!("virtual network {}/{}", subnet.resource_group, subnet.vnet);
    usages.await.map_err(|error| error.into_cloud_error(&LIST_SUBNET_USAGE, resource))
}

/// Free addresses of the subnet; `None` if the network does not list it. Azure's reserved addresses are not in the limit;
/// -1 stands where addresses are not counted, and then only ARM itself can decide.
fn free(subnet: &SubnetId, usages: &[VirtualNetworkUsage]) -> Option<u64> {
    let is_it = |usage: &&VirtualNetworkUsage| {
        usage.id.as_deref().and_then(parse_subnet_id).is_some_and(|listed| listed.is(subnet))
    };
    let usage = usages.iter().find(is_it)?;
    let (Some(limit), Some(used)) = (usage.limit, usage.current_value) else { return Some(u64::MAX) };
    Some(if limit < 0.0 || used < 0.0 { u64::MAX } else { whole(limit - used) })
}

/// Addresses as ARM's float.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
fn whole(addresses: f64) -> u64 {
    addresses.max(0.0) as u64
}

fn no_subnet(subnet: &SubnetId, usages: &Fetched<Vec<VirtualNetworkUsage>>) -> CloudError {
    let known = usages.value.iter().filter_map(|usage| parse_subnet_id(usage.id.as_deref()?));
    let names: Vec<String> = known.take(20).map(|known| known.subnet.to_string()).collect();
    let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("the virtual network has no such subnet; it has: {listed}");
    let hint = "check subnet-name, vnet-name and vnet-resource-group; a subnet is also missing here if the driver's \
                identity lacks Microsoft.Network/virtualNetworks/subnets/read";
    CloudError {
        hint: Some(hint.to_owned()),
        ..CloudError::new(CloudErrorKind::NotFound, "read subnet", subnet.to_string(), message)
    }
}
