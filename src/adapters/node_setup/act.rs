//! The actions of a plan, one after the other, with what is done when the kernel refuses one.

use super::error::{SetupError, SetupExit};
use super::host_state::{HostState, host_modules};
use super::interfaces::Chosen;
use super::load::Loader;
use super::modules::{LOAD_ORDER, LoadedModules, REMOVAL_ORDER};
use super::plan::{Action, Otherwise, Plan, Source, Wanted, plan};
use super::ports::RetryPolicy;
use super::remove::RemoveError;
use super::setup::NodeSetup;

/// A plan that is carried out.
pub(super) struct Act<'a> {
    pub(super) setup: NodeSetup<'a>,
    pub(super) facts: &'a HostState,
    pub(super) wanted: &'a Wanted,
    pub(super) chosen: &'a [Chosen],
    pub(super) loader: Loader<'a>,
    pub(super) warnings: &'a mut Vec<String>,
}

/// What the removal of the modules came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// None is left.
    Done,
    /// LNet stays without Lustre, since the kernel refused: it is configured by ioctl.
    LnetStays,
    /// The client that was loaded stays or is loaded again.
    ClientStays,
}

impl Act<'_> {
    /// Carries out the actions.
    pub(super) fn perform(mut self, plan: &Plan) -> Result<(), SetupError> {
        let mut removal = None;
        for action in &plan.actions {
            match action {
                Action::Fetch { version, otherwise } => {
                    self.setup.console.progress(&format!("fetching client {version} for kernel {}", self.facts.kernel));
                    let needed = *otherwise == Otherwise::Fail;
                    let patience = if needed { RetryPolicy::WithBackoff } else { RetryPolicy::Once };
                    match self.setup.packages.ensure(self.facts, version, patience) {
                        Ok(()) => {}
                        Err(error) if error.exit == SetupExit::TryAgain => {
                            return self.without_package(&error, otherwise);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Action::Prefetch { version } => {
                    if let Err(error) = self.setup.packages.ensure(self.facts, version, RetryPolicy::Once) {
                        self.warn(&error, "the next boot tries again");
                    }
                }
                Action::Unload { reason } => {
                    self.setup.console.progress(&format!("removing the loaded modules: {reason}"));
                    match self.unload()? {
                        Removal::ClientStays => return Ok(()),
                        other => removal = Some(other),
                    }
                }
                Action::Load { source, modules } => self.load(source, modules, removal)?,
            }
        }
        Ok(())
    }

    fn warn(&mut self, error: &SetupError, then: &str) {
        self.warnings.push(format!("{error}; {then}. {}", error.hint));
    }

    /// What is done if a package cannot be had for now.
    fn without_package(mut self, error: &SetupError, otherwise: &Otherwise) -> Result<(), SetupError> {
        match otherwise {
            Otherwise::Fail => Err(error.clone()),
            Otherwise::KeepLoaded => {
                // It may have been half removed by a run that died.
                self.load_old().map_err(|_| error.clone())?;
                self.warn(error, "the loaded client stays");
                Ok(())
            }
            Otherwise::UsePresent => {
                self.warn(error, "the client that is on the node is loaded");
                let wanted = Wanted { install: false, ..self.wanted.clone() };
                let instead = plan(self.facts, &wanted, self.loader.networks)?;
                self.perform(&instead)
            }
        }
    }

    fn load(&mut self, source: &Source, modules: &[&'static str], removal: Option<Removal>) -> Result<(), SetupError> {
        self.setup.console.progress(&format!("loading {}", self.loader.described(modules)));
        let loaded = self.load_and_check(source, modules, removal);
        match loaded {
            Err(error) if removal == Some(Removal::Done) && self.facts.modules.has("lustre") => {
                // The client that was removed served until now.
                drop(self.remove_all());
                if self.load_old().is_err() {
                    return Err(error);
                }
                self.warn(&error, "the client that was loaded before is loaded again");
                Ok(())
            }
            result => result,
        }
    }

    fn load_and_check(
        &mut self,
        source: &Source,
        modules: &[&'static str],
        removal: Option<Removal>,
    ) -> Result<(), SetupError> {
        if removal == Some(Removal::LnetStays) {
            // Its parameter `networks` is not read again, so LNet gets its interfaces before `lustre` starts it.
            self.loader.load(source, &["lnet", "ksocklnd"])?;
            self.setup.configure(self.chosen, false, self.warnings)?;
        }
        self.loader.load(source, modules)?;
        let Source::Private(version) = source else { return Ok(()) };
        match LoadedModules::read(self.setup.host).client() {
            Some(other) if other != version => Err(SetupError::needs_human(
                format!("cannot load client {version}"),
                format!("modprobe succeeded, yet client {other} is loaded"),
                "Drain the node and reboot it.",
            )),
            _ => Ok(()),
        }
    }

    /// Removes all modules, or leaves the node as it was.
    fn unload(&mut self) -> Result<Removal, SetupError> {
        let refused = match self.remove_all() {
            Ok(()) => return Ok(Removal::Done),
            Err(refused) => refused,
        };
        if !self.facts.modules.has("lustre") {
            self.warnings.push(format!("{refused}: LNet stays loaded and is configured by ioctl"));
            return Ok(Removal::LnetStays);
        }
        let client = self.facts.modules.client().map(ToString::to_string).unwrap_or_default();
        match self.load_old() {
            Ok(()) => {
                self.warnings.push(format!("{refused}: client {client} stays until the node is rebooted or drained"));
                Ok(Removal::ClientStays)
            }
            Err(error) => Err(SetupError::needs_human(
                format!("cannot replace client {client}"),
                format!("{refused}, and it cannot be loaded again: {error}"),
                "Reboot the node.",
            )),
        }
    }

    /// UNCONFIGURE gives LNet's own reference back even where it answers that others use LNet.
    fn remove_all(&self) -> Result<(), String> {
        drop(self.setup.lnet.unconfigure());
        let loaded = LoadedModules::read(self.setup.host);
        let names = REMOVAL_ORDER.into_iter().filter(|name| loaded.has(name));
        names.into_iter().try_for_each(|name| match self.setup.remover.remove(name) {
            Ok(()) | Err(RemoveError::NotLoaded) => Ok(()),
            Err(RemoveError::Refused(why)) => Err(format!("module {name} cannot be removed ({why})")),
        })
    }

    /// Loads the files of the client that was loaded before.
    fn load_old(&self) -> Result<(), SetupError> {
        let missing = LoadedModules::read(self.setup.host).missing();
        if missing.is_empty() {
            return Ok(());
        }
        let unpacked = self.facts.modules.client().filter(|old| self.facts.unpacked.contains(old));
        let source = unpacked.cloned().map(Source::Private);
        let host = || host_modules(self.setup.host, &self.facts.kernel).then_some(Source::Host);
        let source = source.or_else(host).ok_or_else(|| {
            let what = format!("cannot load {}", LOAD_ORDER.join(", "));
            SetupError::needs_human(what, "its files are no longer on the node", "Reboot the node.")
        })?;
        self.loader.load(&source, &missing)
    }
}
