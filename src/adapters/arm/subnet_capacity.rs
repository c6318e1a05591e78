//! [`SubnetCapacities`]: how many addresses a file system needs (`getRequiredAmlFSSubnetsSize`), and how many a subnet has
//! left (`VirtualNetworks_ListUsage`).
//!
//! Both responses are shared: the need depends on SKU and size alone, and the usage of a network is one response for all of
//! its subnets. What this process has requested since is subtracted, so that a thousand claims in one second do not all
//! count on the same free addresses.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure_mgmt_network::package_2024_03::models::VirtualNetworkUsage;
use azure_mgmt_storagecache::package_2024_03::models::{RequiredAmlFilesystemSubnetsSizeInfo, SkuName};
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::{ArmFailure, Call};
use super::path;
use super::single_flight::{Answer, SingleFlight};
use crate::domain::capacity::Tib;
use crate::domain::filesystem::FilesystemSpec;
use crate::domain::names::{FilesystemId, SubnetId};
use crate::ports::clock::Clock;
use crate::ports::cloud::{CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};

/// How long the need of a SKU and size is taken as known.
const NEED_MAX_AGE: Duration = Duration::from_mins(10);
/// How long the use of a network serves others.
const USE_MAX_AGE: Duration = Duration::from_secs(2);
/// How long a file system that was asked for is counted by ourselves.
const COUNTED_FOR: Duration = Duration::from_mins(1);

/// Where the requests go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requester<'a> {
    /// The clients.
    pub(super) client: &'a Client,
    /// Subscription of the file systems.
    pub(super) subscription: &'a str,
    /// Subscription of the networks.
    pub(super) network_subscription: &'a str,
    /// The adapter's time.
    pub(super) clock: &'a dyn Clock,
}

/// A resource group and a network, in lower case.
type Network = (String, String);
/// A SKU in lower case and a size.
type Need = (String, Tib);

/// Needs and uses, shared.
#[derive(Debug)]
pub(super) struct SubnetCapacities {
    needs: SingleFlight<Need, u64>,
    uses: SingleFlight<Network, Vec<VirtualNetworkUsage>>,
    reservations: Mutex<Reservations>,
}

#[derive(Debug, Default)]
struct Reservations {
    needs: HashMap<Need, u64>,
    reserved: HashMap<FilesystemId, Reservation>,
}

/// A file system that was asked for.
#[derive(Debug)]
struct Reservation {
    subnet: SubnetId,
    addresses: u64,
    at: Duration,
}

impl Default for SubnetCapacities {
    fn default() -> Self {
        Self {
            needs: SingleFlight::new(NEED_MAX_AGE),
            uses: SingleFlight::new(USE_MAX_AGE),
            reservations: Mutex::default(),
        }
    }
}

impl SubnetCapacities {
    /// What a file system needs and what is left.
    pub(super) async fn subnet_capacity(
        &self,
        request: &SubnetCapacityRequest,
        on: Requester<'_>,
    ) -> Result<SubnetCapacity, CloudError> {
        let need = need(&request.sku_name, request.capacity);
        let required = self.needs.get(&need, on.clock, required(request, on)).await?.value;
        self.locked().needs.insert(need, required);
        let subnet = &request.subnet;
        let network = (subnet.resource_group.as_str().to_lowercase(), subnet.vnet.as_str().to_ascii_lowercase());
        let uses = self.uses.get(&network, on.clock, usages(subnet, on)).await?;
        let free = free(subnet, &uses).ok_or_else(|| no_subnet(subnet, &uses))?;
        let taken: u64 = self.locked().since(uses.asked_at, subnet).sum();
        Ok(SubnetCapacity { required, available: free.saturating_sub(taken) })
    }

    /// Counts a file system that was asked for, until the network's own figures show it; once, however often it is asked
    /// for again.
    pub(super) fn reserve(&self, spec: &FilesystemSpec, now: Duration) {
        let mut reservations = self.locked();
        let addresses = reservations.needs.get(&need(&spec.sku_name, spec.capacity)).copied().unwrap_or(0);
        reservations.reserved.retain(|_, asked| now.saturating_sub(asked.at) < COUNTED_FOR);
        reservations.reserved.insert(spec.id.clone(), Reservation { subnet: spec.subnet.clone(), addresses, at: now });
    }

