//! The report as text: health and findings first, what is well in as few words as possible.

use std::fmt::{self, Write as _};

use super::{ConnectionReport, MountReport, NidReport, NodeReport, OperationReport, ServerReport};

/// The report as text; ends with a line end.
pub(super) fn render(report: &NodeReport) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &NodeReport) -> fmt::Result {
    writeln!(out, "{}", if report.healthy { "healthy" } else { "NOT healthy" })?;
    list(out, &report.reasons)?;
    let loaded = match report.client.loaded {
        Some(true) => "loaded",
        Some(false) => "not loaded",
        None => "unknown",
    };
    let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".to_owned());
    let (version, health) = (known(&report.client.version), known(&report.client.health));
    writeln!(out, "Lustre client: module {loaded}, version {version}, health {health}")?;
    if let Some(setup) = &report.node_setup {
        let message = if setup.ready { &setup.message } else { "failed, see notes" };
        writeln!(out, "node-setup: {message}, {} ago", age(setup.age_seconds))?;
    }
    match &report.nids {
        None => writeln!(out, "LNet: unknown")?,
        Some(nids) if nids.is_empty() => writeln!(out, "LNet: no address")?,
        Some(nids) => {
            let nid = |nid: &NidReport| match nid.status.as_str() {
                "down" if nid.up => format!("{} up (LNet reports down)", nid.nid),
                status => format!("{} {status}", nid.nid),
            };
            let nids: Vec<String> = nids.iter().map(nid).collect();
            writeln!(out, "LNet: {}", nids.join(", "))?;
        }
    }
    match report.mounts {
        None => writeln!(out, "mounts: unknown")?,
        Some(count) => writeln!(out, "mounts: {count}")?,
    }
    for server in &report.servers {
        write_server(out, server)?;
    }
    match &report.connections {
        None => writeln!(out, "connections: unknown")?,
        Some(connections) => write_connections(out, connections)?,
    }
    match &report.operations {
        None => writeln!(out, "operations in progress: unknown")?,
        Some(operations) => write_operations(out, operations)?,
    }
    if !report.blocked_threads.is_empty() {
        writeln!(out, "blocked threads: {}", report.blocked_threads.len())?;
        list(out, &report.blocked_threads)?;
    }
    if !report.notes.is_empty() {
        writeln!(out, "notes:")?;
        list(out, &report.notes)?;
    }
    Ok(())
}

fn list(out: &mut String, items: &[String]) -> fmt::Result {
    items.iter().try_for_each(|item| writeln!(out, "  - {item}"))
}

fn write_server(out: &mut String, server: &ServerReport) -> fmt::Result {
    let reachable = match server.reachable {
        Some(true) => "reachable",
        Some(false) => "NOT reachable",
        None => "not known to be reachable",
    };
    writeln!(out, "MGS {}: {reachable}, {} mounts", server.mgs, server.mounts.len())?;
    server.mounts.iter().try_for_each(|mount| write_mount(out, mount))
}

fn write_mount(out: &mut String, mount: &MountReport) -> fmt::Result {
    write!(out, "  {}", mount.path)?;
    write!(out, "\n    {} {}", mount.source, if mount.read_only { "ro" } else { "rw" })?;
    if let Some((volume, pod)) = mount.volume.as_ref().zip(mount.pod_uid.as_ref()) {
        write!(out, ", volume {volume}, pod {pod}")?;
    }
    if let Some(id) = &mount.volume_id {
        write!(out, ", id {id}")?;
    }
    if let Some(seconds) = mount.age_seconds {
        write!(out, ", for {}", age(seconds))?;
    }
    writeln!(out)
}

/// Those that are well are only counted.
fn write_connections(out: &mut String, connections: &[ConnectionReport]) -> fmt::Result {
    let well = connections.iter().filter(|connection| connection.well == Some(true)).count();
    writeln!(out, "connections: {well} of {} well", connections.len())?;
    for connection in connections.iter().filter(|connection| connection.well != Some(true)) {
        writeln!(out, "  {} {}", connection.device, connection.state.as_deref().unwrap_or("unknown"))?;
    }
    Ok(())
}

fn write_operations(out: &mut String, operations: &[OperationReport]) -> fmt::Result {
    writeln!(out, "operations in progress: {}", operations.len())?;
    for operation in operations {
        write!(out, "  - {} of {}", operation.kind, operation.subject)?;
        if let Some(id) = &operation.volume_id {
            write!(out, ", id {id}")?;
        }
        if let Some(mgs) = &operation.mgs {
            write!(out, ", MGS {mgs}")?;
        }
        let overdue = if operation.overdue { ", past its limit" } else { "" };
        writeln!(out, ", for {}{overdue}", age(operation.age_seconds))?;
    }
    Ok(())
}

/// Seconds in the two largest units that say something: `45s`, `3m10s`, `2h5m`, `12d3h`.
pub(super) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}
