//! Settings of `node-setup`: text with its source, judged where the adapter is wired.

use std::path::PathBuf;

use super::environment::PREFIX;
use super::{Given, values};
use crate::app::problem::{Problem, Problems};

/// Root of the host as a directory without programs.
const HOST_ROOT: &str = "host-root";
/// Versions of the client.
const CLIENT_VERSION: &str = "client-version";
/// Whether packages are fetched.
const INSTALL: &str = "install-lustre-client";
/// Interfaces of LNet.
const INTERFACES: &str = "lnet-interfaces";
/// What is done about a loaded client of another version.
const REPLACE: &str = "replace-client";
/// Mirror of the packages.
const PACKAGE_URL: &str = "package-url";
/// Further keys that sign packages.
const PACKAGE_KEY_FILE: &str = "package-key-file";
/// Digest of a package file that lies on the node.
const PACKAGE_SHA256: &str = "package-sha256";
/// Parameter of ptlrpc.
const PTLRPCD_PER_CPT_MAX: &str = "ptlrpcd-per-cpt-max";
/// Parameter of ksocklnd.
const KSOCKLND_CREDITS: &str = "ksocklnd-credits";
/// How LNet is reached.
const LNET: &str = "lnet";
/// Where the termination message goes.
const TERMINATION_MESSAGE_PATH: &str = "termination-message-path";

/// All settings of `node-setup`, in the order of its help text.
pub const NODE_SETUP_KEYS: [&str; 12] = [
    HOST_ROOT,
    CLIENT_VERSION,
    INSTALL,
    INTERFACES,
    REPLACE,
    PACKAGE_URL,
    PACKAGE_KEY_FILE,
    PACKAGE_SHA256,
    PTLRPCD_PER_CPT_MAX,
    KSOCKLND_CREDITS,
    LNET,
    TERMINATION_MESSAGE_PATH,
];

/// The Go driver's variables for the client's version, joined by a dash.
const GO_VERSION: [&str; 2] = ["LUSTRE_VERSION", "CLIENT_SHA_SUFFIX"];
/// The Go driver's interval for configuring LNet again, which is not needed: NIs outlive changes of their links.
const GO_INTERVAL: &str = "AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL";

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced {
    /// The value, unchecked.
    pub text: String,
    /// A flag or a variable.
    pub source: String,
}

/// Settings of `node-setup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSetupSettings {
    /// A directory in the place of the host's root (`host-root`); without it `/host`, whose programs run in it.
    pub host_root: Option<PathBuf>,
    /// One version, or `jammy=…,noble=…` (`client-version`, or the Go driver's variables); by default one for each
    /// operating system.
    pub client_version: Option<Sourced>,
    /// Whether packages are fetched (`install-lustre-client`).
    pub install: bool,
    /// `auto`, `all` or a list of names (`lnet-interfaces`).
    pub interfaces: Option<Sourced>,
    /// `idle` or `never` (`replace-client`).
    pub replace: Option<Sourced>,
    /// A mirror (`package-url`).
    pub package_url: Option<Sourced>,
    /// A file of further keys (`package-key-file`).
    pub package_key_file: Option<PathBuf>,
    /// SHA-256 of package files on the node (`package-sha256`).
    pub package_sha256: Option<Sourced>,
    /// `ptlrpcd_per_cpt_max` of ptlrpc.
    pub ptlrpcd_per_cpt_max: Option<u32>,
    /// `credits` of ksocklnd.
    pub ksocklnd_credits: Option<u32>,
    /// Whether LNet is simulated (`lnet`); only in builds with the simulator.
    pub simulated_lnet: bool,
    /// Where the termination message goes (`termination-message-path`); by default where Kubernetes expects it.
    pub termination_message_path: Option<PathBuf>,
    /// What was given and has no effect.
    pub notes: Vec<String>,
}

/// Reads the settings of `node-setup`. Every problem found is in the error.
pub fn load_node_setup(given: &Given) -> Result<NodeSetupSettings, Problems> {
    let mut problems = Problems::default();
    let mut reader = Reader { given, problems: &mut problems };
    let go_version = reader.go_version();
    let settings = NodeSetupSettings {
        host_root: reader.read(HOST_ROOT, values::absolute),
        client_version: reader.find(CLIENT_VERSION).or(go_version),
        install: reader.read(INSTALL, yes_or_no).unwrap_or(true),
        interfaces: reader.find(INTERFACES),
        replace: reader.find(REPLACE),
        package_url: reader.find(PACKAGE_URL),
        package_key_file: reader.read(PACKAGE_KEY_FILE, values::existing_file),
        package_sha256: reader.find(PACKAGE_SHA256),
        ptlrpcd_per_cpt_max: reader.read(PTLRPCD_PER_CPT_MAX, parameter),
        ksocklnd_credits: reader.read(KSOCKLND_CREDITS, parameter),
        simulated_lnet: reader.read(LNET, simulated).unwrap_or(false),
        termination_message_path: reader.read(TERMINATION_MESSAGE_PATH, values::absolute),
        notes: reader.notes(),
    };
    problems.into_result(Some(settings))
}

