//! Execution of a module plan: fetch, unload and load, with the fallback of each failure.

use super::error::{SetupError, SetupExit};
use super::host_state::host_has_client;
use super::load::ModuleLoader;
use super::modules::{LOAD_ORDER, LoadedModules, REMOVAL_ORDER};
use super::plan::{Action, DesiredClient, FetchFallback, ModulePlan, ModuleSource, plan};
use super::ports::RetryPolicy;
use super::prepare::Prepared;
use super::setup::NodeSetup;

/// One execution.
struct Execution<'a> {
    setup: &'a NodeSetup<'a>,
    prepared: &'a Prepared,
    loader: ModuleLoader<'a>,
    warnings: &'a mut Vec<String>,
}

/// What was unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unloaded {
    /// All modules.
    All,
    /// Not LNet, which was loaded without Lustre and which the kernel refused to remove: it is configured by ioctl.
    AllButLnet,
}

impl NodeSetup<'_> {
    /// Executes the prepared plan.
    pub(super) fn execute(&self, prepared: &Prepared, warnings: &mut Vec<String>) -> Result<(), SetupError> {
        let loader = self.loader(&prepared.host, &prepared.networks);
        Execution { setup: self, prepared, loader, warnings }.run(&prepared.plan)
    }
}

impl Execution<'_> {
    fn run(&mut self, plan: &ModulePlan) -> Result<(), SetupError> {
        let (console, packages, host) = (self.setup.console, self.setup.packages, &self.prepared.host);
        let mut unloaded = None;
        for action in &plan.actions {
            match action {
                Action::Fetch(version, fallback) => {
                    console.progress(&format!("fetching client {version} for kernel {}", host.kernel));
                    let needed = *fallback == FetchFallback::Fail;
                    let retry = if needed { RetryPolicy::WithBackoff } else { RetryPolicy::Once };
                    match packages.ensure(host, version, retry) {
                        Err(error) if error.exit == SetupExit::TryAgain => return self.fall_back(error, *fallback),
                        result => result?,
                    }
                }
                Action::Prefetch(version) => {
                    if let Err(error) = packages.ensure(host, version, RetryPolicy::Once) {
                        self.warn(&error, "the next boot tries again");
                    }
                }
                Action::Unload(reason) => {
                    console.progress(&format!("removing the loaded modules: {reason}"));
                    let Some(removed) = self.unload()? else { return Ok(()) };
                    unloaded = Some(removed);
                }
                Action::Load(source, modules) => self.load_or_restore(source, modules, unloaded)?,
            }
        }
        Ok(())
    }

    fn warn(&mut self, error: &SetupError, consequence: &str) {
        self.warnings.push(format!("{error}; {consequence}. {}", error.hint));
    }

    /// Continues without a package that is not available for now.
    fn fall_back(&mut self, error: SetupError, fallback: FetchFallback) -> Result<(), SetupError> {
        match fallback {
            FetchFallback::Fail => Err(error),
            FetchFallback::KeepLoaded => {
                // A run that died may have left it half removed.
                if self.load_previous().is_err() {
                    return Err(error);
                }
                self.warn(&error, "the loaded client stays");
                Ok(())
            }
            FetchFallback::UsePresent => {
                self.warn(&error, "the client that is on the node is loaded");
                let desired = DesiredClient { install: false, ..self.prepared.desired.clone() };
                let present = plan(&self.prepared.host, &desired, self.loader.networks)?;
                self.run(&present)
            }
        }
    }

    /// Loads modules. Where that fails after a client was removed, that client is loaded again.
    fn load_or_restore(
        &mut self,
        source: &ModuleSource,
        modules: &[&'static str],
        unloaded: Option<Unloaded>,
    ) -> Result<(), SetupError> {
        self.setup.console.progress(&format!("loading {}", self.loader.describe(modules)));
        let Err(error) = self.load(source, modules, unloaded) else { return Ok(()) };
        if unloaded != Some(Unloaded::All) || !self.prepared.host.modules.has("lustre") {
            return Err(error);
        }
        drop(self.remove_modules());
        if self.load_previous().is_err() {
            return Err(error);
        }
        self.warn(&error, "the client that was loaded before is loaded again");
        Ok(())
    }

    fn load(
        &mut self,
        source: &ModuleSource,
        modules: &[&'static str],
        unloaded: Option<Unloaded>,
    ) -> Result<(), SetupError> {
        if unloaded == Some(Unloaded::AllButLnet) {
            // Its parameter `networks` is not read again, so LNet gets its interfaces before `lustre` starts it.
            self.loader.load(source, &["lnet", "ksocklnd"])?;
            self.setup.configure_lnet(&self.prepared.interfaces, false, true, self.warnings)?;
        }
        self.loader.load(source, modules)?;
        let ModuleSource::Unpacked(version) = source else { return Ok(()) };
        match LoadedModules::read(self.setup.host).client_version() {
            Some(other) if other != version => Err(SetupError::needs_human(
                format!("cannot load client {version}"),
                format!("modprobe succeeded, yet client {other} is loaded"),
                "Drain the node and reboot it.",
            )),
            _ => Ok(()),
        }
    }

    /// Removes all modules; `None` if the kernel refused and the loaded client is complete again.
    fn unload(&mut self) -> Result<Option<Unloaded>, SetupError> {
        let Err(refused) = self.remove_modules() else { return Ok(Some(Unloaded::All)) };
        let loaded = &self.prepared.host.modules;
        if !loaded.has("lustre") {
            self.warnings.push(format!("{refused}: LNet stays loaded and is configured by ioctl"));
            return Ok(Some(Unloaded::AllButLnet));
        }
        let client = loaded.client_version().map(ToString::to_string).unwrap_or_default();
        self.load_previous().map_err(|error| {
            SetupError::needs_human(
                format!("cannot replace client {client}"),
                format!("{refused}, and it cannot be loaded again: {error}"),
                "Reboot the node.",
            )
        })?;
        self.warnings.push(format!("{refused}: client {client} stays until the node is rebooted or drained"));
        Ok(None)
    }

    /// UNCONFIGURE gives LNet's own reference back even where it answers that others use LNet.
    fn remove_modules(&self) -> Result<(), String> {
        drop(self.setup.lnet.unconfigure());
        let loaded = LoadedModules::read(self.setup.host);
        REMOVAL_ORDER.into_iter().filter(|name| loaded.has(name)).try_for_each(|name| {
            let removed = self.setup.remover.remove(name);
            removed.map_err(|why| format!("module {name} cannot be removed ({why})"))
        })
    }

    /// Loads what is missing of the client that was loaded before this run.
    fn load_previous(&self) -> Result<(), SetupError> {
        let missing = LoadedModules::read(self.setup.host).missing();
        if missing.is_empty() {
            return Ok(());
        }
        let host = &self.prepared.host;
        let unpacked = host.modules.client_version().filter(|previous| host.unpacked.contains(previous));
        let of_host = || host_has_client(self.setup.host, &host.kernel).then_some(ModuleSource::Host);
        let source = unpacked.cloned().map(ModuleSource::Unpacked).or_else(of_host).ok_or_else(|| {
            let what = format!("cannot load {}", LOAD_ORDER.join(", "));
            SetupError::needs_human(what, "its files are no longer on the node", "Reboot the node.")
        })?;
        self.loader.load(&source, &missing)
    }
}
