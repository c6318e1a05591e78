//! Preparation of a run, which changes nothing: state of the host, NIs of LNet, selection of interfaces, and the plan.

use std::time::Duration;

use super::error::SetupError;
use super::host_state::HostState;
use super::interfaces::{self, Selection};
use super::plan::{DesiredClient, ModulePlan, ReplaceClient, plan};
use super::setup::NodeSetup;
use crate::adapters::host_network::{HostNetwork, Interface};
use crate::adapters::lnet::LocalNi;

/// How often an interface that is not up yet is observed again, once a second.
const INTERFACE_POLLS: usize = 30;

/// What a run needs to know before it changes anything.
pub(super) struct Prepared {
    pub(super) host: HostState,
    pub(super) desired: DesiredClient,
    /// The interfaces of LNet; empty where LNet stays as it is.
    pub(super) interfaces: Vec<Interface>,
    /// The value of lnet's parameter `networks`; empty where no interface is known.
    pub(super) networks: String,
    /// `None` where they are not known.
    pub(super) nis: Option<Vec<LocalNi>>,
    pub(super) plan: ModulePlan,
}

impl NodeSetup<'_> {
    /// Prepares a run; returns warnings too. With `wait` it waits for the interface of the default route unless the loaded
    /// client has NIs.
    pub(super) fn prepare(&self, wait: bool) -> Result<(Prepared, Vec<String>), SetupError> {
        let mut host = HostState::read(self.host)?;
        let mut desired = DesiredClient {
            version: self.settings.versions.for_os(host.os.as_ref().ok().copied()),
            install: self.settings.install,
            replace: self.settings.replace,
        };
        if !host.modules.missing().is_empty() || host.modules.client_version() != desired.version.as_ref() {
            // Reads all files, which a ready node does not need.
            let HostState { kernel, unpacked, .. } = &mut host;
            unpacked.retain(|version| self.packages.is_complete(kernel, version));
        }
        let mut warnings = host.warnings.clone();
        let nis = if host.modules.has("lnet") { self.local_nis(&mut warnings)? } else { Some(Vec::new()) };
        // Whether there is a client to load does not depend on interfaces.
        let without_client = plan(&host, &desired, "")?.without_client;
        let serves = host.modules.has("lustre") && nis.as_ref().is_none_or(|nis| !nis.is_empty());
        let selection = if without_client { Ok(Selection::default()) } else { self.select_interfaces(wait && !serves) };
        let Selection { interfaces, notes } = match selection {
            Err(error) if serves => {
                // A client that is reloaded without an interface takes any that is up.
                desired.replace = ReplaceClient::Never;
                let note = format!("{error}: LNet stays as it is, and so does the loaded client. {}", error.hint);
                Selection { interfaces: Vec::new(), notes: vec![note] }
            }
            selection => selection?,
        };
        warnings.extend(notes);
        let networks = networks(&interfaces);
        let plan = plan(&host, &desired, &networks)?;
        warnings.extend(plan.notes.iter().cloned());
        Ok((Prepared { host, desired, interfaces, networks, nis, plan }, warnings))
    }

    /// The interfaces of LNet; with `wait`, polls until the one of the default route is up.
    fn select_interfaces(&self, wait: bool) -> Result<Selection, SetupError> {
        let polls = if wait { INTERFACE_POLLS } else { 0 };
        let select = || interfaces::select(&HostNetwork::read(&self.host.dir), &self.settings.interfaces);
        let mut selection = select();
        for poll in 0..polls {
            let Some(error) = selection.as_ref().err().filter(|error| error.transient) else { break };
            if poll == 0 {
                self.console.progress(&format!("{error}: waiting for it"));
            }
            self.timer.sleep(Duration::from_secs(1));
            selection = select();
        }
        selection
    }
}

/// The first interface alone, since one bad interface fails all; the others are added by ioctl.
fn networks(interfaces: &[Interface]) -> String {
    interfaces.first().map(|first| format!("tcp({})", first.name)).unwrap_or_default()
}
