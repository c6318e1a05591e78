//! LNet in each state of a node.

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::adapters::node_setup::error::SetupExit;

/// LNet as the kernel behaves: an interface can be added once, and only after CONFIGURE.
#[derive(Debug, Default)]
struct FakeLnet {
    state: Mutex<State>,
    /// The address of each interface that is up.
    addresses: Vec<(&'static str, Ipv4Addr)>,
    /// Calls that fail, by their name in [`State::calls`].
    failing: Vec<(&'static str, LnetError)>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    configured: bool,
    nis: Vec<LocalNi>,
    calls: Vec<String>,
}

impl FakeLnet {
    fn with(nis: &[LocalNi], addresses: &[(&'static str, Ipv4Addr)]) -> Self {
        let state = State { started: true, nis: nis.to_vec(), ..State::default() };
        Self { state: state.into(), addresses: addresses.to_vec(), failing: Vec::new() }
    }

    fn call(&self, name: String) -> Result<std::sync::MutexGuard<'_, State>, LnetError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = self.failing.iter().find(|(failing, _)| *failing == name);
        state.calls.push(name);
        failing.map_or(Ok(state), |(_, error)| Err(error.clone()))
    }

    fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.iter().filter(|call| *call != "list").cloned().collect()
    }
}

impl Lnet for FakeLnet {
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        let state = self.call("list".to_owned())?;
        if state.started { Ok(state.nis.clone()) } else { Err(LnetError::NotStarted) }
    }

    fn configure(&self) -> Result<(), LnetError> {
        let mut state = self.call("configure".to_owned())?;
        (state.started, state.configured) = (true, true);
        Ok(())
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        self.call("unconfigure".to_owned()).map(drop)
    }

    fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError> {
        let mut state = self.call(format!("add {interface}"))?;
        assert_eq!((net, state.configured), (TCP, true), "the kernel answers EINVAL before CONFIGURE");
        if state.nis.iter().any(|ni| ni.interface.as_deref() == Some(interface)) {
            return Err(LnetError::Exists { what: interface.to_owned() });
        }
        let address = self.addresses.iter().find(|(name, _)| *name == interface).map(|(_, address)| *address);
        let address = address.ok_or_else(|| LnetError::NoInterface { interface: interface.to_owned() })?;
        state.nis.push(LocalNi { nid: Ipv4Nid::tcp(address), interface: Some(interface.to_owned()), up: Some(true) });
        Ok(())
    }

    fn del_local_ni(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.call(format!("delete {nid}"))?.nis.retain(|ni| ni.nid != nid);
        Ok(())
    }

    fn ping(&self, nid: Ipv4Nid, limit: Duration) -> Result<(), LnetError> {
        assert!(limit <= Duration::from_secs(10));
        self.call(format!("ping {nid}")).map(drop)
    }

    fn set_health(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.call(format!("health {nid}")).map(drop)
    }
}

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const B: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 4);
const OLD: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

fn ni(address: Ipv4Addr, interface: &str, up: bool) -> LocalNi {
    LocalNi { nid: Ipv4Nid::tcp(address), interface: Some(interface.to_owned()), up: Some(up) }
}

fn interface(name: &str, address: Ipv4Addr) -> Interface {
    Interface { addresses: Some(vec![address]), ..Interface::named(name) }
}

/// The warnings of [`apply`] with pings.
fn apply_verified(lnet: &dyn Lnet, interfaces: &[Interface], mounted: bool) -> Result<Vec<String>, SetupError> {
    apply(lnet, interfaces, mounted, true).map(|(_, warnings)| warnings)
}

const BOTH: [(&str, Ipv4Addr); 2] = [("eth0", A), ("eth1", B)];

#[test]
fn without_verification_a_complete_lnet_is_left_alone() {
    let lnet = FakeLnet::with(&[ni(A, "eth0", true)], &BOTH);
    assert_eq!(apply(&lnet, &[interface("eth0", A)], true, false), Ok((vec![ni(A, "eth0", true)], Vec::new())));
    assert!(lnet.calls().is_empty());
    apply(&lnet, &[interface("eth0", A), interface("eth1", B)], true, false).unwrap();
    assert_eq!(lnet.calls(), ["configure", "add eth1", "ping 10.0.0.4@tcp", "ping 10.1.0.4@tcp"]);
}

