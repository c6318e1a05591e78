//! Settings from `AZURELUSTRE_CSI_*` variables.
//!
//! A misspelt variable is a problem. Kubernetes puts variables of its own into every container, named after the Services of
//! the namespace; one called `azurelustre-csi-…` must not keep the driver from starting.

use super::keys::{CONFIG, MODE};
use super::layer::Layer;
use super::raw::RawSettings;
use super::setting::{PREFIX, Setting};
use crate::domain::problem::{Problem, Problems};
use crate::domain::text::{nearest, quote};

/// Variable with the driver's prefix that has no effect: the Go driver's interval for configuring LNet again.
pub(super) const GO_INTERVAL: &str = "AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL";
/// The Go driver's variable for what a container does.
const ROLE: &str = "AZURELUSTRE_CSI_ROLE";
/// The role of an init container that makes the node ready.
const LOADER: &str = "loader";

/// Whether the Go driver's variable makes this process its loader, which is `node-setup`.
pub fn is_loader(raw: &RawSettings) -> bool {
    raw.variable(ROLE) == Some(LOADER)
}

/// The settings in these variables. Names that are not `known` are problems.
pub(super) fn layers(
    environment: &[(String, String)],
    known: &[&'static Setting],
    problems: &mut Problems,
) -> Vec<Layer> {
    let ours = environment.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    let (roles, settings): (Vec<_>, Vec<_>) = ours.partition(|(name, _)| name == ROLE);
    // A mode that is given as such counts more than the one that the role stands for.
    let mut layers: Vec<Layer> = roles.into_iter().filter_map(|(name, value)| role(name, value, problems)).collect();
    layers.extend(settings.into_iter().filter_map(|(name, value)| layer(name, value, known, problems)));
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

fn layer(name: &str, value: &str, known: &[&'static Setting], problems: &mut Problems) -> Option<Layer> {
    if let Some(setting) = known.iter().find(|setting| setting.variable() == name) {
        return Some(Layer::text(name, setting.key, value));
    }
    if name != CONFIG.variable() && name != GO_INTERVAL && !is_service_link(name) {
        problems.push(unknown(name, known));
    }
    None
}

fn unknown(name: &str, known: &[&'static Setting]) -> Problem {
    let known: Vec<String> = known.iter().copied().chain([&CONFIG]).map(Setting::variable).collect();
    // Compared without the prefix, which would make all of them alike.
    let words = known.iter().map(|name| name.trim_start_matches(PREFIX));
    let hint = nearest(name.trim_start_matches(PREFIX), words).map_or_else(
        || format!("unset it; variables are {PREFIX} and a flag's name in capitals, such as {PREFIX}LOG_LEVEL"),
        |near| format!("did you mean {PREFIX}{near}?"),
    );
    Problem::new(format!("environment: {} is no setting", quote(name))).with_hint(hint)
}

/// Whether Kubernetes made it for a Service: `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_HTTP`, `…PORT`,
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
    fn a_role_of_the_go_driver_is_a_mode_below_a_mode_that_is_given() {
        let modes = |pairs: &[(&str, &str)]| {
            let mut problems = Problems::default();
            let layers = layers(&prefixed(pairs), &known(), &mut problems);
            let modes: Vec<_> = layers.iter().map(|layer| layer.value.as_str().unwrap().to_owned()).collect();
            (modes.join(" "), problems.as_slice().len())
        };
        assert_eq!(modes(&[("ROLE", "driver")]), ("node".to_owned(), 0));
        assert_eq!(modes(&[("ROLE", "controller")]), ("controller".to_owned(), 0));
        assert_eq!(modes(&[("MODE", "all"), ("ROLE", "driver")]), ("node all".to_owned(), 0));
        assert_eq!(modes(&[("ROLE", "loader"), ("LNET_RECONCILE_INTERVAL", "30")]), (String::new(), 0));
        assert_eq!(modes(&[("ROLE", "laoder")]), (String::new(), 1));
        let loader = RawSettings { flags: Vec::new(), environment: prefixed(&[("ROLE", "loader")]) };
        assert!(is_loader(&loader) && !is_loader(&RawSettings::default()));
    }

    #[test]
    fn unknown_variables_are_reported_with_the_nearest() {
        let mut problems = Problems::default();
        assert!(layers(&prefixed(&[("LOG_LEVLE", "debug")]), &known(), &mut problems).is_empty());
        let hint = problems.as_slice()[0].hint.clone();
        assert_eq!(hint.as_deref(), Some("did you mean AZURELUSTRE_CSI_LOG_LEVEL?"));
    }
}
