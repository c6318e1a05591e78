//! Display of the report of `doctor node`: health and reasons first, then the state in short, notes last.

use std::fmt::{Display, Formatter, Result};

use super::report::{ConnectionReport, MountReport, NidReport, NodeReport, OperationReport, ServerReport};

impl Display for NodeReport {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "{}", if self.healthy { "healthy" } else { "NOT healthy" })?;
        write_list(out, &self.reasons)?;
        write_client(out, self)?;
        writeln!(out, "mounts: {}", self.mounts.map_or("unknown".to_owned(), |count| count.to_string()))?;
        self.servers.iter().try_for_each(|server| write_server(out, server))?;
        match &self.connections {
            None => writeln!(out, "connections: unknown")?,
            Some(connections) => write_connections(out, connections)?,
        }
        match &self.operations {
            None => writeln!(out, "operations in progress: unknown")?,
            Some(operations) => write_operations(out, operations)?,
        }
        if !self.blocked_threads.is_empty() {
            writeln!(out, "blocked threads: {}", self.blocked_threads.len())?;
            write_list(out, &self.blocked_threads)?;
        }
        if !self.notes.is_empty() {
            writeln!(out, "notes:")?;
            write_list(out, &self.notes)?;
        }
        Ok(())
    }
}

/// Module, node-setup and LNet.
fn write_client(out: &mut Formatter<'_>, report: &NodeReport) -> Result {
    let loaded = match report.client.loaded {
        Some(true) => "loaded",
        Some(false) => "not loaded",
        None => "unknown",
    };
    let version = report.client.version.as_deref().unwrap_or("unknown");
    let health = report.client.health.as_deref().unwrap_or("unknown");
    writeln!(out, "Lustre client: module {loaded}, version {version}, health {health}")?;
    if let Some(setup) = &report.node_setup {
        let message = if setup.ready { &setup.message } else { "failed, see notes" };
        writeln!(out, "node-setup: {message}, {} ago", age(setup.age_seconds))?;
    }
    match &report.nids {
        None => writeln!(out, "LNet: unknown"),
        Some(nids) if nids.is_empty() => writeln!(out, "LNet: no address"),
        Some(nids) => {
            let nid = |nid: &NidReport| match nid.status.as_str() {
                "down" if nid.up => format!("{} up (LNet reports down)", nid.nid),
                status => format!("{} {status}", nid.nid),
            };
            let nids: Vec<String> = nids.iter().map(nid).collect();
            writeln!(out, "LNet: {}", nids.join(", "))
        }
    }
}

fn write_list(out: &mut Formatter<'_>, items: &[String]) -> Result {
    items.iter().try_for_each(|item| writeln!(out, "  - {item}"))
}

fn write_server(out: &mut Formatter<'_>, server: &ServerReport) -> Result {
    let reachable = match server.reachable {
        Some(true) => "reachable",
        Some(false) => "NOT reachable",
        None => "not known to be reachable",
    };
    writeln!(out, "MGS {}: {reachable}, {} mounts", server.mgs, server.mounts.len())?;
    server.mounts.iter().try_for_each(|mount| write_mount(out, mount))
}

fn write_mount(out: &mut Formatter<'_>, mount: &MountReport) -> Result {
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

/// Connections that are `FULL` or `IDLE` are only counted.
fn write_connections(out: &mut Formatter<'_>, connections: &[ConnectionReport]) -> Result {
    let well = connections.iter().filter(|connection| connection.well == Some(true)).count();
    writeln!(out, "connections: {well} of {} well", connections.len())?;
    for connection in connections.iter().filter(|connection| connection.well != Some(true)) {
        writeln!(out, "  {} {}", connection.device, connection.state.as_deref().unwrap_or("unknown"))?;
    }
    Ok(())
}

fn write_operations(out: &mut Formatter<'_>, operations: &[OperationReport]) -> Result {
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

/// A duration in its two largest units: `45s`, `3m10s`, `2h5m`, `12d3h`.
pub(super) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}
