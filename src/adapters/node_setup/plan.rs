//! Which modules are fetched, removed and loaded: a pure function of the facts of a node and the settings.

use super::error::SetupError;
use super::host_state::HostState;
use super::modules::LOAD_ORDER;
use super::version::ClientVersion;

/// What is done about a loaded client of another version than the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    /// It is replaced while no Lustre is mounted and nothing uses its modules.
    #[default]
    Idle,
    /// It stays until the node is rebooted.
    Never,
}

/// What the settings ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The client's version; `None` where nobody gave one and the operating system has no default.
    pub client: Option<ClientVersion>,
    /// Whether packages may be fetched. Without it only what the node has is loaded and configured.
    pub install: bool,
    /// What is done about a loaded client of another version.
    pub replace: Replace,
}

/// Where modules are loaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This version in the private directory.
    Private(ClientVersion),
    /// `/lib/modules` of the host.
    Host,
}

/// What is done if a package cannot be had for now. A failure of another kind, such as a wrong signature, always ends the
/// run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// The run ends.
    Fail,
    /// The loaded client stays.
    KeepLoaded,
    /// A client that is on the node already is loaded.
    UsePresent,
}

/// One action of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fetch and unpack this version, since it is to be loaded now.
    Fetch {
        /// The version.
        version: ClientVersion,
        /// What is done if it cannot be had for now.
        otherwise: Otherwise,
    },
    /// Fetch and unpack this version for the next boot; a failure is a warning.
    Prefetch {
        /// The version.
        version: ClientVersion,
    },
    /// Remove the modules that are loaded.
    Unload {
        /// What makes it necessary.
        reason: String,
    },
    /// Load modules that are not loaded.
    Load {
        /// From where.
        source: Source,
        /// Their names, in loading order.
        modules: Vec<&'static str>,
    },
}

/// What is to be done about the modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Actions in their order; none if the modules are as they should be.
    pub actions: Vec<Action>,
    /// What stays otherwise than it was asked for.
    pub notes: Vec<String>,
    /// The node has no client, and none is to be installed.
    pub without_client: bool,
}

/// The plan for a node with these facts. `networks` is the value of lnet's parameter that a load would set; empty sets none.
pub fn plan(facts: &HostState, wanted: &Wanted, networks: &str) -> Result<Plan, SetupError> {
    if facts.modules.has("lustre") {
        loaded(facts, wanted)
    } else if facts.modules.loaded.is_empty() {
        not_loaded(facts, wanted)
    } else {
        partly_loaded(facts, wanted, networks)
    }
}

fn not_loaded(facts: &HostState, wanted: &Wanted) -> Result<Plan, SetupError> {
    let (mut plan, source) = source(facts, wanted)?;
    let Some(source) = source else {
        return Ok(without_client("no Lustre client is on this node"));
    };
    plan.actions.push(Action::Load { source, modules: LOAD_ORDER.to_vec() });
    Ok(plan)
}

/// The plan of a node that has no client and is to get none.
fn without_client(found: &str) -> Plan {
    let note = format!("{found}; install-lustre-client is no: nothing is done");
    Plan { notes: vec![note], without_client: true, ..Plan::default() }
}

/// Where the wanted client comes from, with the actions that bring it there; `None` if there is none and none may be
/// fetched.
fn source(facts: &HostState, wanted: &Wanted) -> Result<(Plan, Option<Source>), SetupError> {
    let mut plan = Plan::default();
    let unpacked = |version: &&ClientVersion| facts.unpacked.contains(version);
    if let Some(version) = wanted.client.as_ref().filter(unpacked) {
        return Ok((plan, Some(Source::Private(version.clone()))));
    }
    let present = present(facts);
    if !wanted.install {
        return Ok((plan, present));
    }
    let version = fetched_version(facts, wanted)?;
    let otherwise = present.map_or(Otherwise::Fail, |_| Otherwise::UsePresent);
    plan.actions.push(Action::Fetch { version: version.clone(), otherwise });
    Ok((plan, Some(Source::Private(version))))
}

/// A client that is on the node already: the newest that AMLFS supports in the private directory, else the host's own.
fn present(facts: &HostState) -> Option<Source> {
    let newest = facts.unpacked.iter().rfind(|version| is_supported(version));
    let host = facts.host_has_client.then_some(Source::Host);
    newest.cloned().map(Source::Private).or(host)
}

/// Whether AMLFS servers support this client.
fn is_supported(version: &ClientVersion) -> bool {
    version.release() >= (2, 15)
}

