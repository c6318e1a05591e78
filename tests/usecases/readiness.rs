//! Readiness and the startup taint.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::simulator::SimulatedOrchestrator;
use azurelustre_csi::app::usecase::readiness::{LatchedReadiness, PodReadiness, remove_taint_when_ready};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::ReadinessProbe;
use azurelustre_csi::ports::node_faults::{NodeFault, NodeFaults};
use azurelustre_csi::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};
use futures_lite::future::block_on;

use crate::fakes::clock::ManualClock;
use crate::world::Azure;

/// An orchestrator that refuses some times.
#[derive(Debug)]
struct Reluctant {
    refusals: AtomicU32,
    inner: SimulatedOrchestrator,
}

#[async_trait]
impl Orchestrator for Reluctant {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        let left = self.refusals.load(Ordering::Relaxed);
        if left == 0 {
            return self.inner.remove_startup_taint().await;
        }
        self.refusals.store(left - 1, Ordering::Relaxed);
        let kind = OrchestratorErrorKind::Unavailable;
        Err(OrchestratorError { kind, operation: "remove taint".into(), message: "conflict".into(), source: None })
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        self.inner.report(event).await
    }
}

/// Readiness that comes at the n-th question.
#[derive(Debug)]
struct ReadyAt(AtomicU32);

#[async_trait]
impl ReadinessProbe for ReadyAt {
    async fn is_ready(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
}

#[test]
fn the_taint_is_removed_after_readiness_and_tried_until_it_is_gone() {
    let clock = ManualClock::default();
    let cluster = Reluctant { refusals: AtomicU32::new(500), inner: SimulatedOrchestrator::default() };
    clock.run(remove_taint_when_ready(&ReadyAt(AtomicU32::new(100)), &cluster, &clock));
    assert!(!cluster.inner.is_tainted());
    assert_eq!(cluster.refusals.load(Ordering::Relaxed), 0);
    assert!(clock.now() > Duration::from_hours(2), "{:?}: it hammered the cluster", clock.now());
}

#[test]
fn readiness_stays_once_reached() {
    use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
    use azurelustre_csi::ports::mounter::Readiness;

    let azure = Azure::new();
    let node = Arc::new(SimulatedLustre::with_mode(azure.simulator.servers(), Mode::Link));
    node.set_readiness(Readiness::NotReady(vec!["no module".into()]));
    let ready = LatchedReadiness::new(Some(node.clone()));
    assert!(!block_on(ready.is_ready()));
    node.set_readiness(Readiness::Ready);
    assert!(block_on(ready.is_ready()));
    node.set_readiness(Readiness::NotReady(vec!["the network is sick".into()]));
    assert!(block_on(ready.is_ready()));
    assert!(block_on(LatchedReadiness::new(None).is_ready()));
}

/// Faults that come and go.
#[derive(Debug)]
struct Faults(AtomicBool);

impl NodeFaults for Faults {
    fn current(&self) -> Vec<NodeFault> {
        Vec::new()
    }

    fn keeps_pods_away(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The node is ready, but kubelet does not see its mounts: Probe says ready, and the taint stays.
#[test]
fn a_fault_keeps_the_taint_and_not_the_readiness() {
    let ready: Arc<dyn ReadinessProbe> = Arc::new(LatchedReadiness::new(None));
    let faults = Arc::new(Faults(AtomicBool::new(true)));
    let pods = PodReadiness::new(Arc::clone(&ready), Some(faults.clone()));
    assert_eq!((block_on(ready.is_ready()), block_on(pods.is_ready())), (true, false));
    faults.0.store(false, Ordering::Relaxed);
    assert!(block_on(pods.is_ready()));
    assert!(block_on(PodReadiness::new(ready, None).is_ready()));
    assert!(!block_on(PodReadiness::new(Arc::new(ReadyAt(AtomicU32::new(1))), None).is_ready()));
}

/// While the network is down only a living driver can unmount, and kubelet kills one that is not ready.
#[test]
fn a_node_with_mounts_at_the_start_is_ready_at_once() {
    use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
    use azurelustre_csi::ports::mounter::Readiness;

    let azure = Azure::new();
    let node = Arc::new(SimulatedLustre::with_mode(azure.simulator.servers(), Mode::Link));
    node.set_readiness(Readiness::NotReady(vec!["LNet is down".into()]));
    for mounted in [true, false] {
        let ready = LatchedReadiness::new(Some(node.clone())).with_mounts_at_start(mounted);
        assert_eq!(block_on(ready.is_ready()), mounted);
    }
}
