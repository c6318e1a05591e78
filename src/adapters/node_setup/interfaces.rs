//! Choice of the network interfaces that LNet uses, from facts about them and the setting `lnet-interfaces`.
//!
//! AMLFS is served over TCP on the node's own network, so one interface is enough: that of the IPv4 default route. Virtual
//! functions below it, interfaces of pods, InfiniBand and bridges of container runtimes must never be used.

use std::net::Ipv4Addr;

use super::error::SetupError;
use super::network::{INTERFACES, Interface, NetworkFacts};
use crate::adapters::lnet::{LocalNi, TCP};
use crate::domain::text::quote;

/// Longest name of an interface in bytes (`IFNAMSIZ` without its end).
const LONGEST_NAME: usize = 15;
/// `ARPHRD_INFINIBAND` and `ARPHRD_LOOPBACK` of `linux/if_arp.h`, as in `type` of sysfs.
const INFINIBAND: u32 = 32;
const LOOPBACK: u32 = 772;
/// `IFF_SLAVE` of `linux/if.h`, as in `flags` of sysfs.
const IFF_SLAVE: u32 = 0x800;
/// Driver of Azure's network interfaces.
const HYPER_V: &str = "hv_netvsc";

const WHAT: &str = "cannot choose the network interface for LNet";
const SETTING: &str = "--lnet-interfaces";

/// The setting `lnet-interfaces`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InterfaceRule {
    /// `auto`: the interface of the IPv4 default route with the lowest metric.
    #[default]
    Auto,
    /// `all`: every physical interface that is up and has an IPv4 address.
    All,
    /// These, in this order.
    Listed(Vec<String>),
}

impl InterfaceRule {
    /// Reads `auto`, `all`, or names separated by commas.
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

/// An interface that LNet is to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub interface: String,
    /// The node's addresses that may be its own, as [`Interface::addresses`]; none if they are not known.
    pub addresses: Option<Vec<Ipv4Addr>>,
}

impl Chosen {
    /// Whether an NI is the one of this interface in the network `tcp`: it has one of its addresses, and no other name of
    /// `all`. The name alone is not enough: an interface that was renamed has an NI under its old name, one whose address
    /// has changed an NI with the old address.
    pub fn has(&self, ni: &LocalNi, all: &[Self]) -> bool {
        let is_another = |name: &str| all.iter().any(|other| other.interface == name);
        let named = ni.interface.as_deref();
        let own_name = named.is_none_or(|name| name == self.interface);
        ni.nid.net() == TCP
            && match &self.addresses {
                Some(own) => own.contains(&ni.nid.address()) && (own_name || !named.is_some_and(is_another)),
                None => own_name,
            }
    }

    /// Whether an NI was made for an address that this interface no longer has.
    pub fn is_stale(&self, ni: &LocalNi) -> bool {
        let moved = self.addresses.as_ref().is_some_and(|own| !own.contains(&ni.nid.address()));
        ni.nid.net() == TCP && ni.interface.as_ref() == Some(&self.interface) && moved
    }
}

/// The interfaces for LNet, and what is worth knowing about the others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The interface of the default route first: LNet is loaded with the first one alone, since one bad interface fails
    /// them all. Empty only where no fact at all is known; the kernel then takes its first interface.
    pub chosen: Vec<Chosen>,
    /// Why interfaces are not used that one might expect, and what was not known.
    pub notes: Vec<String>,
}

impl Choice {
    /// Takes an interface, unless its state forbids it now.
    fn take(&mut self, interface: &Interface) -> Result<(), String> {
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
        self.chosen.push(Chosen { interface: name.clone(), addresses: addresses.clone() });
        Ok(())
    }
}

/// The interfaces that LNet is to use.
///
/// # Errors
/// A transient one while the interface is not up, has no address, or there is no default route: the network of a node that
/// boots may need some seconds. One of the setting if what it names cannot be used.
pub fn choose(facts: &NetworkFacts, rule: &InterfaceRule) -> Result<Choice, SetupError> {
    let mut choice = Choice { notes: facts.missing.clone(), ..Choice::default() };
    match rule {
        InterfaceRule::Auto => auto(facts, &mut choice)?,
        InterfaceRule::All => all(facts, &mut choice)?,
        InterfaceRule::Listed(names) => listed(facts, names, &mut choice)?,
    }
    let first = default_interface(facts).map(|interface| interface.name);
    choice.chosen.sort_by_key(|chosen| Some(&chosen.interface) != first.as_ref());
    Ok(choice)
}

fn auto(facts: &NetworkFacts, choice: &mut Choice) -> Result<(), SetupError> {
    if facts.default_routes.is_none() {
        return without_routes(facts, choice);
    }
    let Some(interface) = default_interface(facts) else { return Err(no_route(facts)) };
    if interface.driver.as_deref() != Some(HYPER_V) {
        let driver = interface.driver.as_deref().unwrap_or("no driver in sysfs");
        let note = format!("the default route leads over {}, which is not Azure's ({driver})", interface.name);
        choice.notes.push(note);
    }
    choice.take(&interface).map_err(|why| not_now(&why))
}

