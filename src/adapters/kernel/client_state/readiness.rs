//! Readiness of a node for Lustre mounts, from the module's state and the NIDs: what is missing and what to do about it.
//!
//! What is unknown does not make a node unready: a kernel in lockdown refuses debugfs to everybody, and mounts work.

use std::sync::Arc;

use super::bounded::BoundedReads;
use super::lnet::{self, LocalNid};
use super::module::{self, Client, Health, MODULE};
use super::read::{ClientStatePaths, Observed};
use crate::adapters::lnet::{Lnet, LnetError};
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
    /// Reads the module's files, and LNet by its device below the root of `paths`. Each of the two is unknown if it takes
    /// longer than the limit of `reads`.
    pub fn read(reads: &BoundedReads, paths: &ClientStatePaths) -> Self {
        let files = paths.clone();
        let client = reads.run(move || module::read(&files)).unwrap_or_else(|why| unknown_client(&why));
        let files = paths.clone();
        let nids = reads.run(move || lnet::read(&files, &*lnet::device(&files))).unwrap_or_else(Observed::Unknown);
        Self { client, nids }
    }

    /// Pings the NIDs that are not reported as up but may be, which may take as long as the limit of `reads` for each.
    pub fn ping_doubtful(&mut self, reads: &BoundedReads, lnet: &Arc<dyn Lnet>) {
        let Observed::Known(nids) = &mut self.nids else { return };
        for nid in nids.iter_mut().filter(|nid| nid.status != "up" && nid.is_up()) {
            let (lnet, limit) = (Arc::clone(lnet), reads.limit() / 2);
            let Some(address) = nid.tcp_nid() else { continue };
            let reply = reads.run(move || lnet.ping(address, limit));
            nid.replies = match reply {
                Ok(Ok(())) => Some(true),
                Ok(Err(LnetError::Unreachable { .. })) => Some(false),
                Ok(Err(_)) | Err(_) => None,
            };
        }
    }

    /// What is missing. Nothing is said about LNet while the module is not loaded: it is loaded with it.
    pub fn assess(&self) -> Assessment {
        let mut assessment = Assessment::default();
        let missing = match &self.client.loaded {
            Observed::Known(true) => None,
            Observed::Known(false) => Some(format!(
                "the Lustre client module is not loaded (no {MODULE}): restart this pod, so that its init container \
                 node-setup loads it; without node-setup install the Lustre client packages for this kernel on the node \
                 and run `modprobe lustre`; whether the kernel could load it is not known before the first mount"
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
            assessment.missing.push(
                "LNet has no address but the loopback: restart this pod, so that its init container node-setup adds the \
                 node's interface; without node-setup run `lnetctl lnet configure` and `lnetctl net add --net tcp --if \
                 eth0` with that interface"
                    .to_owned(),
            );
        }
        let down: Vec<String> =
            nids.iter().filter(|nid| !nid.is_up()).map(|nid| format!("{} is {}", nid.nid, nid.status)).collect();
        if !down.is_empty() {
            let message = format!("LNet: {}: check that the interface is up and has its address", down.join(", "));
            let all = down.len() == nids.len();
            if all { &mut assessment.missing } else { &mut assessment.notes }.push(message);
        }
        assessment.notes.extend(nids.iter().filter(|nid| nid.is_up_but_reported_down()).map(|nid| {
            format!(
                "LNet reports {} as down although its interface is up, as Lustre 2.17.0 does after a link was down; mounts \
                 work, and a restart of this pod mends the status",
                nid.nid
            )
        }));
        if nids.iter().any(LocalNid::is_up) && !nids.iter().any(|nid| nid.is_up() && nid.is_tcp()) {
            assessment
                .notes
                .push("LNet has no address on tcp that is up; Azure Managed Lustre is served there".to_owned());
        }
    }
}

fn unknown_client(why: &str) -> Client {
    Client { loaded: Observed::Unknown(why.to_owned()), version: None, health: Observed::Unknown(why.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::client_state::lnet::tests::Answer;
    use crate::adapters::kernel::client_state::tests::Tree;

    /// A pipe without a writer stands for a file that never answers.
    #[test]
    fn a_node_whose_files_do_not_answer_is_unknown() {
        let tree = Tree::client();
        let blocked = tree.paths().at("/sys/fs/lustre/version");
        std::fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reads = BoundedReads::new(std::time::Duration::from_millis(50));
        let missing = NodeState::read(&reads, &tree.paths()).assess().missing;
        assert!(missing[0].contains("did not answer within 50ms"), "{missing:?}");
    }

    fn state(nids: &[(&str, &str)]) -> NodeState {
        let nid = |(nid, status): &(&str, &str)| LocalNid::new(*nid, *status);
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
            (state(&[]), "no address", "node-setup"),
            (down, "10.0.0.7@tcp is down, 10.0.1.7@tcp1 is down", "interface is up"),
        ] {
            let assessment = state.assess();
            let [missing] = assessment.missing.as_slice() else { panic!("{assessment:?}") };
            assert!(missing.contains(said) && missing.contains(cure), "{missing}");
            assert_eq!(assessment.readiness(), Readiness::NotReady(vec![missing.clone()]));
        }
    }

    /// A device that blocks hides the NIDs alone.
    #[test]
    fn an_lnet_that_does_not_answer_is_unknown_and_hides_nothing_else() {
        let tree = Tree::client();
        let blocked = tree.paths().at(lnet::NIS);
        std::fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let state = NodeState::read(&BoundedReads::new(std::time::Duration::from_secs(1)), &tree.paths());
        assert_eq!((state.client.loaded.known(), state.nids.known()), (Some(&true), None));
        assert_eq!(state.assess().readiness(), Readiness::Ready);
    }

    #[test]
    fn a_nid_that_is_reported_down_while_its_interface_is_up_is_noted() {
        let mut state = state(&[("10.0.0.7@tcp", "down")]);
        if let Observed::Known(nids) = &mut state.nids {
            nids[0].has_interface = Some(true);
        }
        let assessment = state.assess();
        assert_eq!((assessment.readiness(), assessment.notes.len()), (Readiness::Ready, 1), "{assessment:?}");
        assert!(assessment.notes[0].contains("reports 10.0.0.7@tcp as down although its interface is up"));
    }

    #[test]
    fn a_ping_decides_about_a_nid_that_is_reported_down() {
        let nid = crate::adapters::lnet::Nid::tcp([10, 0, 0, 7].into());
        let refused = LnetError::Errno { call: "PING_PEER", errno: 22 };
        for (reply, replies, up) in [
            (Ok(()), Some(true), true),
            (Err(LnetError::Unreachable { nid }), Some(false), false),
            (Err(refused), None, true),
        ] {
            let mut state = state(&[("10.0.0.7@tcp", "down"), ("10.0.0.8@tcp", "up"), ("10.0.0.9@tcp", "down")]);
            if let Observed::Known(nids) = &mut state.nids {
                nids[0].has_interface = Some(true);
            }
            let lnet: Arc<dyn Lnet> = Arc::new(Answer(Ok(Vec::new()), Some(reply)));
            state.ping_doubtful(&BoundedReads::default(), &lnet);
            let nids = state.nids.known().unwrap();
            assert_eq!((nids[0].replies, nids[0].is_up()), (replies, up));
            assert_eq!((nids[1].replies, nids[2].replies), (None, None), "neither is in doubt");
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
