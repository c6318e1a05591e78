//! Lasting faults and throttling: few requests, an answer soon, and the cloud's words in it.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed};
use azurelustre_csi::domain::names::{FilesystemId, Location};
use azurelustre_csi::domain::sku::SkuCatalog;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};
use azurelustre_csi::ports::inbound::{Failure, FailureKind, Provisioning};
use futures_util::future::join_all;

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, Driver, NAME, patient, request};

const QUARTER: Duration = Duration::from_mins(15);

/// A cloud whose PUTs and DELETEs all fail in this way, without an effect.
#[derive(Debug)]
struct Refusing {
    inner: std::sync::Arc<dyn Cloud>,
    kind: CloudErrorKind,
    lasting: bool,
    sent: Mutex<Vec<Duration>>,
    clock: std::sync::Arc<dyn Clock>,
}

impl Refusing {
    fn fail(&self) -> Result<(), CloudError> {
        self.sent.lock().unwrap().push(self.clock.now());
        let mut error = CloudError::new(self.kind, "create file system", "pvc-1", "HTTP 409 ScopeLocked: locked");
        error.lasting = self.lasting;
        error.hint = Some("remove the lock".to_owned());
        error.retry_after = (self.kind == CloudErrorKind::Throttled).then_some(Duration::from_secs(200));
        Err(error)
    }
}

#[async_trait]
impl Cloud for Refusing {
    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        self.inner.observe(id).await
    }

    async fn begin_create(&self, _: &FilesystemSpec) -> Result<(), CloudError> {
        self.fail()
    }

    async fn begin_delete(&self, _: &FilesystemId) -> Result<(), CloudError> {
        self.fail()
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        self.inner.skus(location).await
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.inner.subnet_capacity(request).await
    }
}

fn refusing(azure: &Azure, kind: CloudErrorKind, lasting: bool) -> (Driver, std::sync::Arc<Refusing>) {
    let (inner, clock) = (azure.simulator.cloud(), azure.clock.clone());
    let cloud = std::sync::Arc::new(Refusing { inner, kind, lasting, sent: Mutex::default(), clock });
    (azure.driver_over(cloud.clone(), Faults::none(azure.clock.clone())), cloud)
}

/// Calls for a quarter of an hour, hastily; returns when the first ended, and the failures.
fn a_quarter(azure: &Azure, mut call: impl FnMut() -> Result<(), Failure>) -> (Duration, Vec<Failure>) {
    let (begun, mut first, mut failures) = (azure.clock.now(), None, Vec::new());
    while azure.clock.now() - begun < QUARTER {
        failures.push(call().unwrap_err());
        first.get_or_insert(azure.clock.now() - begun);
        azure.pass(Duration::from_secs(3));
    }
    (first.unwrap(), failures)
}

#[test]
fn a_lasting_fault_costs_at_most_six_puts_and_is_reported_within_a_minute() {
    for kind in CloudErrorKind::ALL.into_iter().filter(|kind| *kind != CloudErrorKind::Throttled) {
        for lasting in [false, true] {
            let azure = Azure::new();
            let (driver, cloud) = refusing(&azure, kind, lasting);
            let (first, failures) = a_quarter(&azure, || driver.create(NAME).map(drop));
            let sent = cloud.sent.lock().unwrap().clone();
            let case = format!("{kind:?}, lasting: {lasting}: {sent:?}");
            assert!(sent.len() <= 6 && sent.len() >= 4, "{case}");
            assert!(first < Duration::from_mins(1), "{case}: {first:?}");
            let one = lasting || kind.is_refusal();
            assert_eq!(sent.iter().filter(|at| **at <= first).count(), if one { 1 } else { 2 }, "{case}");
            for failure in failures {
                assert!(failure.message.contains("ScopeLocked: locked"), "{case}: {failure}");
                assert!(failure.message.contains("next try at 00:"), "{case}: {failure}");
                assert!(!failure.message.contains("usually ready"), "{case}: {failure}");
                assert_eq!(failure.hint.as_deref(), Some("remove the lock"), "{case}");
                assert!(kind.is_refusal() || failure.kind == FailureKind::Unavailable, "{case}: {failure}");
            }
        }
    }
}

