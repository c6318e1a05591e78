//! SKUs of AMLFS in a region: size steps, throughput and zones.
//!
//! The list comes from Azure at run time as loosely typed capabilities (names with text values), and one
//! entry that makes no sense must not hide the others. The rules for zones live here too: a SKU that has zones needs
//! one, a SKU without refuses any.
//!
//! Source: ARM's `GET /subscriptions/{id}/providers/Microsoft.StorageCache/skus`, entries of type `amlFilesystems`.

use std::fmt;

use super::capacity::Tib;
use super::names::{Location, Zone};
use super::problem::Problem;
use super::text::{did_you_mean, quote};

/// ARM's capability name for the size step.
pub const CAPABILITY_INCREMENT: &str = "OSS capacity increment (TiB)";
/// ARM's capability name for the throughput of a TiB.
pub const CAPABILITY_BANDWIDTH: &str = "bandwidth increment (MB/s/TiB)";
/// ARM's capability name for the largest size without a support request.
pub const CAPABILITY_MAXIMUM: &str = "default maximum capacity (TiB)";
/// ARM's capability names for the largest sizes of subscriptions that asked for them by a support request.
pub const CAPABILITIES_LARGE: [&str; 2] =
    ["large cluster maximum capacity (TiB)", "large cluster XL maximum capacity (TiB)"];

/// One SKU as offered in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sku {
    /// Such as `AMLFS-Durable-Premium-125`.
    pub name: String,
    /// Size step, and smallest size. Never 0.
    pub increment: Tib,
    /// Largest size without a support request.
    pub maximum: Tib,
    /// Largest size at all; never below `maximum`.
    pub largest: Tib,
    /// Throughput in MB/s for each TiB; 0 where the cloud does not give it.
    pub bandwidth_per_tib: u32,
    /// Zones of the region that offer it, sorted; empty where the region has none.
    pub zones: Vec<Zone>,
}

impl Sku {
    /// Reads a SKU from ARM's list of capabilities. Absent, null and empty zones all arrive here as an empty list.
    ///
    /// # Errors
    /// If a capability is missing or not a positive number.
    pub fn from_capabilities<'a>(
        name: &str,
        zones: Vec<Zone>,
        capabilities: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Problem> {
        let capabilities: Vec<(&str, &str)> = capabilities.into_iter().collect();
        let number = |wanted: &str| {
            let value = capabilities.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
            let (_, value) = value.ok_or_else(|| Problem::of(name, format!("capability {wanted} is missing")))?;
            let positive = value.trim().parse::<u32>().ok().filter(|number| *number > 0);
            positive.ok_or_else(|| Problem::of(name, format!("capability {wanted} is {}", quote(value))))
        };
        let increment = Tib(number(CAPABILITY_INCREMENT)?);
        let maximum = Tib(number(CAPABILITY_MAXIMUM)?);
        let large = CAPABILITIES_LARGE.iter().filter_map(|capability| number(capability).ok()).map(Tib);
        let mut sku = Self {
            name: name.to_owned(),
            increment,
            maximum,
            largest: large.fold(maximum, Tib::max),
            bandwidth_per_tib: number(CAPABILITY_BANDWIDTH).unwrap_or(0),
            zones,
        };
        sku.zones.sort();
        sku.zones.dedup();
        Ok(sku)
    }

    /// Provisioned throughput of a file system of this size, in MB/s.
    pub fn throughput(&self, size: Tib) -> u64 {
        u64::from(self.bandwidth_per_tib) * u64::from(size.0)
    }

    /// A warning about a size that only subscriptions with a support request get; ARM decides.
    pub fn support_request(&self, size: Tib) -> Option<String> {
        let Self { name, maximum, .. } = self;
        (size > *maximum).then(|| {
            format!("{size} is above the default maximum of {maximum} of {name}; Azure grants it to subscriptions that asked for it by a support request")
        })
    }

