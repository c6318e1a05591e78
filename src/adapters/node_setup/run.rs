//! One run of node-setup: prepare, execute the plan, configure LNet.

use super::error::SetupError;
use super::host_state::HostState;
use super::lock;
use super::modules::LoadedModules;
use super::prepare::Prepared;
use super::setup::{NodeSetup, Ready};

impl NodeSetup<'_> {
    /// Makes the node ready. LNet of a node where nothing is done is left alone if it has all interfaces.
    pub fn run(&self) -> Result<Ready, SetupError> {
        // Without the lock nothing may be changed, but a node that is ready stays so.
        let lock = lock::acquire(self.host, || {
            self.console.progress("another node-setup works on this node: waiting for its end");
        });
        let (prepared, mut warnings) = self.prepare(true)?;
        let Prepared { host, interfaces, plan, .. } = &prepared;
        let kernel = host.kernel.clone();
        if plan.without_client {
            return Ok(Ready { kernel, warnings, without_client: true, ..Ready::default() });
        }
        let changes = !plan.actions.is_empty();
        if changes {
            lock.as_ref().map_err(Clone::clone)?;
            self.execute(&prepared, &mut warnings)?;
        }
        warnings.extend(self.settings.parameters.not_in_effect(self.host));
        // A fetch takes minutes, in which a mount may have begun.
        let blocker = if changes { HostState::read(self.host)?.mount_blocker() } else { host.mount_blocker() };
        let local = self.configure_lnet(interfaces, blocker.is_some(), changes, &mut warnings)?;
        let client = LoadedModules::read(self.host).client_version().cloned();
        if lock.is_ok() && changes {
            self.packages.prune(&kernel, client.as_ref());
        }
        warnings.extend(lock.err().map(|error| format!("{error}. {}", error.hint)));
        let nids = local.iter().map(|ni| ni.nid.to_string()).collect();
        Ok(Ready { kernel, client, nids, warnings, without_client: false })
    }
}