struct Reader<'a> {
    given: &'a Given,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn find(&self, key: &str) -> Option<Sourced> {
        let variable = format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"));
        let flag = self.given.flag(key).map(|text| (format!("--{key}"), text));
        let (source, text) = flag.or_else(|| Some((variable.clone(), self.given.variable(&variable)?)))?;
        Some(Sourced { text: text.to_owned(), source })
    }

    fn read<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        let Sourced { text, source } = self.find(key)?;
        self.problems.note(parse(&text).map_err(|problem| problem.at(&source)))
    }

    /// Both variables of the Go driver as one version; one alone is a mistake.
    fn go_version(&mut self) -> Option<Sourced> {
        let [version, suffix] = GO_VERSION;
        match (self.given.variable(version), self.given.variable(suffix)) {
            (None, None) => None,
            (Some(number), Some(commit)) => {
                Some(Sourced { text: format!("{number}-{commit}"), source: GO_VERSION.join(" and ") })
            }
            (Some(_), None) => self.alone(version, suffix),
            (None, Some(_)) => self.alone(suffix, version),
        }
    }

    fn alone(&mut self, given: &str, other: &str) -> Option<Sourced> {
        let problem = Problem::new(format!("{given}: is set without {other}"));
        self.problems
            .push(problem.with_hint(format!("set both or neither; --{CLIENT_VERSION} takes the whole version")));
        None
    }

    fn notes(&self) -> Vec<String> {
        let ignored = self.given.variable(GO_INTERVAL).is_some();
        let note = format!("{GO_INTERVAL} has no effect: LNet keeps its interfaces when their links change");
        ignored.then_some(note).into_iter().collect()
    }
}

/// As the Go driver's variable has it, and as Go has booleans.
fn yes_or_no(text: &str) -> Result<bool, Problem> {
    match text {
        "yes" | "Yes" | "YES" => Ok(true),
        "no" | "No" | "NO" => Ok(false),
        other => values::go_bool(other).map_err(|problem| problem.with_hint("write yes or no")),
    }
}

/// A value of a module parameter.
fn parameter(text: &str) -> Result<u32, Problem> {
    let number = text.parse().ok().filter(|number| (1..=65536).contains(number));
    let problem = || Problem::new(format!("{text:?} is not a whole number from 1 to 65536")).with_hint("give one");
    number.ok_or_else(problem)
}

fn simulated(text: &str) -> Result<bool, Problem> {
    match text {
        "ioctl" => Ok(false),
        "simulated" => values::with_simulator(true),
        _ => Err(Problem::new(format!("{text:?} is neither ioctl nor simulated")).with_hint("use one of these")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> Given {
        Given {
            flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn version(environment: &[(&str, &str)]) -> Option<String> {
        Some(load_node_setup(&given(&[], environment)).unwrap().client_version?.text)
    }

    #[test]
    fn flags_come_before_variables_and_variables_before_defaults() {
        let settings = load_node_setup(&given(&[], &[])).unwrap();
        assert_eq!(settings, NodeSetupSettings { install: true, ..NodeSetupSettings::default() });
        let both = given(&[(REPLACE, "idle")], &[("AZURELUSTRE_CSI_REPLACE_CLIENT", "never")]);
        let settings = load_node_setup(&both).unwrap();
        assert_eq!(settings.replace, Some(Sourced { text: "idle".to_owned(), source: "--replace-client".to_owned() }));
    }

    #[test]
    fn the_go_drivers_variables_keep_their_meaning() {
        assert_eq!(version(&[]), None);
        let both = [("LUSTRE_VERSION", "2.15.7"), ("CLIENT_SHA_SUFFIX", "33-g79ddf99")];
        assert_eq!(version(&both).as_deref(), Some("2.15.7-33-g79ddf99"));
        let own = [both[0], both[1], ("AZURELUSTRE_CSI_CLIENT_VERSION", "2.17.0-24-gf517bc4")];
        assert_eq!(version(&own).as_deref(), Some("2.17.0-24-gf517bc4"));
        for alone in both {
            let problems = load_node_setup(&given(&[], &[alone])).unwrap_err();
            assert!(problems.as_slice()[0].message.contains("is set without"));
        }
        for (text, install) in [("yes", true), ("no", false), ("false", false)] {
            let settings = load_node_setup(&given(&[], &[("AZURELUSTRE_CSI_INSTALL_LUSTRE_CLIENT", text)]));
            assert_eq!(settings.unwrap().install, install);
        }
        let interval = load_node_setup(&given(&[], &[(GO_INTERVAL, "30")])).unwrap();
        assert!(interval.notes[0].starts_with(GO_INTERVAL));
    }

    #[test]
    fn every_mistake_is_reported_with_its_source() {
        let flags = [(HOST_ROOT, "host"), (INSTALL, "maybe"), (LNET, "netlink"), (KSOCKLND_CREDITS, "0")];
        let problems = load_node_setup(&given(&flags, &[("AZURELUSTRE_CSI_PTLRPCD_PER_CPT_MAX", "-1")])).unwrap_err();
        let messages: Vec<&str> = problems.as_slice().iter().map(|problem| problem.message.as_str()).collect();
        for (at, source) in
            ["--host-root", "--install", "AZURELUSTRE_CSI_PTLRPCD", "--ksocklnd", "--lnet"].iter().enumerate()
        {
            assert!(messages[at].starts_with(source), "{messages:?}");
        }
    }
}
