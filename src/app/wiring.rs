//! Wiring: which adapters implement the ports, as the settings ask. Beside the demo the only part of the process that names
//! adapters.

use std::any::Any;
use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use tonic::service::{Routes, RoutesBuilder};

use super::command_error::CommandError;
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
use crate::adapters::node_status::{NodeStatus, NodeStatusServer};
use crate::domain::problem::Problem;
use crate::ports::clock::Clock;
use crate::ports::inbound::ReadinessProbe;
use crate::ports::orchestrator::Orchestrator;

mod adapters;
#[cfg(feature = "arm")]
mod azure;
mod cloud;
mod cluster;
#[cfg(feature = "kernel")]
pub mod node;
#[cfg(feature = "kernel")]
pub mod node_setup;
pub mod running_driver;
#[cfg(feature = "simulator")]
pub mod simulation;

pub use adapters::{Adapters, CloudAdapters, NodeAdapters};
pub use cloud::cloud;

/// The driver, ready to be served.
#[derive(Debug)]
pub struct Wired {
    /// The CSI services.
    pub routes: Routes,
    /// Their calls, which the server waits for.
    pub calls: ServiceCalls,
    /// What must live as long as the services. Dropping it ends background tasks.
    pub guards: Guards,
}

/// What must live as long as the driver; dropped in this order.
type Guards = Vec<Box<dyn Any + Send>>;

/// Puts the driver together. It is quick and waits for nothing outside the process: the socket is bound after it, and what
/// takes time belongs behind Probe.
pub fn build(settings: &Settings) -> Result<Wired, CommandError> {
    let unavailable = [cloud::unavailable(settings), mounter_unavailable(settings)];
    CommandError::all(unavailable.into_iter().flatten().map(CommandError::usage))?;
    #[cfg(feature = "simulator")]
    if needs_simulator(settings) {
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
        let mut wired = assemble(settings, Adapters { cloud, node, orchestrator, removes_taint });
        // Background tasks end before the simulated world.
        wired.guards.push(Box::new(simulation));
        return Ok(wired);
    }
    Ok(assemble(settings, real(settings)?))
}

/// The adapters that are not simulated.
fn real(settings: &Settings) -> Result<Adapters, CommandError> {
    let azure = settings.mode.has_controller() && settings.values.cloud == CloudKind::Arm;
    let cloud = azure.then(|| cloud::real(settings)).transpose()?;
    #[cfg(feature = "kernel")]
    let node = mounts_by_kernel(settings).then(|| node::adapters(settings));
    #[cfg(not(feature = "kernel"))]
    let node = None;
    let (orchestrator, removes_taint) = cluster::orchestrator(settings);
    Ok(Adapters { cloud, node, orchestrator, removes_taint })
}

fn mounts_by_kernel(settings: &Settings) -> bool {
    settings.mode.node_id().is_some() && settings.values.mounter == MounterKind::Kernel
}

#[cfg(feature = "simulator")]
fn needs_simulator(settings: &Settings) -> bool {
    let cloud = settings.mode.has_controller() && settings.values.cloud == CloudKind::Simulator;
    let mounter = settings.mode.node_id().is_some() && settings.values.mounter == MounterKind::Simulator;
    cloud || mounter
}

/// The services that the mode asks for, over the given adapters.
pub fn assemble(settings: &Settings, adapters: Adapters) -> Wired {
    let Adapters { cloud, node, orchestrator, removes_taint } = adapters;
    let node = settings.mode.node_id().zip(node);
    let running = cloud.as_ref().map(|cloud| RunningCalls::over(cloud.tasks.clone())).unwrap_or_default();
    let readiness: Arc<dyn ReadinessProbe> = Arc::new(readiness(node.as_ref().map(|(_, node)| node)));
    let info = IdentityInfo {
        driver_name: settings.values.driver_name.clone(),
        vendor_version: DRIVER_VERSION.to_owned(),
        controller: settings.mode.has_controller(),
    };
    let mut routes = RoutesBuilder::default();
    routes.add_service(IdentityServer::new(Identity::new(info, Arc::clone(&readiness))));
    let mut services = Services { routes, running, guards: Guards::new(), clock: Arc::new(SystemClock::new()) };
    if let Some(cloud) = cloud.filter(|_| settings.mode.has_controller()) {
        services.add_controller(cloud, Arc::clone(&orchestrator));
    }
    if settings.mode == Mode::ControllerByDefault {
        services.refuse_node_calls();
    }
    if let Some((node_id, node)) = node {
        if settings.values.remove_not_ready_taint && removes_taint {
            services.remove_taint(PodReadiness::new(readiness, node.faults.clone()), orchestrator);
        }
        services.add_node(node_id, node, settings);
    }
    let Services { routes, running, guards, .. } = services;
    Wired { routes: routes.routes(), calls: service_calls(running), guards }
}

