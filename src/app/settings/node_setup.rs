//! [`NodeSetupSettings`]: the settings of `node-setup`, one entry each. Those of an adapter are parsed where it is wired.

use std::path::PathBuf;

use super::table::{Sourced, Unchecked, table};
use super::values;

table! {
    /// The settings of `node-setup`.
    NodeSetupSettings {
        host_root: PathBuf = "host-root", Text("DIR"), [], values::absolute,
            "A directory in the place of the host's root: nothing is chrooted, programs come from PATH, facts from files below it [default: /host, chrooted]";
        client_version: Sourced = CLIENT_VERSION "client-version", Text("VERSION"), [], Unchecked,
            "Version of the client, for all or by operating system: `jammy=2.15.8-39-g2d32b59,noble=2.17.0-24-gf517bc4` [default: built in for jammy, noble and azurelinux3]";
        install: bool = "install-lustre-client", Text("yes|no"), ["yes"], values::yes_or_no,
            "Fetch the client's modules if they are not on the node; with no, only what is there is loaded";
        interfaces: Sourced = "lnet-interfaces", Text("auto|all|NAMES"), ["auto"], Unchecked,
            "Interfaces of LNet: that of the default route, all of the VM's, or these";
        replace: Sourced = "replace-client", Text("idle|never"), ["idle"], Unchecked,
            "What is done about a loaded client of another version: replace it while nothing uses it, or keep it until the node is rebooted";
        package_url: Sourced = "package-url", Text("URL"), [], Unchecked,
            "Mirror of the package repository [default: Microsoft's]";
        package_key_file: PathBuf = "package-key-file", Text("FILE"), [], values::existing_file,
            "Further `OpenPGP` keys that may sign packages";
        package_sha256: Sourced = "package-sha256", Text("HEX"), [], Unchecked,
            "SHA-256 of a `.deb` in `/var/lib/azurelustre-csi/packages`, which is then used";
        ptlrpcd_per_cpt_max: u32 = "ptlrpcd-per-cpt-max", Number("N"), [], values::whole_number(1..=65536),
            "Parameter `ptlrpcd_per_cpt_max` of module ptlrpc [default: the client's]";
        ksocklnd_credits: u32 = "ksocklnd-credits", Number("N"), [], values::whole_number(1..=65536),
            "Parameter `credits` of module ksocklnd [default: the client's]";
        simulated_lnet: bool = "lnet", Text("ioctl|simulated"), ["ioctl"], values::simulated_lnet,
            "How LNet is configured; simulated only in builds that have the simulator";
        termination_message_path: PathBuf = "termination-message-path", Text("FILE"), [], values::absolute,
            "Where the result is left for Kubernetes [default: /dev/termination-log]";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::{RawSettings, load_node_setup};

    fn given(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> RawSettings {
        RawSettings {
            flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn settings(flags: &[(&'static str, &str)], environment: &[(&str, &str)]) -> NodeSetupSettings {
        load_node_setup(&given(flags, environment)).unwrap().0
    }

    #[test]
    fn layers_are_those_of_serve() {
        let by_default = settings(&[], &[]);
        assert_eq!((by_default.install, by_default.simulated_lnet), (true, false));
        assert_eq!((by_default.interfaces.text.as_str(), by_default.replace.text.as_str()), ("auto", "idle"));
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), "replace-client: never\nksocklnd-credits: 7\nlog-level: debug\n").unwrap();
        let config = ("config", file.path().to_str().unwrap());
        let replace = |flags: &[(&'static str, &str)], environment: &[(&str, &str)]| {
            let Sourced { text, source } = settings(flags, environment).replace;
            format!("{text} of {source}")
        };
        let variable = ("AZURELUSTRE_CSI_REPLACE_CLIENT", "idle");
        assert_eq!(replace(&[config], &[]), format!("never of `replace-client` in {}", config.1));
        assert_eq!(settings(&[config], &[]).ksocklnd_credits, Some(7));
        assert_eq!(replace(&[config], &[variable]), "idle of AZURELUSTRE_CSI_REPLACE_CLIENT");
        assert_eq!(replace(&[config, ("replace-client", "never")], &[variable]), "never of --replace-client");
    }

    #[test]
    fn the_go_drivers_variables_keep_their_meaning() {
        let version = |environment: &[(&str, &str)]| Some(settings(&[], environment).client_version?.text);
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
            assert_eq!(settings(&[], &[("AZURELUSTRE_CSI_INSTALL_LUSTRE_CLIENT", text)]).install, install);
        }
        let (_, notes) = load_node_setup(&given(&[], &[("AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL", "30")])).unwrap();
        assert!(notes[0].starts_with("AZURELUSTRE_CSI_LNET_RECONCILE_INTERVAL"));
    }

    #[test]
    fn every_mistake_is_reported_with_its_source() {
        let flags =
            [("host-root", "host"), ("install-lustre-client", "maybe"), ("lnet", "netlink"), ("ksocklnd-credits", "0")];
        let variables = [("AZURELUSTRE_CSI_PTLRPCD_PER_CPT_MAX", "-1"), ("AZURELUSTRE_CSI_REPLACE_CLEINT", "never")];
        let problems = load_node_setup(&given(&flags, &variables)).unwrap_err();
        let messages: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
        let sources = ["environment", "--host-root", "--install", "AZURELUSTRE_CSI_PTLRPCD", "--ksocklnd", "--lnet"];
        assert_eq!(messages.len(), sources.len(), "{messages:?}");
        for (message, source) in messages.iter().zip(sources) {
            assert!(message.starts_with(source), "{messages:?}");
        }
    }
}
