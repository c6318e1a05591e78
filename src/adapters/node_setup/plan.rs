//! Plan of the kernel modules: which are fetched, removed and loaded. A pure function of the host's state and the settings.

use super::error::SetupError;
use super::host_state::HostState;
use super::modules::LOAD_ORDER;
use super::version::ClientVersion;

/// The setting `replace-client`: when a loaded client of another version than the desired one is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplaceClient {
    /// While no Lustre is mounted and nothing uses its modules.
    #[default]
    Idle,
    /// Never; it stays until the node is rebooted.
    Never,
}

impl ReplaceClient {
    /// Parses `idle` or `never`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "idle" => Ok(Self::Idle),
            "never" => Ok(Self::Never),
            _ => Err(format!("{text:?} is neither idle nor never")),
        }
    }
}

/// The client that the settings ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredClient {
    /// Its version; `None` where the settings give none and the operating system has no default.
    pub version: Option<ClientVersion>,
    /// Whether packages may be fetched. Without it only what the node has is loaded and configured.
    pub install: bool,
    /// When a loaded client of another version is replaced.
    pub replace: ReplaceClient,
}

/// Where modules are loaded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModuleSource {
    /// This version in the private directory.
    Unpacked(ClientVersion),
    /// `/lib/modules` of the host.
    Host,
}

/// What is done if a package is not available for now. A failure of another kind, such as a wrong signature, always ends
/// the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFallback {
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
    /// Fetch and unpack this version, since it is loaded next.
    Fetch(ClientVersion, FetchFallback),
    /// Fetch and unpack this version for the next boot; a failure is a warning.
    Prefetch(ClientVersion),
    /// Remove the modules that are loaded, for this reason.
    Unload(String),
    /// Load these modules, which are not loaded, in this order.
    Load(ModuleSource, Vec<&'static str>),
}

/// What is done about the modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModulePlan {
    /// Actions in their order; none if the modules are as desired.
    pub actions: Vec<Action>,
    /// What stays other than the settings ask for.
    pub notes: Vec<String>,
    /// The node has no client, and none is to be installed.
    pub without_client: bool,
}

/// The plan for a host in this state. `networks` is the value of lnet's parameter that a load would set; empty sets none.
pub fn plan(host: &HostState, desired: &DesiredClient, networks: &str) -> Result<ModulePlan, SetupError> {
    if host.modules.has("lustre") {
        plan_with_lustre(host, desired)
    } else {
        plan_without_lustre(host, desired, networks)
    }
}

/// Nothing is loaded, or a load was interrupted or failed.
fn plan_without_lustre(host: &HostState, desired: &DesiredClient, networks: &str) -> Result<ModulePlan, SetupError> {
    let mut actions = Vec::new();
    let is_unpacked = |version: &&ClientVersion| host.unpacked.contains(version);
    let source = if let Some(version) = desired.version.as_ref().filter(is_unpacked) {
        ModuleSource::Unpacked(version.clone())
    } else if desired.install {
        let version = fetchable_version(host, desired)?;
        let fallback = present_client(host).map_or(FetchFallback::Fail, |_| FetchFallback::UsePresent);
        actions.push(Action::Fetch(version.clone(), fallback));
        ModuleSource::Unpacked(version)
    } else if let Some(present) = present_client(host) {
        present
    } else {
        return Ok(without_client(host));
    };
    let modules = match mismatch(host, &source, networks) {
        None => host.modules.missing(),
        Some(reason) => {
            actions.push(Action::Unload(reason));
            LOAD_ORDER.to_vec()
        }
    };
    actions.push(Action::Load(source, modules));
    Ok(ModulePlan { actions, ..ModulePlan::default() })
}

/// The plan of a node that has no client and is to get none.
fn without_client(host: &HostState) -> ModulePlan {
    let found = if host.modules.loaded.is_empty() {
        "no Lustre client is on this node"
    } else {
        "LNet is loaded without Lustre, and no client is on this node"
    };
    let note = format!("{found}; install-lustre-client is no: nothing is done");
    ModulePlan { notes: vec![note], without_client: true, ..ModulePlan::default() }
}

/// The client that is on the node already: the newest supported one in the private directory, else the host's own.
fn present_client(host: &HostState) -> Option<ModuleSource> {
    let newest = host.unpacked.iter().rfind(|version| is_supported(version));
    newest.cloned().map(ModuleSource::Unpacked).or(host.host_has_client.then_some(ModuleSource::Host))
}