/// The only physical interface, where the routes are not known.
fn without_routes(facts: &NetworkFacts, choice: &mut Choice) -> Result<(), SetupError> {
    let mut usable = facts.interfaces.iter().filter(|interface| never(interface).is_none());
    match (usable.next(), usable.next()) {
        (Some(only), None) => choice.take(only).map_err(|why| not_now(&why)),
        (Some(_), Some(_)) => {
            let why = "the routes of the host are not known, and it has several network interfaces";
            Err(SetupError::wrong_setting(WHAT, why, format!("name one with {SETTING}")))
        }
        (None, _) => {
            choice.notes.push("no network interface is known; the kernel chooses one for LNet".to_owned());
            Ok(())
        }
    }
}

fn no_route(facts: &NetworkFacts) -> SetupError {
    let why = |name: &String| match facts.interface(name) {
        Some(interface) => unusable(interface).map(|why| format!("{name}: {why}")),
        None => Some(format!("{name}: {INTERFACES} of the host does not have it")),
    };
    let refused: Vec<String> = facts.default_routes.iter().flatten().filter_map(why).collect();
    if refused.is_empty() {
        let hint = format!("wait for the network of the node, or name an interface with {SETTING}");
        return SetupError::try_again(WHAT, "the host has no IPv4 default route", hint).transient();
    }
    let why = format!("no interface of a default route can be used ({})", refused.join("; "));
    SetupError::wrong_setting(WHAT, why, format!("name an interface with {SETTING}"))
}

fn all(facts: &NetworkFacts, choice: &mut Choice) -> Result<(), SetupError> {
    let default = default_interface(facts);
    let is_default = |interface: &&Interface| default.as_ref().is_some_and(|other| other.name == interface.name);
    for interface in facts.interfaces.iter().filter(|it| never(it).is_none() || is_default(it)) {
        if let Err(why) = choice.take(interface) {
            choice.notes.push(format!("{why}; it is not used"));
        }
    }
    none_left(choice, "no physical interface is up and has an IPv4 address")
}

fn listed(facts: &NetworkFacts, names: &[String], choice: &mut Choice) -> Result<(), SetupError> {
    let default = default_interface(facts);
    for name in names {
        let known = facts.interface(name).cloned();
        let Some(interface) = known.or_else(|| facts.interfaces.is_empty().then(|| Interface::named(name))) else {
            let known: Vec<&str> = facts.interfaces.iter().map(|other| other.name.as_str()).collect();
            let why = format!("the host has no interface {}; it has {}", quote(name), known.join(", "));
            return Err(SetupError::wrong_setting(WHAT, why, format!("correct {SETTING}")));
        };
        let is_default = default.as_ref().is_some_and(|other| other.name == *name);
        if let Some(why) = never(&interface).filter(|_| !is_default && !facts.interfaces.is_empty()) {
            let why = format!("{name} cannot be used: {why}");
            return Err(SetupError::wrong_setting(WHAT, why, format!("remove {name} from {SETTING}")));
        }
        if let Err(why) = choice.take(&interface) {
            if is_default {
                return Err(not_now(&why));
            }
            choice.notes.push(format!("{why}; it is not used"));
        }
    }
    none_left(choice, "none of the interfaces of the setting is up and has an IPv4 address")
}

fn none_left(choice: &Choice, why: &str) -> Result<(), SetupError> {
    if !choice.chosen.is_empty() {
        return Ok(());
    }
    let notes = choice.notes.join("; ");
    Err(not_now(&if notes.is_empty() { why.to_owned() } else { format!("{why} ({notes})") }))
}

fn not_now(why: &str) -> SetupError {
    let hint =
        format!("check `ip address` on the node; LNet needs an interface that is up and has IPv4, see {SETTING}");
    SetupError::try_again(WHAT, why, hint).transient()
}

/// The interface of the default route with the lowest metric. One that pods or container runtimes make comes last,
/// whatever its metric, and a bridge does not count as one: the old Azure CNI puts the node's address on `azure0`.
fn default_interface(facts: &NetworkFacts) -> Option<Interface> {
    let find = |name: &String| facts.interface(name).cloned().unwrap_or_else(|| Interface::named(name));
    let routed: Vec<Interface> = facts.default_routes.iter().flatten().map(find).collect();
    let is_known = |interface: &&Interface| facts.interfaces.is_empty() || facts.interface(&interface.name).is_some();
    let possible = || routed.iter().filter(is_known).filter(|interface| unusable(interface).is_none());
    let real = possible().find(|interface| interface.is_bridge || virtual_kind(interface).is_none());
    real.or_else(|| possible().next()).cloned()
}

/// Why an interface without the default route is never used, if it is not.
fn never(interface: &Interface) -> Option<String> {
    unusable(interface).or_else(|| virtual_kind(interface).map(str::to_owned))
}

/// Why an interface is never used, whatever routes lead over it.
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
