//! Settings from `AZURELUSTRE_CSI_*` variables.
//!
//! A misspelt variable is a problem. Kubernetes sets variables in every container that are named after the Services of the
//! namespace; one of a Service called `azurelustre-csi-…` must not keep the driver from starting.

use super::setting::{CONFIG, PREFIX, Setting};
use super::sources::SettingValue;
use crate::domain::problem::{Problem, Problems};
use crate::domain::text::{nearest, quote};

/// The settings in these variables. Names that are neither `known` nor `ignored` are problems.
pub(super) fn values(
    environment: &[(String, String)],
    known: &[&'static Setting],
    ignored: fn(&str) -> bool,
    problems: &mut Problems,
) -> Vec<SettingValue> {
    let ours =
        environment.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty() && !ignored(name));
    ours.filter_map(|(name, value)| problems.note(setting_value(name, value, known)).flatten()).collect()
}

fn setting_value(name: &str, value: &str, known: &[&'static Setting]) -> Result<Option<SettingValue>, Problem> {
    if let Some(setting) = known.iter().find(|setting| setting.variable() == name) {
        return Ok(Some(SettingValue::text(name, setting.key, value)));
    }
    if name == CONFIG.variable() || is_service_link(name) { Ok(None) } else { Err(unknown(name, known)) }
}

fn unknown(name: &str, known: &[&'static Setting]) -> Problem {
    let known: Vec<String> = known.iter().copied().chain([&CONFIG]).map(Setting::variable).collect();
    // Compared without the prefix, which would make all of them alike.
    let words = known.iter().map(|name| name.trim_start_matches(PREFIX));
    let hint = nearest(name.trim_start_matches(PREFIX), words).map_or_else(
        || format!("unset it; variables are {PREFIX} and a flag's name in capitals, such as {PREFIX}LOG_LEVEL"),
        |near| format!("did you mean {PREFIX}{near}?"),
    );
    Problem::new(format!("environment: {} is not a setting", quote(name))).with_hint(hint)
}

/// Whether Kubernetes sets it for a Service (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>): `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_HTTP`, `…PORT`,
/// `…PORT_80_TCP`, `…PORT_80_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    let rest = format!("_{}", name.trim_start_matches(PREFIX));
    let host = rest.ends_with("_SERVICE_HOST");
    let port = rest.ends_with("_PORT") || rest.contains("_SERVICE_PORT_");
    let numbered = rest.split("_PORT_").skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    host || port || numbered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::known;

    fn prefixed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect()
    }

    #[test]
    fn service_links_are_distinguished_from_settings() {
        for link in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "PORT",
            "PORT_443_TCP",
            "PORT_443_TCP_PROTO",
            "NODE_SERVICE_HOST",
            "CONTROLLER_SERVICE_PORT_METRICS",
            "NODE_PORT_29764_TCP_ADDR",
            "NODE_PORT",
        ] {
            assert!(is_service_link(&format!("{PREFIX}{link}")), "{link}");
        }
        for setting in known() {
            assert!(!is_service_link(&setting.variable()), "{setting:?}");
        }
        for other in ["SUPPORT", "HOST", "LOG_LEVLE", "PORTAL"] {
            assert!(!is_service_link(&format!("{PREFIX}{other}")), "{other}");
        }
    }

    #[test]
    fn unknown_variables_are_reported_with_the_nearest() {
        let mut problems = Problems::default();
        assert!(values(&prefixed(&[("LOG_LEVLE", "debug")]), &known(), |_| false, &mut problems).is_empty());
        let hint = problems.as_slice()[0].hint.clone();
        assert_eq!(hint.as_deref(), Some("did you mean AZURELUSTRE_CSI_LOG_LEVEL?"));
    }
}
