//! The one place that names concrete adapters: which of them stand behind the ports, as the settings ask.
//!
//! Why it exists: everything else is written against the ports, so that this file alone changes when an adapter arrives.

use std::any::Any;
use std::sync::Arc;

use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use super::problem::Problem;
use super::settings::{CloudKind, MounterKind, Settings};
use super::usecase::provision::Provision;
use super::usecase::publish::Publish;
use super::usecase::readiness::{ReadyOnce, remove_taint_when_ready};
use super::version::DRIVER_VERSION;
use crate::adapters::clock::SystemClock;
use crate::adapters::csi::{
    Controller, ControllerServer, Identity, IdentityInfo, IdentityServer, Node, NodeInfo, NodeServer,
};
use crate::domain::provisioning::Defaults;
use crate::ports::clock::Clock;
use crate::ports::cloud::Cloud;
use crate::ports::inbound::Ready;
use crate::ports::mounter::Mounter;
use crate::ports::orchestrator::Orchestrator;

#[cfg(feature = "simulator")]
pub mod simulation;

/// The driver, ready to be served.
#[derive(Debug)]
pub struct Wired {
    /// The CSI services.
    pub routes: Routes,
    /// Work that outlives the RPC that began it.
    pub tasks: TaskTracker,
    /// Whatever must live as long as they do. Dropping it ends background work.
    pub keep: Box<dyn Any + Send>,
}

/// Why the driver cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// The settings ask for an adapter that this build does not have.
    #[error("{setting}: this build cannot {ability} yet")]
    Unavailable {
        /// The setting and its value, such as `--cloud=arm`.
        setting: &'static str,
        /// What the adapter would do.
        ability: &'static str,
        /// What to choose instead.
        hint: &'static str,
    },
    /// An adapter could not be made.
    #[error("{0}")]
    Failed(String),
}

impl From<WiringError> for Problem {
    fn from(error: WiringError) -> Self {
        let problem = Self::from_error(&error);
        match error {
            WiringError::Unavailable { hint, .. } => problem.with_hint(hint),
            WiringError::Failed(_) => problem,
        }
    }
}

/// What stands behind the driven ports.
#[derive(Debug)]
pub struct Driven {
    /// Where file systems come from.
    pub cloud: Arc<dyn Cloud>,
    /// The cloud's time, for polling it.
    pub cloud_clock: Arc<dyn Clock>,
    /// What the cluster's cloud settings say.
    pub defaults: Defaults,
    /// How volumes are mounted.
    pub mounter: Arc<dyn Mounter>,
    /// The cluster.
    pub orchestrator: Arc<dyn Orchestrator>,
}

/// Puts the driver together. It is quick and waits for nothing outside the process: the socket is bound after it, and what
/// takes time belongs behind Probe.
pub fn build(settings: &Settings) -> Result<Wired, WiringError> {
    check(settings)?;
    simulated(settings)
}

#[cfg(feature = "simulator")]
fn simulated(settings: &Settings) -> Result<Wired, WiringError> {
    let simulation = simulation::Simulation::begin(settings)?;
    let Wired { routes, tasks, keep } = assemble(settings, simulation.driven());
    // The work in the background ends before the simulated world does.
    Ok(Wired { routes, tasks, keep: Box::new((keep, simulation)) })
}

/// Settings that get this far ask for the simulator, which [`check`] lets pass only where it is compiled in.
#[cfg(not(feature = "simulator"))]
fn simulated(_: &Settings) -> Result<Wired, WiringError> {
    Err(WiringError::Failed("this build has no simulator".to_owned()))
}

/// The services that the mode asks for, over the given adapters.
pub fn assemble(settings: &Settings, driven: Driven) -> Wired {
    let Driven { cloud, cloud_clock, defaults, mounter, orchestrator } = driven;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (node_id, tasks) = (settings.mode.node_id(), TaskTracker::new());
    let ready: Arc<dyn Ready> = Arc::new(ReadyOnce::new(node_id.map(|_| Arc::clone(&mounter))));
    let info = IdentityInfo {
        driver_name: settings.driver_name.clone(),
        vendor_version: DRIVER_VERSION.to_owned(),
        controller: settings.mode.has_controller(),
    };
    let mut routes = Routes::new(IdentityServer::new(Identity::new(info, Arc::clone(&ready))));
    if settings.mode.has_controller() {
        let provision = Provision::new(cloud, Arc::clone(&orchestrator), Arc::clone(&clock), cloud_clock, defaults);
        routes = routes.add_service(ControllerServer::new(Controller::new(Arc::new(provision), tasks.clone())));
    }
    let mut keep: Box<dyn Any + Send> = Box::new(());
    if let Some(node_id) = node_id {
        let info = NodeInfo { node_id: node_id.to_owned() };
        let publish = Publish::new(mounter, Arc::clone(&clock));
        routes = routes.add_service(NodeServer::new(Node::new(info, Arc::new(publish), tasks.clone())));
        if settings.remove_not_ready_taint {
            keep = Box::new(Background::start(async move {
                remove_taint_when_ready(&*ready, &*orchestrator, &*clock).await;
                tracing::info!("the node is ready and has no startup taint");
            }));
        }
    }
    Wired { routes, tasks, keep }
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

/// Whether this build has every adapter that the settings need. A controller needs no mounter, a node no cloud.
fn check(settings: &Settings) -> Result<(), WiringError> {
    if settings.mode.has_controller() && settings.cloud == CloudKind::Arm {
        let hint = "say `--cloud simulator` to try the driver without Azure, in a build with the simulator";
        return Err(WiringError::Unavailable {
            setting: "--cloud=arm",
            ability: "talk to Azure Resource Manager",
            hint,
        });
    }
    if settings.mode.node_id().is_some() && settings.mounter == MounterKind::Kernel {
        let hint = "say `--mounter simulator` to try the driver without Lustre, in a build with the simulator";
        return Err(WiringError::Unavailable {
            setting: "--mounter=kernel",
            ability: "mount Lustre through the kernel",
            hint,
        });
    }
    Ok(())
}
