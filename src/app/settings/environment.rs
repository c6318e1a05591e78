//! Settings from `AZURELUSTRE_CSI_*` variables.
//!
//! Why it exists: a misspelt variable should be told, yet Kubernetes puts variables of its own into every container, named
//! after the Services of the namespace; one called `azurelustre-csi-…` must not keep the driver from starting.

use super::Given;
use super::keys::{CONFIG, KEYS, MODE};
use super::layers::Layer;
use super::node_setup::NODE_SETUP_KEYS;
use crate::app::problem::{Problem, Problems};
use crate::domain::error::{nearest, quote};

/// What the names of the driver's variables begin with.
pub const PREFIX: &str = "AZURELUSTRE_CSI_";

/// Variables with our prefix that have no effect on the driver: the Go driver's interval for configuring LNet again.
const OF_OTHERS: [&str; 1] = ["LNET_RECONCILE_INTERVAL"];

/// The Go driver's variable for what a container does, without the prefix.
const ROLE: &str = "ROLE";
/// The role of an init container that makes the node ready.
const LOADER: &str = "loader";

/// Whether the Go driver's variable makes this process its loader, which is `node-setup`.
pub fn is_loader(given: &Given) -> bool {
    given.variable(&format!("{PREFIX}{ROLE}")) == Some(LOADER)
}

/// The settings in these variables. Unknown names are problems.
pub(super) fn layers(environment: &[(String, String)], problems: &mut Problems) -> Vec<Layer> {
    let ours = environment.iter().filter_map(|(name, value)| Some((name, name.strip_prefix(PREFIX)?, value)));
    let set: Vec<_> = ours.filter(|(_, rest, value)| !value.is_empty() && !is_of_others(rest)).collect();
    let (roles, settings): (Vec<_>, Vec<_>) = set.into_iter().partition(|(_, rest, _)| *rest == ROLE);
    // A mode that is given as such counts more than the one that the role stands for.
    let mut layers: Vec<Layer> = roles.into_iter().filter_map(|(name, _, value)| role(name, value, problems)).collect();
    layers.extend(settings.into_iter().filter_map(|(name, rest, value)| layer(name, rest, value, problems)));
    layers
}

/// The mode that a role of the Go driver stands for.
fn role(name: &str, value: &str, problems: &mut Problems) -> Option<Layer> {
    match value {
        "driver" => Some(Layer::text(name, MODE, "node")),
        "controller" => Some(Layer::text(name, MODE, "controller")),
        LOADER => None,
        other => {
            let problem = Problem::new(format!("{name}: {} is not a role", quote(other)));
            problems.push(problem.with_hint("use driver, controller or loader, or unset it and give --mode"));
            None
        }
    }
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
    let of_node_setup = NODE_SETUP_KEYS.into_iter().any(|key| variable(key) == rest);
    OF_OTHERS.contains(&rest) || of_node_setup || is_service_link(rest)
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
    fn a_role_of_the_go_driver_is_a_mode_below_a_mode_that_is_given() {
        let given = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect()
        };
        let modes = |pairs: &[(&str, &str)]| {
            let mut problems = Problems::default();
            let layers = layers(&given(pairs), &mut problems);
            let modes: Vec<_> = layers.iter().map(|layer| layer.value.as_str().unwrap().to_owned()).collect();
            (modes.join(" "), problems.as_slice().len())
        };
        assert_eq!(modes(&[("ROLE", "driver")]), ("node".to_owned(), 0));
        assert_eq!(modes(&[("ROLE", "controller")]), ("controller".to_owned(), 0));
        assert_eq!(modes(&[("MODE", "all"), ("ROLE", "driver")]), ("node all".to_owned(), 0));
        assert_eq!(modes(&[("ROLE", "loader"), ("LNET_RECONCILE_INTERVAL", "30")]), (String::new(), 0));
        assert_eq!(modes(&[("ROLE", "laoder")]), (String::new(), 1));
        let loader = Given { flags: Vec::new(), environment: given(&[("ROLE", "loader")]) };
        assert!(is_loader(&loader) && !is_loader(&Given::default()));
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
