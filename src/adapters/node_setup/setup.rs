//! One run of node-setup: facts, plan, actions, and the facts again.

use std::fmt::{self, Debug};
use std::time::Duration;

use super::act::Act;
use super::error::SetupError;
use super::host_state::HostState;
use super::interfaces::{self, Choice, Chosen, InterfaceRule};
use super::layout::HostRoot;
use super::load::{Loader, Parameters};
use super::lock::Lock;
use super::modules::LoadedModules;
use super::network;
use super::plan::{self, Action, Plan, Replace, Wanted};
use super::ports::{Packages, PlannedStep, ProgressLog, Timer};
use super::remove::RemoveModule;
use super::tools::HostTools;
use super::version::{ClientVersion, ClientVersions};
use crate::adapters::lnet::{Lnet, LocalNi, Nid};

/// How often an interface that is not up yet is observed again, once a second.
const INTERFACE_TRIES: usize = 30;

/// What a run needs.
#[derive(Debug, Clone, Copy)]
pub struct NodeSetup<'a> {
    /// Root of the host.
    pub host: &'a HostRoot,
    /// Its programs.
    pub tools: &'a dyn HostTools,
    /// Its LNet.
    pub lnet: &'a dyn Lnet,
    /// Removes its modules.
    pub remover: &'a dyn RemoveModule,
    /// The client's packages.
    pub packages: &'a dyn Packages,
    /// Reports progress.
    pub console: &'a dyn ProgressLog,
    /// Waits for interfaces.
    pub timer: &'a dyn Timer,
    /// Versions of the client.
    pub versions: &'a ClientVersions,
    /// Whether packages may be fetched.
    pub install: bool,
    /// What is done about a loaded client of another version.
    pub replace: Replace,
    /// Which interfaces LNet uses.
    pub interfaces: &'a InterfaceRule,
    /// Parameters of modules.
    pub parameters: Parameters,
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
    /// What is not as it was asked for.
    pub warnings: Vec<String>,
    /// Whether the node has no client because none is to be installed.
    pub without_client: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.without_client {
            return write!(
                f,
                "done: no Lustre client is on this node and none is to be installed (kernel {})",
                self.kernel
            );
        }
        let client = self.client.as_ref().map_or_else(|| "of unknown version".to_owned(), ToString::to_string);
        let nids = if self.nids.is_empty() { "no NID".to_owned() } else { self.nids.join(", ") };
        write!(f, "ready: Lustre client {client}, kernel {}, LNet {nids}", self.kernel)
    }
}

/// What is known before anything is done.
struct Outlook {
    facts: HostState,
    wanted: Wanted,
    chosen: Vec<Chosen>,
    nis: Option<Vec<LocalNi>>,
    plan: Plan,
    warnings: Vec<String>,
}

