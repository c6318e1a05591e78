//! LNet configuration by ioctl: the steps from the NIs that LNet has to those of the selected interfaces.

#[cfg(feature = "simulator")]
use std::net::Ipv4Addr;
use std::time::Duration;

use super::error::SetupError;
#[cfg(feature = "simulator")]
use super::layout::HostRoot;
use super::ports::PlannedStep;
#[cfg(feature = "simulator")]
use crate::adapters::host_network::HostNetwork;
use crate::adapters::host_network::Interface;
use crate::adapters::lnet::{Ipv4Nid, Lnet, LnetError, LocalNi, TCP};

/// How long a ping of the node's own NID may take; 50 ms were measured.
const PING_LIMIT: Duration = Duration::from_secs(10);

/// One change of LNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LnetStep {
    /// Take a reference on LNet, and start it without an NI if it is stopped.
    Configure,
    /// Remove the NI of an address that this interface no longer has.
    Delete(Ipv4Nid, String),
    /// Add this interface to the network `tcp`.
    Add(String),
    /// Make LNet report an NI as up again.
    SetHealth(Ipv4Nid),
}

impl LnetStep {
    /// The step for `--dry-run`.
    pub fn planned(&self) -> PlannedStep {
        let (title, reason) = match self {
            Self::Configure => {
                ("configure LNet".to_owned(), "LNet takes an interface only after it was configured".to_owned())
            }
            Self::Delete(nid, interface) => (
                format!("remove the NID {nid} of {interface} from LNet"),
                format!("{interface} no longer has the address of {nid}"),
            ),
            Self::Add(interface) => {
                (format!("add {interface} to LNet's network tcp"), format!("LNet has no NID of {interface}"))
            }
            Self::SetHealth(nid) => (
                format!("set the health of the NID {nid}"),
                format!("LNet reports {nid} as down though its interface is up, as 2.17.0 does after a link was down"),
            ),
        };
        PlannedStep::new(title, "ioctl on /dev/lnet", reason)
    }

    fn run(&self, lnet: &dyn Lnet) -> Result<(), LnetError> {
        match self {
            Self::Configure => lnet.configure(),
            Self::Delete(nid, _) => lnet.del_local_ni(*nid),
            Self::Add(interface) => lnet.add_local_ni(TCP, interface),
            Self::SetHealth(nid) => lnet.set_health(*nid),
        }
    }
}

/// Whether an NI is the one of `interface` in the network `tcp`: it has one of its addresses, and no other name of `all`
/// interfaces. The name alone is not enough: an interface that was renamed has an NI under its old name, one whose address
/// has changed an NI with the old address. Where the addresses are not known, the name alone counts.
fn is_ni_of(interface: &Interface, ni: &LocalNi, all: &[Interface]) -> bool {
    let is_another = |name: &str| all.iter().any(|other| other.name == name);
    let ni_name = ni.interface.as_deref();
    let own_name = ni_name.is_none_or(|name| name == interface.name);
    ni.nid.net() == TCP
        && match &interface.addresses {
            Some(own) => own.contains(&ni.nid.address()) && (own_name || !ni_name.is_some_and(is_another)),
            None => own_name,
        }
}

/// Whether an NI was made for an address that `interface` no longer has.
fn is_stale_ni_of(interface: &Interface, ni: &LocalNi) -> bool {
    let moved = interface.addresses.as_ref().is_some_and(|own| !own.contains(&ni.nid.address()));
    ni.nid.net() == TCP && ni.interface.as_ref() == Some(&interface.name) && moved
}

