//! Tags on file systems: who made them, for which claim.
//!
//! Why it exists: the tags are the only proof that a file system is ours to delete, and what an operator searches by.
//! The names are those of the Go driver, so volumes of either driver look alike.

use std::collections::BTreeMap;

use super::error::{Violations, quote};

/// Names the driver that made the file system.
pub const CREATED_BY: &str = "k8s-azure-created-by";
/// Value of [`CREATED_BY`] on our file systems and on those of the Go driver.
pub const CREATED_BY_US: &str = "kubernetes-azurelustre-csi-driver";
/// Names the claim.
pub const PVC_NAME: &str = "kubernetes.io-created-for-pvc-name";
/// Names the claim's namespace.
pub const PVC_NAMESPACE: &str = "kubernetes.io-created-for-pvc-namespace";
/// Names the PersistentVolume, which is the CSI volume name.
pub const PV_NAME: &str = "kubernetes.io-created-for-pv-name";

const RESERVED: [&str; 4] = [CREATED_BY, PVC_NAME, PVC_NAMESPACE, PV_NAME];
/// ARM's limits: tags on a resource, characters of a key and of a value.
const COUNT_MAX: usize = 50 - RESERVED.len();
const KEY_MAX: usize = 512;
const VALUE_MAX: usize = 256;

/// Reads the `tags` parameter, `key=value,key=value`; blanks round keys and values are dropped. `field` is the key as the
/// user spelled it.
pub fn parse(field: &str, text: &str) -> Result<BTreeMap<String, String>, Violations> {
    let mut violations = Violations::default();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split(',').filter(|_| !text.trim().is_empty()) {
        match parse_pair(pair) {
            Ok((key, _)) if tags.keys().any(|known| known.eq_ignore_ascii_case(key)) => {
                violations.push(field, format!("tag {} is given twice", quote(key)));
            }
            Ok((key, value)) => drop(tags.insert(key.to_owned(), value.to_owned())),
            Err(rule) => violations.push(field, rule),
        }
    }
    if tags.len() > COUNT_MAX {
        violations.push(field, format!("{} tags; at most {COUNT_MAX} fit beside the driver's own", tags.len()));
    }
    violations.into_result(Some(tags))
}

fn parse_pair(pair: &str) -> Result<(&str, &str), String> {
    let form = || format!("{} is not key=value", quote(pair));
    let (key, value) = pair.split_once('=').ok_or_else(form)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() || value.contains('=') {
        Err(form())
    } else if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(key)) {
        Err(format!("tag {} is set by the driver itself", quote(key)))
    } else if key.chars().count() > KEY_MAX || value.chars().count() > VALUE_MAX {
        Err(format!("tag {} is too long (key {KEY_MAX}, value {VALUE_MAX} characters)", quote(key)))
    } else if key.contains(['<', '>', '%', '&', '\\', '?', '/'])
        || key.chars().chain(value.chars()).any(char::is_control)
    {
        Err(format!("tag {} holds a character that Azure refuses (< > % & \\ ? / and control characters)", quote(key)))
    } else {
        Ok((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_trimmed() {
        let tags = parse("tags", " team = hpc ,cost-center=42,empty=").unwrap();
        let expected = [("team", "hpc"), ("cost-center", "42"), ("empty", "")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert!(parse("tags", " ").unwrap().is_empty());
        assert_eq!(
            parse("tags", "team=hpc,\n cost-center\t= 42,\nempty=\n"),
            Ok(tags),
            "a YAML block over several lines"
        );
        assert!(parse("tags", "a=b\nc").is_err());
    }

    #[test]
    fn every_bad_pair_is_told() {
        let error = parse("tags", "a,=b,K8S-azure-created-by=me,x=1,X=2,y=1=2,s/h=1").unwrap_err();
        assert_eq!(error.as_slice().len(), 6, "{error}");
        assert!(error.to_string().contains("set by the driver itself"));
        let many: Vec<String> = (0..47).map(|n| format!("k{n}=v")).collect();
        assert!(parse("tags", &many.join(",")).is_err());
    }
}
