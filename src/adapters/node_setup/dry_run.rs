//! Dry run of node-setup: the steps of a run, which changes nothing and does not wait.

use super::error::SetupError;
use super::lnet_config::{self, LnetStep};
use super::modules::REMOVAL_ORDER;
use super::plan::Action;
use super::ports::PlannedStep;
use super::prepare::Prepared;
use super::setup::NodeSetup;
use crate::adapters::host_network::Interface;
use crate::adapters::lnet::{Ipv4Nid, LocalNi};

impl NodeSetup<'_> {
    /// The steps that [`Self::run`] would take, and its warnings.
    pub fn dry_run(&self) -> Result<(Vec<PlannedStep>, Vec<String>), SetupError> {
        let (prepared, mut warnings) = self.prepare(false)?;
        let Prepared { host, interfaces, nis, plan, .. } = &prepared;
        let mut steps: Vec<_> = plan.actions.iter().flat_map(|action| self.planned(&prepared, action)).collect();
        if let Some(nis) = nis.as_ref().filter(|_| !plan.without_client) {
            let loads = plan.actions.iter().any(|action| matches!(action, Action::Load(..)));
            let made_by_load = if loads && nis.is_empty() { ni_of_load(interfaces) } else { None };
            let nis: Vec<_> = nis.iter().cloned().chain(made_by_load).collect();
            let (lnet_steps, notes) = lnet_config::steps(interfaces, &nis, host.mount_blocker().is_some());
            steps.extend(lnet_steps.iter().map(LnetStep::planned));
            warnings.extend(notes);
        }
        Ok((steps, warnings))
    }

    fn planned(&self, prepared: &Prepared, action: &Action) -> Vec<PlannedStep> {
        let host = &prepared.host;
        match action {
            Action::Fetch(version, _) | Action::Prefetch(version) => self.packages.planned(host, version),
            Action::Unload(reason) => {
                let names: Vec<_> = REMOVAL_ORDER.into_iter().filter(|name| host.modules.has(name)).collect();
                let command = format!("delete_module(O_NONBLOCK) of {}", names.join(" "));
                vec![PlannedStep::new("remove the modules that are loaded", command, reason.clone())]
            }
            Action::Load(source, modules) => {
                self.loader(host, &prepared.networks).planned(source, modules, "it is not loaded")
            }
        }
    }
}

/// The NI that loading the modules makes, if its address is known.
fn ni_of_load(interfaces: &[Interface]) -> Option<LocalNi> {
    let first = interfaces.first()?;
    let address = first.addresses.as_ref()?.first()?;
    Some(LocalNi { nid: Ipv4Nid::tcp(*address), interface: Some(first.name.clone()), up: Some(true) })
}
