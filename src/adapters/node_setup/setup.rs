//! Setup of a node: its settings, its ports, and the result of a run that ends ready.

use std::fmt;

use super::error::SetupError;
use super::host_state::HostState;
use super::interfaces::InterfaceRule;
use super::layout::HostRoot;
use super::lnet_config;
use super::load::{ModuleLoader, ModuleParameters};
use super::plan::ReplaceClient;
use super::ports::{Packages, ProgressLog, Timer};
use super::remove::ModuleRemover;
use super::tools::HostTools;
use super::version::{ClientVersion, ClientVersions};
use crate::adapters::host_network::Interface;
use crate::adapters::lnet::{Lnet, LocalNi};

/// Settings of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupSettings {
    /// `client-version`.
    pub versions: ClientVersions,
    /// `install-lustre-client`: whether packages may be fetched.
    pub install: bool,
    /// `replace-client`.
    pub replace: ReplaceClient,
    /// `lnet-interfaces`.
    pub interfaces: InterfaceRule,
    /// `ptlrpcd-per-cpt-max` and `ksocklnd-credits`.
    pub parameters: ModuleParameters,
}

/// One node with the settings and ports of a run.
#[derive(Debug, Clone, Copy)]
pub struct NodeSetup<'a> {
    /// Root of the host.
    pub host: &'a HostRoot,
    /// Its programs.
    pub tools: &'a dyn HostTools,
    /// Its LNet.
    pub lnet: &'a dyn Lnet,
    /// Removes its modules.
    pub remover: &'a dyn ModuleRemover,
    /// The client's packages.
    pub packages: &'a dyn Packages,
    /// Reports progress.
    pub console: &'a dyn ProgressLog,
    /// Waits for interfaces.
    pub timer: &'a dyn Timer,
    /// Settings.
    pub settings: &'a SetupSettings,
}

/// A node that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ready {
    /// The running kernel's release.
    pub kernel: String,
    /// The loaded client; `None` where none is loaded or its version cannot be read.
    pub client: Option<ClientVersion>,
    /// The node's own NIDs.
    pub nids: Vec<String>,
    /// What is other than the settings ask for.
    pub warnings: Vec<String>,
    /// Whether the node has no client because none is to be installed.
    pub without_client: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = &self.kernel;
        if self.without_client {
            return write!(f, "done: no Lustre client is on this node and none is to be installed (kernel {kernel})");
        }
        let client = self.client.as_ref().map_or_else(|| "of unknown version".to_owned(), ToString::to_string);
        let nids = if self.nids.is_empty() { "no NID".to_owned() } else { self.nids.join(", ") };
        write!(f, "ready: Lustre client {client}, kernel {kernel}, LNet {nids}")
    }
}

impl NodeSetup<'_> {
    /// The loader of modules for this host.
    pub(super) fn loader<'b>(&'b self, host: &'b HostState, networks: &'b str) -> ModuleLoader<'b> {
        let parameters = self.settings.parameters;
        ModuleLoader { tools: self.tools, host: self.host, kernel: &host.kernel, networks, parameters }
    }

    /// The NIs of LNet; `None` where they are not known, which is an error but for a directory in the place of a host.
    pub(super) fn local_nis(&self, warnings: &mut Vec<String>) -> Result<Option<Vec<LocalNi>>, SetupError> {
        match lnet_config::local_nis(self.lnet) {
            Err(error) if !self.host.chroot => {
                let warning = format!("the NIDs of LNet are not known, and it is not configured: {}", error.why);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
                Ok(None)
            }
            nis => nis.map(Some),
        }
    }

    /// Gives LNet these interfaces ([`lnet_config::apply`]) and returns its NIs; none where they are not known.
    pub(super) fn configure_lnet(
        &self,
        interfaces: &[Interface],
        mounted: bool,
        verify: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<LocalNi>, SetupError> {
        if self.local_nis(warnings)?.is_none() {
            return Ok(Vec::new());
        }
        let (nis, more) = lnet_config::apply(self.lnet, interfaces, mounted, verify)?;
        warnings.extend(more);
        Ok(nis)
    }
}
