//! From facts to "this node can mount Lustre": what is missing and what to do about it.
//!
//! Why unknown does not block: on a hardened kernel debugfs is refused to everybody, and mounts work all the same.

use super::lnet::{LocalNid, NIS};
use super::module::{Client, Health, MODULE};
use super::read::Fact;
use crate::ports::mounter::Readiness;

/// What the node's files say about Lustre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The client module.
    pub client: Client,
    /// This node's addresses, the loopback left out.
    pub nids: Fact<Vec<LocalNid>>,
}

/// Whether a node can mount Lustre, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assessment {
    /// What keeps it from mounting, each with what to do about it.
    pub missing: Vec<String>,
    /// What does not keep it, but somebody should know: facts that could not be had, addresses that are down.
    pub notes: Vec<String>,
}

impl Assessment {
    /// What the mounter port says.
    pub fn readiness(&self) -> Readiness {
        if self.missing.is_empty() { Readiness::Ready } else { Readiness::NotReady(self.missing.clone()) }
    }
}

impl NodeState {
    /// Judges the facts. Nothing is said about LNet while the module is not loaded: it comes and goes with it.
    pub fn assess(&self) -> Assessment {
        let mut assessment = Assessment::default();
        let missing = match &self.client.loaded {
            Fact::Known(true) => None,
            Fact::Known(false) => Some(format!(
                "the Lustre client module is not loaded (no {MODULE}): install the Lustre client packages for this \
                 kernel on the node and run `modprobe lustre`; whether the kernel could load it is not known before the \
                 first mount"
            )),
            Fact::Unknown(why) => Some(format!(
                "whether the Lustre client module is loaded cannot be seen ({why}): give the container the node's /sys"
            )),
        };
        if let Some(missing) = missing {
            assessment.missing.push(missing);
            return assessment;
        }
        if self.client.version.is_none() {
            assessment.notes.push("the version of the Lustre client is not told by any file".to_owned());
        }
        self.assess_health(&mut assessment);
        self.assess_lnet(&mut assessment);
        assessment
    }

    fn assess_health(&self, assessment: &mut Assessment) {
        match &self.client.health {
            Fact::Known(Health::Healthy) => {}
            Fact::Known(Health::Broken) => assessment
                .missing
                .push("an assertion in the Lustre client has failed (LBUG): drain and restart the node".to_owned()),
            Fact::Known(Health::Unhealthy(about)) => assessment.missing.push(format!(
                "the Lustre client says that it is not healthy ({about}): see the kernel log of the node for LustreError"
            )),
            Fact::Unknown(why) => {
                assessment.notes.push(format!("the health of the Lustre client is unknown: {why}"));
            }
        }
    }

    fn assess_lnet(&self, assessment: &mut Assessment) {
        let nids = match &self.nids {
            Fact::Known(nids) => nids,
            Fact::Unknown(why) => {
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
            let told = format!("LNet: {}: check that the interface is up and has its address", down.join(", "));
            let all = down.len() == nids.len();
            if all { &mut assessment.missing } else { &mut assessment.notes }.push(told);
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

    fn state(nids: &[(&str, &str)]) -> NodeState {
        let nid = |(nid, status): &(&str, &str)| LocalNid { nid: (*nid).to_owned(), status: (*status).to_owned() };
        NodeState {
            client: Client {
                loaded: Fact::Known(true),
                version: Some("2.15.5".to_owned()),
                health: Fact::Known(Health::Healthy),
            },
            nids: Fact::Known(nids.iter().map(nid).collect()),
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
        unloaded.client.loaded = Fact::Known(false);
        let mut hidden = up();
        hidden.client.loaded = Fact::Unknown("no sysfs".to_owned());
        let mut broken = up();
        broken.client.health = Fact::Known(Health::Broken);
        let mut sick = up();
        sick.client.health = Fact::Known(Health::Unhealthy("device x".to_owned()));
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
        state.client.health = Fact::Known(Health::Broken);
        assert_eq!(state.assess().missing.len(), 2);
    }

    #[test]
    fn what_is_unknown_or_half_well_is_said_and_blocks_nothing() {
        let mut unknown = up();
        unknown.client = Client { version: None, health: Fact::Unknown("gone".to_owned()), ..unknown.client };
        unknown.nids = Fact::Unknown("lockdown".to_owned());
        let assessment = unknown.assess();
        assert_eq!((assessment.notes.len(), assessment.readiness()), (3, Readiness::Ready), "{assessment:?}");
        assert!(assessment.notes[2].contains("LNet is unknown: lockdown"));
        let half = state(&[("10.0.0.7@tcp", "down"), ("10.0.1.7@o2ib", "up")]).assess();
        assert_eq!((half.notes.len(), half.readiness()), (2, Readiness::Ready), "{half:?}");
    }
}