/// The services so far.
struct Services {
    routes: RoutesBuilder,
    running: RunningCalls,
    guards: Guards,
    clock: Arc<dyn Clock>,
}

impl Services {
    fn add_controller(&mut self, adapters: CloudAdapters, orchestrator: Arc<dyn Orchestrator>) {
        let CloudAdapters { cloud, clock, defaults, guards, .. } = adapters;
        let provision = Provision::new(cloud, orchestrator, Arc::clone(&self.clock), clock, defaults)
            .stopping_at(self.running.stopping().clone().cancelled_owned());
        let events = provision.claim_events();
        self.spawn(async move { events.run().await });
        let controller = Controller::new(Arc::new(provision), self.running.clone());
        self.routes.add_service(ControllerServer::new(controller));
        self.guards.push(guards);
    }

    fn refuse_node_calls(&mut self) {
        let node = Node::new(NodeInfo { node_id: String::new() }, Arc::new(NoNode), self.running.clone());
        self.routes.add_service(NodeServer::new(node));
    }

    fn add_node(&mut self, node_id: &str, adapters: NodeAdapters, settings: &Settings) {
        let NodeAdapters { mounter, operations, faults, guards, .. } = adapters;
        let publish = Publish::new(mounter, Arc::clone(&self.clock))
            .with_unknown_attributes(settings.values.unknown_attributes)
            .with_operations(operations.clone());
        let info = NodeInfo { node_id: node_id.to_owned() };
        self.routes
            .add_service(NodeStatusServer::new(NodeStatus::new(operations, faults)))
            .add_service(NodeServer::new(Node::new(info, Arc::new(publish), self.running.clone())));
        self.guards.push(guards);
    }

    fn remove_taint(&mut self, readiness: PodReadiness, orchestrator: Arc<dyn Orchestrator>) {
        let clock = Arc::clone(&self.clock);
        self.spawn(async move {
            remove_taint_when_ready(&readiness, &*orchestrator, &*clock).await;
            tracing::info!("the node is ready and has no startup taint");
        });
    }

    /// Runs a task until the guards are dropped.
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.guards.push(Box::new(AbortOnDropHandle::new(tokio::spawn(task))));
    }
}

fn service_calls(running: RunningCalls) -> ServiceCalls {
    let (tasks, stopping) = (running.tasks().clone(), running.stopping().clone());
    ServiceCalls { tasks, stopping, unfinished: Some(Arc::new(move || running.unfinished())) }
}

/// Readiness of a process with these adapters of a node, or without a node.
fn readiness(node: Option<&NodeAdapters>) -> LatchedReadiness {
    let Some(NodeAdapters { mounter, operations, mounted_at_start, .. }) = node else {
        return LatchedReadiness::new(None);
    };
    if *mounted_at_start {
        tracing::info!("ready at once: Lustre is mounted already");
    }
    let readiness = LatchedReadiness::new(Some(Arc::clone(mounter)));
    readiness.with_mounts_at_start(*mounted_at_start).with_operations(operations.clone())
}

/// The problem of settings that ask for a mounter that this build does not have. A controller needs none.
fn mounter_unavailable(settings: &Settings) -> Option<Problem> {
    let unavailable = mounts_by_kernel(settings) && !cfg!(feature = "kernel");
    let hint = "say `--mounter simulator` to try the driver without Lustre, in a build with the simulator";
    unavailable
        .then(|| Problem::new("--mounter=kernel: this build cannot mount Lustre through the kernel").with_hint(hint))
}
