//! Readiness of a node for Lustre mounts, from the module's state and the NIDs: what is missing and what to do about it.
//!
//! What is unknown does not make a node unready: a kernel in lockdown refuses debugfs to everybody, and mounts work.

use super::bounded::BoundedReads;
use super::lnet::{self, LocalNid, NIS};
use super::module::{self, Client, Health, MODULE};
use super::read::{ClientStatePaths, Observed};
use crate::ports::mounter::Readiness;

/// State of module and network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The client module.
    pub client: Client,
    /// This node's addresses, the loopback left out.
    pub nids: Observed<Vec<LocalNid>>,
}

/// Whether a node can mount Lustre, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assessment {
    /// What keeps it from mounting, each with what to do about it.
    pub missing: Vec<String>,
    /// What does not keep it but is worth knowing: values that are unknown, NIDs that are down.
    pub notes: Vec<String>,
}

impl Assessment {
    /// What the mounter port says.
    pub fn readiness(&self) -> Readiness {
        if self.missing.is_empty() { Readiness::Ready } else { Readiness::NotReady(self.missing.clone()) }
    }
}

impl NodeState {
    /// Reads the files of the node.
    pub fn read(paths: &ClientStatePaths) -> Self {
        Self { client: module::read(paths), nids: lnet::read(paths) }
    }

    /// As [`NodeState::read`], but unknown as a whole if that takes longer than the limit of `reads`.
    pub fn read_within(reads: &BoundedReads, paths: &ClientStatePaths) -> Self {
        let paths = paths.clone();
        reads.run(move || Self::read(&paths)).unwrap_or_else(|why| Self::unknown(&why))
    }

    fn unknown(why: &str) -> Self {
        let client = Client {
            loaded: Observed::Unknown(why.to_owned()),
            version: None,
            health: Observed::Unknown(why.to_owned()),
        };
        Self { client, nids: Observed::Unknown(why.to_owned()) }
    }

    /// What is missing. Nothing is said about LNet while the module is not loaded: it is loaded with it.
    pub fn assess(&self) -> Assessment {
        let mut assessment = Assessment::default();
        let missing = match &self.client.loaded {
            Observed::Known(true) => None,
            Observed::Known(false) => Some(format!(
                "the Lustre client module is not loaded (no {MODULE}): install the Lustre client packages for this \
                 kernel on the node and run `modprobe lustre`; whether the kernel could load it is not known before the \
                 first mount"
            )),
            Observed::Unknown(why) => Some(format!(
                "whether the Lustre client module is loaded cannot be seen ({why}): give the container the node's /sys"
            )),
        };
        if let Some(missing) = missing {
            assessment.missing.push(missing);
            return assessment;
        }
        if self.client.version.is_none() {
            assessment.notes.push("no file shows the version of the Lustre client".to_owned());
        }
        self.assess_health(&mut assessment);
        self.assess_lnet(&mut assessment);
        assessment
    }

    fn assess_health(&self, assessment: &mut Assessment) {
        match &self.client.health {
            Observed::Known(Health::Healthy) => {}
            Observed::Known(Health::Broken) => assessment
                .missing
                .push("an assertion in the Lustre client has failed (LBUG): drain and restart the node".to_owned()),
            Observed::Known(Health::Unhealthy(about)) => assessment.missing.push(format!(
                "the Lustre client says that it is not healthy ({about}): see the kernel log of the node for LustreError"
            )),
            Observed::Unknown(why) => {
                assessment.notes.push(format!("the health of the Lustre client is unknown: {why}"));
            }
        }
    }

