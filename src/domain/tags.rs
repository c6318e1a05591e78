//! Tags on file systems: who made them, for which claim.
//!
//! The tags are the only proof that a file system is owned by this driver, and what an operator searches by.
//! The names are those of the Go driver, so volumes of either driver have the same tags.

use std::collections::BTreeMap;

use super::problem::Problems;
use super::template::{self, KNOWN_AT_CREATION, TemplateError, VARIABLES};
use super::text::quote;

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
/// ARM's limits: tags on a resource, characters of a key and of a value
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>).
const COUNT_MAX: usize = 50 - RESERVED.len();
const KEY_MAX: usize = 512;
const VALUE_MAX: usize = 256;

/// What separates pairs unless `tag-value-delimiter` says otherwise.
pub const DEFAULT_DELIMITER: &str = ",";

/// Reads the `tags` parameter: pairs `key=value` with `delimiter` between them. The value is everything after the first
/// `=`; blanks round keys and values are dropped. Variables in values are expanded with what `metadata` gives for their
/// keys; those that are only known when a pod starts are refused, so that none is ever stored unexpanded. `field` is the
/// parameter's key as the user spelled it.
///
/// Limits are those of ARM: 50 tags a resource, 512 characters a name, 256 a value.
pub fn parse<'a>(
    field: &str,
    text: &str,
    delimiter: &str,
    metadata: impl Fn(&str) -> Option<&'a str>,
) -> Result<BTreeMap<String, String>, Problems> {
    let mut problems = Problems::default();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split(delimiter).filter(|_| !text.trim().is_empty()) {
        match parse_pair(pair, &metadata) {
            Ok((key, _)) if tags.keys().any(|known| known.eq_ignore_ascii_case(key)) => {
                problems.add(field, format!("tag {} is given twice", quote(key)));
            }
            Ok((key, value)) => drop(tags.insert(key.to_owned(), value)),
            Err(rule) => problems.add(field, rule),
        }
    }
    if tags.len() > COUNT_MAX {
        problems.add(field, format!("{} tags; at most {COUNT_MAX} fit beside the driver's own", tags.len()));
    }
    problems.into_result(Some(tags))
}

/// Reads the `tag-value-delimiter` parameter: what stands between two tags. Letters, digits, blanks, `=` and the
/// characters of `${…}` cannot separate.
pub fn parse_delimiter(text: &str) -> Result<&str, String> {
    let unfit = |c: char| c.is_alphanumeric() || c.is_whitespace() || c.is_control() || "=${}".contains(c);
    if text.is_empty() || text.contains(unfit) {
        return Err(format!("{} cannot separate tags; use a character such as ; or |", quote(text)));
    }
    Ok(text)
}

fn parse_pair<'a, 'm>(pair: &'a str, metadata: impl Fn(&str) -> Option<&'m str>) -> Result<(&'a str, String), String> {
    let form = || format!("{} is not key=value", quote(pair));
    let (key, value) = pair.split_once('=').ok_or_else(form)?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(form());
    }
    if key.contains("${") {
        return Err(format!("tag {} has a variable in its name; only values may have them", quote(key)));
    }
    let value = template::expand(value, |variable| value_of(*variable, &metadata))
        .map_err(|error| format!("tag {}: {error}", quote(key)))?;
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(key)) {
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

fn value_of<'a>(
    (variable, key): template::Variable,
    metadata: impl Fn(&str) -> Option<&'a str>,
) -> Result<&'a str, TemplateError> {
    let at_creation = VARIABLES.iter().take(KNOWN_AT_CREATION);
    let unresolved = |problem: String| TemplateError::Unresolved { variable, problem };
    if !at_creation.clone().any(|(known, _)| *known == variable) {
        let known: Vec<&str> = at_creation.map(|(known, _)| *known).collect();
        return Err(unresolved(format!(
            "it is only known when a pod starts, and tags are set at creation; use one of ${{{}}}",
            known.join("}, ${")
        )));
    }
    metadata(key).map(str::trim).filter(|value| !value.is_empty()).ok_or_else(|| {
        unresolved(format!("the parameters lack {key} (run external-provisioner with --extra-create-metadata)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, Problems> {
        parse("tags", text, DEFAULT_DELIMITER, metadata)
    }

    fn metadata(key: &str) -> Option<&'static str> {
        match key {
            "csi.storage.k8s.io/pvc/name" => Some("scratch"),
            "csi.storage.k8s.io/pv/name" => Some("pvc-1"),
            _ => None,
        }
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pairs_are_trimmed() {
        let tags = read(" team = hpc ,cost-center=42,empty=").unwrap();
        assert_eq!(tags, map(&[("team", "hpc"), ("cost-center", "42"), ("empty", "")]));
        assert!(read(" ").unwrap().is_empty());
        assert_eq!(read("team=hpc,\n cost-center\t= 42,\nempty=\n"), Ok(tags), "a YAML block over several lines");
        assert!(read("a=b\nc").is_err());
    }

    #[test]
    fn a_value_is_everything_after_the_first_equals_sign() {
        let tags = read("token=YWJjZA==,url=https://x/?a=1").unwrap();
        assert_eq!(tags, map(&[("token", "YWJjZA=="), ("url", "https://x/?a=1")]));
    }

    #[test]
    fn another_delimiter_lets_values_hold_commas() {
        for delimiter in [";", "|", "||"] {
            let tags = parse("tags", &format!("hosts=a,b{delimiter}team=hpc"), delimiter, metadata).unwrap();
            assert_eq!(tags, map(&[("hosts", "a,b"), ("team", "hpc")]), "{delimiter}");
            assert_eq!(parse_delimiter(delimiter), Ok(delimiter));
        }
        for bad in ["", "=", "a", "1", " ", "$", "{", "}", "\n", "; "] {
            assert!(parse_delimiter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn variables_in_values_are_expanded_at_creation_or_refused() {
        let tags = read("claim=${pvc.metadata.name}/${pv.metadata.name},price=5$").unwrap();
        assert_eq!(tags, map(&[("claim", "scratch/pvc-1"), ("price", "5$")]));
        for (bad, reason) in [
            ("a=${pod.metadata.name}", "only known when a pod starts"),
            ("a=${serviceAccount.metadata.name}", "only known when a pod starts"),
            ("a=${pvc.metadata.nam}", "did you mean ${pvc.metadata.name}?"),
            ("a=${pvc.metadata.name", "is not a variable"),
            ("a=${pvc.metadata.namespace}", "--extra-create-metadata"),
            ("${pvc.metadata.name}=a", "only values"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn an_expanded_value_is_held_to_the_limit_and_never_expanded_again() {
        let long = "x".repeat(257);
        let error = parse("tags", "a=${pv.metadata.name}", ",", |_| Some(long.as_str())).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
        let once = parse("tags", "a=${pv.metadata.name}", ",", |_| Some("${pod.metadata.uid},b=c")).unwrap();
        assert_eq!(once, map(&[("a", "${pod.metadata.uid},b=c")]));
    }

    #[test]
    fn every_bad_pair_is_reported() {
        let error = read("a,=b,K8S-azure-created-by=me,x=1,X=2,s/h=1,").unwrap_err();
        assert_eq!(error.as_slice().len(), 6, "{error}");
        assert!(error.to_string().contains("set by the driver itself"));
        let many: Vec<String> = (0..47).map(|n| format!("k{n}=v")).collect();
        assert!(read(&many.join(",")).is_err());
    }
}
