//! Readiness of a node for Lustre mounts, from the state of the module and of LNet, with a hint for each cause.
//!
//! An unknown state does not make a node unready: a kernel in lockdown refuses debugfs to every process, and mounts work.

use std::time::Duration;

use super::blocking_calls::BlockingCalls;
use super::files::KernelFiles;
use super::lnet::{self, NidState};
use super::module::{self, Client, Health, MODULE};
use crate::adapters::lnet::{Ipv4Nid, LnetError};
use crate::ports::mounter::Readiness;

/// State of the client module and of LNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The client module.
    pub client: Client,
    /// This node's NIDs without the loopback, or why they are unknown.
    pub nids: Result<Vec<NidState>, String>,
}

/// What was found about a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// What is wrong, each with what to do about it.
    pub reasons: Vec<String>,
    /// What is not wrong but worth knowing: values that are unknown, NIDs that are down.
    pub notes: Vec<String>,
}

impl Findings {
    /// Ready if nothing is wrong.
    pub fn readiness(&self) -> Readiness {
        if self.reasons.is_empty() { Readiness::Ready } else { Readiness::NotReady(self.reasons.clone()) }
    }
}

impl NodeState {
    /// Reads the module's files, and LNet by its device. Each of the two is unknown if it takes longer than the limit of
    /// `calls`.
    pub fn read(calls: &BlockingCalls, files: &KernelFiles) -> Self {
        let root = files.clone();
        let client = calls.run(move || module::read(&root)).unwrap_or_else(Client::unknown);
        let root = files.clone();
        let nids = calls.run(move || lnet::read(&root)).and_then(|nids| nids);
        Self { client, nids }
    }

    /// Pings the NIDs that are not reported as up but may be, for at most the limit of `calls` each.
    pub(in crate::adapters::kernel) fn ping_doubtful(
        &mut self,
        calls: &BlockingCalls,
        ping: impl Fn(Ipv4Nid, Duration) -> Result<(), LnetError> + Clone + Send + 'static,
    ) {
        let doubtful = |nid: &&mut NidState| nid.status != "up" && nid.is_up();
        for nid in self.nids.iter_mut().flatten().filter(doubtful) {
            let (ping, limit) = (ping.clone(), calls.limit() / 2);
            let Some(address) = nid.tcp_nid() else { continue };
            nid.replies = match calls.run(move || ping(address, limit)) {
                Ok(Ok(())) => Some(true),
                Ok(Err(LnetError::Unreachable { .. })) => Some(false),
                Ok(Err(_)) | Err(_) => None,
            };
        }
    }

    /// The findings about module and LNet; none about LNet while the module is not loaded, which loads LNet.
    pub fn assess(&self) -> Findings {
        let mut findings = Findings::default();
        match &self.client.loaded {
            Ok(true) => {
                self.assess_client(&mut findings);
                self.assess_lnet(&mut findings);
            }
            Ok(false) => findings.reasons.push(format!(
                "the Lustre client module is not loaded (no {MODULE}): restart this pod, so that its init container \
                 node-setup loads it; without node-setup install the Lustre client packages for this kernel on the node \
                 and run `modprobe lustre`; whether the kernel could load it is not known before the first mount"
            )),
            Err(why) => findings.reasons.push(format!(
                "whether the Lustre client module is loaded cannot be seen ({why}): give the container the node's /sys"
            )),
        }
        findings
    }

    fn assess_client(&self, Findings { reasons, notes }: &mut Findings) {
        if self.client.version.is_none() {
            notes.push("no file shows the version of the Lustre client".to_owned());
        }
        match &self.client.health {
            Ok(Health::Healthy) => {}
            Ok(Health::Lbug) => {
                reasons.push("an assertion in the Lustre client has failed (LBUG): drain and restart the node".to_owned());
            }
            Ok(Health::Unhealthy(about)) => reasons.push(format!(
                "the Lustre client reports that it is not healthy ({about}): see the kernel log of the node for LustreError"
            )),
            Err(why) => notes.push(format!("the health of the Lustre client is unknown: {why}")),
        }
    }