/// Whether AMLFS servers support this client: 2.15 and newer ("Client installation" of the Azure Managed Lustre
/// documentation).
fn is_supported(version: &ClientVersion) -> bool {
    version.release() >= (2, 15)
}

/// The version that can be fetched for this node.
fn fetchable_version(host: &HostState, desired: &DesiredClient) -> Result<ClientVersion, SetupError> {
    let (os, machine) = (host.os.clone()?, host.machine.clone()?);
    if !os.supports(machine) {
        return Err(SetupError::needs_human(
            "cannot choose a Lustre client for this node",
            format!("no packages are published for {os} on {}", machine.rpm()),
            "Use nodes with x86_64 processors, or Ubuntu 24.04 on arm64.",
        ));
    }
    Ok(desired.version.clone().unwrap_or_else(|| ClientVersion::default_for(os)))
}

/// Why the modules that are loaded without `lustre` are not the first half of what is to be loaded, so that they are
/// removed: lnet reads `networks` at load only.
fn mismatch(host: &HostState, source: &ModuleSource, networks: &str) -> Option<String> {
    let modules = &host.modules;
    if modules.has("lnet") && !networks.is_empty() && modules.networks.as_deref() != Some(networks) {
        let found = modules.networks.as_deref().unwrap_or_default();
        return Some(format!("lnet is loaded with networks={found:?} and cannot be given {networks:?}"));
    }
    let ModuleSource::Unpacked(version) = source else { return None };
    modules.loaded.iter().find_map(|(name, module)| {
        let other = module.version.as_ref().filter(|other| *other != version)?;
        Some(format!("module {name} of client {other} is loaded, and {version} is wanted"))
    })
}

fn plan_with_lustre(host: &HostState, desired: &DesiredClient) -> Result<ModulePlan, SetupError> {
    let mut plan = ModulePlan::default();
    let Some(loaded) = host.modules.client_version() else {
        let note = "the version of the loaded client cannot be read (/sys/module/lustre/version): it stays";
        plan.notes.push(note.to_owned());
        return Ok(plan);
    };
    let Some(other) = desired.version.as_ref().filter(|desired| *desired != loaded) else {
        load_missing(host, desired, loaded, &mut plan);
        return Ok(plan);
    };
    let is_unpacked = host.unpacked.contains(other);
    if let Some(why) = reason_to_keep(host, desired, is_unpacked) {
        plan.notes
            .push(format!("client {loaded} stays until the node is rebooted or drained, {other} is wanted: {why}"));
        load_missing(host, desired, loaded, &mut plan);
        if desired.install && !is_unpacked {
            plan.actions.push(Action::Prefetch(other.clone()));
        }
        return Ok(plan);
    }
    if !is_unpacked {
        let fallback = if is_supported(loaded) { FetchFallback::KeepLoaded } else { FetchFallback::Fail };
        plan.actions.push(Action::Fetch(fetchable_version(host, desired)?, fallback));
    }
    plan.actions.push(Action::Unload(format!("client {loaded} is loaded and idle, {other} is wanted")));
    plan.actions.push(Action::Load(ModuleSource::Unpacked(other.clone()), LOAD_ORDER.to_vec()));
    Ok(plan)
}

/// Why a loaded client of another version is not replaced.
fn reason_to_keep(host: &HostState, desired: &DesiredClient, is_unpacked: bool) -> Option<String> {
    let never = (desired.replace == ReplaceClient::Never).then(|| "replace-client is never".to_owned());
    let not_available = (!desired.install && !is_unpacked).then(|| "install-lustre-client is no".to_owned());
    host.mount_blocker().or(never).or(not_available).or_else(|| host.modules.removal_blocker())
}

/// Adds the modules that a loaded client lacks, such as `mgc` after a run that was killed.
fn load_missing(host: &HostState, desired: &DesiredClient, loaded: &ClientVersion, plan: &mut ModulePlan) {
    let modules = host.modules.missing();
    if modules.is_empty() {
        return;
    }
    let source = if host.unpacked.contains(loaded) {
        ModuleSource::Unpacked(loaded.clone())
    } else if host.host_has_client {
        ModuleSource::Host
    } else if desired.install {
        plan.actions.push(Action::Fetch(loaded.clone(), FetchFallback::Fail));
        ModuleSource::Unpacked(loaded.clone())
    } else {
        let missing = modules.join(", ");
        plan.notes.push(format!("client {loaded} is loaded without {missing}, and nothing on this node has them"));
        return;
    };
    plan.actions.push(Action::Load(source, modules));
}

#[cfg(test)]
mod tests;