    fn assess_lnet(&self, assessment: &mut Assessment) {
        let nids = match &self.nids {
            Observed::Known(nids) => nids,
            Observed::Unknown(why) => {
                assessment.notes.push(format!("the state of LNet is unknown: {why}"));
                return;
            }
        };
        if nids.is_empty() {
            assessment.missing.push(format!(
                "LNet has no address but the loopback ({NIS}): run `lnetctl lnet configure` and `lnetctl net add --net \
                 tcp --if eth0` with the node's interface, or set `options lnet networks=tcp(eth0)` before the module is \
                 loaded"
            ));
        }
        let down: Vec<String> =
            nids.iter().filter(|nid| !nid.is_up()).map(|nid| format!("{} is {}", nid.nid, nid.status)).collect();
        if !down.is_empty() {
            let message = format!("LNet: {}: check that the interface is up and has its address", down.join(", "));
            let all = down.len() == nids.len();
            if all { &mut assessment.missing } else { &mut assessment.notes }.push(message);
        }
        if nids.iter().any(LocalNid::is_up) && !nids.iter().any(|nid| nid.is_up() && nid.is_tcp()) {
            assessment
                .notes
                .push("LNet has no address on tcp that is up; Azure Managed Lustre is served there".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    /// A pipe without a writer stands for a file that never answers.
    #[test]
    fn a_node_whose_files_do_not_answer_is_unknown() {
        let tree = Tree::client();
        let blocked = tree.paths().at("/sys/fs/lustre/version");
        std::fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reads = BoundedReads::new(std::time::Duration::from_millis(50));
        let missing = NodeState::read_within(&reads, &tree.paths()).assess().missing;
        assert!(missing[0].contains("did not answer within 50ms"), "{missing:?}");
    }

    fn state(nids: &[(&str, &str)]) -> NodeState {
        let nid = |(nid, status): &(&str, &str)| LocalNid { nid: (*nid).to_owned(), status: (*status).to_owned() };
        NodeState {
            client: Client {
                loaded: Observed::Known(true),
                version: Some("2.15.5".to_owned()),
                health: Observed::Known(Health::Healthy),
            },
            nids: Observed::Known(nids.iter().map(nid).collect()),
        }
    }

    fn up() -> NodeState {
        state(&[("10.0.0.7@tcp", "up")])
    }

    #[test]
    fn a_node_with_module_and_network_is_ready() {
        assert_eq!(up().assess(), Assessment::default());
        assert_eq!(up().assess().readiness(), Readiness::Ready);
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let mut unloaded = state(&[]);
        unloaded.client.loaded = Observed::Known(false);
        let mut hidden = up();
        hidden.client.loaded = Observed::Unknown("no sysfs".to_owned());
        let mut broken = up();
        broken.client.health = Observed::Known(Health::Broken);
        let mut sick = up();
        sick.client.health = Observed::Known(Health::Unhealthy("device x".to_owned()));
        let down = state(&[("10.0.0.7@tcp", "down"), ("10.0.1.7@tcp1", "down")]);
        for (state, said, cure) in [
            (unloaded, "not loaded", "modprobe lustre"),
            (hidden, "(no sysfs)", "/sys"),
            (broken, "LBUG", "restart the node"),
            (sick, "(device x)", "kernel log"),
            (state(&[]), "no address", "lnetctl net add"),
            (down, "10.0.0.7@tcp is down, 10.0.1.7@tcp1 is down", "interface is up"),
        ] {
            let assessment = state.assess();
            let [missing] = assessment.missing.as_slice() else { panic!("{assessment:?}") };
            assert!(missing.contains(said) && missing.contains(cure), "{missing}");
            assert_eq!(assessment.readiness(), Readiness::NotReady(vec![missing.clone()]));
        }
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let mut state = state(&[]);
        state.client.health = Observed::Known(Health::Broken);
        assert_eq!(state.assess().missing.len(), 2);
    }

    #[test]
    fn what_is_unknown_or_half_well_is_said_and_blocks_nothing() {
        let mut unknown = up();
        unknown.client = Client { version: None, health: Observed::Unknown("gone".to_owned()), ..unknown.client };
        unknown.nids = Observed::Unknown("lockdown".to_owned());
        let assessment = unknown.assess();
        assert_eq!((assessment.notes.len(), assessment.readiness()), (3, Readiness::Ready), "{assessment:?}");
        assert!(assessment.notes[2].contains("LNet is unknown: lockdown"));
        let half = state(&[("10.0.0.7@tcp", "down"), ("10.0.1.7@o2ib", "up")]).assess();
        assert_eq!((half.notes.len(), half.readiness()), (2, Readiness::Ready), "{half:?}");
    }
}
