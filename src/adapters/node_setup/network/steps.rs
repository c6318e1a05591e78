//! The steps from the NIs that LNet has to those of the chosen interfaces, and taking them.

use std::fmt;
use std::time::Duration;

use crate::adapters::lnet::{Lnet, LnetError, LocalNi, Nid, TCP};
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::interfaces::Chosen;

/// How long a ping of the node's own NID may take; 50 ms were seen.
const PING_LIMIT: Duration = Duration::from_secs(10);

/// One change of LNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LnetStep {
    /// Take a reference on LNet, and start it without an NI if it is stopped.
    Configure,
    /// Remove the NI of an address that its interface no longer has.
    Delete {
        /// The NID.
        nid: Nid,
        /// The interface.
        interface: String,
    },
    /// Add an interface to the network `tcp`.
    Add {
        /// The interface.
        interface: String,
    },
    /// Make LNet report an NI as up again.
    SetHealth {
        /// The NID.
        nid: Nid,
    },
}

impl LnetStep {
    /// Why the step is taken.
    pub fn reason(&self) -> String {
        match self {
            Self::Configure => "LNet takes an interface only after it was configured".to_owned(),
            Self::Delete { nid, interface } => format!("{interface} no longer has the address of {nid}"),
            Self::Add { interface } => format!("LNet has no NID of {interface}"),
            Self::SetHealth { nid } => {
                format!("LNet reports {nid} as down though its interface is up, as 2.17.0 does after a link was down")
            }
        }
    }

    /// Takes the step.
    pub fn run(&self, lnet: &dyn Lnet) -> Result<(), LnetError> {
        match self {
            Self::Configure => lnet.configure(),
            Self::Delete { nid, .. } => lnet.del_local_ni(*nid),
            Self::Add { interface } => lnet.add_local_ni(TCP, interface),
            Self::SetHealth { nid } => lnet.set_health(*nid),
        }
    }
}

impl fmt::Display for LnetStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configure => f.write_str("configure LNet"),
            Self::Delete { nid, interface } => write!(f, "remove the NID {nid} of {interface} from LNet"),
            Self::Add { interface } => write!(f, "add {interface} to LNet's network tcp"),
            Self::SetHealth { nid } => write!(f, "set the health of the NID {nid}"),
        }
    }
}

/// The steps from the NIs that LNet has to those of the chosen interfaces, and what is left as it is. None of them touches
/// an NI beside the chosen interfaces; a stale one is only replaced while no Lustre file system is `mounted`. No NIs where
/// LNet is not started.
pub fn steps(chosen: &[Chosen], nis: &[LocalNi], mounted: bool) -> (Vec<LnetStep>, Vec<String>) {
    let (mut steps, mut notes) = (Vec::new(), Vec::new());
    for wanted in chosen {
        let interface = wanted.interface.clone();
        if let Some(ni) = nis.iter().find(|ni| wanted.has(ni, chosen)) {
            let reported_down = (ni.up == Some(false)).then_some(LnetStep::SetHealth { nid: ni.nid });
            steps.extend(reported_down);
            continue;
        }
        let stale: Vec<Nid> = nis.iter().filter(|ni| wanted.is_stale(ni)).map(|ni| ni.nid).collect();
        if let Some(nid) = stale.first().filter(|_| mounted) {
            notes.push(format!(
                "{interface} no longer has the address of the NID {nid}, which stays while Lustre is mounted: drain the node"
            ));
            continue;
        }
        if !steps.contains(&LnetStep::Configure) {
            steps.push(LnetStep::Configure);
        }
        steps.extend(stale.into_iter().map(|nid| LnetStep::Delete { nid, interface: interface.clone() }));
        steps.push(LnetStep::Add { interface });
    }
    let is_known = |ni: &LocalNi| chosen.iter().any(|wanted| wanted.has(ni, chosen) || wanted.is_stale(ni));
    let beyond: Vec<String> = nis.iter().filter(|ni| !is_known(ni)).map(|ni| ni.nid.to_string()).collect();
    if !chosen.is_empty() && !beyond.is_empty() {
        notes.push(format!("LNet has further NIDs, which stay: {}", beyond.join(", ")));
    }
    (steps, notes)
}

/// Gives LNet the NIs of the chosen interfaces and pings them. What fails is a warning as long as one chosen interface has
/// its NID in the end; the warnings are returned.
///
/// # Errors
/// If LNet cannot be asked, or no chosen interface has a NID in the end.
pub fn apply(lnet: &dyn Lnet, chosen: &[Chosen], mounted: bool) -> Result<Vec<String>, SetupError> {
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let (steps, mut warnings) = steps(chosen, &local_nis(lnet)?, mounted);
    for step in &steps {
        if let Err(error) = step.run(lnet) {
            warnings.push(format!("cannot {step}: {error}"));
        }
    }
    let nis = local_nis(lnet)?;
    let own: Vec<&LocalNi> = nis.iter().filter(|ni| chosen.iter().any(|wanted| wanted.has(ni, chosen))).collect();
    if own.is_empty() {
        let names: Vec<&str> = chosen.iter().map(|wanted| wanted.interface.as_str()).collect();
        let what = format!("cannot give LNet a NID of {}", names.join(", "));
        let why = if warnings.is_empty() { "LNet does not report one".to_owned() } else { warnings.join("; ") };
        let hint =
            "check that the interface is up and has an IPv4 address (`ip address`), and the kernel log for LNetError";
        return Err(SetupError::try_again(what, why, hint));
    }
    warnings.extend(own.iter().filter_map(|ni| lnet.ping(ni.nid, PING_LIMIT).err()).map(|error| error.to_string()));
    Ok(warnings)
}

/// The NIs of LNet; none if it is not started.
///
/// # Errors
/// If LNet cannot be asked: no device, no privileges.
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

#[cfg(test)]
mod tests;
