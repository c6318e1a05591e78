//! Values of parameters: SKU names, the maintenance window, managed identities.

use crate::domain::text::{did_you_mean, quote, text_types};

/// Weekly maintenance window of a file system, 30 minutes long (`properties.maintenanceWindow` of `amlfilesystem.json`,
/// Microsoft.StorageCache 2024-03-01).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// English day name with a capital, as ARM spells it.
    pub day_of_week: &'static str,
    /// `HH:MM` in UTC.
    pub time_of_day_utc: String,
}

/// ARM id of a user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdentityId(String);

impl IdentityId {
    fn parse(text: &str) -> Result<Self, String> {
        let segments: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "_-.()".contains(c)) && !part.ends_with('.')
        };
        let valid = match segments.as_slice() {
            ["", s, subscription, g, group, p, provider, kind, name] => {
                s.eq_ignore_ascii_case("subscriptions")
                    && g.eq_ignore_ascii_case("resourceGroups")
                    && p.eq_ignore_ascii_case("providers")
                    && provider.eq_ignore_ascii_case("Microsoft.ManagedIdentity")
                    && kind.eq_ignore_ascii_case("userAssignedIdentities")
                    && [subscription, group, name].into_iter().all(plain)
            }
            _ => false,
        };
        let expected = "/subscriptions/…/resourceGroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/…";
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{} is not an identity id ({expected})", quote(text)))
        }
    }
}

text_types!(IdentityId);

pub(super) fn sku_name(text: &str) -> Result<String, String> {
    let valid = text.len() <= 80 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if valid { Ok(text.to_owned()) } else { Err(format!("{} is not a SKU name", quote(text))) }
}

pub(super) fn day_of_week(text: &str) -> Result<&'static str, String> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = DAYS.into_iter().find(|day| day.eq_ignore_ascii_case(text));
    day.ok_or_else(|| format!("{} is not a day of the week in English{}", quote(text), did_you_mean(text, DAYS)))
}

pub(super) fn time_of_day(text: &str) -> Result<String, String> {
    let number = |digits: &str, longest: usize, below: u32| {
        let plain = (1..=longest).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain && digits.parse::<u32>().is_ok_and(|number| number < below)
    };
    let valid = text.split_once(':').is_some_and(|(h, m)| number(h, 2, 24) && m.len() == 2 && number(m, 2, 60));
    if valid { Ok(text.to_owned()) } else { Err(format!("{} is not a time of the form HH:MM", quote(text))) }
}

pub(super) fn identities(text: &str) -> Result<Vec<IdentityId>, String> {
    text.split(',').map(|id| IdentityId::parse(id.trim())).collect()
}