/// The steps from the NIs that LNet has to those of these interfaces, and notes on what stays. No step changes an NI of
/// another interface; a stale one is only replaced while no Lustre file system is `mounted`. `nis` is empty where LNet is
/// not started.
pub fn steps(interfaces: &[Interface], nis: &[LocalNi], mounted: bool) -> (Vec<LnetStep>, Vec<String>) {
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    for interface in interfaces {
        let name = &interface.name;
        if let Some(ni) = nis.iter().find(|ni| is_ni_of(interface, ni, interfaces)) {
            steps.extend((ni.up == Some(false)).then_some(LnetStep::SetHealth(ni.nid)));
            continue;
        }
        let stale: Vec<Ipv4Nid> = nis.iter().filter(|ni| is_stale_ni_of(interface, ni)).map(|ni| ni.nid).collect();
        if let Some(nid) = stale.first().filter(|_| mounted) {
            notes.push(format!(
                "{name} no longer has the address of the NID {nid}, which stays while Lustre is mounted: drain the node"
            ));
            continue;
        }
        if !steps.contains(&LnetStep::Configure) {
            steps.push(LnetStep::Configure);
        }
        steps.extend(stale.into_iter().map(|nid| LnetStep::Delete(nid, name.clone())));
        steps.push(LnetStep::Add(name.clone()));
    }
    let is_known = |ni: &LocalNi| interfaces.iter().any(|one| is_ni_of(one, ni, interfaces) || is_stale_ni_of(one, ni));
    let further: Vec<String> = nis.iter().filter(|ni| !is_known(ni)).map(|ni| ni.nid.to_string()).collect();
    if !interfaces.is_empty() && !further.is_empty() {
        notes.push(format!("LNet has further NIDs, which stay: {}", further.join(", ")));
    }
    (steps, notes)
}

/// Gives LNet the NIs of these interfaces; returns all NIs of LNet, and warnings. The interfaces' NIs are pinged with `verify`,
/// and if a step was taken or an NI is missing. What fails is a warning as long as one interface has its NID in the end.
///
/// # Errors
/// If the NIDs cannot be listed, or no interface has a NID in the end.
pub fn apply(
    lnet: &dyn Lnet,
    interfaces: &[Interface],
    mounted: bool,
    verify: bool,
) -> Result<(Vec<LocalNi>, Vec<String>), SetupError> {
    let mut nis = local_nis(lnet)?;
    let (steps, mut warnings) = steps(interfaces, &nis, mounted);
    for step in &steps {
        if let Err(error) = step.run(lnet) {
            warnings.push(format!("cannot {}: {error}", step.planned().title));
        }
    }
    if !steps.is_empty() {
        nis = local_nis(lnet)?;
    }
    let has_ni = |interface: &Interface| nis.iter().any(|ni| is_ni_of(interface, ni, interfaces));
    if !interfaces.is_empty() && !interfaces.iter().any(has_ni) {
        let names: Vec<&str> = interfaces.iter().map(|one| one.name.as_str()).collect();
        let what = format!("cannot give LNet a NID of {}", names.join(", "));
        let why = if warnings.is_empty() { "LNet does not report one".to_owned() } else { warnings.join("; ") };
        let hint =
            "check that the interface is up and has an IPv4 address (`ip address`), and the kernel log for LNetError";
        return Err(SetupError::try_again(what, why, hint));
    }
    if verify || !steps.is_empty() || !interfaces.iter().all(has_ni) {
        let own = nis.iter().filter(|ni| interfaces.iter().any(|one| is_ni_of(one, ni, interfaces)));
        warnings.extend(own.filter_map(|ni| lnet.ping(ni.nid, PING_LIMIT).err()).map(|error| error.to_string()));
    }
    Ok((nis, warnings))
}

/// The NIs of LNet; none if it is not started.
///
/// # Errors
/// If they cannot be listed: no device, no privileges.
pub fn local_nis(lnet: &dyn Lnet) -> Result<Vec<LocalNi>, SetupError> {
    match lnet.local_nis() {
        Ok(nis) => Ok(nis),
        Err(LnetError::NotStarted) => Ok(Vec::new()),
        Err(error) => {
            let hint = "run node-setup privileged, with the root of the host (its /dev too) mounted into the container";
            Err(SetupError::try_again("cannot list the NIDs of this node", error.to_string(), hint))
        }
    }
}

/// The first address of an interface, for simulated LNet, which holds NIs as asked: an address for documentation (RFC 5737)
/// where the interface's own is not known, `None` if it has none.
#[cfg(feature = "simulator")]
pub fn simulated_address(host: &HostRoot, interface: &str) -> Option<Ipv4Addr> {
    const STAND_IN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    let network = HostNetwork::read(&host.dir);
    let known = network.interface(interface).and_then(|interface| interface.addresses.as_ref());
    known.map_or(Some(STAND_IN), |own| own.first().copied())
}

#[cfg(test)]
mod tests;
