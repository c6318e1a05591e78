//! `check-config --online` and `skus`: commands that send requests to the cloud.
//!
//! Without the check, a missing permission shows only when the first volume is provisioned.

use serde_json::{Value, json};

use super::{CommandError, serve};
use crate::app::settings::{CloudKind, Settings};
use crate::app::wiring::{self, CloudAdapters};
use crate::domain::capacity::Tib;
use crate::domain::names::{Location, SubnetId};
use crate::domain::placement::Placement;
use crate::domain::problem::{Problem, Problems};
use crate::domain::sku::{Sku, SkuCatalog};
use crate::ports::cloud::{CloudError, SubnetCapacity, SubnetCapacityRequest};

/// Whether the controller would start with these settings; sends no request. Incomplete ones let it start, for static
/// volumes.
pub(super) fn usable(settings: &Settings) -> Result<(), CommandError> {
    let on_azure = cfg!(feature = "arm") && settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm;
    if on_azure && settings.cloud_settings.missing.is_empty() {
        wiring::cloud(settings)?;
    }
    Ok(())
}

/// Checks everything in the cloud that provisioning needs; returns one line for each check, or all problems.
pub(super) fn check(settings: &Settings) -> Result<String, CommandError> {
    if !settings.mode.has_controller() {
        return Ok("online: a node asks nothing of the cloud\n".to_owned());
    }
    serve::runtime()?.block_on(async {
        let cloud = wiring::cloud(settings)?;
        let mut problems = Problems::default();
        let lines: Vec<String> = checks(&cloud).await.into_iter().filter_map(|check| problems.note(check)).collect();
        let lines = lines.concat();
        problems
            .into_result(Some(lines))
            .map_err(|problems| CommandError::new(super::Exit::Failure, problems.into_vec()))
    })
}

/// The SKU and size that need the fewest addresses, for the check of the subnet where there is no list.
const SMALLEST: (&str, Tib) = ("AMLFS-Durable-Premium-500", Tib(4));

async fn checks(cloud: &CloudAdapters) -> Vec<Result<String, Problem>> {
    // Without a token all other checks would fail for the same reason.
    if let Err(error) = cloud.sign_in().await {
        return vec![Err(of_cloud(&error))];
    }
    let catalog = match &cloud.defaults.location {
        Some(location) => Some(catalog(cloud, location).await),
        None => None,
    };
    let mut smallest = (SMALLEST.0.to_owned(), SMALLEST.1);
    let skus = match catalog {
        None => Ok(unset("SKUs", "location")),
        Some(Err(problem)) => Err(problem),
        Some(Ok(catalog)) => {
            // A subnet without addresses for the SKU with the smallest increment has none for any SKU.
            if let Some(sku) = catalog.skus().iter().min_by_key(|sku| sku.increment) {
                smallest = (sku.name.clone(), sku.increment);
            }
            let names: Vec<&str> = catalog.skus().iter().map(|sku| sku.name.as_str()).collect();
            Ok(format!("SKUs of {}: {}\n", catalog.location(), names.join(", ")))
        }
    };
    // Without a list the subnet is checked too, so that all problems are reported at once.
    let (sku_name, capacity) = smallest;
    let subnet = match subnet(&cloud.defaults) {
        None => Ok(unset("subnet", "vnetName and subnetName")),
        Some(subnet) => free_addresses(cloud, SubnetCapacityRequest { subnet, sku_name, capacity }).await,
    };
    vec![Ok("token: granted\n".to_owned()), skus, subnet]
}

async fn catalog(cloud: &CloudAdapters, location: &Location) -> Result<SkuCatalog, Problem> {
    let catalog = cloud.cloud.skus(location).await.map_err(|error| of_cloud(&error))?;
    offered(catalog, location)
}

async fn free_addresses(cloud: &CloudAdapters, request: SubnetCapacityRequest) -> Result<String, Problem> {
    let SubnetCapacity { required, available } =
        cloud.cloud.subnet_capacity(&request).await.map_err(|error| of_cloud(&error))?;
    let SubnetCapacityRequest { subnet, sku_name, capacity } = request;
    let addresses = format!("{required} addresses are needed for {capacity} of {sku_name}, {available} are free");
    if required > available {
        let problem = Problem::new(format!("subnet {subnet} is full: {addresses}"));
        return Err(problem.with_hint("use a larger subnet (subnetName, subnet-name)"));
    }
    Ok(format!("subnet {subnet}: {addresses}\n"))
}