    /// Checks the requested zone against the zones on offer.
    pub fn check_zone(&self, asked: Option<&Zone>) -> Result<(), Problem> {
        let offered = || self.zones.iter().map(Zone::as_str).collect::<Vec<_>>().join(", ");
        match asked {
            None if self.zones.is_empty() => Ok(()),
            Some(zone) if self.zones.contains(zone) => Ok(()),
            None => Err(Problem::of("zone", format!("{} needs one of {} here", self.name, offered()))),
            Some(zone) if self.zones.is_empty() => {
                let message = format!("`{zone}` was given, but {} has no zones here; leave it out", self.name);
                Err(Problem::of("zone", message))
            }
            Some(zone) => {
                Err(Problem::of("zone", format!("`{zone}` is not offered for {}; use one of {}", self.name, offered())))
            }
        }
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The SKUs of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuCatalog {
    location: Location,
    skus: Vec<Sku>,
    unreadable: Vec<Problem>,
}

impl SkuCatalog {
    /// Collects what a region offers. Entries that could not be read are kept as the reason to show when exactly that
    /// SKU is asked for; repeated entries count once.
    pub fn new(location: Location, entries: impl IntoIterator<Item = Result<Sku, Problem>>) -> Self {
        let mut catalog = Self { location, skus: Vec::new(), unreadable: Vec::new() };
        for entry in entries {
            match entry {
                Ok(sku) if catalog.skus.iter().any(|known| known.name == sku.name) => {}
                Ok(sku) => catalog.skus.push(sku),
                Err(reason) => catalog.unreadable.push(reason),
            }
        }
        catalog.skus.sort_by(|left, right| left.name.cmp(&right.name));
        catalog
    }

    /// The SKU of that name; the error names those on offer.
    pub fn get(&self, name: &str) -> Result<&Sku, Problem> {
        self.skus.iter().find(|sku| sku.name.eq_ignore_ascii_case(name)).ok_or_else(|| self.not_offered(name))
    }

    /// All readable SKUs, sorted by name.
    pub fn skus(&self) -> &[Sku] {
        &self.skus
    }

    /// The region that the list is of.
    pub fn location(&self) -> &Location {
        &self.location
    }

    fn not_offered(&self, name: &str) -> Problem {
        if let Some(reason) = self.unreadable.iter().find(|reason| reason.place.eq_ignore_ascii_case(name)) {
            return Problem::of("sku-name", format!("{} cannot be used: {}", quote(name), reason.message));
        }
        let names: Vec<&str> = self.skus.iter().map(|sku| sku.name.as_str()).collect();
        let hint = did_you_mean(name, names.iter().copied());
        let offered = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format!("{} is not offered in {}; offered: {offered}{hint}", quote(name), self.location);
        Problem::of("sku-name", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Vec<Zone> {
        names.iter().map(|name| Zone::parse(name).unwrap()).collect()
    }

    fn sku(name: &str, with: &[&str]) -> Result<Sku, Problem> {
        let capabilities = [(CAPABILITY_INCREMENT, "16"), (CAPABILITY_BANDWIDTH, "125"), (CAPABILITY_MAXIMUM, "128")];
        Sku::from_capabilities(name, zones(with), capabilities)
    }

    fn catalog() -> SkuCatalog {
        let odd = Sku::from_capabilities("AMLFS-Odd", vec![], [(CAPABILITY_INCREMENT, "many")]);
        SkuCatalog::new(
            Location::parse("eastus").unwrap(),
            [odd, sku("B", &["2", "1"]), sku("A", &[]), sku("A", &["9"])],
        )
    }

    #[test]
    fn one_odd_entry_hides_no_other() {
        let catalog = catalog();
        assert_eq!(catalog.skus().iter().map(|sku| sku.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert!(catalog.get("AMLFS-Odd").unwrap_err().message.contains("OSS capacity increment (TiB) is `many`"));
        assert!(catalog.get("C").unwrap_err().message.contains("offered: A, B"));
        assert_eq!(catalog.get("a").unwrap().throughput(Tib(16)), 2000);
    }

    #[test]
    fn zones_are_needed_exactly_where_there_are_some() {
        let (with, without) = (sku("B", &["2", "1"]).unwrap(), sku("A", &[]).unwrap());
        let zone = |name| Zone::parse(name).unwrap();
        assert_eq!(with.check_zone(Some(&zone("1"))), Ok(()));
        assert_eq!(without.check_zone(None), Ok(()));
        assert!(with.check_zone(None).unwrap_err().message.contains("1, 2"));
        assert!(with.check_zone(Some(&zone("3"))).unwrap_err().message.contains("1, 2"));
        assert!(without.check_zone(Some(&zone("1"))).unwrap_err().message.contains("leave it out"));
    }

    #[test]
    fn a_size_step_of_zero_is_unreadable() {
        let odd = Sku::from_capabilities("Z", vec![], [(CAPABILITY_INCREMENT, "0"), (CAPABILITY_MAXIMUM, "128")]);
        assert!(odd.is_err());
    }
}
