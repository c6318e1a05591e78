//! The one place that names concrete adapters: which of them stand behind the ports, as the settings ask.
//!
//! Everything else is written against the ports, so that this file alone changes when an adapter arrives.

use std::any::Any;
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::server::ServiceCalls;
use super::settings::{CloudKind, Mode, MounterKind, Settings};
use super::usecase::no_node::NoNode;
use super::usecase::provision::Provision;
use super::usecase::publish::Publish;
use super::usecase::readiness::{LatchedReadiness, PodReadiness, remove_taint_when_ready};
use super::version::DRIVER_VERSION;
use crate::adapters::clock::SystemClock;
use crate::adapters::csi::{
    Controller, ControllerServer, Identity, IdentityInfo, IdentityServer, Node, NodeInfo, NodeServer, RunningCalls,
};
use crate::adapters::no_cloud::NoCloud;
use crate::adapters::node_status::{NodeStatus, NodeStatusServer};
use crate::domain::placement::Placement;
use crate::domain::problem::Problem;
use crate::ports::clock::Clock;
use crate::ports::cloud::{Cloud, CloudError};
use crate::ports::inbound::ReadinessProbe;
use crate::ports::mounter::Mounter;
use crate::ports::node_faults::NodeFaults;
use crate::ports::operations::Operations;
use crate::ports::orchestrator::Orchestrator;

#[cfg(feature = "arm")]
mod azure;
mod cluster;
#[cfg(feature = "kernel")]
pub mod node;
#[cfg(feature = "kernel")]
pub mod node_setup;
pub mod running_driver;
#[cfg(feature = "simulator")]
pub mod simulation;

/// The driver, ready to be served.
#[derive(Debug)]
pub struct Wired {
    /// The CSI services.
    pub routes: Routes,
    /// Work that outlives the RPC that began it.
    pub calls: ServiceCalls,
    /// Whatever must live as long as they do. Dropping it ends background work.
    pub guards: Box<dyn Any + Send>,
}

/// Why the driver cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The settings cannot work, or ask for an adapter that this build does not have: everything that is wrong.
    #[error("the settings cannot be used")]
    Unusable(Vec<Problem>),
    /// An adapter could not be made.
    #[error("{0}")]
    Failed(String),
}

impl WiringError {
    /// Everything that is wrong.
    pub fn into_problems(self) -> Vec<Problem> {
        match self {
            Self::Unusable(problems) => problems,
            Self::Failed(_) => vec![Problem::from_error(&self)],
        }
    }
}

/// What stands behind the driven ports.
#[derive(Debug)]
pub struct Adapters {
    /// Where file systems come from, where the controller runs.
    pub cloud: Option<CloudAdapters>,
    /// How volumes are mounted, where the node runs.
    pub node: Option<NodeAdapters>,
    /// The cluster.
    pub orchestrator: Arc<dyn Orchestrator>,
    /// Whether the orchestrator can remove the startup taint.
    pub removes_taint: bool,
}

/// The mounter and what belongs to it.
#[derive(Debug)]
pub struct NodeAdapters {
    /// How volumes are mounted.
    pub mounter: Arc<dyn Mounter>,
    /// What the mounter is doing, where it can hang.
    pub operations: Option<Arc<dyn Operations>>,
    /// Faults of the driver's surroundings, where they count.
    pub faults: Option<Arc<dyn NodeFaults>>,
    /// Whatever must live as long as the mounter does.
    pub guards: Box<dyn Any + Send>,
    /// Whether a file system was mounted already when the process started.
    pub mounted_at_start: bool,
}

/// The cloud and what belongs to it.
#[derive(Debug)]
pub struct CloudAdapters {
    /// Where file systems come from.
    pub cloud: Arc<dyn Cloud>,
    /// The cloud's time, for polling it.
    pub clock: Arc<dyn Clock>,
    /// What the cluster's cloud settings say.
    pub defaults: Placement,
    /// Requests that outlive the RPC that began them.
    pub tasks: TaskTracker,
    #[cfg(feature = "arm")]
    azure: Option<Arc<crate::adapters::arm::cloud::ArmCloud>>,
    /// Whatever must live as long as the cloud does.
    pub guards: Box<dyn Any + Send>,
}

impl CloudAdapters {
    /// Proves the credentials, where the cloud wants any.
    #[cfg_attr(not(feature = "arm"), allow(clippy::unused_async, reason = "there is nobody to ask"))]
    pub async fn sign_in(&self) -> Result<(), CloudError> {
        #[cfg(feature = "arm")]
        if let Some(azure) = &self.azure {
            return azure.sign_in().await;
        }
        Ok(())
    }
}