#[test]
fn a_wanted_nid_that_is_there_needs_a_ping_only() {
    let lnet = FakeLnet::with(&[ni(A, "eth0", true)], &BOTH);
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A)], true), Ok(Vec::new()));
    assert_eq!(lnet.calls(), ["ping 10.0.0.4@tcp"]);
}

#[test]
fn lnet_without_a_network_is_configured_and_given_each_interface() {
    let lnet = FakeLnet { addresses: BOTH.to_vec(), ..FakeLnet::default() };
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A), interface("eth1", B)], false), Ok(Vec::new()));
    let expected = ["configure", "add eth0", "add eth1", "ping 10.0.0.4@tcp", "ping 10.1.0.4@tcp"];
    assert_eq!(lnet.calls(), expected);
}

#[test]
fn a_missing_interface_is_added_under_a_mount_too() {
    let lnet = FakeLnet::with(&[ni(A, "eth0", true)], &BOTH);
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A), interface("eth1", B)], true), Ok(Vec::new()));
    assert_eq!(lnet.calls()[..2], ["configure", "add eth1"]);
}

#[test]
fn a_failed_addition_is_a_warning_if_a_wanted_nid_is_there() {
    let lnet = FakeLnet::with(&[ni(A, "eth0", true)], &[("eth0", A)]);
    let warnings = apply_verified(&lnet, &[interface("eth0", A), interface("eth1", B)], false).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("cannot add eth1 to LNet's network tcp: the interface eth1 is missing"),
        "{warnings:?}"
    );
    let error = apply_verified(&FakeLnet::with(&[], &[]), &[interface("eth1", B)], false).unwrap_err();
    assert_eq!(error.exit, SetupExit::TryAgain);
    assert!(error.to_string().contains("NID of eth1: cannot add eth1"), "{error}");
}

#[test]
fn further_nids_stay_and_are_named() {
    let ib = LocalNi { nid: Ipv4Nid::new(5 << 16, B), interface: Some("ib0".to_owned()), up: Some(true) };
    let lnet = FakeLnet::with(&[ni(A, "eth0", true), ni(B, "eth1", true), ib], &BOTH);
    let warnings = apply_verified(&lnet, &[interface("eth0", A)], false).unwrap();
    assert_eq!(warnings, ["LNet has further NIDs, which stay: 10.1.0.4@tcp, 10.1.0.4@o2ib"]);
    assert_eq!(lnet.calls(), ["ping 10.0.0.4@tcp"]);
}

#[test]
fn an_address_that_changed_is_replaced_but_never_under_a_mount() {
    let lnet = FakeLnet::with(&[ni(OLD, "eth0", false)], &BOTH);
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A)], false), Ok(Vec::new()));
    let expected = ["configure", "delete 10.0.0.3@tcp", "add eth0", "ping 10.0.0.4@tcp"];
    assert_eq!(lnet.calls(), expected);
    let lnet = FakeLnet::with(&[ni(OLD, "eth0", false)], &BOTH);
    let error = apply_verified(&lnet, &[interface("eth0", A)], true).unwrap_err();
    assert!(error.why.contains("10.0.0.3@tcp, which stays while Lustre is mounted"), "{error}");
    assert!(lnet.calls().is_empty());
}

#[test]
fn a_status_of_down_is_reset_and_never_a_reason_to_fail() {
    let lnet = FakeLnet::with(&[ni(A, "eth0", false)], &BOTH);
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A)], true), Ok(Vec::new()));
    assert_eq!(lnet.calls(), ["health 10.0.0.4@tcp", "ping 10.0.0.4@tcp"]);
    let failing = vec![("health 10.0.0.4@tcp", LnetError::Errno { call: "SET_HEALHV", errno: 22 })];
    let lnet = FakeLnet { failing, ..FakeLnet::with(&[ni(A, "eth0", false)], &BOTH) };
    assert_eq!(apply_verified(&lnet, &[interface("eth0", A)], true).unwrap().len(), 1);
}

#[test]
fn a_ping_without_a_reply_is_a_warning() {
    let failing = vec![("ping 10.0.0.4@tcp", LnetError::Unreachable { nid: Ipv4Nid::tcp(A) })];
    let lnet = FakeLnet { failing, ..FakeLnet::with(&[ni(A, "eth0", true)], &BOTH) };
    let warnings = apply_verified(&lnet, &[interface("eth0", A)], false).unwrap();
    assert!(warnings[0].contains("10.0.0.4@tcp does not reply"), "{warnings:?}");
}

