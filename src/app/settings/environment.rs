//! Settings from `AZURELUSTRE_CSI_*` variables.
//!
//! Why it exists: a misspelt variable should be told, yet Kubernetes puts variables of its own into every container, named
//! after the Services of the namespace; one called `azurelustre-csi-…` must not keep the driver from starting.

use super::keys::{CONFIG, KEYS};
use super::layers::Layer;
use crate::app::problem::{Problem, Problems};
use crate::domain::error::{nearest, quote};

/// What the names of the driver's variables begin with.
pub const PREFIX: &str = "AZURELUSTRE_CSI_";

/// Variables with our prefix that the node's entrypoint reads, not the driver.
const OF_OTHERS: [&str; 1] = ["INSTALL_LUSTRE_CLIENT"];

/// The settings in these variables. Unknown names are problems.
pub(super) fn layers(environment: &[(String, String)], problems: &mut Problems) -> Vec<Layer> {
    let ours = environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    let set = ours.filter(|(_, rest, value)| !value.is_empty() && !is_of_others(rest));
    set.filter_map(|(name, rest, value)| layer(name, rest, value, problems)).collect()
}

fn layer(name: &str, rest: &str, value: &str, problems: &mut Problems) -> Option<Layer> {
    if let Some(key) = KEYS.into_iter().find(|key| variable(key) == rest) {
        return Some(Layer::text(name, key, value));
    }
    if variable(CONFIG) != rest {
        problems.push(unknown(name, rest));
    }
    None
}

fn unknown(name: &str, rest: &str) -> Problem {
    let known: Vec<String> = KEYS.into_iter().chain([CONFIG]).map(variable).collect();
    let hint = nearest(rest, known.iter().map(String::as_str)).map_or_else(
        || format!("unset it; variables are {PREFIX} and a flag's name in capitals, such as {PREFIX}LOG_LEVEL"),
        |near| format!("did you mean {PREFIX}{near}?"),
    );
    Problem::new(format!("environment: {} is no setting", quote(name))).with_hint(hint)
}

/// `log-level` is `LOG_LEVEL`.
fn variable(key: &str) -> String {
    key.to_uppercase().replace('-', "_")
}

fn is_of_others(rest: &str) -> bool {
    OF_OTHERS.contains(&rest) || is_service_link(rest)
}

/// Whether Kubernetes made it for a Service: `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_HTTP`, `…PORT`,
/// `…PORT_80_TCP`, `…PORT_80_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    let rest = format!("_{rest}");
    let host = rest.ends_with("_SERVICE_HOST");
    let port = rest.ends_with("_PORT") || rest.contains("_SERVICE_PORT_");
    let numbered = rest.split("_PORT_").skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    host || port || numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_told_from_settings() {
        for link in ["SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_443_TCP", "PORT_443_TCP_PROTO", "NODE_SERVICE_HOST"]
        {
            assert!(is_of_others(link), "{link}");
        }
        for link in
            ["CONTROLLER_SERVICE_PORT_METRICS", "NODE_PORT_29764_TCP_ADDR", "NODE_PORT", "INSTALL_LUSTRE_CLIENT"]
        {
            assert!(is_of_others(link), "{link}");
        }
        for key in KEYS {
            assert!(!is_of_others(&variable(key)), "{key}");
        }
        for other in ["SUPPORT", "HOST", "LOG_LEVLE", "PORTAL"] {
            assert!(!is_of_others(other), "{other}");
        }
    }

    #[test]
    fn unknown_variables_are_told_with_the_nearest() {
        let mut problems = Problems::default();
        let given = [("AZURELUSTRE_CSI_LOG_LEVLE".to_owned(), "debug".to_owned())];
        assert!(layers(&given, &mut problems).is_empty());
        let hint = problems.as_slice()[0].hint.clone();
        assert_eq!(hint.as_deref(), Some("did you mean AZURELUSTRE_CSI_LOG_LEVEL?"));
    }
}
