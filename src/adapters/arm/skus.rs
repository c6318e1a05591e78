//! [`Skus`]: the SKU list (`Skus_List`): one list of all regions and products, read once for many claims.

use std::time::Duration;

use azure_mgmt_storagecache::package_2024_03::models::{ResourceSku, Restriction};
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::operation::LIST_SKUS;
use super::single_flight::SingleFlight;
use crate::domain::names::{Location, Zone};
use crate::domain::problem::Problem;
use crate::domain::sku::{Sku, SkuCatalog};
use crate::domain::text::quote;
use crate::ports::clock::Clock;
use crate::ports::cloud::CloudError;

/// How long one list serves all regions. Short: the use-cases keep each region's catalogue themselves.
const MAX_AGE: Duration = Duration::from_mins(1);

/// `resourceType` of AMLFS; the list has those of HPC Cache too.
const AML_FILESYSTEMS: &str = "amlFilesystems";

/// A SKU of AMLFS, or why it could not be read.
type Entry = Result<ResourceSku, Problem>;

/// The list, shared.
#[derive(Debug)]
pub(super) struct Skus(SingleFlight<(), Vec<Entry>>);

impl Default for Skus {
    fn default() -> Self {
        Self(SingleFlight::new(MAX_AGE))
    }
}

impl Skus {
    /// The SKUs of a region.
    pub(super) async fn in_location(
        &self,
        location: &Location,
        client: &Client,
        clock: &dyn Clock,
    ) -> Result<SkuCatalog, CloudError> {
        let fetch = async {
            let list = async { client.list(client.urls.storage_cache("skus")?, |listed| entry(&listed)).await };
            let subscription = || format!("subscription {}", client.urls.subscriptions.filesystems());
            list.await.map_err(|error| error.into_cloud_error(&LIST_SKUS, subscription()))
        };
        let list = self.0.get(&(), clock, fetch).await?;
        Ok(catalogue(location, &list.value))
    }
}

/// An entry of the list, if it is of AMLFS.
fn entry(entry: &Value) -> Option<Entry> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let name =
        text("name").filter(|_| text("resourceType").is_some_and(|kind| kind.eq_ignore_ascii_case(AML_FILESYSTEMS)))?;
    Some(ResourceSku::deserialize(entry).map_err(|error| {
        tracing::warn!(name, %error, "an entry of the SKU list cannot be read and is left out");
        Problem::of(name, format!("Azure's list describes it in a way that cannot be read ({error})"))
    }))
}

fn catalogue(location: &Location, entries: &[Entry]) -> SkuCatalog {
    let offered = |entry: &ResourceSku| {
        let infos = entry.location_info.iter().filter_map(|info| info.location.as_deref());
        entry.locations.iter().map(String::as_str).chain(infos).any(|name| is(location, name))
    };
    let skus = entries.iter().filter_map(|entry| match entry {
        Ok(entry) => offered(entry).then(|| sku(entry, location)),
        Err(reason) => Some(Err(reason.clone())),
    });
    SkuCatalog::new(location.clone(), skus.collect::<Vec<_>>())
}

/// Whether a region's name, however it is spelled, is this region's.
fn is(location: &Location, name: &str) -> bool {
    Location::parse(name).is_ok_and(|parsed| parsed == *location)
}

fn sku(entry: &ResourceSku, location: &Location) -> Result<Sku, Problem> {
    let name = entry.name.as_deref().unwrap_or_default();
    if let Some(reason) = entry.restrictions.iter().find_map(|restriction| restricted(restriction, location)) {
        let rule = format!("Azure does not offer it to this subscription in {location} ({reason})");
        return Err(Problem::of(name, rule));
    }
    let info = entry.location_info.iter().find(|info| info.location.as_deref().is_some_and(|name| is(location, name)));
    let zones = info.into_iter().flat_map(|info| &info.zones);
    let mut zones: Vec<Zone> = zones.filter_map(|zone| Zone::parse(zone).ok()).collect();
    zones.sort();
    zones.dedup();
    let capabilities =
        entry.capabilities.iter().filter_map(|pair| Some((pair.name.as_deref()?, pair.value.as_deref()?)));
    Sku::from_capabilities(name, zones, capabilities)
}

/// Why the subscription cannot have it in this region, if so.
fn restricted(restriction: &Restriction, location: &Location) -> Option<String> {
    let by_location = restriction.type_.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("location"));
    if !by_location || !restriction.values.iter().any(|value| is(location, value)) {
        return None;
    }
    let reason = serde_json::to_value(restriction).ok();
    let reason = reason.as_ref().and_then(|restriction| restriction.get("reasonCode")?.as_str());
    Some(quote(reason.unwrap_or("no reason given")))
}
