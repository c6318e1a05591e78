//! Client tuning: the tunables of a Lustre client that can be set for each mount, with their ranges.
//!
//! Nothing is set unless it is asked for: Microsoft gives no values. Ranges are those of the client
//! (`lustre/include/obd.h`, `lustre/osc/lproc_osc.c`, `lustre/obdclass/genops.c`); a value within them may still be refused
//! on a node, such as more dirty memory than a quarter of its own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::text::quote;

/// A file of `/sys/fs/lustre/osc/*` or `/sys/fs/lustre/mdc/*`. The order is the one in which they are set: a client lowers
/// `max_mod_rpcs_in_flight` by itself where `max_rpcs_in_flight` would not be larger, so that comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunable {
    /// RPCs in progress to each OST; a client has 8.
    OscMaxRpcsInFlight,
    /// MiB of unwritten data for each OST; a client has 2000, at most a quarter of the memory.
    OscMaxDirtyMb,
    /// RPCs in progress to each MDT; a client has 8.
    MdcMaxRpcsInFlight,
    /// Modifying RPCs in progress to each MDT, fewer than all; a client has 7.
    MdcMaxModRpcsInFlight,
}

/// RPCs in progress to each MDT without a setting (`OBD_MAX_RIF_DEFAULT`).
const DEFAULT_MDC_RPCS: u32 = 8;

impl Tunable {
    /// All of them, in the order in which they are set.
    pub const ALL: [Self; 4] =
        [Self::OscMaxRpcsInFlight, Self::OscMaxDirtyMb, Self::MdcMaxRpcsInFlight, Self::MdcMaxModRpcsInFlight];

    /// Device type, file and range of values.
    fn row(self) -> (&'static str, &'static str, RangeInclusive<u32>) {
        match self {
            Self::OscMaxRpcsInFlight => ("osc", "max_rpcs_in_flight", 1..=256),
            Self::OscMaxDirtyMb => ("osc", "max_dirty_mb", 1..=2047),
            Self::MdcMaxRpcsInFlight => ("mdc", "max_rpcs_in_flight", 2..=512),
            Self::MdcMaxModRpcsInFlight => ("mdc", "max_mod_rpcs_in_flight", 1..=511),
        }
    }

    /// Type of the devices that have it, and its file there.
    pub fn device_type_and_file(self) -> (&'static str, &'static str) {
        let (device_type, file, _) = self.row();
        (device_type, file)
    }

    /// The values that clients take.
    pub fn range(self) -> RangeInclusive<u32> {
        self.row().2
    }

    /// Reads a value.
    ///
    /// # Errors
    /// If the text is not a whole number within [`Tunable::range`]; the error says which would be right.
    pub fn parse(self, text: &str) -> Result<u32, String> {
        let (device_type, file, range) = self.row();
        text.trim().parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
            let (start, end) = range.into_inner();
            format!("{} is not a value of {device_type}.{file}: give a whole number from {start} to {end}", quote(text))
        })
    }
}

/// The tunables that are set for each mount; none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTuning(BTreeMap<Tunable, u32>);

impl ClientTuning {
    /// Values that fit together.
    ///
    /// # Errors
    /// If a value is out of its range, or modifying RPCs would not be fewer than all RPCs.
    pub fn new(values: impl IntoIterator<Item = (Tunable, u32)>) -> Result<Self, String> {
        let values: BTreeMap<Tunable, u32> = values.into_iter().collect();
        for (tunable, value) in &values {
            tunable.parse(&value.to_string())?;
        }
        let all = values.get(&Tunable::MdcMaxRpcsInFlight).copied();
        if let Some(modifying) = values.get(&Tunable::MdcMaxModRpcsInFlight)
            && *modifying >= all.unwrap_or(DEFAULT_MDC_RPCS)
        {
            let all = all.map_or_else(|| format!("{DEFAULT_MDC_RPCS}, what a client has"), |all| all.to_string());
            return Err(format!(
                "mdc.max_mod_rpcs_in_flight of {modifying} must be less than mdc.max_rpcs_in_flight ({all}): set that too"
            ));
        }
        Ok(Self(values))
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is set, in the order in which a client takes it.
    pub fn values(&self) -> impl Iterator<Item = (Tunable, u32)> {
        self.0.iter().map(|(tunable, value)| (*tunable, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_whole_number_within_the_clients_range() {
        for tunable in Tunable::ALL {
            let (start, end) = tunable.range().into_inner();
            assert_eq!(tunable.parse(&format!(" {start} ")), Ok(start));
            assert_eq!(tunable.parse(&end.to_string()), Ok(end));
            let (below, above) = ((start - 1).to_string(), (end + 1).to_string());
            for bad in [below.as_str(), above.as_str(), "", "-1", "8k", "1.5", "99999999999999999999"] {
                let error = tunable.parse(bad).unwrap_err();
                assert!(error.contains(&format!("from {start} to {end}")), "{tunable:?} {bad:?}: {error}");
            }
        }
    }

    #[test]
    fn modifying_rpcs_are_fewer_than_all() {
        use Tunable::{MdcMaxModRpcsInFlight as Modifying, MdcMaxRpcsInFlight as All};
        for (values, valid) in [
            (vec![(Modifying, 50), (All, 64)], true),
            (vec![(Modifying, 64), (All, 64)], false),
            (vec![(Modifying, 7)], true),
            (vec![(Modifying, 8)], false),
            (vec![(All, 2)], true),
            (vec![(All, 1)], false),
            (vec![], true),
        ] {
            assert_eq!(ClientTuning::new(values.clone()).is_ok(), valid, "{values:?}");
        }
        let error = ClientTuning::new([(Modifying, 8)]).unwrap_err();
        assert!(error.contains("max_mod_rpcs_in_flight of 8 must be less") && error.contains("(8, what a client has)"));
    }

    #[test]
    fn values_come_in_the_order_in_which_a_client_takes_them() {
        let tuning = ClientTuning::new(Tunable::ALL.into_iter().rev().zip([7, 64, 256, 32])).unwrap();
        assert_eq!(tuning.values().map(|(tunable, _)| tunable).collect::<Vec<_>>(), Tunable::ALL);
        assert!(ClientTuning::default().is_empty() && !tuning.is_empty());
    }
}
