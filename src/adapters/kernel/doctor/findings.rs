//! Findings about a node: what is wrong with it and what to do, and what is only worth knowing. Pure.

use super::report::{OperationReport, ServerReport, SetupReport};
use super::text;
use super::unmounted_targets::UnmountedTarget;
use crate::adapters::kernel::client_state::imports::{Import, ImportState};
use crate::adapters::kernel::client_state::one_line;
use crate::adapters::kernel::client_state::readiness::Findings;
use crate::adapters::lnet::ACCEPTOR_PORT;

/// Members of a list that a finding names; the rest is counted.
const NAMED: usize = 8;

/// A server that cannot be reached is a reason; one that is reachable in part or not checked is a note.
pub(super) fn about_servers(servers: &[ServerReport], Findings { reasons, notes }: &mut Findings) {
    for ServerReport { mgs, reachable, addresses, .. } in servers {
        let failed = addresses.iter().filter(|address| address.reachable != Some(true));
        let details = failed.filter_map(|address| Some(format!("{}: {}", address.nid, address.detail.as_deref()?)));
        let details = details.collect::<Vec<_>>().join("; ");
        match reachable {
            Some(true) if details.is_empty() => {}
            Some(true) => notes.push(format!("MGS {mgs} can be reached, but not everywhere: {details}")),
            Some(false) => reasons.push(format!(
                "MGS {mgs} cannot be reached at TCP port {ACCEPTOR_PORT} ({details}): check the file system's state, VNet \
                 peering, routes, and the network security groups of both subnets (ports 988 and 1019-1023)"
            )),
            None if addresses.is_empty() => notes.push(format!("{mgs} is not a source with an MGS; nothing was checked")),
            None => notes.push(format!("whether MGS {mgs} can be reached is unknown: {details}")),
        }
    }
}

/// All imports that are not in use are one reason, all that cannot be read one note.
pub(super) fn about_imports(
    imports: &Result<Vec<Import>, String>,
    is_mounted: bool,
    Findings { reasons, notes }: &mut Findings,
) {
    let imports = match imports {
        Ok(imports) => imports,
        Err(why) => return notes.push(format!("the connections to servers are unknown: {why}")),
    };
    if imports.is_empty() && is_mounted {
        notes.push("Lustre is mounted, but no connection can be seen: give the container the node's /sys".to_owned());
    }
    let (mut unknown, mut lost) = (Vec::new(), Vec::new());
    for Import { device, state, .. } in imports {
        let device = one_line(&device.name);
        match state {
            ImportState::Unknown(why) => unknown.push(format!("{device}: {why}")),
            ImportState::Lost(state) | ImportState::Recovering(state) => lost.push(format!("{device} is {state}")),
            ImportState::Full | ImportState::Idle => {}
        }
    }
    if let Some(first) = unknown.first() {
        notes.push(format!("the state of {} connections is unknown, the first: {first}", unknown.len()));
    }
    if !lost.is_empty() {
        reasons.push(format!(
            "connections to servers are not in use ({}): the servers are gone, recovering, or cut off by the network; one \
             that shows `deactive` was deactivated on this node and stays so until it is unmounted",
            first_of(&lost)
        ));
    }
}

/// Operations of the driver that take longer than their limit.
pub(super) fn about_operations(
    operations: &Result<Vec<OperationReport>, &String>,
    Findings { reasons, notes }: &mut Findings,
) {
    let operations = match operations {
        Ok(operations) => operations.iter().filter(|operation| operation.overdue),
        Err(why) => return notes.push(format!("operations in progress are unknown: {}", one_line(why))),
    };
    let overdue: Vec<String> = operations
        .map(|OperationReport { kind, subject, mgs, age_seconds, .. }| {
            let mgs = mgs.as_ref().map(|mgs| format!(" on MGS {mgs}")).unwrap_or_default();
            format!("{kind} of {subject}{mgs} for {}", text::age(*age_seconds))
        })
        .collect();
    if !overdue.is_empty() {
        reasons.push(format!(
            "{} operations are past their limit ({}): check the state of these servers and the network to them; an \
             operation ends when its servers answer again or the kernel stops waiting",
            overdue.len(),
            first_of(&overdue)
        ));
    }
}

/// A failure or warnings of node-setup. No reasons: the client may have been installed by other means.
pub(super) fn about_node_setup(setup: &SetupReport, Findings { notes, .. }: &mut Findings) {
    if !setup.ready {
        notes.push(format!("the last node-setup failed: {}", one_line(&setup.message)));
    }
    notes.extend(setup.warnings.iter().map(|warning| format!("node-setup: {}", one_line(warning))));
}

/// Threads of the driver that are blocked.
pub(super) fn about_blocked_threads(count: usize, Findings { reasons, .. }: &mut Findings) {
    if count > 0 {
        reasons
            .push(format!("{count} threads of the driver are blocked in the kernel: check the servers of its mounts"));
    }
}

/// Files in targets that nothing is mounted on.
pub(super) fn about_unmounted_targets(targets: &[UnmountedTarget], Findings { reasons, .. }: &mut Findings) {
    let targets: Vec<String> = targets.iter().map(|target| one_line(&target.to_string())).collect();
    if !targets.is_empty() {
        reasons.push(format!(
            "files lie in targets that nothing is mounted on: {}: a pod wrote them while its volume was not mounted; \
             NodeUnpublishVolume removes only an empty directory and fails until they are moved away",
            first_of(&targets)
        ));
    }
}

/// The first members of a list and how many more there are.
fn first_of(items: &[String]) -> String {
    let shown = items.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
