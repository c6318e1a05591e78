//! Selection of the network interfaces for LNet, from those of the host and the setting `lnet-interfaces`.
//!
//! AMLFS is served over TCP on the node's own network, so one interface is enough: that of the IPv4 default route. Virtual
//! functions below it, interfaces of pods, InfiniBand and bridges of container runtimes must never be used.

use super::error::SetupError;
use crate::adapters::host_network::{HostNetwork, INTERFACES, Interface};
use crate::domain::text::quote;

/// Longest name of an interface in bytes (`IFNAMSIZ` of `linux/if.h` without the final NUL).
const LONGEST_NAME: usize = 15;
/// `ARPHRD_INFINIBAND` and `ARPHRD_LOOPBACK` of `linux/if_arp.h`, as in `type` of sysfs.
const INFINIBAND: u32 = 32;
const LOOPBACK: u32 = 772;
/// `IFF_SLAVE` of `linux/if.h`, as in `flags` of sysfs.
const IFF_SLAVE: u32 = 0x800;
/// Driver of Azure's network interfaces (`drivers/net/hyperv/netvsc_drv.c`).
const HYPER_V: &str = "hv_netvsc";

const SELECTION_FAILED: &str = "cannot choose the network interface for LNet";
const SETTING: &str = "--lnet-interfaces";

/// The setting `lnet-interfaces`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InterfaceRule {
    /// `auto`: the interface of the IPv4 default route with the lowest metric.
    #[default]
    Auto,
    /// `all`: every physical interface that is up and has an IPv4 address.
    All,
    /// These names, in this order.
    Listed(Vec<String>),
}

impl InterfaceRule {
    /// Parses `auto`, `all`, or names separated by commas.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
            let valid = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(known);
            if !valid || matches!(name, "auto" | "all" | "." | "..") {
                return Err(format!(
                    "{} is not a name of a network interface; give `auto`, `all`, or names such as eth0,eth1",
                    quote(name)
                ));
            }
            if !names.iter().any(|other| other == name) {
                names.push(name.to_owned());
            }
        }
        Ok(Self::Listed(names))
    }
}

/// The interfaces for LNet, with notes for the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The interface of the default route first: LNet is loaded with the first one alone, since one bad interface fails
    /// them all. Empty only where neither interfaces nor routes are known; the kernel then takes its first interface.
    pub interfaces: Vec<Interface>,
    /// Why an interface of the setting is not used, and what is not known.
    pub notes: Vec<String>,
}

impl Selection {
    /// Adds an interface. The error is why it cannot be used now.
    fn add(&mut self, interface: &Interface) -> Result<(), String> {
        let Interface { name, operstate, addresses, .. } = interface;
        match operstate.as_deref() {
            Some("up") => {}
            Some(other) => return Err(format!("{name} is not up (operstate {})", quote(other))),
            None => self.notes.push(format!("whether {name} is up is not known: its operstate is not there")),
        }
        match addresses {
            Some(own) if own.is_empty() => return Err(format!("{name} has no IPv4 address")),
            Some(_) => {}
            None => self.notes.push(format!("the address of {name} is not known; its NID is not compared")),
        }
        self.interfaces.push(interface.clone());
        Ok(())
    }

    /// Adds those of `candidates` that can be used now, which must be one at least; `required` is the name of one that must
    /// be.
    fn add_usable(
        &mut self,
        candidates: impl Iterator<Item = Result<Interface, SetupError>>,
        required: Option<&str>,
        none_usable: &str,
    ) -> Result<(), SetupError> {
        for candidate in candidates {
            let interface = candidate?;
            match self.add(&interface) {
                Err(why) if required == Some(interface.name.as_str()) => return Err(not_usable_yet(&why)),
                Err(why) => self.notes.push(format!("{why}; it is not used")),
                Ok(()) => {}
            }
        }
        if !self.interfaces.is_empty() {
            return Ok(());
        }
        let notes = self.notes.join("; ");
        Err(not_usable_yet(&if notes.is_empty() { none_usable.to_owned() } else { format!("{none_usable} ({notes})") }))
    }
}

/// Selects the interfaces of LNet.
///
/// # Errors
/// A transient one while the interface is not up, has no address, or there is no default route: the network of a node that
/// boots may need some seconds. One of the setting if what it names cannot be used.
pub fn select(network: &HostNetwork, rule: &InterfaceRule) -> Result<Selection, SetupError> {
    let mut selection = Selection { notes: network.missing.clone(), ..Selection::default() };
    let default = default_interface(network);
    let default_name = default.as_ref().map(|interface| interface.name.as_str());
    match rule {
        InterfaceRule::Auto => select_auto(network, default.as_ref(), &mut selection)?,
        InterfaceRule::All => {
            let is_default = |interface: &Interface| default_name == Some(interface.name.as_str());
            let all = network.interfaces.iter().filter(|it| exclusion(it).is_none() || is_default(it));
            let none_usable = "no physical interface is up and has an IPv4 address";
            selection.add_usable(all.cloned().map(Ok), None, none_usable)?;
        }
        InterfaceRule::Listed(names) => {
            let listed = names.iter().map(|name| listed_interface(network, name, default_name));
            let none_usable = "none of the interfaces of the setting is up and has an IPv4 address";
            selection.add_usable(listed, default_name, none_usable)?;
        }
    }
    selection.interfaces.sort_by_key(|interface| Some(interface.name.as_str()) != default_name);
    Ok(selection)
}