#[test]
fn nids_that_cannot_be_listed_are_an_error() {
    let failing = vec![("list", LnetError::Denied)];
    let lnet = FakeLnet { failing, ..FakeLnet::default() };
    let error = apply_verified(&lnet, &[interface("eth0", A)], false).unwrap_err();
    assert!(error.why.contains("CAP_SYS_ADMIN") && error.hint.contains("privileged"), "{error}");
    assert_eq!(apply_verified(&FakeLnet::default(), &[], false), Ok(Vec::new()), "no interface is selected");
}

#[test]
fn an_ni_belongs_to_the_interface_whose_address_it_has() {
    let other = Ipv4Addr::new(10, 0, 0, 9);
    let two = |name| Interface { addresses: Some(vec![A, B]), ..Interface::named(name) };
    let all = [two("eth0"), two("eth1")];
    let owners = |ni: &LocalNi| all.iter().map(|interface| is_ni_of(interface, ni, &all)).collect::<Vec<_>>();
    assert_eq!(owners(&ni(A, "eth0", true)), [true, false]);
    assert_eq!(owners(&ni(B, "eth1", true)), [false, true]);
    assert_eq!(owners(&ni(other, "eth0", true)), [false, false]);
    // The interface was renamed, and the NI keeps the old name.
    assert_eq!(owners(&ni(A, "old0", true)), [true, true]);
    let unknown = [Interface::named("eth0")];
    let unnamed = LocalNi { interface: None, ..ni(B, "", true) };
    assert!(is_ni_of(&unknown[0], &ni(B, "eth0", true), &unknown) && is_ni_of(&unknown[0], &unnamed, &unknown));
    assert!(!is_ni_of(&unknown[0], &ni(B, "eth1", true), &unknown));
    assert!(!is_stale_ni_of(&unknown[0], &ni(B, "eth0", true)));
    assert!(is_stale_ni_of(&all[0], &ni(other, "eth0", true)) && !is_stale_ni_of(&all[0], &ni(A, "eth0", true)));
    let other_net = LocalNi { nid: Ipv4Nid::new(TCP | 1, A), ..ni(A, "eth0", true) };
    assert!(!is_ni_of(&all[0], &other_net, &all) && !is_stale_ni_of(&all[0], &other_net));
}

#[test]
fn steps_have_a_title_and_a_reason() {
    let (steps, _) =
        steps(&[interface("eth0", A), interface("eth1", B)], &[ni(OLD, "eth0", false), ni(B, "eth1", false)], false);
    let shown: Vec<String> =
        steps.iter().map(LnetStep::planned).map(|step| format!("{}: {}", step.title, step.reason)).collect();
    let expected = [
        "configure LNet: LNet takes an interface only after it was configured",
        "remove the NID 10.0.0.3@tcp of eth0 from LNet: eth0 no longer has the address of 10.0.0.3@tcp",
        "add eth0 to LNet's network tcp: LNet has no NID of eth0",
        "set the health of the NID 10.1.0.4@tcp: LNet reports 10.1.0.4@tcp as down though its interface is up, as 2.17.0 does after a link was down",
    ];
    assert_eq!(shown, expected);
}

/// Routes alone, as the root of a stub node has them.
#[cfg(feature = "simulator")]
#[test]
fn simulated_lnet_serves_a_host_whose_addresses_are_not_known() {
    use crate::adapters::lnet::simulated;
    use crate::adapters::node_setup::interfaces::{InterfaceRule, select};
    let directory = tempfile::tempdir().unwrap();
    let host = HostRoot::directory(directory.path());
    std::fs::create_dir_all(host.at("/proc/net")).unwrap();
    let route = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
    std::fs::write(host.at("/proc/net/route"), route).unwrap();
    let interfaces = select(&HostNetwork::read(&host.dir), &InterfaceRule::Auto).unwrap().interfaces;
    let state = directory.path().join("lnet");
    let lnet = simulated::device(&state, move |name| simulated_address(&host, name));
    assert_eq!(apply_verified(&lnet, &interfaces, false), Ok(Vec::new()));
    assert_eq!(apply_verified(&lnet, &interfaces, true), Ok(Vec::new()), "a second run has nothing to do");
    assert!(matches!(lnet.add_local_ni(TCP, "eth0"), Err(LnetError::Exists { .. })));
}