/// Puts the driver together. It is quick and waits for nothing outside the process: the socket is bound after it, and what
/// takes time belongs behind Probe.
pub fn build(settings: &Settings) -> Result<Wired, WiringError> {
    let missing: Vec<Problem> = [missing_cloud(settings), missing_mounter(settings)].into_iter().flatten().collect();
    if !missing.is_empty() {
        return Err(WiringError::Unusable(missing));
    }
    #[cfg(feature = "simulator")]
    if wants_simulator(settings) {
        let simulation = simulation::Simulation::begin(settings)?;
        tracing::warn!(
            cloud = ?settings.values.cloud,
            mounter = ?settings.values.mounter,
            "SIMULATED: nothing is created in Azure; what is simulated lives in this process, is forgotten when it ends, and \
             is not shared with other nodes"
        );
        let simulated = simulation.adapters();
        let Adapters { cloud, node, orchestrator, removes_taint } = real(settings)?;
        let (cloud, node) = (cloud.or(simulated.cloud), node.or(simulated.node));
        let adapters = Adapters { cloud, node, orchestrator, removes_taint };
        let Wired { routes, calls, guards } = assemble(settings, adapters);
        // The work in the background ends before the simulated world does.
        return Ok(Wired { routes, calls, guards: Box::new((guards, simulation)) });
    }
    Ok(assemble(settings, real(settings)?))
}

/// The adapters of the real world that the settings ask for.
fn real(settings: &Settings) -> Result<Adapters, WiringError> {
    let azure = settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm;
    let cloud = azure.then(|| without_azure(settings).map_or_else(|| on_azure(settings), Ok)).transpose()?;
    #[cfg(feature = "kernel")]
    let node = {
        let kernel = settings.mode.node_id().is_some() && settings.values.mounter == MounterKind::Kernel;
        kernel.then(|| node::adapters(settings))
    };
    #[cfg(not(feature = "kernel"))]
    let node = None;
    let (orchestrator, removes_taint) = cluster::orchestrator(settings);
    Ok(Adapters { cloud, node, orchestrator, removes_taint })
}

/// The cloud alone, for commands that only ask it: incomplete cloud settings are an error here.
pub fn cloud(settings: &Settings) -> Result<CloudAdapters, WiringError> {
    if let Some(problem) = missing_cloud(settings) {
        return Err(WiringError::Unusable(vec![problem]));
    }
    if !settings.cloud_settings.missing.is_empty() {
        return Err(WiringError::Unusable(settings.cloud_settings.missing.clone()));
    }
    #[cfg(feature = "simulator")]
    if settings.values.cloud == CloudKind::Simulator {
        let simulation = simulation::Simulation::begin(settings)?;
        let cloud = simulation.cloud_adapters();
        return Ok(CloudAdapters { guards: Box::new(simulation), ..cloud });
    }
    on_azure(settings)
}

/// What stands in the cloud's place where the cloud settings are absent or incomplete.
fn without_azure(settings: &Settings) -> Option<CloudAdapters> {
    let reason = settings.cloud_settings.reason_for_static_only()?;
    Some(CloudAdapters {
        cloud: Arc::new(NoCloud::new(reason.clone())),
        clock: Arc::new(SystemClock::new()),
        defaults: settings.cloud_settings.defaults.clone(),
        tasks: TaskTracker::new(),
        #[cfg(feature = "arm")]
        azure: None,
        guards: Box::new(()),
    })
}

#[cfg(feature = "simulator")]
fn wants_simulator(settings: &Settings) -> bool {
    let cloud = settings.mode.has_controller() && settings.values.cloud == CloudKind::Simulator;
    let mounter = settings.mode.node_id().is_some() && settings.values.mounter == MounterKind::Simulator;
    cloud || mounter
}

#[cfg(feature = "arm")]
fn on_azure(settings: &Settings) -> Result<CloudAdapters, WiringError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let tasks = TaskTracker::new();
    let cloud = azure::cloud(&settings.cloud_settings, &clock, &tasks).map_err(WiringError::Unusable)?;
    let cloud = Arc::new(cloud);
    Ok(CloudAdapters {
        cloud: Arc::clone(&cloud) as _,
        clock,
        defaults: settings.cloud_settings.defaults.clone(),
        tasks,
        azure: Some(cloud),
        guards: Box::new(()),
    })
}

/// Settings that get this far have an adapter, which [`missing_cloud`] sees to.
#[cfg(not(feature = "arm"))]
fn on_azure(_: &Settings) -> Result<CloudAdapters, WiringError> {
    Err(WiringError::Failed("this build has no adapter for Azure".to_owned()))
}

