//! Lists in the place of many GETs: lists that lag, that are throttled, and that may not be read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudErrorKind};
use azurelustre_csi::ports::inbound::{Caller, FailureKind, Provisioning};
use futures_util::future::join_all;

use crate::fakes::arm::faults::{FaultKind, HttpFault, StubClient, adapter};
use crate::fakes::arm::{Kind, kind};
use crate::fakes::faulty::Faults;
use crate::stack::{ENDPOINT, Process, Stack};
use crate::world::{Driver, NAME, id, request};

/// Lists that keep their first content, as ARM's caches have done, while the cloud changes.
#[derive(Debug)]
struct StaleLists {
    stub: StubClient,
    first: Mutex<Option<Response>>,
}

#[async_trait]
impl HttpClient for StaleLists {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let list = kind(&request) == Kind::List;
        let response = self.stub.send(request).await?;
        Ok(if list { self.first.lock().unwrap().get_or_insert(response).clone() } else { response })
    }
}

/// Begins eight creations, enough for lists, and leaves them in progress.
fn eight_creations(stack: &Stack, driver: &Driver) -> Vec<String> {
    stack.azure.simulator.cloud().edit_world(|world| world.quota = 100);
    let names: Vec<String> = (1..=8).map(|number| format!("pvc-{number}")).collect();
    let caller = || Caller::staying(Some(Duration::from_mins(1)));
    let all = names.iter().map(|name| driver.provision.create(request(name), caller()));
    assert!(stack.azure.clock.run(join_all(all)).iter().all(Result::is_err));
    assert!(stack.kinds().contains(&Kind::List));
    names
}

/// Eight creations in progress in a process whose lists keep their first content.
fn with_stale_lists() -> (Stack, Driver, Vec<String>) {
    let stack = Stack::new();
    let stub = StubClient::new(stack.stub.clone(), stack.azure.clock.clone(), Box::new(|_, _| None));
    let client = Arc::new(StaleLists { stub, first: Mutex::default() });
    let cloud = Arc::new(adapter(client, ENDPOINT, stack.azure.clock.clone()));
    let driver = stack.azure.driver_over(cloud, Faults::none(stack.azure.clock.clone()));
    let names = eight_creations(&stack, &driver);
    (stack, driver, names)
}

/// Eight creations in progress in a process whose lists have this fault.
fn with_failing_lists(fault_kind: FaultKind) -> (Stack, Process) {
    let stack = Stack::new();
    let fault = HttpFault { fault_kind, after: false };
    let process = stack.process(Box::new(move |_, kind| (kind == Kind::List).then_some(fault)));
    eight_creations(&stack, &process.driver);
    (stack, process)
}

#[test]
fn a_list_that_lags_for_good_hides_nothing_for_long() {
    let (stack, driver, names) = with_stale_lists();
    let all =
        names.iter().map(|name| driver.provision.create(request(name), Caller::staying(Some(Duration::from_mins(30)))));
    for outcome in stack.azure.clock.run(join_all(all)) {
        outcome.unwrap();
    }
    assert!(stack.azure.clock.now() < Duration::from_mins(19), "{:?}", stack.azure.clock.now());
}

/// A deletion is sent only after a direct observation of what it is for.
#[test]
fn nothing_is_deleted_because_of_a_list_alone() {
    let (stack, driver, names) = with_stale_lists();
    let not_owned = [("team", "hpc")];
    stack.azure.place(&names[0], &not_owned, ProvisioningState::Creating, "");
    let failure = driver.delete(&format!("{}#lustrefs#10.9.9.9##t#MC_hpc_aks_eastus", names[0])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Precondition, "{failure}");
    assert!(!stack.kinds().contains(&Kind::Delete));
    // What is still ours is deleted.
    let ours = format!("{}#lustrefs#10.9.9.9##t#MC_hpc_aks_eastus", names[1]);
    assert!(stack.azure.retried(|| driver.delete(&ours), |_| ()).is_some(), "{:?}", stack.states());
    assert_eq!(stack.kinds().iter().filter(|kind| **kind == Kind::Delete).count(), 1);
}

/// A list that ARM throttles is not replaced by a request for each file system.
#[test]
fn a_throttled_list_is_not_replaced_by_gets() {
    let (stack, process) = with_failing_lists(FaultKind::Throttled(30));
    let before = stack.kinds().len();
    let failure = stack.azure.clock.run(process.adapter.observe(&id(NAME))).unwrap_err();
    assert_eq!(failure.kind, CloudErrorKind::Throttled);
    assert_eq!(stack.kinds()[before..], []);
    stack.azure.pass(Duration::from_secs(30));
    let failure = stack.azure.clock.run(process.adapter.observe(&id(NAME))).unwrap_err();
    assert_eq!((failure.kind, &stack.kinds()[before..]), (CloudErrorKind::Throttled, &[Kind::List][..]));
}

/// A list that is denied is requested once in ten minutes, not at every poll.
#[test]
fn a_list_that_is_denied_is_not_repeated_at_every_poll() {
    let (stack, process) = with_failing_lists(FaultKind::Status(403));
    assert!(stack.azure.clock.run(process.adapter.observe(&id(NAME))).is_ok());
    assert_eq!(stack.kinds().iter().filter(|kind| **kind == Kind::List).count(), 1);
}
