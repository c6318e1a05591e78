//! LNet NIDs of this node and their status, from the ioctls of `/dev/lnet` and otherwise from debugfs `lnet/nis`.
//!
//! The ioctls take privileges and the device, which a container has if the module was loaded before it started. The file
//! (`lnet/lnet/lnet_debugfs.c`) is a header and a row for each NID and CPU partition; only root may read it, and a kernel in
//! lockdown refuses it to every process. With neither the NIDs are unknown.

use std::net::Ipv4Addr;

use super::files::KernelFiles;
use crate::adapters::host_network::HostNetwork;
use crate::adapters::lnet::{self, Ipv4Nid, Lnet, LnetError, LocalNi};

/// The table of local NIDs.
pub(in crate::adapters::kernel) const NIS: &str = "/sys/kernel/debug/lnet/nis";

/// Status of one NID of this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NidState {
    /// Such as `10.0.0.7@tcp`.
    pub nid: String,
    /// As the kernel reports it: `up` or `down`; `unknown` if it does not.
    pub status: String,
    /// Whether an interface of the node that is up has the address; none if that cannot be seen from here.
    pub has_interface: Option<bool>,
    /// Whether the node has replied to an LNet ping of this NID; none if it was not pinged.
    pub replies: Option<bool>,
}

impl NidState {
    /// A NID of which only the status is known.
    pub fn new(nid: impl Into<String>, status: impl Into<String>) -> Self {
        Self { nid: nid.into(), status: status.into(), has_interface: None, replies: None }
    }

    /// Whether LNet may use it. Lustre 2.17.0 still reports `down` after a link has come back (LU-20093) while mounts
    /// work, so a NID also counts as up whose address is on an interface that is up, unless it does not reply to a ping.
    pub fn is_up(&self) -> bool {
        match self.status.as_str() {
            "up" => true,
            "down" => self.has_interface == Some(true) && self.replies != Some(false),
            _ => self.has_interface != Some(false) && self.replies != Some(false),
        }
    }

    /// Whether it counts as up although the kernel reports it as down.
    pub fn is_up_but_reported_down(&self) -> bool {
        self.is_up() && self.status == "down"
    }

    /// Whether it is in a network over TCP, as those of AMLFS are.
    pub fn is_tcp(&self) -> bool {
        self.nid.rsplit_once('@').is_some_and(|(_, network)| network.starts_with("tcp"))
    }

    fn address(&self) -> Option<Ipv4Addr> {
        self.nid.split_once('@').and_then(|(address, _)| address.parse().ok())
    }

    /// The NID as LNet's calls take it; none in another network than `tcp`.
    pub(super) fn tcp_nid(&self) -> Option<Ipv4Nid> {
        self.address().filter(|_| self.nid.ends_with("@tcp")).map(Ipv4Nid::tcp)
    }
}

/// LNet by its device.
pub(in crate::adapters::kernel) fn device(files: &KernelFiles) -> impl Lnet + use<> {
    lnet::device(files.path(lnet::DEVICE))
}

/// This node's NIDs without the loopback, or why they are unknown. Waits for LNet's own lock, so callers that must not
/// block bound it.
pub(super) fn read(files: &KernelFiles) -> Result<Vec<NidState>, String> {
    nids(files, device(files).local_nis())
}

/// The NIDs of the NIs that the ioctls list, or if they fail those of debugfs, each with its interface.
fn nids(files: &KernelFiles, local_nis: Result<Vec<LocalNi>, LnetError>) -> Result<Vec<NidState>, String> {
    let mut nids = match local_nis {
        Ok(nis) => nis.iter().map(of_ni).collect(),
        Err(LnetError::NotStarted) => Vec::new(),
        Err(error) => files.text(NIS).and_then(|text| parse(&text)).map_err(|why| format!("{error}; {why}"))?,
    };
    if nids.iter().any(|nid| nid.status != "up") {
        let network = HostNetwork::read(&files.root);
        for nid in &mut nids {
            nid.has_interface = has_interface(nid, &network);
        }
    }
    Ok(nids)
}

fn of_ni(ni: &LocalNi) -> NidState {
    let status = match ni.up {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    };
    NidState::new(ni.nid.to_string(), status)
}

/// Whether an interface that is up has the address of a NID. An address that no interface has is not one of this network
/// namespace's, or the files are incomplete: both are unknown.
fn has_interface(nid: &NidState, network: &HostNetwork) -> Option<bool> {
    let address = nid.address()?;
    let of_it = network.interfaces.iter().filter(|it| it.addresses.iter().flatten().any(|own| *own == address));
    let mut states = of_it.filter_map(|interface| interface.operstate.as_deref()).peekable();
    states.peek()?;
    Some(states.any(|state| state == "up"))
}

