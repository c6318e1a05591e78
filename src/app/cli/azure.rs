//! Commands that ask the cloud: `check-config --online` and `skus`.
//!
//! A missing permission shows at the first claim otherwise, half an hour after the deployment, to somebody
//! else.

use serde_json::{Value, json};

use super::{CommandError, serve};
use crate::app::settings::{CloudKind, Settings};
use crate::app::wiring::{self, CloudAdapters};
use crate::domain::capacity::Tib;
use crate::domain::names::{Location, SubnetId};
use crate::domain::placement::Placement;
use crate::domain::problem::Problem;
use crate::domain::sku::{Sku, SkuCatalog};
use crate::ports::cloud::{CloudError, SubnetCapacityRequest};

/// Whether the controller would start with these settings; asks nobody. Incomplete ones let it start, for static volumes.
pub(super) fn usable(settings: &Settings) -> Result<(), CommandError> {
    let on_azure = cfg!(feature = "arm") && settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm;
    if on_azure && settings.cloud_settings.missing.is_empty() {
        wiring::cloud(settings)?;
    }
    Ok(())
}

/// Asks the cloud for everything that a claim needs; returns what is well, or an error with all that is not.
pub(super) fn check(settings: &Settings) -> Result<String, CommandError> {
    if !settings.mode.has_controller() {
        return Ok("online: a node asks nothing of the cloud\n".to_owned());
    }
    serve::runtime()?.block_on(async {
        let side = wiring::cloud(settings)?;
        let mut checks = Checks { side: &side, reported: String::new(), problems: Vec::new() };
        checks.run().await;
        let Checks { reported, problems, .. } = checks;
        if problems.is_empty() { Ok(reported) } else { Err(CommandError::new(super::Exit::Failure, problems)) }
    })
}

/// The SKU and size that need the fewest addresses, for the check of the subnet where no list says so.
const SMALLEST: (&str, Tib) = ("AMLFS-Durable-Premium-500", Tib(4));

struct Checks<'a> {
    side: &'a CloudAdapters,
    reported: String,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    async fn run(&mut self) {
        // Without a token all the rest would fail for the same reason.
        if let Err(error) = self.side.sign_in().await {
            return self.problems.push(of_cloud(&error));
        }
        self.line("token: granted");
        let skus = self.skus().await;
        // The SKU that begins smallest: whatever has no room for it has no room at all.
        let smallest = skus.as_ref().and_then(|skus| skus.skus().iter().min_by_key(|sku| sku.increment));
        let smallest = smallest.map(|sku| (sku.name.clone(), sku.increment));
        // Without a list the subnet is checked all the same, so that everything is reported at once.
        self.subnet(smallest.unwrap_or_else(|| (SMALLEST.0.to_owned(), SMALLEST.1))).await;
    }

    async fn skus(&mut self) -> Option<SkuCatalog> {
        let Some(location) = self.side.defaults.location.clone() else {
            self.unset("SKUs", "location");
            return None;
        };
        let skus = self.side.cloud.skus(&location).await.map_err(|error| of_cloud(&error));
        match skus.and_then(|skus| offered(skus, &location)) {
            Ok(skus) => {
                let names: Vec<&str> = skus.skus().iter().map(|sku| sku.name.as_str()).collect();
                self.line(&format!("SKUs of {location}: {}", names.join(", ")));
                Some(skus)
            }
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    async fn subnet(&mut self, (sku_name, capacity): (String, Tib)) {
        let Some(subnet) = subnet(&self.side.defaults) else {
            return self.unset("subnet", "vnetName and subnetName");
        };
        let request = SubnetCapacityRequest { subnet: subnet.clone(), sku_name: sku_name.clone(), capacity };
        match self.side.cloud.subnet_capacity(&request).await {
            Err(error) => self.problems.push(of_cloud(&error)),
            Ok(room) if room.required > room.available => {
                let message = format!(
                    "subnet {subnet} is full: {} addresses are needed for {capacity} of {}, {} are free",
                    room.required, sku_name, room.available
                );
                self.problems.push(Problem::new(message).with_hint("use a larger subnet (subnetName, subnet-name)"));
            }
            Ok(room) => self.line(&format!(
                "subnet {subnet}: {} addresses are needed for {capacity} of {}, {} are free",
                room.required, sku_name, room.available
            )),
        }
    }

    fn line(&mut self, text: &str) {
        self.reported.push_str(text);
        self.reported.push('\n');
    }

    /// No mistake: a StorageClass may say it.
    fn unset(&mut self, what: &str, keys: &str) {
        self.line(&format!("{what}: not checked; the cloud settings have no {keys}, so each StorageClass has to"));
    }
}

/// A list with something in it; of a region that does not exist it is empty.
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
        let side = wiring::cloud(settings)?;
        let location = given.or_else(|| side.defaults.location.clone());
        let location = location.ok_or_else(|| {
            usage("--location: missing".to_owned(), "give it, or set `location` in the cloud settings")
        })?;
        let listed = side.cloud.skus(&location).await.map_err(|error| of_cloud(&error));
        let listed = listed.and_then(|catalog| offered(catalog, &location));
        listed.map(|catalog| write(&catalog)).map_err(CommandError::failure)
    })
}

fn zones(sku: &Sku) -> Vec<&str> {
    sku.zones.iter().map(crate::domain::names::Zone::as_str).collect()
}

/// Throughput in MB/s for each TiB, if the cloud gives it.
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

    /// Throughput and zones are all that a list may leave out.
    #[test]
    fn what_the_cloud_does_not_give_is_a_dash() {
        let capabilities = [(CAPABILITY_INCREMENT, "16"), (CAPABILITY_MAXIMUM, "128")];
        let sku = Sku::from_capabilities("AMLFS-New", Vec::new(), capabilities);
        let catalog = SkuCatalog::new(Location::parse("eastus").unwrap(), [sku]);
        let text = table(&catalog);
        let row: Vec<&str> = text.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!((row.first(), row.get(1), row.last()), (Some(&"AMLFS-New"), Some(&"-"), Some(&"-")), "{text}");
        assert!(json(&catalog).contains("\"throughputMBpsPerTiB\": null"), "{}", json(&catalog));
    }
}