#[test]
fn a_lasting_fault_costs_at_most_six_deletes_and_is_reported_within_a_minute() {
    for kind in CloudErrorKind::ALL.into_iter().filter(|kind| *kind != CloudErrorKind::Throttled) {
        for lasting in [false, true] {
            let azure = Azure::new();
            let volume = azure.volume().id.to_string();
            let (driver, cloud) = refusing(&azure, kind, lasting);
            let (first, failures) = a_quarter(&azure, || driver.delete(&volume));
            let sent = cloud.sent.lock().unwrap().len();
            assert!((4..=6).contains(&sent), "{kind:?}, lasting: {lasting}: {sent}");
            assert!(first < Duration::from_mins(1), "{kind:?}: {first:?}");
            for failure in failures {
                assert!(failure.message.contains("ScopeLocked: locked"), "{kind:?}: {failure}");
                assert!(failure.message.contains("next try at"), "{kind:?}: {failure}");
            }
        }
    }
}

#[test]
fn a_failed_creation_that_cannot_be_deleted_is_tried_again_after_a_pause() {
    use azurelustre_csi::domain::filesystem::ProvisioningState;
    let azure = Azure::new();
    azure.place(NAME, &crate::world::OURS, ProvisioningState::Failed, "");
    let (driver, cloud) = refusing(&azure, CloudErrorKind::Busy, true);
    let (first, failures) = a_quarter(&azure, || driver.create(NAME).map(drop));
    assert!(cloud.sent.lock().unwrap().len() <= 6 && first < Duration::from_mins(1));
    for failure in failures {
        assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
        for part in ["creation 1 of AMLFS pvc-1 failed: UpdateFailed", "ScopeLocked: locked", "next try at"] {
            assert!(failure.message.contains(part), "{failure}");
        }
    }
}

/// Other parameters may cure what was refused: they are sent at once.
#[test]
fn other_parameters_end_the_pause() {
    let azure = Azure::new();
    let (driver, cloud) = refusing(&azure, CloudErrorKind::Denied, false);
    for zone in ["1", "2", "2", "3"] {
        let mut changed = request(NAME);
        changed.parameters.insert("zone".to_owned(), zone.to_owned());
        driver.create_as(changed, crate::world::BUDGET).unwrap_err();
    }
    assert_eq!(cloud.sent.lock().unwrap().len(), 3);
}

/// Nothing was accepted: no event says that it was asked for, and the answer comes at once.
#[test]
fn throttling_is_reported_at_once_with_the_time_of_the_next_try() {
    let azure = Azure::new();
    let (driver, _) = refusing(&azure, CloudErrorKind::Throttled, false);
    for name in ["pvc-1", "pvc-2"] {
        let failure = driver.create(name).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.starts_with("ARM throttles writes, next try at 00:03:20 UTC"), "{failure}");
        assert!(failure.message.contains(&format!("AMLFS {name} waits for it, not asked for yet")), "{failure}");
    }
    assert_eq!(azure.clock.now(), Duration::ZERO, "no call waits for it");
    // It is no attempt: the next call may send its two.
    let (driver, cloud) = refusing(&azure, CloudErrorKind::Busy, false);
    driver.create(NAME).unwrap_err();
    assert_eq!(cloud.sent.lock().unwrap().len(), 2);
}

#[test]
fn throttled_reads_are_reported_with_the_time_of_the_next_try() {
    for (operation, part) in [
        ("observe", "it is not known what exists"),
        ("skus", "not asked for yet"),
        ("subnet_capacity", "not asked for yet"),
    ] {
        let azure = Azure::new();
        let plan = move |_: u32, of: &str| (of == operation).then_some(Fault::Before(CloudErrorKind::Throttled));
        let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
        let failure = driver.create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(
            failure.message.starts_with("ARM throttles reads, next try at ") && failure.message.contains(part),
            "{failure}"
        );
    }
}

/// Twelve free addresses, five needed each, three claims at once.
#[test]
fn a_preflight_counts_the_creations_in_progress() {
    let azure = Azure::new();
    azure.simulator.cloud().edit_world(|world| world.free_addresses = 12);
    let needed = 7;
    let driver = azure.driver(Faults::yielding(azure.clock.clone(), 4));
    let names = ["pvc-1", "pvc-2", "pvc-3"];
    let outcomes = azure.clock.run(join_all(names.map(|name| driver.provision.create(request(name), patient()))));
    assert_eq!(driver.count("begin_create"), 1, "needs {needed} each");
    let failures: Vec<Failure> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(failures.len(), 2);
    for failure in failures {
        assert_eq!(failure.kind, FailureKind::Unavailable, "final only after 90 seconds: {failure}");
        assert!(failure.message.contains("is full") && failure.message.contains("creations in progress"), "{failure}");
    }
    let (failures, _) = azure.until_final(|| driver.create("pvc-2"));
    assert_eq!(failures.last().unwrap().kind, FailureKind::Exhausted);
}