/// The interface of the default route.
fn select_auto(
    network: &HostNetwork,
    default: Option<&Interface>,
    selection: &mut Selection,
) -> Result<(), SetupError> {
    if network.default_routes.is_none() {
        return select_without_routes(network, selection);
    }
    let interface = default.ok_or_else(|| no_default_interface(network))?;
    if interface.driver.as_deref() != Some(HYPER_V) {
        let driver = interface.driver.as_deref().unwrap_or("no driver in sysfs");
        let note = format!("the default route leads over {}, which is not Azure's ({driver})", interface.name);
        selection.notes.push(note);
    }
    selection.add(interface).map_err(|why| not_usable_yet(&why))
}

/// The only physical interface, where the routes are not known.
fn select_without_routes(network: &HostNetwork, selection: &mut Selection) -> Result<(), SetupError> {
    let physical: Vec<&Interface> = network.interfaces.iter().filter(|it| exclusion(it).is_none()).collect();
    match physical.as_slice() {
        [only] => selection.add(only).map_err(|why| not_usable_yet(&why)),
        [] => {
            selection.notes.push("no network interface is known; the kernel chooses one for LNet".to_owned());
            Ok(())
        }
        _ => {
            let why = "the routes of the host are not known, and it has several network interfaces";
            Err(wrong_setting(why, "name one with"))
        }
    }
}

fn no_default_interface(network: &HostNetwork) -> SetupError {
    let why = |name: &String| match network.interface(name) {
        Some(interface) => unusable(interface).map(|why| format!("{name}: {why}")),
        None => Some(format!("{name}: {INTERFACES} of the host does not have it")),
    };
    let refused: Vec<String> = network.default_routes.iter().flatten().filter_map(why).collect();
    if refused.is_empty() {
        let hint = format!("wait for the network of the node, or name an interface with {SETTING}");
        return SetupError::try_again(SELECTION_FAILED, "the host has no IPv4 default route", hint).transient();
    }
    let why = format!("no interface of a default route can be used ({})", refused.join("; "));
    wrong_setting(why, "name an interface with")
}

/// An interface that the setting names. One of a host whose interfaces are not known is taken by its name.
fn listed_interface(network: &HostNetwork, name: &str, default: Option<&str>) -> Result<Interface, SetupError> {
    if network.interfaces.is_empty() {
        return Ok(Interface::named(name));
    }
    let Some(interface) = network.interface(name) else {
        let known: Vec<&str> = network.interfaces.iter().map(|other| other.name.as_str()).collect();
        let why = format!("the host has no interface {}; it has {}", quote(name), known.join(", "));
        return Err(wrong_setting(why, "correct"));
    };
    match exclusion(interface) {
        Some(why) if default != Some(name) => {
            Err(wrong_setting(format!("{name} cannot be used: {why}"), &format!("remove {name} from")))
        }
        _ => Ok(interface.clone()),
    }
}

/// An error of the setting, whose flag the hint names after `instruction`.
fn wrong_setting(why: impl Into<String>, instruction: &str) -> SetupError {
    SetupError::wrong_setting(SELECTION_FAILED, why, format!("{instruction} {SETTING}"))
}

fn not_usable_yet(why: &str) -> SetupError {
    let hint =
        format!("check `ip address` on the node; LNet needs an interface that is up and has IPv4, see {SETTING}");
    SetupError::try_again(SELECTION_FAILED, why, hint).transient()
}

/// The interface of the default route with the lowest metric. One that pods or container runtimes make comes last,
/// regardless of its metric, and a bridge does not count as one: the old Azure CNI puts the node's address on `azure0`.
fn default_interface(network: &HostNetwork) -> Option<Interface> {
    let routed = network.default_routes.iter().flatten();
    let known = routed.filter_map(|name| match network.interface(name) {
        None if network.interfaces.is_empty() => Some(Interface::named(name)),
        interface => interface.cloned(),
    });
    let usable: Vec<Interface> = known.filter(|interface| unusable(interface).is_none()).collect();
    let physical = usable.iter().find(|interface| interface.is_bridge || virtual_kind(interface).is_none());
    physical.or(usable.first()).cloned()
}

/// Why an interface without the default route is not used; `None` for a physical one that can be.
fn exclusion(interface: &Interface) -> Option<String> {
    unusable(interface).or_else(|| virtual_kind(interface).map(str::to_owned))
}

/// Why an interface is not used even with the default route.
fn unusable(interface: &Interface) -> Option<String> {
    let is_slave = interface.flags.is_some_and(|flags| flags & IFF_SLAVE != 0);
    if is_slave || interface.master.is_some() {
        let above = interface.master.as_deref().unwrap_or("another interface");
        return Some(format!("it is used below {above} and has no address of its own"));
    }
    match (interface.kind, interface.name.as_str()) {
        (Some(INFINIBAND), _) => Some("it is InfiniBand, and Azure Managed Lustre is served over TCP".to_owned()),
        (Some(LOOPBACK), _) | (_, "lo") => Some("it is the loopback".to_owned()),
        _ => None,
    }
}

/// Why an interface is one of pods or of a container runtime, if it is.
fn virtual_kind(interface: &Interface) -> Option<&'static str> {
    if interface.index.zip(interface.link).is_some_and(|(index, link)| index != link) {
        return Some("it is one end of a virtual pair, as pods have");
    }
    (!interface.has_device).then_some("it is virtual: sysfs shows no device of it")
}

#[cfg(test)]
mod tests;
