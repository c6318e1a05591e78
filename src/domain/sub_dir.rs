//! Sub-directories of a file system, as templates and as paths that cannot escape.
//!
//! `sub-dir` comes from a `StorageClass` or a PersistentVolume and is expanded with names from the pod, so it
//! is input of several users. A [`SubDir`] is relative, not empty and without `..`.

use std::collections::BTreeMap;

use super::template::{TemplateError, Variable, expand};
use super::text::{quote, text_types};

/// Longest file name that Lustre stores, in bytes (`NAME_MAX`).
const COMPONENT_MAX: usize = 255;
/// Longest path that the kernel takes, in bytes (`PATH_MAX` of limits.h without the final zero).
const PATH_MAX: usize = 4095;

/// Why a sub-directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubDirError {
    /// Not a path that stays below the root: the text, and the rule that it breaks.
    #[error("{0} {1}")]
    Path(String, String),
    /// A variable that does not exist or has no value.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// A strict sub-path of a file system's root: relative, not empty, no `.` or `..`, single slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubDir(String);

impl SubDir {
    /// Takes a path; slashes at both ends and repeated ones are dropped.
    pub fn parse(text: &str) -> Result<Self, SubDirError> {
        Self::parse_for(text, text)
    }

    /// As [`SubDir::parse`], with `shown` in messages.
    fn parse_for(text: &str, shown: &str) -> Result<Self, SubDirError> {
        let components: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let path = components.join("/");
        let rule = if text.chars().any(|c| c.is_control() || c == '#') {
            // A `#` would shift the fields of the volume id.
            "may not contain `#`, line breaks or other control characters".to_owned()
        } else if components.contains(&"..") {
            "may not contain `..`".to_owned()
        } else if components.is_empty() {
            "names no directory below the root of the file system".to_owned()
        } else if path.len() > PATH_MAX || components.iter().any(|part| part.len() > COMPONENT_MAX) {
            format!("is too long: at most {COMPONENT_MAX} bytes a component, {PATH_MAX} in all")
        } else {
            return Ok(Self(path));
        };
        Err(SubDirError::Path(quote(shown), rule))
    }
}

/// A sub-directory that may hold variables, without slashes at both ends. Stands unexpanded in volume id and context.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubDirTemplate(String);

impl SubDirTemplate {
    /// Takes a template; unknown variables and paths that no value could make valid are refused.
    pub fn parse(text: &str) -> Result<Self, SubDirError> {
        let trimmed = text.trim_matches('/');
        let placeholder = expand(trimmed, |_| Ok("x"))?;
        SubDir::parse_for(&placeholder, text)?;
        Ok(Self(trimmed.to_owned()))
    }

    /// Expands the template once, left to right; what a value holds is never expanded again.
    pub fn expand(&self, volume_context: &BTreeMap<String, String>) -> Result<SubDir, SubDirError> {
        let expanded = expand(&self.0, |variable| value_of(variable, volume_context))?;
        SubDir::parse(&expanded)
    }
}

text_types!(SubDir, SubDirTemplate);

fn value_of<'a>(
    (variable, key): &'static Variable,
    volume_context: &'a BTreeMap<String, String>,
) -> Result<&'a str, TemplateError> {
    let unresolved = |problem: String| TemplateError::Unresolved { variable, problem };
    match volume_context.get(*key).map(String::as_str) {
        None | Some("") => Err(unresolved(format!(
            "the volume context lacks {key} (is podInfoOnMount or --extra-create-metadata off?)"
        ))),
        Some(value) if value.contains('/') || matches!(value, "." | "..") => {
            Err(unresolved(format!("the volume context holds {} for {key}, which is not a plain name", quote(value))))
        }
        Some(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn paths_stay_below_the_root() {
        for (text, path) in
            [("a", "a"), ("/a/b/", "a/b"), ("a//b/./c", "a/b/c"), ("team a/x", "team a/x"), ("...", "...")]
        {
            assert_eq!(SubDir::parse(text).unwrap().as_str(), path);
        }
        for bad in ["", "/", "//", ".", "./.", "..", "a/..", "../a", "a/../..", "a\n", "a#b", "a\0", &"x".repeat(256)] {
            assert!(SubDir::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_are_put_in_once_and_never_scanned_again() {
        let template = SubDirTemplate::parse("/x/${pvc.metadata.namespace}-${pvc.metadata.name}/").unwrap();
        assert_eq!(template.as_str(), "x/${pvc.metadata.namespace}-${pvc.metadata.name}");
        let pod = "csi.storage.k8s.io/pvc/";
        let values =
            context(&[(&format!("{pod}name"), "${pvc.metadata.namespace}"), (&format!("{pod}namespace"), "team")]);
        assert_eq!(template.expand(&values).unwrap().as_str(), "x/team-${pvc.metadata.namespace}");
    }

    #[test]
    fn unknown_variables_are_refused_at_once_and_unresolved_ones_when_expanded() {
        let error = SubDirTemplate::parse("${pvc.metadata.nam}").unwrap_err().to_string();
        assert!(error.contains("did you mean ${pvc.metadata.name}?"), "{error}");
        assert!(SubDirTemplate::parse("a/${pvc.metadata.name").is_err());
        assert!(SubDirTemplate::parse("../${pvc.metadata.name}").is_err());
        let template = SubDirTemplate::parse("${pod.metadata.uid}").unwrap();
        assert!(template.expand(&context(&[])).is_err());
        for bad in ["", "..", ".", "a/b", "/"] {
            assert!(template.expand(&context(&[("csi.storage.k8s.io/pod.uid", bad)])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dots_that_a_value_completes_do_not_escape() {
        let template = SubDirTemplate::parse(".${pod.metadata.name}").unwrap();
        assert!(template.expand(&context(&[("csi.storage.k8s.io/pod.name", "./..")])).is_err());
        assert_eq!(template.expand(&context(&[("csi.storage.k8s.io/pod.name", "x")])).unwrap().as_str(), ".x");
    }
}
