//! Versions of the Lustre client, as its packages spell them: `2.17.0-24-gf517bc4`.

use std::cmp::Ordering;
use std::fmt;

use super::os::Os;

/// A version of the client: release, build and commit. Ordered by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientVersion(String);

impl ClientVersion {
    /// Reads `2.17.0-24-gf517bc4`, and `2.17.0_24_gf517bc4` as `/sys/module/lustre/version` and rpm packages spell it. `None`
    /// where it does not begin with a number or has characters that no package name has.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('_', "-");
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '~' | '+'));
        let begins = text.starts_with(|c: char| c.is_ascii_digit());
        (plain && begins && text.len() <= 64 && !text.contains("..")).then_some(Self(text))
    }

    /// The version that is installed where none is asked for.
    pub fn default_for(os: Os) -> Self {
        Self(
            match os {
                Os::Jammy => "2.15.8-39-g2d32b59",
                Os::Noble | Os::AzureLinux3 => "2.17.0-24-gf517bc4",
            }
            .to_owned(),
        )
    }

    /// As in the names of packages for Ubuntu.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As in `/sys/module/lustre/version` and in the names of rpm packages.
    pub fn with_underscores(&self) -> String {
        self.0.replace('-', "_")
    }

    /// Major and minor number, as in 2.15.
    pub fn release(&self) -> (u64, u64) {
        let numbers = self.numbers();
        (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(0))
    }

    /// The numbers in front of the commit.
    fn numbers(&self) -> Vec<u64> {
        self.0.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
    }
}

impl Ord for ClientVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers().cmp(&other.numbers()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ClientVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let sorted = ["2.15.8-39-g2d32b59", "2.16.1-21-g153e389", "2.17.0", "2.17.0-9-gffffff", "2.17.0-19-gbb5310f"];
        let versions: Vec<_> = sorted.iter().map(|text| ClientVersion::parse(text).unwrap()).collect();
        assert!(versions.is_sorted());
        assert_eq!(versions[0].release(), (2, 15));
    }

    #[test]
    fn both_spellings_are_one_version() {
        assert_eq!(ClientVersion::parse("2.17.0_19_gbb5310f\n"), ClientVersion::parse("2.17.0-19-gbb5310f"));
        assert_eq!(ClientVersion::parse("2.17.0-19-gbb5310f").unwrap().with_underscores(), "2.17.0_19_gbb5310f");
    }

    #[test]
    fn what_no_package_name_holds_is_no_version() {
        for text in ["", "latest", "2.17.0/../..", "2.17.0;reboot", "2..17", "2.17.0 x", "-2.17"] {
            assert_eq!(ClientVersion::parse(text), None, "{text}");
        }
    }
}
