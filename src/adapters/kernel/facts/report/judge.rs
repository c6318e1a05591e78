//! What is wrong with a node's servers and connections, and what is only worth knowing.

use super::{AddressReport, ServerReport};
use crate::adapters::kernel::facts::imports::{Import, ImportState};
use crate::adapters::kernel::facts::read::{Fact, one_line};

/// Lost connections that are named; the rest is counted.
const NAMED: usize = 8;

/// Servers that cannot be reached are reasons; those that can in part, or were not tried, are notes.
pub(super) fn servers(servers: &[ServerReport], port: u16, reasons: &mut Vec<String>, notes: &mut Vec<String>) {
    for server in servers {
        let failed = |address: &&AddressReport| address.reachable != Some(true);
        let told = server
            .addresses
            .iter()
            .filter(failed)
            .filter_map(|address| Some(format!("{}: {}", address.nid, address.detail.as_deref()?)));
        let told = told.collect::<Vec<_>>().join("; ");
        match server.reachable {
            Some(true) if told.is_empty() => {}
            Some(true) => notes.push(format!("MGS {} can be reached, but not everywhere: {told}", server.mgs)),
            Some(false) => reasons.push(format!(
                "MGS {} cannot be reached at TCP port {port} ({told}): check the file system's state, VNet peering, \
                 routes, and the network security groups of both subnets (ports 988 and 1019-1023)",
                server.mgs
            )),
            None if server.addresses.is_empty() => {
                notes.push(format!("{} is no source that names an MGS; nothing was tried", server.mgs));
            }
            None => notes.push(format!("whether MGS {} can be reached is unknown: {told}", server.mgs)),
        }
    }
}

/// Connections that are lost are one reason, whatever their number; those that cannot be read are one note.
pub(super) fn connections(
    imports: &Fact<Vec<Import>>,
    servers: &[ServerReport],
    reasons: &mut Vec<String>,
    notes: &mut Vec<String>,
) {
    let imports = match imports {
        Fact::Known(imports) => imports,
        Fact::Unknown(why) => {
            notes.push(format!("the connections to servers are unknown: {why}"));
            return;
        }
    };
    if imports.is_empty() && servers.iter().any(|server| !server.mounts.is_empty()) {
        notes.push("Lustre is mounted, but no connection can be seen: give the container the node's /sys".to_owned());
    }
    let mut unknown = imports.iter().filter_map(|import| match &import.state {
        ImportState::Unknown(why) => Some(format!("{}: {why}", one_line(&import.device.name))),
        _ => None,
    });
    if let Some(first) = unknown.next() {
        notes.push(format!("the state of {} connections is unknown, the first: {first}", unknown.count() + 1));
    }
    let lost = imports.iter().filter_map(|import| match &import.state {
        ImportState::Lost(state) => Some(format!("{} is {state}", one_line(&import.device.name))),
        _ => None,
    });
    let lost: Vec<String> = lost.collect();
    if !lost.is_empty() {
        let shown = lost.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if lost.len() > NAMED { format!(" and {} more", lost.len() - NAMED) } else { String::new() };
        reasons.push(format!(
            "connections to servers are not in use ({shown}{more}): the servers are gone, recovering, or cut off by the \
             network; a mount that was forced off stays so until it is unmounted"
        ));
    }
}