impl NodeSetup<'_> {
    /// Makes the node ready.
    pub fn run(&self) -> Result<Ready, SetupError> {
        // Without the lock nothing may be changed, but a node that is ready stays so.
        let lock = Lock::take(self.host, || {
            self.console.progress("another node-setup works on this node: waiting for its end");
        });
        let Outlook { facts, wanted, chosen, plan, mut warnings, .. } = self.outlook(true)?;
        if plan.without_client {
            return Ok(Ready { kernel: facts.kernel, warnings, without_client: true, ..Ready::default() });
        }
        if !plan.actions.is_empty() {
            lock.as_ref().map_err(Clone::clone)?;
            let networks = networks(&chosen);
            let loader = self.loader(&facts, &networks);
            Act { setup: *self, facts: &facts, wanted: &wanted, chosen: &chosen, loader, warnings: &mut warnings }
                .perform(&plan)?;
        }
        warnings.extend(self.parameters.not_in_effect(self.host));
        let nids = self.lnet_ready(&facts, &chosen, !plan.actions.is_empty(), &mut warnings)?;
        let client = LoadedModules::read(self.host).client().cloned();
        if lock.is_ok() && !plan.actions.is_empty() {
            self.packages.prune(&facts.kernel, client.as_ref());
        }
        warnings.extend(lock.err().map(|error| format!("{error}. {}", error.hint)));
        Ok(Ready { kernel: facts.kernel, client, nids, warnings, without_client: false })
    }

    /// The steps that [`Self::run`] would take, and what is to be noted. Changes nothing and does not wait.
    pub fn dry_run(&self) -> Result<(Vec<PlannedStep>, Vec<String>), SetupError> {
        let Outlook { facts, chosen, nis, plan, mut warnings, .. } = self.outlook(false)?;
        let networks = networks(&chosen);
        let loader = self.loader(&facts, &networks);
        let mut steps: Vec<_> = plan.actions.iter().flat_map(|action| self.planned(&facts, &loader, action)).collect();
        if let Some(nis) = nis.filter(|_| !plan.without_client) {
            let loads = plan.actions.iter().any(|action| matches!(action, Action::Load { .. }));
            let nis = if loads && nis.is_empty() { after_load(&chosen) } else { nis };
            let (lnet, notes) = network::steps(&chosen, &nis, facts.mounted().is_some());
            steps.extend(
                lnet.iter().map(|step| PlannedStep::new(step.to_string(), "ioctl on /dev/lnet", step.reason())),
            );
            warnings.extend(notes);
        }
        Ok((steps, warnings))
    }

    fn planned(&self, facts: &HostState, loader: &Loader<'_>, action: &Action) -> Vec<PlannedStep> {
        match action {
            Action::Fetch { version, .. } | Action::Prefetch { version } => self.packages.planned(facts, version),
            Action::Unload { reason } => {
                let names = super::modules::REMOVAL_ORDER.into_iter().filter(|name| facts.modules.has(name));
                let names: Vec<&str> = names.collect();
                let command = format!("delete_module(O_NONBLOCK) of {}", names.join(" "));
                vec![PlannedStep::new("remove the modules that are loaded", command, reason.clone())]
            }
            Action::Load { source, modules } => loader.planned(source, modules, "it is not loaded"),
        }
    }

    fn loader<'b>(&'b self, facts: &'b HostState, networks: &'b str) -> Loader<'b> {
        Loader { tools: self.tools, host: self.host, kernel: &facts.kernel, networks, parameters: self.parameters }
    }

    fn outlook(&self, wait: bool) -> Result<Outlook, SetupError> {
        let mut facts = HostState::read(self.host)?;
        let wanted = Wanted {
            client: self.versions.of(facts.os.as_ref().ok().copied()),
            install: self.install,
            replace: self.replace,
        };
        let settled = facts.modules.missing().is_empty() && facts.modules.client() == wanted.client.as_ref();
        if !settled {
            // Reads all files, which a ready node does not need.
            let kernel = facts.kernel.clone();
            facts.unpacked.retain(|version| self.packages.is_complete(&kernel, version));
        }
        let mut warnings = facts.warnings.clone();
        let nis = if facts.modules.has("lnet") { self.nis(&mut warnings)? } else { Some(Vec::new()) };
        // What does not depend on interfaces comes first: nothing to load, or nothing that could be.
        let without_interface = plan::plan(&facts, &wanted, "")?;
        if without_interface.without_client {
            warnings.extend(without_interface.notes.iter().cloned());
            return Ok(Outlook { facts, wanted, chosen: Vec::new(), nis, plan: without_interface, warnings });
        }
        let serves = facts.modules.has("lustre") && nis.as_ref().is_none_or(|nis| !nis.is_empty());
        let mut wanted = wanted;
        let chosen = match self.choice(wait && !serves) {
            Ok(Choice { chosen, notes }) => {
                warnings.extend(notes);
                chosen
            }
            Err(error) if serves => {
                warnings.push(format!("{error}: LNet stays as it is, and so does the loaded client. {}", error.hint));
                // A client that is loaded anew without an interface takes any that is up.
                wanted.replace = Replace::Never;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let plan = plan::plan(&facts, &wanted, &networks(&chosen))?;
        warnings.extend(plan.notes.iter().cloned());
        Ok(Outlook { facts, wanted, chosen, nis, plan, warnings })
    }

    /// The interfaces of LNet; waits for one that has the default route and is not up yet.
    fn choice(&self, wait: bool) -> Result<Choice, SetupError> {
        let mut tries = if wait { INTERFACE_TRIES } else { 0 };
        loop {
            match interfaces::choose(&network::collect(self.host), self.interfaces) {
                Err(error) if error.transient && tries > 0 => {
                    if tries == INTERFACE_TRIES {
                        self.console.progress(&format!("{error}: waiting for it"));
                    }
                    self.timer.sleep(Duration::from_secs(1));
                    tries -= 1;
                }
                result => return result,
            }
        }
    }

    /// The NIs of LNet; `None` where they are not known, which only a directory in the place of a host may be.
    fn nis(&self, warnings: &mut Vec<String>) -> Result<Option<Vec<LocalNi>>, SetupError> {
        match network::local_nis(self.lnet) {
            Ok(nis) => Ok(Some(nis)),
            Err(error) if !self.host.chroot => {
                let warning = format!("the NIDs of LNet are not known, and it is not configured: {}", error.why);
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives LNet the chosen interfaces, as far as its NIs are known.
    pub(super) fn configure(
        &self,
        chosen: &[Chosen],
        mounted: bool,
        warnings: &mut Vec<String>,
    ) -> Result<(), SetupError> {
        if self.nis(warnings)?.is_some() {
            warnings.extend(network::apply(self.lnet, chosen, mounted)?);
        }
        Ok(())
    }

    /// Gives LNet its interfaces; returns the NIDs. A node where nothing was done and all are there is not asked again.
    fn lnet_ready(
        &self,
        facts: &HostState,
        chosen: &[Chosen],
        changed: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<String>, SetupError> {
        let Some(nis) = self.nis(warnings)? else { return Ok(Vec::new()) };
        // A fetch takes minutes, in which a mount may have begun.
        let mounted = if changed { HostState::read(self.host)?.mounted() } else { facts.mounted() }.is_some();
        let (steps, notes) = network::steps(chosen, &nis, mounted);
        let all_there = chosen.iter().all(|one| nis.iter().any(|ni| one.has(ni, chosen)));
        let nis = if changed || !steps.is_empty() || !all_there {
            self.configure(chosen, mounted, warnings)?;
            self.nis(warnings)?.unwrap_or_default()
        } else {
            warnings.extend(notes);
            nis
        };
        Ok(nis.iter().map(|ni| ni.nid.to_string()).collect())
    }
}

/// The value of lnet's parameter `networks`: the first interface alone, since one bad interface fails all; the others are
/// added by ioctl. Empty where no interface is known.
fn networks(chosen: &[Chosen]) -> String {
    chosen.first().map(|first| format!("tcp({})", first.interface)).unwrap_or_default()
}

/// The NI that loading the modules is going to make.
fn after_load(chosen: &[Chosen]) -> Vec<LocalNi> {
    let first = chosen.first().and_then(|first| Some((first, first.addresses.as_ref()?.first()?)));
    let ni = |(first, address): (&Chosen, &std::net::Ipv4Addr)| LocalNi {
        nid: Nid::tcp(*address),
        interface: Some(first.interface.clone()),
        up: Some(true),
    };
    first.map(ni).into_iter().collect()
}
