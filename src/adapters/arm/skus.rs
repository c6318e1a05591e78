//! The SKU list: all regions and products in one list of pages, read once for many claims.

use std::time::Duration;

use azure_mgmt_storagecache::package_2024_03::models::{ResourceSku, Restriction};
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::failure::{ArmFailure, Call};
use super::path;
use super::single_flight::SingleFlight;
use crate::domain::names::{Location, Zone};
use crate::domain::problem::Problem;
use crate::domain::sku::{Sku, SkuCatalog};
use crate::domain::text::quote;
use crate::ports::clock::Clock;
use crate::ports::cloud::CloudError;

/// How long one list serves all regions. Short: the use-cases keep each region's catalogue themselves.
const MAX_AGE: Duration = Duration::from_mins(1);

/// Product of file systems in the list; HPC Cache shares it.
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
    /// What a region offers.
    pub(super) async fn of(
        &self,
        location: &Location,
        client: &Client,
        subscription: &str,
        clock: &dyn Clock,
    ) -> Result<SkuCatalog, CloudError> {
        let call = Call {
            missing: "check subscriptionId in the cloud settings",
            ..Call::read("list SKUs of", format!("subscription {subscription}"), "Microsoft.StorageCache/skus/read")
        };
        let fetch = async { fetch(client, subscription).await.map_err(|failure| failure.into_cloud_error(&call)) };
        let list = self.0.get(&(), clock, fetch).await?;
        Ok(catalogue(location, &list.value))
    }
}

async fn fetch(client: &Client, subscription: &str) -> Result<Vec<Entry>, ArmFailure> {
    client.list(client.url(path::in_subscription(subscription, "skus"))?, |listed| entry(&listed)).await
}

/// An entry of the list, if it is of AMLFS.
fn entry(entry: &Value) -> Option<Entry> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let ours = text("resourceType").is_some_and(|kind| kind.eq_ignore_ascii_case(AML_FILESYSTEMS));
    let name = text("name").filter(|_| ours)?;
    let read = ResourceSku::deserialize(entry);
    let read = read.map_err(|error| {
        tracing::warn!(name, %error, "an entry of the SKU list cannot be read and is left out");
        Problem::of(name, format!("Azure's list describes it in a way that cannot be read ({error})"))
    });
    Some(read)
}

fn catalogue(location: &Location, entries: &[Entry]) -> SkuCatalog {
    let is_here = |name: &str| Location::parse(name).is_ok_and(|parsed| parsed == *location);
    let here = |entry: &ResourceSku| {
        let infos = entry.location_info.iter().filter_map(|info| info.location.as_deref());
        entry.locations.iter().map(String::as_str).chain(infos).any(is_here)
    };
    let skus = entries.iter().filter_map(|entry| match entry {
        Ok(entry) => here(entry).then(|| read(entry, location)),
        Err(reason) => Some(Err(reason.clone())),
    });
    SkuCatalog::new(location.clone(), skus.collect::<Vec<_>>())
}

fn read(entry: &ResourceSku, location: &Location) -> Result<Sku, Problem> {
    let name = entry.name.as_deref().unwrap_or_default();
    if let Some(reason) = entry.restrictions.iter().find_map(|restriction| restricted(restriction, location)) {
        return Err(Problem::of(
            name,
            format!("Azure does not offer it to this subscription in {location} ({reason})"),
        ));
    }
    let here = |info: &str| Location::parse(info).is_ok_and(|parsed| parsed == *location);
    let info = entry.location_info.iter().find(|info| info.location.as_deref().is_some_and(here));
    let mut zones: Vec<Zone> =
        info.into_iter().flat_map(|info| &info.zones).filter_map(|zone| Zone::parse(zone).ok()).collect();
    zones.sort();
    zones.dedup();
    let capabilities =
        entry.capabilities.iter().filter_map(|pair| Some((pair.name.as_deref()?, pair.value.as_deref()?)));
    Sku::from_capabilities(name, zones, capabilities)
}

/// Why the subscription cannot have it in this region, if so.
fn restricted(restriction: &Restriction, location: &Location) -> Option<String> {
    let by_location = restriction.type_.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("location"));
    let here = restriction.values.iter().any(|value| Location::parse(value).is_ok_and(|parsed| parsed == *location));
    let reason = || {
        let reason = serde_json::to_value(restriction).ok()?;
        reason.get("reasonCode")?.as_str().map(str::to_owned)
    };
    (by_location && here).then(|| quote(&reason().unwrap_or_else(|| "no reason given".to_owned())))
}
