//! The whole controller: use-cases, ARM adapter, ARM's interface, simulated Azure.

use std::sync::Arc;

use azurelustre_csi::adapters::arm::cloud::ArmCloud;
use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::domain::filesystem::ProvisioningState;

use crate::fakes::arm::faults::{FaultKind, HttpFault, HttpPlan, StubClient, adapter};
use crate::fakes::arm::{ArmStub, Kind};
use crate::fakes::faulty::Faults;
use crate::world::{Azure, Driver};

/// Where the stub is; nothing listens there.
pub(crate) const ENDPOINT: &str = "https://arm.test";

/// Azure, and what stands before it.
pub(crate) struct Stack {
    pub(crate) azure: Azure,
    pub(crate) stub: Arc<ArmStub>,
}

/// A process of the driver and its adapter.
pub(crate) struct Process {
    pub(crate) driver: Driver,
    pub(crate) adapter: Arc<ArmCloud>,
}

impl Stack {
    pub(crate) fn new() -> Self {
        Self::with(World::default(), |stub| stub)
    }

    pub(crate) fn with(world: World, adjust: impl FnOnce(ArmStub) -> ArmStub) -> Self {
        let azure = Azure::with(world);
        let stub = ArmStub::new(azure.simulator.cloud(), azure.clock.clone(), ENDPOINT);
        Self { stub: Arc::new(adjust(stub)), azure }
    }

    /// A process whose requests meet what the plan says.
    pub(crate) fn process(&self, plan: HttpPlan) -> Process {
        let client = Arc::new(StubClient::new(self.stub.clone(), self.azure.clock.clone(), plan));
        let adapter = Arc::new(adapter(client, ENDPOINT, self.azure.clock.clone()));
        let driver = self.azure.driver_over(adapter.clone(), Faults::none(self.azure.clock.clone()));
        Process { driver, adapter }
    }

    /// One without faults.
    pub(crate) fn healthy(&self) -> Driver {
        self.process(Box::new(|_, _| None)).driver
    }

    /// One whose requests `first`, `first + 1`, … (`times` of them) meet this fault.
    pub(crate) fn faulty(&self, fault: HttpFault, first: usize, times: usize) -> Driver {
        self.process(Box::new(move |number, _| (first..first + times).contains(&number).then_some(fault))).driver
    }

    /// One whose requests of a kind all meet this fault, before they have an effect.
    pub(crate) fn failing(&self, kind: Kind, fault_kind: FaultKind) -> Driver {
        self.process(Box::new(move |_, of| (of == kind).then_some(HttpFault { fault_kind, after: false }))).driver
    }

    /// Kinds of all requests so far.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.stub.received().iter().map(|received| received.kind).collect()
    }

    /// How many PUTs the stub got.
    pub(crate) fn puts(&self) -> usize {
        self.kinds().iter().filter(|kind| **kind == Kind::Put).count()
    }

    /// States of all file systems, by name.
    pub(crate) fn states(&self) -> Vec<(String, ProvisioningState)> {
        let all = self.azure.simulator.cloud().filesystems();
        all.into_iter().map(|(id, found)| (id.name.to_string(), found.state)).collect()
    }
}