/// The services that the mode asks for, over the given adapters.
pub fn assemble(settings: &Settings, adapters: Adapters) -> Wired {
    let Adapters { cloud, node, orchestrator, removes_taint } = adapters;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let node = settings.mode.node_id().zip(node);
    let work = cloud.as_ref().map(|side| RunningCalls::over(side.tasks.clone())).unwrap_or_default();
    let ready: Arc<dyn ReadinessProbe> = Arc::new(readiness(node.as_ref().map(|(_, side)| side)));
    let info = IdentityInfo {
        driver_name: settings.values.driver_name.clone(),
        vendor_version: DRIVER_VERSION.to_owned(),
        controller: settings.mode.has_controller(),
    };
    let mut routes = Routes::new(IdentityServer::new(Identity::new(info, Arc::clone(&ready))));
    let mut guards: Vec<Box<dyn Any + Send>> = Vec::new();
    if let Some(side) = cloud.filter(|_| settings.mode.has_controller()) {
        let CloudAdapters { cloud, clock: cloud_clock, defaults, .. } = side;
        let provision = Provision::new(cloud, Arc::clone(&orchestrator), Arc::clone(&clock), cloud_clock, defaults)
            .stopping_at(work.stopping().clone().cancelled_owned());
        let events = provision.claim_events();
        guards.push(Box::new(Background::start(async move { events.run().await })));
        routes = routes.add_service(ControllerServer::new(Controller::new(Arc::new(provision), work.clone())));
        guards.push(side.guards);
    }
    if settings.mode == Mode::ControllerByDefault {
        let node = Node::new(NodeInfo { node_id: String::new() }, Arc::new(NoNode), work.clone());
        routes = routes.add_service(NodeServer::new(node));
    }
    if let Some((node_id, side)) = node {
        let NodeAdapters { mounter, operations, faults, guards: guard, .. } = side;
        guards.push(guard);
        let info = NodeInfo { node_id: node_id.to_owned() };
        routes = routes.add_service(NodeStatusServer::new(NodeStatus::new(operations.clone(), faults.clone())));
        let publish = Publish::new(mounter, Arc::clone(&clock))
            .with_unknown_attributes(settings.values.unknown_attributes)
            .with_operations(operations);
        routes = routes.add_service(NodeServer::new(Node::new(info, Arc::new(publish), work.clone())));
        if settings.values.remove_not_ready_taint && removes_taint {
            let ready = PodReadiness::new(ready, faults);
            guards.push(Box::new(Background::start(async move {
                remove_taint_when_ready(&ready, &*orchestrator, &*clock).await;
                tracing::info!("the node is ready and has no startup taint");
            })));
        }
    }
    Wired { routes, calls: service_calls(work), guards: Box::new(guards) }
}

/// The services' work, for the server that waits for it in the end.
fn service_calls(work: RunningCalls) -> ServiceCalls {
    let (tasks, stopping) = (work.tasks().clone(), work.stopping().clone());
    ServiceCalls { tasks, stopping, unfinished: Some(Arc::new(move || work.unfinished())) }
}

/// Readiness of a process with this node's side, or with none.
fn readiness(side: Option<&NodeAdapters>) -> LatchedReadiness {
    let Some(NodeAdapters { mounter, operations, mounted_at_start, .. }) = side else {
        return LatchedReadiness::new(None);
    };
    if *mounted_at_start {
        tracing::info!("ready at once: Lustre is mounted already");
    }
    let ready = LatchedReadiness::new(Some(Arc::clone(mounter)));
    ready.with_mounts_at_start(*mounted_at_start).with_operations(operations.clone())
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Background(tokio::task::JoinHandle<()>);

impl Background {
    fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What to do about a cloud that this build does not have. A node needs none.
fn missing_cloud(settings: &Settings) -> Option<Problem> {
    let missing = settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm && !cfg!(feature = "arm");
    let hint = "say `--cloud simulator` to try the driver without Azure, in a build with the simulator";
    missing.then(|| Problem::new("--cloud=arm: this build cannot talk to Azure Resource Manager").with_hint(hint))
}

/// What to do about a mounter that this build does not have. A controller needs none.
fn missing_mounter(settings: &Settings) -> Option<Problem> {
    let kernel = settings.mode.node_id().is_some() && settings.values.mounter == MounterKind::Kernel;
    let missing = kernel && !cfg!(feature = "kernel");
    let hint = "say `--mounter simulator` to try the driver without Lustre, in a build with the simulator";
    missing.then(|| Problem::new("--mounter=kernel: this build cannot mount Lustre through the kernel").with_hint(hint))
}