    fn assess_lnet(&self, Findings { reasons, notes }: &mut Findings) {
        let nids = match &self.nids {
            Ok(nids) => nids,
            Err(why) => return notes.push(format!("the state of LNet is unknown: {why}")),
        };
        if nids.is_empty() {
            reasons.push(
                "LNet has no address but the loopback: restart this pod, so that its init container node-setup adds the \
                 node's interface; without node-setup run `lnetctl lnet configure` and `lnetctl net add --net tcp --if \
                 eth0` with that interface"
                    .to_owned(),
            );
        }
        let (up, down): (Vec<_>, Vec<_>) = nids.iter().partition(|nid| nid.is_up());
        if !down.is_empty() {
            let named: Vec<String> = down.iter().map(|nid| format!("{} is {}", nid.nid, nid.status)).collect();
            let message = format!("LNet: {}: check that the interface is up and has its address", named.join(", "));
            if up.is_empty() { reasons } else { &mut *notes }.push(message);
        }
        notes.extend(up.iter().filter(|nid| nid.is_up_but_reported_down()).map(|nid| {
            format!(
                "LNet reports {} as down although its interface is up, as Lustre 2.17.0 does after a link was down; mounts \
                 work, and a restart of this pod corrects the status",
                nid.nid
            )
        }));
        if !up.is_empty() && !up.iter().any(|nid| nid.is_tcp()) {
            notes.push("LNet has no address on tcp that is up; Azure Managed Lustre is served there".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    /// A pipe without a writer stands for a file whose read never returns.
    #[test]
    fn a_node_whose_files_cannot_be_read_in_time_is_unknown() {
        let tree = Tree::client();
        let blocked = tree.files().path("/sys/fs/lustre/version");
        std::fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let calls = BlockingCalls::new(Duration::from_millis(50));
        let reasons = NodeState::read(&calls, &tree.files()).assess().reasons;
        assert!(reasons[0].contains("did not answer within 50ms"), "{reasons:?}");
    }

    fn state(nids: &[(&str, &str)]) -> NodeState {
        let nid = |(nid, status): &(&str, &str)| NidState::new(*nid, *status);
        NodeState {
            client: Client { loaded: Ok(true), version: Some("2.15.5".to_owned()), health: Ok(Health::Healthy) },
            nids: Ok(nids.iter().map(nid).collect()),
        }
    }

    fn up() -> NodeState {
        state(&[("10.0.0.7@tcp", "up")])
    }

    #[test]
    fn a_node_with_module_and_network_is_ready() {
        assert_eq!(up().assess(), Findings::default());
        assert_eq!(up().assess().readiness(), Readiness::Ready);
    }

    #[test]
    fn each_cause_has_a_hint() {
        let mut unloaded = state(&[]);
        unloaded.client.loaded = Ok(false);
        let mut hidden = up();
        hidden.client.loaded = Err("no sysfs".to_owned());
        let mut lbug = up();
        lbug.client.health = Ok(Health::Lbug);
        let mut unhealthy = up();
        unhealthy.client.health = Ok(Health::Unhealthy("device x".to_owned()));
        let down = state(&[("10.0.0.7@tcp", "down"), ("10.0.1.7@tcp1", "down")]);
        for (state, cause, hint) in [
            (unloaded, "not loaded", "modprobe lustre"),
            (hidden, "(no sysfs)", "/sys"),
            (lbug, "LBUG", "restart the node"),
            (unhealthy, "(device x)", "kernel log"),
            (state(&[]), "no address", "node-setup"),
            (down, "10.0.0.7@tcp is down, 10.0.1.7@tcp1 is down", "interface is up"),
        ] {
            let findings = state.assess();
            let [reason] = findings.reasons.as_slice() else { panic!("{findings:?}") };
            assert!(reason.contains(cause) && reason.contains(hint), "{reason}");
            assert_eq!(findings.readiness(), Readiness::NotReady(vec![reason.clone()]));
        }
    }

    /// A device that blocks hides the NIDs alone.
    #[test]
    fn a_blocked_lnet_is_unknown_and_hides_nothing_else() {
        let tree = Tree::client();
        let blocked = tree.files().path(lnet::NIS);
        std::fs::remove_file(&blocked).unwrap();
        nix::unistd::mkfifo(&blocked, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let state = NodeState::read(&BlockingCalls::new(Duration::from_secs(1)), &tree.files());
        assert_eq!((state.client.loaded.as_ref().ok(), state.nids.as_ref().ok()), (Some(&true), None));
        assert_eq!(state.assess().readiness(), Readiness::Ready);
    }

    #[test]
    fn a_nid_that_is_reported_down_while_its_interface_is_up_is_noted() {
        let mut state = state(&[("10.0.0.7@tcp", "down")]);
        if let Ok(nids) = &mut state.nids {
            nids[0].has_interface = Some(true);
        }
        let findings = state.assess();
        assert_eq!((findings.readiness(), findings.notes.len()), (Readiness::Ready, 1), "{findings:?}");
        assert!(findings.notes[0].contains("reports 10.0.0.7@tcp as down although its interface is up"));
    }

    #[test]
    fn a_ping_decides_about_a_nid_that_is_reported_down() {
        let nid = Ipv4Nid::tcp([10, 0, 0, 7].into());
        let refused = LnetError::Errno { call: "PING_PEER", errno: 22 };
        for (reply, replies, up) in [
            (Ok(()), Some(true), true),
            (Err(LnetError::Unreachable { nid }), Some(false), false),
            (Err(refused), None, true),
        ] {
            let mut state = state(&[("10.0.0.7@tcp", "down"), ("10.0.0.8@tcp", "up"), ("10.0.0.9@tcp", "down")]);
            if let Ok(nids) = &mut state.nids {
                nids[0].has_interface = Some(true);
            }
            state.ping_doubtful(&BlockingCalls::default(), move |_, _| reply.clone());
            let nids = state.nids.unwrap();
            assert_eq!((nids[0].replies, nids[0].is_up()), (replies, up));
            assert_eq!((nids[1].replies, nids[2].replies), (None, None), "neither is in doubt");
        }
    }

    #[test]
    fn all_causes_are_reported_at_once() {
        let mut state = state(&[]);
        state.client.health = Ok(Health::Lbug);
        assert_eq!(state.assess().reasons.len(), 2);
    }

    #[test]
    fn what_is_unknown_or_partly_down_is_a_note() {
        let mut unknown = up();
        unknown.client = Client { version: None, health: Err("gone".to_owned()), ..unknown.client };
        unknown.nids = Err("lockdown".to_owned());
        let findings = unknown.assess();
        assert_eq!((findings.notes.len(), findings.readiness()), (3, Readiness::Ready), "{findings:?}");
        assert!(findings.notes[2].contains("LNet is unknown: lockdown"));
        let partly = state(&[("10.0.0.7@tcp", "down"), ("10.0.1.7@o2ib", "up")]).assess();
        assert_eq!((partly.notes.len(), partly.readiness()), (2, Readiness::Ready), "{partly:?}");
    }
}
