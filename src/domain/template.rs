//! Templates with variables such as `${pvc.metadata.name}`, used by `sub-dir` and by the values of `tags`.
//!
//! A template is expanded once, left to right; what a value holds is never expanded again. The variables are those of the
//! Go driver; their values arrive under the keys that external-provisioner (`--extra-create-metadata`) and kubelet
//! (`podInfoOnMount`) put into parameters and volume context.
//!
//! Sources: external-provisioner's `README.md` (Command line options), the Kubernetes field `CSIDriver.spec.podInfoOnMount`.

use super::text::{nearest, quote};

/// A variable's name and the key of parameters or volume context that holds its value.
pub type Variable = (&'static str, &'static str);

/// All variables. The first three are known when a volume is created, the others only when a pod starts.
pub static VARIABLES: [Variable; 7] = [
    ("pvc.metadata.name", "csi.storage.k8s.io/pvc/name"),
    ("pvc.metadata.namespace", "csi.storage.k8s.io/pvc/namespace"),
    ("pv.metadata.name", "csi.storage.k8s.io/pv/name"),
    ("pod.metadata.name", "csi.storage.k8s.io/pod.name"),
    ("pod.metadata.namespace", "csi.storage.k8s.io/pod.namespace"),
    ("pod.metadata.uid", "csi.storage.k8s.io/pod.uid"),
    ("serviceAccount.metadata.name", "csi.storage.k8s.io/serviceAccount.name"),
];

/// How many of [`VARIABLES`] are known when a volume is created.
pub const KNOWN_AT_CREATION: usize = 3;

/// Why a template cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${…}` with a name that is not a variable, or without its end; the message.
    #[error("{0}")]
    Unknown(String),
    /// The variable has no value here.
    #[error("${{{variable}}} has no usable value: {problem}")]
    Unresolved {
        /// The variable.
        variable: &'static str,
        /// Why it has none.
        problem: String,
    },
}

/// Puts the values of the variables into `template`, once, left to right. Text outside `${…}` stays as it is.
pub fn expand<'a>(
    template: &str,
    mut value: impl FnMut(&'static Variable) -> Result<&'a str, TemplateError>,
) -> Result<String, TemplateError> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        expanded.push_str(before);
        let (name, behind) = after.split_once('}').ok_or_else(|| unknown(after))?;
        let variable = VARIABLES.iter().find(|(known, _)| *known == name).ok_or_else(|| unknown(name))?;
        expanded.push_str(value(variable)?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn unknown(name: &str) -> TemplateError {
    let names = VARIABLES.map(|(variable, _)| variable);
    let hint = nearest(name, names).map(|near| format!("; did you mean ${{{near}}}?")).unwrap_or_default();
    let shown = quote(&format!("${{{name}"));
    TemplateError::Unknown(format!("{shown} is not a variable; known are ${{{}}}{hint}", names.join("}, ${")))
}