/// The version that can be fetched for this node.
fn fetched_version(facts: &HostState, wanted: &Wanted) -> Result<ClientVersion, SetupError> {
    let os = facts.os.clone()?;
    let machine = facts.machine.clone()?;
    if !os.has(machine) {
        return Err(SetupError::needs_human(
            "cannot choose a Lustre client for this node",
            format!("no packages are published for {os} on {}", machine.rpm()),
            "Use nodes with x86_64 processors, or Ubuntu 24.04 on arm64.",
        ));
    }
    Ok(wanted.client.clone().unwrap_or_else(|| ClientVersion::default_for(os)))
}

/// A start that was interrupted or failed. lnet reads `networks` at load only, so what does not match is loaded anew.
fn partly_loaded(facts: &HostState, wanted: &Wanted, networks: &str) -> Result<Plan, SetupError> {
    let (mut plan, source) = source(facts, wanted)?;
    let Some(source) = source else {
        return Ok(without_client("LNet is loaded without Lustre, and no client is on this node"));
    };
    let modules = match mismatch(facts, &source, networks) {
        None => facts.modules.missing(),
        Some(reason) => {
            plan.actions.push(Action::Unload { reason });
            LOAD_ORDER.to_vec()
        }
    };
    plan.actions.push(Action::Load { source, modules });
    Ok(plan)
}

/// Why the modules that are loaded without `lustre` are not the first half of what is to be loaded.
fn mismatch(facts: &HostState, source: &Source, networks: &str) -> Option<String> {
    let modules = &facts.modules;
    if modules.has("lnet") && !networks.is_empty() && modules.networks.as_deref() != Some(networks) {
        let found = modules.networks.as_deref().unwrap_or_default();
        return Some(format!("lnet is loaded with networks={found:?} and cannot be given {networks:?}"));
    }
    let Source::Private(version) = source else { return None };
    modules.loaded.iter().find_map(|(name, module)| {
        let other = module.version.as_ref().filter(|other| *other != version)?;
        Some(format!("module {name} of client {other} is loaded, and {version} is wanted"))
    })
}

fn loaded(facts: &HostState, wanted: &Wanted) -> Result<Plan, SetupError> {
    let mut plan = Plan::default();
    let Some(version) = facts.modules.client() else {
        plan.notes
            .push("the version of the loaded client cannot be read (/sys/module/lustre/version): it stays".to_owned());
        return Ok(plan);
    };
    let Some(other) = wanted.client.as_ref().filter(|wanted| *wanted != version) else {
        complete(facts, wanted, version, &mut plan);
        return Ok(plan);
    };
    if let Some(why) = reason_to_keep(facts, wanted) {
        plan.notes
            .push(format!("client {version} stays until the node is rebooted or drained, {other} is wanted: {why}"));
        complete(facts, wanted, version, &mut plan);
        if wanted.install && !facts.unpacked.contains(other) {
            plan.actions.push(Action::Prefetch { version: other.clone() });
        }
        return Ok(plan);
    }
    let (actions, source) = source(facts, wanted)?;
    let source = source.unwrap_or(Source::Private(other.clone()));
    let keep = if is_supported(version) { Otherwise::KeepLoaded } else { Otherwise::Fail };
    plan.actions.extend(actions.actions.into_iter().map(|action| match action {
        Action::Fetch { version, .. } => Action::Fetch { version, otherwise: keep.clone() },
        action => action,
    }));
    plan.actions.push(Action::Unload { reason: format!("client {version} is loaded and idle, {other} is wanted") });
    plan.actions.push(Action::Load { source, modules: LOAD_ORDER.to_vec() });
    Ok(plan)
}

/// Why a loaded client of another version is not replaced.
fn reason_to_keep(facts: &HostState, wanted: &Wanted) -> Option<String> {
    let other = wanted.client.as_ref().is_some_and(|other| !facts.unpacked.contains(other));
    let not_available = (!wanted.install && other).then(|| "install-lustre-client is no".to_owned());
    let never = (wanted.replace == Replace::Never).then(|| "replace-client is never".to_owned());
    facts.mounted().or(never).or(not_available).or_else(|| facts.modules.in_use())
}

/// Adds what a loaded client lacks, such as `mgc` after a run that was killed.
fn complete(facts: &HostState, wanted: &Wanted, version: &ClientVersion, plan: &mut Plan) {
    let modules = facts.modules.missing();
    if modules.is_empty() {
        return;
    }
    let source = if facts.unpacked.contains(version) {
        Source::Private(version.clone())
    } else if facts.host_has_client {
        Source::Host
    } else if wanted.install {
        plan.actions.push(Action::Fetch { version: version.clone(), otherwise: Otherwise::Fail });
        Source::Private(version.clone())
    } else {
        plan.notes.push(format!(
            "client {version} is loaded without {}, and nothing on this node has them",
            modules.join(", ")
        ));
        return;
    };
    plan.actions.push(Action::Load { source, modules });
}

#[cfg(test)]
mod tests;
