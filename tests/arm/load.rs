//! Many claims in one instant, on simulated time: how many requests they cost and how soon each is reported.

use std::collections::BTreeMap;
use std::time::Duration;

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::inbound::Provisioning;
use futures_util::future::join_all;

use crate::fakes::arm::faults::FaultKind;
use crate::fakes::arm::{Buckets, Kind};
use crate::stack::Stack;
use crate::world::{NAME, patient, request};

/// What a number of claims cost.
#[derive(Debug)]
pub(crate) struct Storm {
    pub(crate) claims: usize,
    pub(crate) kinds: BTreeMap<Kind, usize>,
    pub(crate) throttled: u64,
    /// Between the moment a file system was ready and the response that says so, at worst.
    pub(crate) latest: Duration,
    /// Simulated time until all were ready.
    pub(crate) took: Duration,
}

impl Storm {
    pub(crate) fn requests(&self) -> usize {
        self.kinds.values().sum()
    }

    pub(crate) fn per_claim(&self) -> f64 {
        let whole = |number: usize| f64::from(u32::try_from(number).unwrap());
        whole(self.requests()) / whole(self.claims)
    }
}

/// Lets this many claims come in the same instant to one process of the driver, against ARM's own buckets.
pub(crate) fn storm(claims: usize) -> Storm {
    let world = World { quota: claims, free_addresses: 1 << 20, ..World::default() };
    let create = Duration::from_secs(world.create_seconds);
    let stack = Stack::with(world, |mut stub| {
        stub.buckets = Some(Buckets::full());
        stub
    });
    let process = stack.process(Box::new(|_, _| None));
    let clock = stack.azure.clock.clone();
    let claim = async |number: usize| {
        let name = format!("pvc-{number}");
        let provision = &process.driver.provision;
        // What Kubernetes repeats is repeated.
        loop {
            match provision.create(request(&name), patient()).await {
                Ok(_) => return (name, clock.now()),
                Err(failure) => assert!(!failure.kind.is_final(), "{failure}"),
            }
        }
    };
    let reported: BTreeMap<String, Duration> = clock.run(join_all((0..claims).map(claim))).into_iter().collect();
    let puts = stack.stub.received().into_iter().filter(|received| received.kind == Kind::Put);
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let late = puts.map(|put| reported[&name(put.request.url.path())] - (put.at + create));
    let counts = clock.run(process.adapter.connection()).unwrap().client.counts().snapshot();
    Storm {
        claims,
        throttled: counts.values().map(|count| count.throttled).sum(),
        latest: late.max().unwrap(),
        took: clock.now(),
        kinds: stack.stub.counts(),
    }
}

/// Faults that last: what each PUT and DELETE of a volume is answered with.
pub(crate) const LASTING: [FaultKind; 4] =
    [FaultKind::Busy, FaultKind::Status(403), FaultKind::Status(503), FaultKind::Html(403)];

/// PUTs and DELETEs that one volume costs in 15 minutes of a fault, though Kubernetes calls every three seconds.
pub(crate) fn requests_of_a_lasting_fault(fault_kind: FaultKind) -> (usize, usize) {
    let quarter = |stack: &Stack, kind: Kind, call: &dyn Fn() -> bool| {
        let begun = stack.azure.clock.now();
        while stack.azure.clock.now() - begun < Duration::from_mins(15) {
            assert!(!call(), "it succeeded in spite of {fault_kind:?}");
            stack.azure.pass(Duration::from_secs(3));
        }
        stack.stub.counts().get(&kind).copied().unwrap_or(0)
    };
    let creating = Stack::new();
    let driver = creating.failing(Kind::Put, fault_kind);
    let puts = quarter(&creating, Kind::Put, &|| driver.create(NAME).is_ok());
    let deleting = Stack::new();
    let volume = deleting.azure.volume().id.to_string();
    let driver = deleting.failing(Kind::Delete, fault_kind);
    let deletes = quarter(&deleting, Kind::Delete, &|| driver.delete(&volume).is_ok());
    (puts, deletes)
}