/// The line of a check whose values a `StorageClass` may have instead.
fn unset(what: &str, keys: &str) -> String {
    format!("{what}: not checked; the cloud settings have no {keys}, so each StorageClass has to\n")
}

/// A catalog that is not empty; that of a region that does not exist is.
fn offered(catalog: SkuCatalog, location: &Location) -> Result<SkuCatalog, Problem> {
    if catalog.skus().is_empty() {
        let problem = Problem::new(format!("no AMLFS SKU is offered in {location} to this subscription"));
        return Err(problem.with_hint(
            "check the region's name (`az account list-locations -o table`), choose another one, or ask Azure support",
        ));
    }
    Ok(catalog)
}

fn subnet(defaults: &Placement) -> Option<SubnetId> {
    Some(SubnetId {
        resource_group: defaults.vnet_resource_group.clone().or_else(|| defaults.resource_group.clone())?,
        vnet: defaults.vnet.clone()?,
        subnet: defaults.subnet.clone()?,
    })
}

fn of_cloud(error: &CloudError) -> Problem {
    let problem = Problem::from_error(error);
    error.hint.iter().fold(problem, |problem, hint| problem.with_hint(hint.clone()))
}

/// The SKUs of a region as text.
pub(super) fn skus(settings: &Settings, location: Option<&str>, output: &str) -> Result<String, CommandError> {
    let usage = |message: String, hint: &str| CommandError::usage(Problem::new(message).with_hint(hint));
    let write = match output {
        "table" => table as fn(&SkuCatalog) -> String,
        "json" => json,
        other => {
            return Err(usage(
                format!("--output: `{}` is neither table nor json", other.escape_debug()),
                "use one of these",
            ));
        }
    };
    let given = location.map(Location::parse).transpose();
    let given = given.map_err(|error| usage(format!("--location: {error}"), "name a region such as eastus"))?;
    serve::runtime()?.block_on(async {
        let cloud = wiring::cloud(settings)?;
        let location = given.as_ref().or(cloud.defaults.location.as_ref());
        let location = location.ok_or_else(|| {
            usage("--location: missing".to_owned(), "give it, or set `location` in the cloud settings")
        })?;
        catalog(&cloud, location).await.map(|catalog| write(&catalog)).map_err(CommandError::failure)
    })
}

fn zones(sku: &Sku) -> Vec<&str> {
    sku.zones.iter().map(crate::domain::names::Zone::as_str).collect()
}

/// Throughput in MB/s per TiB, if the list has it.
fn bandwidth(sku: &Sku) -> Option<u32> {
    Some(sku.bandwidth_per_tib).filter(|bandwidth| *bandwidth > 0)
}

fn table(catalog: &SkuCatalog) -> String {
    let head = ["NAME", "MB/S PER TIB", "INCREMENT", "MAXIMUM", "ZONES"].map(str::to_owned);
    let row = |sku: &Sku| {
        let zones = zones(sku);
        let zones = if zones.is_empty() { "-".to_owned() } else { zones.join(",") };
        let bandwidth = bandwidth(sku).map_or_else(|| "-".to_owned(), |bandwidth| bandwidth.to_string());
        [sku.name.clone(), bandwidth, sku.increment.to_string(), sku.maximum.to_string(), zones]
    };
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(catalog.skus().iter().map(row)).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn json(catalog: &SkuCatalog) -> String {
    let entry = |sku: &Sku| {
        json!({
            "name": sku.name,
            "throughputMBpsPerTiB": bandwidth(sku),
            "incrementTiB": sku.increment.0,
            "maximumTiB": sku.maximum.0,
            "largestTiB": sku.largest.0,
            "zones": zones(sku),
        })
    };
    let entries: Vec<Value> = catalog.skus().iter().map(entry).collect();
    format!("{:#}\n", Value::Array(entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sku::{CAPABILITY_INCREMENT, CAPABILITY_MAXIMUM};

    /// Throughput and zones are all that a list may omit.
    #[test]
    fn a_value_that_the_list_omits_is_a_dash() {
        let capabilities = [(CAPABILITY_INCREMENT, "16"), (CAPABILITY_MAXIMUM, "128")];
        let sku = Sku::from_capabilities("AMLFS-New", Vec::new(), capabilities);
        let catalog = SkuCatalog::new(Location::parse("eastus").unwrap(), [sku]);
        let text = table(&catalog);
        let row: Vec<&str> = text.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!((row.first(), row.get(1), row.last()), (Some(&"AMLFS-New"), Some(&"-"), Some(&"-")), "{text}");
        assert!(json(&catalog).contains("\"throughputMBpsPerTiB\": null"), "{}", json(&catalog));
    }
}
