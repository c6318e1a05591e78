//! Version of a Lustre client, as `/sys/module/lustre/version` shows it.

use std::fmt;

/// The first three numbers of a version: `2.17.0_19_gbb5310f` is 2.17.0. Missing ones are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LustreVersion(pub [u32; 3]);

impl LustreVersion {
    /// Reads a version; none if it does not begin with two numbers.
    pub fn parse(text: &str) -> Option<Self> {
        let release = text.trim().split(['_', '-']).next()?;
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Self([major, minor, numbers.next().flatten().unwrap_or_default()]))
    }
}

impl fmt::Display for LustreVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_every_spelling_and_ordered_by_their_numbers() {
        for (text, numbers) in [
            ("2.17.0_19_gbb5310f\n", Some([2, 17, 0])),
            ("2.15.8-34-gc0f2040", Some([2, 15, 8])),
            ("2.17.57", Some([2, 17, 57])),
            ("2.14", Some([2, 14, 0])),
            ("2.15.x", Some([2, 15, 0])),
            ("2", None),
            ("", None),
            ("lustre", None),
            ("2.99999999999", None),
        ] {
            assert_eq!(LustreVersion::parse(text), numbers.map(LustreVersion), "{text:?}");
        }
        assert!(LustreVersion([2, 9, 0]) < LustreVersion([2, 15, 8]));
        assert_eq!(LustreVersion([2, 15, 8]).to_string(), "2.15.8");
    }
}
