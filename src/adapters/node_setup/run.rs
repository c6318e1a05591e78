//! One run of node-setup: prepare, execute the plan, configure LNet.

use super::error::SetupError;
use super::host_state::HostState;
use super::lnet_config::{self, is_ni_of};
use super::lock;
use super::modules::LoadedModules;
use super::prepare::Prepared;
use super::setup::{NodeSetup, Ready};

impl NodeSetup<'_> {
    /// Makes the node ready.
    pub fn run(&self) -> Result<Ready, SetupError> {
        // Without the lock nothing may be changed, but a node that is ready stays so.
        let lock = lock::acquire(self.host, || {
            self.console.progress("another node-setup works on this node: waiting for its end");
        });
        let mut prepared = self.prepare(true)?;
        let mut warnings = std::mem::take(&mut prepared.warnings);
        let Prepared { host, plan, .. } = &prepared;
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
        let nids = self.configured_nids(&prepared, &mut warnings)?;
        let client = LoadedModules::read(self.host).client_version().cloned();
        if lock.is_ok() && changes {
            self.packages.prune(&kernel, client.as_ref());
        }
        warnings.extend(lock.err().map(|error| format!("{error}. {}", error.hint)));
        Ok(Ready { kernel, client, nids, warnings, without_client: false })
    }

    /// Gives LNet its interfaces; returns the NIDs. LNet of a node where nothing was done is left alone if it has all.
    fn configured_nids(&self, prepared: &Prepared, warnings: &mut Vec<String>) -> Result<Vec<String>, SetupError> {
        let Prepared { host, interfaces, plan, .. } = prepared;
        let Some(mut nis) = self.local_nis(warnings)? else { return Ok(Vec::new()) };
        let unchanged = plan.actions.is_empty();
        // A fetch takes minutes, in which a mount may have begun.
        let blocker = if unchanged { host.mount_blocker() } else { HostState::read(self.host)?.mount_blocker() };
        let mounted = blocker.is_some();
        let (steps, notes) = lnet_config::steps(interfaces, &nis, mounted);
        let has_all = || interfaces.iter().all(|one| nis.iter().any(|ni| is_ni_of(one, ni, interfaces)));
        if unchanged && steps.is_empty() && has_all() {
            warnings.extend(notes);
        } else {
            self.configure_lnet(interfaces, mounted, warnings)?;
            nis = self.local_nis(warnings)?.unwrap_or_default();
        }
        Ok(nis.iter().map(|ni| ni.nid.to_string()).collect())
    }
}