    fn locked(&self) -> MutexGuard<'_, Reservations> {
        self.reservations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservations {
    fn since<'a>(&'a self, asked_at: Duration, subnet: &'a SubnetId) -> impl Iterator<Item = u64> + 'a {
        let later = self.reserved.values().filter(move |asked| asked.at >= asked_at && asked.subnet.is(subnet));
        later.map(|asked| asked.addresses)
    }
}

fn need(sku_name: &str, capacity: Tib) -> Need {
    (sku_name.to_ascii_lowercase(), capacity)
}

async fn required(request: &SubnetCapacityRequest, on: Requester<'_>) -> Result<u64, CloudError> {
    let call = Call {
        missing: "check subscriptionId in the cloud settings",
        ..Call::read(
            "ask for the required subnet size of",
            format!("{} of {}", request.sku_name, request.capacity),
            "Microsoft.StorageCache/getRequiredAmlFSSubnetsSize/action",
        )
    };
    ask_required(request, on).await.map_err(|failure| failure.into_cloud_error(&call))
}

async fn ask_required(request: &SubnetCapacityRequest, on: Requester<'_>) -> Result<u64, ArmFailure> {
    #[allow(clippy::cast_precision_loss, reason = "the model wants a float; sizes are far below 2^24 TiB")]
    let question = RequiredAmlFilesystemSubnetsSizeInfo {
        storage_capacity_ti_b: Some(request.capacity.0 as f32),
        sku: Some(SkuName { name: Some(request.sku_name.clone()) }),
    };
    let url = on.client.url(path::in_subscription(on.subscription, "getRequiredAmlFSSubnetsSize"))?;
    let answer = on.client.ask(&url, &serde_json::json!(question)).await?;
    let size = answer.json.get("filesystemSubnetSize").and_then(Value::as_f64).map(|size| whole(size.ceil()));
    size.filter(|size| *size > 0).ok_or_else(|| answer.unreadable("no filesystemSubnetSize in the answer"))
}

async fn usages(subnet: &SubnetId, on: Requester<'_>) -> Result<Vec<VirtualNetworkUsage>, CloudError> {
    let call = Call {
        provider: "Microsoft.Network",
        missing: "create the network, or name another one (vnet-name, vnet-resource-group)",
        ..Call::read(
            "read the addresses in use of",
            format!("virtual network {}/{}", subnet.resource_group.as_str(), subnet.vnet.as_str()),
            "Microsoft.Network/virtualNetworks/usages/read and Microsoft.Network/virtualNetworks/subnets/read",
        )
    };
    let list = async {
        let url = on.client.url(path::usages(on.network_subscription, subnet))?;
        on.client.list(url, |entry| VirtualNetworkUsage::deserialize(entry).ok()).await
    };
    list.await.map_err(|failure| failure.into_cloud_error(&call))
}

/// Free addresses of the subnet; `None` if the network does not list it. Azure's reserved addresses are off the limit
/// already; -1 is written where it does not count, and then ARM itself has to decide.
fn free(subnet: &SubnetId, uses: &Answer<Vec<VirtualNetworkUsage>>) -> Option<u64> {
    let of = |entry: &&VirtualNetworkUsage| {
        entry.id.as_deref().and_then(path::parse_subnet).is_some_and(|listed| listed.is(subnet))
    };
    let found = uses.value.iter().find(of)?;
    let (Some(limit), Some(taken)) = (found.limit, found.current_value) else { return Some(u64::MAX) };
    Some(if limit < 0.0 || taken < 0.0 { u64::MAX } else { whole(limit - taken) })
}

/// Addresses as ARM's float.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
fn whole(addresses: f64) -> u64 {
    addresses.max(0.0) as u64
}

fn no_subnet(subnet: &SubnetId, uses: &Answer<Vec<VirtualNetworkUsage>>) -> CloudError {
    let known = uses.value.iter().filter_map(|usage| path::parse_subnet(usage.id.as_deref()?));
    let names: Vec<String> = known.take(20).map(|known| known.subnet.as_str().to_owned()).collect();
    let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("the virtual network has no such subnet; it has: {listed}");
    let hint = "check subnet-name, vnet-name and vnet-resource-group; a subnet is also missing here if the driver's \
                identity lacks Microsoft.Network/virtualNetworks/subnets/read";
    CloudError {
        hint: Some(hint.to_owned()),
        ..CloudError::new(CloudErrorKind::NotFound, "read subnet", subnet.to_string(), message)
    }
}