/// Reads the table by its header, so that columns may come and go. A NID has a row for each CPU partition; it is up if it
/// is up in one of them. A text without the two columns is unknown, one without rows is a network without NIDs.
fn parse(text: &str) -> Result<Vec<NidState>, String> {
    let mut lines = text.lines();
    let column = |header: &str, name: &str| header.split_whitespace().position(|word| word == name);
    let columns = lines.find_map(|line| column(line, "nid").zip(column(line, "status")));
    let Some((nid_column, status_column)) = columns else {
        return Err(format!("{NIS} has no columns `nid` and `status`; a newer Lustre?"));
    };
    let mut nids: Vec<NidState> = Vec::new();
    for line in lines {
        let word = |column: usize| line.split_whitespace().nth(column);
        let Some((nid, status)) = word(nid_column).zip(word(status_column)) else { continue };
        if !nid.contains('@') || nid.ends_with("@lo") {
            continue;
        }
        match nids.iter_mut().find(|known| known.nid == nid) {
            Some(known) if known.status != "up" => status.clone_into(&mut known.status),
            Some(_) => {}
            None => nids.push(NidState::new(nid, status)),
        }
    }
    Ok(nids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::kernel::client_state::tests::Tree;

    const HEADER: &str = "nid                      status alive refs peer  rtr   max    tx   min\n";

    fn shown(text: &str) -> Vec<String> {
        let Ok(nids) = parse(text) else { panic!("not understood: {text}") };
        nids.into_iter().map(|nid| format!("{} {}", nid.nid, nid.status)).collect()
    }

    #[test]
    fn nids_are_read_without_the_loopback_and_once_each() {
        let text = format!(
            "{HEADER}0@lo                         up     0    2    0    0     0     0     0\n\
             10.99.0.2@tcp              down    -1    1    8    0   256   256   253\n\
             10.99.0.2@tcp                up    -1    1    8    0   256   256   253\n\
             10.99.0.2@tcp              down    -1    1    8    0   256   256   253\n\
             10.98.0.2@o2ib1            down    -1    1    8    0   256   256   253\n"
        );
        assert_eq!(shown(&text), ["10.99.0.2@tcp up", "10.98.0.2@o2ib1 down"]);
        assert!(shown(HEADER).is_empty());
        let nid = |nid: &str| NidState::new(nid, "up");
        assert!(nid("10.0.0.1@tcp1").is_tcp() && !nid("10.0.0.1@o2ib").is_tcp() && !nid("tcp").is_tcp());
    }

    #[test]
    fn columns_may_move_and_other_lines_are_skipped() {
        let text = "LNet 3\nhealth status extra nid\n9 up x 10.0.0.7@tcp\n\n8 up\na line of words\n";
        assert_eq!(shown(text), ["10.0.0.7@tcp up"]);
        for malformed in ["", "net:\n  - nid: 10.0.0.7@tcp\n", "nid\n10.0.0.7@tcp\n"] {
            assert!(parse(malformed).is_err(), "{malformed}");
        }
    }

    fn ni(address: [u8; 4], up: Option<bool>) -> LocalNi {
        LocalNi { nid: Ipv4Nid::tcp(address.into()), interface: Some("eth0".to_owned()), up }
    }

    #[test]
    fn nids_come_from_the_ioctl_and_from_debugfs_if_that_fails() {
        let tree = Tree::client();
        let found = nids(&tree.files(), Ok(vec![ni([10, 0, 0, 7], Some(true))])).unwrap();
        assert_eq!(found, [NidState::new("10.0.0.7@tcp", "up")], "debugfs has another one");
        assert_eq!(nids(&tree.files(), Err(LnetError::NotStarted)).unwrap(), []);
        assert_eq!(nids(&tree.files(), Err(LnetError::Denied)).unwrap(), [NidState::new("10.99.0.2@tcp", "up")]);
        std::fs::remove_file(tree.files().path(NIS)).unwrap();
        let unknown = nids(&tree.files(), Err(LnetError::Denied));
        let why = unknown.unwrap_err();
        assert!(why.contains("LNet refuses this process") && why.contains(NIS), "{why}");
    }

    /// The routes and addresses of a node whose eth0 has 10.0.0.7.
    fn network(tree: &Tree, operstate: &str) {
        tree.write("/sys/class/net/eth0/operstate", operstate);
        tree.write("/proc/net/route", "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
        tree.write("/proc/net/fib_trie", "Local:\n  |-- 10.0.0.7\n     /32 host LOCAL\n");
    }

    #[test]
    fn a_nid_is_never_down_by_its_status_alone() {
        let tree = Tree::client();
        let of = |address, up| nids(&tree.files(), Ok(vec![ni(address, up)])).unwrap().remove(0);
        let down = of([10, 0, 0, 7], Some(false));
        assert_eq!((down.has_interface, down.is_up()), (None, false), "nothing contradicts the status");
        network(&tree, "up\n");
        let back = of([10, 0, 0, 7], Some(false));
        assert!(back.is_up() && back.is_up_but_reported_down(), "{back:?}");
        assert!(!NidState { replies: Some(false), ..back.clone() }.is_up());
        assert!(NidState { replies: Some(true), ..back }.is_up());
        assert!(of([10, 0, 0, 7], None).is_up());
        let old = of([10, 0, 0, 6], Some(false));
        assert!(!old.is_up(), "the address has changed: {old:?}");
        network(&tree, "down\n");
        assert!(!of([10, 0, 0, 7], Some(false)).is_up() && !of([10, 0, 0, 7], None).is_up());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_text_is_accepted(text in any::<String>()) {
            let _ = parse(&text);
            let Ok(nids) = parse(&format!("{HEADER}{text}")) else { panic!("the header is there") };
            prop_assert!(nids.iter().all(|nid| nid.nid.contains('@') && !nid.nid.ends_with("@lo")));
        }

        #[test]
        fn a_table_as_the_kernel_writes_it_is_read(
            rows in proptest::collection::vec((any::<std::net::Ipv4Addr>(), any::<bool>()), 0..20),
            noise in "[ a-z0-9]{0,30}",
        ) {
            let status = |up: bool| if up { "up" } else { "down" };
            let lines = rows.iter().map(|(ip, up)| format!("{:24} {:>6} -1 1 8 0 256 256 253 {noise}\n", format!("{ip}@tcp"), status(*up)));
            let Ok(nids) = parse(&format!("{HEADER}{}", lines.collect::<String>())) else { panic!("the header is there") };
            for (ip, _) in &rows {
                let up = rows.iter().any(|(other, up)| other == ip && *up);
                let found = nids.iter().filter(|nid| nid.nid == format!("{ip}@tcp")).collect::<Vec<_>>();
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].is_up(), up);
            }
        }
    }
}
