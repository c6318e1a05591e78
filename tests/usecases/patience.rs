//! Time: answers before the deadline, observations that back off, readiness that stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::simulator::SimulatedOrchestrator;
use azurelustre_csi::app::usecase::deadline;
use azurelustre_csi::app::usecase::polling;
use azurelustre_csi::app::usecase::readiness::{LatchedReadiness, PodReadiness, remove_taint_when_ready};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::{FailureKind, ReadinessProbe};
use azurelustre_csi::ports::node_faults::{NodeFault, NodeFaults};
use azurelustre_csi::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};
use futures_lite::future::block_on;

use crate::fakes::clock::ManualClock;
use crate::fakes::faulty::Fault;
use crate::world::{Azure, NAME, request};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn near_the_deadline_the_answer_says_how_far_it_is() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let failure = driver.create_as(request(NAME), Some(secs(400))).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InProgress);
    assert!(failure.message.contains("AMLFS pvc-1 is Creating, 6m3"), "{failure}");
    assert!(failure.message.contains("usually ready in 10 to 20 minutes"), "{failure}");
    assert_eq!(azure.clock.now(), deadline::working_time(Some(secs(400))));
    let failure = driver.create_as(request(NAME), Some(secs(60))).unwrap_err();
    assert!(failure.message.contains("Creating, 7m"), "the second call counts on: {failure}");
}

#[test]
fn a_hanging_cloud_is_answered_at_the_deadline_wherever_it_hangs() {
    for call in 1..10 {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let azure = Azure::new();
            let failure = azure.faulty(fault, call, 1).create(NAME).unwrap_err();
            assert!(!failure.kind.is_final(), "call {call}: {:?}", failure.kind);
            assert_eq!(azure.clock.now(), deadline::working_time(Some(Duration::from_mins(15))), "call {call}");
        }
    }
}

/// Whatever the cause, a 404 that is not "absent" included: one failed observation is waited out, three are not.
#[test]
fn three_failed_observations_in_a_row_end_a_wait() {
    for kind in CloudErrorKind::ALL {
        let azure = Azure::new();
        let failure = azure.faulty(Fault::Before(kind), 6, 100).create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{kind:?}");
        assert!(failure.message.contains("injected") && azure.clock.now() < Duration::from_mins(1), "{failure}");
        let azure = Azure::new();
        azure.faulty(Fault::Before(kind), 6, 2).create(NAME).unwrap();
    }
}

#[test]
fn a_call_without_a_deadline_ends_too() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::HangBefore, 5, 1);
    assert!(driver.create_as(request(NAME), None).is_err());
    assert_eq!(azure.clock.now(), deadline::working_time(None));
}

#[test]
fn observations_back_off_and_a_ready_file_system_is_reported_within_one_interval() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create(NAME).unwrap();
    let calls = driver.calls();
    let created = calls.iter().position(|made| made.operation == "begin_create").unwrap();
    let polls: Vec<u64> = calls[created..].iter().map(|made| made.at.as_secs()).take(6).collect();
    assert_eq!(polls, [0, 2, 6, 14, 27, 40]);
    let late = azure.clock.now() - Duration::from_mins(12);
    assert!(late <= polling::LONGEST_PAUSE, "{late:?}");
}

#[test]
fn a_first_claim_costs_few_requests() {
    let azure = Azure::new();
    azure.simulator.cloud().edit_world(|world| world.create_seconds = 1);
    azure.healthy().create(NAME).unwrap();
    let requests = azure.simulator.cloud().requests();
    // Two requests for each question about a subnet.
    let total = requests.observe + requests.create + requests.sku_pages + 2 * requests.subnet_capacity;
    assert_eq!(total, 7, "{requests:?}");
}

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
fn the_taint_goes_after_readiness_and_removing_it_is_never_given_up() {
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
