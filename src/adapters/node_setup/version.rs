//! Versions of the Lustre client, as its packages spell them: `2.17.0-24-gf517bc4`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use super::os::Os;

/// A version of the client: release, build and commit. Ordered by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientVersion(String);

impl ClientVersion {
    /// Parses `2.17.0-24-gf517bc4`, and `2.17.0_24_gf517bc4` as `/sys/module/lustre/version` and rpm packages spell it. `None`
    /// where it does not begin with a number, has characters that no package name has, or is the name of a staging directory
    /// ([`staging_dir`](super::layout::staging_dir)).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('_', "-");
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '~' | '+'));
        let begins = text.starts_with(|c: char| c.is_ascii_digit());
        (plain && begins && text.len() <= 64 && ["..", ".tmp-"].iter().all(|part| !text.contains(part)))
            .then_some(Self(text))
    }

    /// [`Os::default_client`].
    pub fn default_for(os: Os) -> Self {
        Self(os.default_client().to_owned())
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

/// The setting `client-version`: one version for all operating systems, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientVersions {
    for_all: Option<ClientVersion>,
    by_os: BTreeMap<Os, ClientVersion>,
}

impl ClientVersions {
    /// Parses one version for all operating systems, or a list such as
    /// `jammy=2.15.8-39-g2d32b59,noble=2.17.0-24-gf517bc4`. The error is the message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let version = |text: &str| {
            ClientVersion::parse(text).ok_or_else(|| format!("{text:?} is not a version such as 2.17.0-24-gf517bc4"))
        };
        if !text.contains('=') {
            return Ok(Self { for_all: Some(version(text)?), by_os: BTreeMap::new() });
        }
        let mut by_os = BTreeMap::new();
        for entry in text.split(',') {
            let (key, value) = entry.split_once('=').ok_or_else(|| format!("{entry:?} is not NAME=VERSION"))?;
            let os = Os::ALL.into_iter().find(|os| os.key() == key.trim());
            let names = || Os::ALL.map(Os::key).join(", ");
            let os = os.ok_or_else(|| format!("{:?} is not one of {}", key.trim(), names()))?;
            if by_os.insert(os, version(value)?).is_some() {
                return Err(format!("{} is given twice", os.key()));
            }
        }
        Ok(Self { for_all: None, by_os })
    }

    /// The version for `os`, by default [`Os::default_client`]; `None` for an operating system that is not known and no
    /// version for all.
    pub fn for_os(&self, os: Option<Os>) -> Option<ClientVersion> {
        let given = os.and_then(|os| self.by_os.get(&os)).or(self.for_all.as_ref());
        given.cloned().or_else(|| os.map(ClientVersion::default_for))
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
    fn text_that_is_not_part_of_a_package_name_is_not_a_version() {
        for text in ["", "latest", "2.17.0/../..", "2.17.0;reboot", "2..17", "2.17.0 x", "-2.17", "2.17.0.tmp-1"] {
            assert_eq!(ClientVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_setting_is_one_version_or_one_for_each_operating_system() {
        let of = |text: &str, os| ClientVersions::parse(text).unwrap().for_os(os).map(|version| version.to_string());
        assert_eq!(of("2.17.0-19-gbb5310f", Some(Os::Jammy)).as_deref(), Some("2.17.0-19-gbb5310f"));
        assert_eq!(of("2.17.0-19-gbb5310f", None).as_deref(), Some("2.17.0-19-gbb5310f"));
        let list = "jammy=2.15.7-33-g79ddf99, azurelinux3=2.16.1_21_g153e389";
        assert_eq!(of(list, Some(Os::Jammy)).as_deref(), Some("2.15.7-33-g79ddf99"));
        assert_eq!(of(list, Some(Os::AzureLinux3)).as_deref(), Some("2.16.1-21-g153e389"));
        assert_eq!(of(list, Some(Os::Noble)).as_deref(), Some("2.17.0-24-gf517bc4"));
        assert_eq!(of(list, None), None);
        for wrong in ["", "latest", "focal=2.15.7", "jammy=", "jammy=2.15.7,2.17.0", "jammy=2.15.7,jammy=2.15.8"] {
            assert!(ClientVersions::parse(wrong).is_err(), "{wrong}");
        }
    }
}
