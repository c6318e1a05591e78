//! Findings about a node: what is wrong with it and what to do, and what is only worth knowing.

use super::collect::{Collected, DriverStatus, Request};
use super::targets::LeftEntries;
use super::threads::BlockedThread;
use super::{AddressReport, ServerReport, text};
use crate::adapters::kernel::client_state::imports::{Import, ImportState};
use crate::adapters::kernel::client_state::one_line;

/// Members of a list that a finding names; the rest is counted.
const NAMED: usize = 8;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong, each with what to do about it.
    pub(super) reasons: Vec<String>,
    /// What is not wrong but worth knowing.
    pub(super) notes: Vec<String>,
}

/// Everything that is to be said about a node.
pub(super) fn of(observed: &Collected, request: &Request, servers: &[ServerReport]) -> Findings {
    let assessment = observed.state.assess();
    let (mut reasons, mut notes) = (assessment.reasons, assessment.notes);
    reachability(servers, request.attempt.port, &mut reasons, &mut notes);
    connections(&observed.imports, servers, &mut reasons, &mut notes);
    if let Err(why) = &observed.mounts {
        notes.push(format!("the mounts of this node are unknown: {why}"));
    }
    match &request.driver {
        Ok(driver) => reasons.extend(overdue(driver)),
        Err(why) => notes.push(format!("operations in progress are unknown: {}", one_line(why))),
    }
    notes.extend(node_setup(request));
    reasons.extend(blocked(&observed.blocked));
    reasons.extend(observed.faults.iter().map(|fault| one_line(&fault.to_string())));
    reasons.extend(left_entries(&observed.left_entries));
    Findings { reasons, notes }
}

/// The driver's operations that take longer than their limit.
fn overdue(driver: &DriverStatus) -> Option<String> {
    let overdue: Vec<String> = driver
        .operations
        .iter()
        .filter(|operation| operation.overdue)
        .map(|operation| {
            let mgs = operation.mgs.as_ref().map(|mgs| format!(" on MGS {mgs}")).unwrap_or_default();
            let (kind, age) = (operation.kind.name(), text::age(operation.age.as_secs()));
            one_line(&format!("{kind} of {}{mgs} for {age}", operation.subject))
        })
        .collect();
    (!overdue.is_empty()).then(|| {
        format!(
            "{} operations are past their limit ({}): check the state of these servers and the network to them; an \
             operation ends when its servers answer again or the kernel gives up",
            overdue.len(),
            some_of(&overdue)
        )
    })
}

/// A failure or warnings of node-setup. No reasons: the client may be there by other means.
fn node_setup(request: &Request) -> Vec<String> {
    let Some(setup) = &request.node_setup else { return Vec::new() };
    let failed = (!setup.ready).then(|| format!("the last node-setup failed: {}", one_line(&setup.message)));
    failed
        .into_iter()
        .chain(setup.warnings.iter().map(|warning| format!("node-setup: {}", one_line(warning))))
        .collect()
}

fn blocked(threads: &[BlockedThread]) -> Option<String> {
    (!threads.is_empty()).then(|| {
        format!("{} threads of the driver are blocked in the kernel: check the servers of its mounts", threads.len())
    })
}

/// Entries in bare targets.
fn left_entries(left: &[LeftEntries]) -> Option<String> {
    let left: Vec<String> = left.iter().map(|left| one_line(&left.to_string())).collect();
    (!left.is_empty()).then(|| {
        format!(
            "files lie in targets that nothing is mounted on: {}: a pod wrote them while its volume was not mounted; \
             NodeUnpublishVolume removes only an empty directory and fails until they are moved away",
            some_of(&left)
        )
    })
}

/// The first members of a list and how many more there are.
fn some_of(items: &[String]) -> String {
    let shown = items.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Servers that cannot be reached are reasons; those that can in part, or were not tried, are notes.
fn reachability(servers: &[ServerReport], port: u16, reasons: &mut Vec<String>, notes: &mut Vec<String>) {
    for server in servers {
        let failed = |address: &&AddressReport| address.reachable != Some(true);
        let details = server
            .addresses
            .iter()
            .filter(failed)
            .filter_map(|address| Some(format!("{}: {}", address.nid, address.detail.as_deref()?)));
        let details = details.collect::<Vec<_>>().join("; ");
        match server.reachable {
            Some(true) if details.is_empty() => {}
            Some(true) => notes.push(format!("MGS {} can be reached, but not everywhere: {details}", server.mgs)),
            Some(false) => reasons.push(format!(
                "MGS {} cannot be reached at TCP port {port} ({details}): check the file system's state, VNet peering, \
                 routes, and the network security groups of both subnets (ports 988 and 1019-1023)",
                server.mgs
            )),
            None if server.addresses.is_empty() => {
                notes.push(format!("{} is no source that names an MGS; nothing was tried", server.mgs));
            }
            None => notes.push(format!("whether MGS {} can be reached is unknown: {details}", server.mgs)),
        }
    }
}

/// Connections that are not in use are one reason, whatever their number; those that cannot be read are one note.
fn connections(
    imports: &Result<Vec<Import>, String>,
    servers: &[ServerReport],
    reasons: &mut Vec<String>,
    notes: &mut Vec<String>,
) {
    let imports = match imports {
        Ok(imports) => imports,
        Err(why) => {
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
    let lost: Vec<String> = imports
        .iter()
        .filter_map(|import| match &import.state {
            ImportState::Lost(state) | ImportState::Recovering(state) => {
                Some(format!("{} is {state}", one_line(&import.device.name)))
            }
            _ => None,
        })
        .collect();
    if !lost.is_empty() {
        reasons.push(format!(
            "connections to servers are not in use ({}): the servers are gone, recovering, or cut off by the network; one \
             that shows `deactive` was deactivated on this node and stays so until it is unmounted",
            some_of(&lost)
        ));
    }
}
