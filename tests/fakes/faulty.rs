//! Fault injection: a wrapper round an adapter of a port that makes chosen calls fail, hang or kill the process, before or
//! after their effect. The adapter behind it stays as it is.

use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed};
use azurelustre_csi::domain::mount::MountPlan;
use azurelustre_csi::domain::mount_source::MountSource;
use azurelustre_csi::domain::names::{FilesystemId, Location};
use azurelustre_csi::domain::sku::SkuCatalog;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudError, CloudErrorKind, SubnetCapacity, SubnetCapacityRequest};
use azurelustre_csi::ports::mounter::{MountError, MountErrorKind, MountOutcome, Mounter, Readiness, Usage};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault<K> {
    /// It fails and has no effect.
    Before(K),
    /// It has its effect and fails.
    After(K),
    /// It succeeds without its effect.
    Ignored,
    /// An observation returns Absent, whatever exists.
    Absent,
    /// It never answers and has no effect.
    HangBefore,
    /// It has its effect and never answers.
    HangAfter,
    /// It takes this long before its effect, and succeeds.
    Delay(Duration),
    /// The process dies before its effect.
    KillBefore,
    /// The process dies after its effect.
    KillAfter,
}

/// The payload of the unwinding that stands for the death of the process (SIGKILL).
pub(crate) struct Killed;

fn die() -> ! {
    // Not a panic: no message and no hook, only the unwinding that drops what the process had in memory.
    std::panic::resume_unwind(Box::new(Killed))
}

/// Chooses the fault of a call from its number (from 1) and its operation.
pub(crate) type FaultPlan<K> = Box<dyn Fn(u32, &'static str) -> Option<Fault<K>> + Send + Sync>;

/// A call that reached the port, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedCall {
    pub(crate) operation: &'static str,
    pub(crate) at: Duration,
}

/// The faults of one port, and the calls that reached it.
pub(crate) struct Faults<K> {
    plan: FaultPlan<K>,
    clock: Arc<dyn Clock>,
    calls: Mutex<Vec<RecordedCall>>,
    /// How often a call yields to other tasks, before and after its effect.
    yields: u32,
}

impl<K> std::fmt::Debug for Faults<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl<K: Copy> Faults<K> {
    pub(crate) fn new(clock: Arc<dyn Clock>, plan: FaultPlan<K>) -> Self {
        Self { plan, clock, calls: Mutex::default(), yields: 0 }
    }

    /// No faults; the calls are only recorded.
    pub(crate) fn none(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Box::new(|_, _| None))
    }

    /// No faults, but every call yields to other tasks.
    pub(crate) fn yielding(clock: Arc<dyn Clock>, yields: u32) -> Self {
        Self { yields, ..Self::none(clock) }
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<RecordedCall> {
        self.calls.lock().unwrap().clone()
    }

    /// Records a call and chooses its fault.
    fn record(&self, operation: &'static str) -> Option<Fault<K>> {
        self.calls.lock().unwrap().push(RecordedCall { operation, at: self.clock.now() });
        self.current()
    }

    /// The fault of the call that was recorded last.
    fn current(&self) -> Option<Fault<K>> {
        let calls = self.calls.lock().unwrap();
        let operation = calls.last().map_or("", |call| call.operation);
        (self.plan)(u32::try_from(calls.len()).unwrap(), operation)
    }

    async fn yield_to_others(&self) {
        for _ in 0..self.yields {
            futures_lite::future::yield_now().await;
        }
    }

    async fn call<T, E>(
        &self,
        operation: &'static str,
        effect: impl Future<Output = Result<T, E>>,
        error: impl FnOnce(K) -> E,
    ) -> Result<T, E> {
        self.yield_to_others().await;
        let fault = self.record(operation);
        if let Some(Fault::Delay(time)) = fault {
            self.clock.sleep(time).await;
        }
        let before = matches!(fault, Some(Fault::Before(_) | Fault::HangBefore | Fault::KillBefore));
        let result = if before { None } else { Some(effect.await) };
        self.yield_to_others().await;
        match (fault, result) {
            (None | Some(Fault::Delay(_) | Fault::Absent | Fault::Ignored), Some(result)) => result,
            (Some(Fault::Before(kind) | Fault::After(kind)), _) => Err(error(kind)),
            (Some(Fault::KillBefore | Fault::KillAfter), _) => die(),
            _ => pending().await,
        }
    }
}

/// A cloud with faults.
#[derive(Debug)]
pub(crate) struct FaultyCloud {
    inner: Arc<dyn Cloud>,
    pub(crate) faults: Faults<CloudErrorKind>,
}

impl FaultyCloud {
    pub(crate) fn new(inner: Arc<dyn Cloud>, faults: Faults<CloudErrorKind>) -> Self {
        Self { inner, faults }
    }
}

fn cloud_error(kind: CloudErrorKind) -> CloudError {
    CloudError::new(kind, "call", "something", "injected")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Cloud for FaultyCloud {
    fn configured(&self) -> Result<(), CloudError> {
        self.inner.configured()
    }

    fn is_simulated(&self) -> bool {
        self.inner.is_simulated()
    }

    async fn observe(&self, id: &FilesystemId) -> Result<Observed, CloudError> {
        let hidden = async {
            let observed = self.inner.observe(id).await;
            if self.faults.current() == Some(Fault::Absent) { Ok(Observed::Absent) } else { observed }
        };
        self.faults.call("observe", hidden, cloud_error).await
    }

    async fn begin_create(&self, spec: &FilesystemSpec) -> Result<(), CloudError> {
        self.faults.call("begin_create", self.inner.begin_create(spec), cloud_error).await
    }

    async fn begin_delete(&self, id: &FilesystemId) -> Result<(), CloudError> {
        let ignored = async {
            if self.faults.current() == Some(Fault::Ignored) { Ok(()) } else { self.inner.begin_delete(id).await }
        };
        self.faults.call("begin_delete", ignored, cloud_error).await
    }

    async fn skus(&self, location: &Location) -> Result<SkuCatalog, CloudError> {
        self.faults.call("skus", self.inner.skus(location), cloud_error).await
    }

    async fn subnet_capacity(&self, request: &SubnetCapacityRequest) -> Result<SubnetCapacity, CloudError> {
        self.faults.call("subnet_capacity", self.inner.subnet_capacity(request), cloud_error).await
    }
}

/// A mounter with faults.
#[derive(Debug)]
pub(crate) struct FaultyMounter {
    inner: Arc<dyn Mounter>,
    pub(crate) faults: Faults<MountErrorKind>,
}

impl FaultyMounter {
    pub(crate) fn new(inner: Arc<dyn Mounter>, faults: Faults<MountErrorKind>) -> Self {
        Self { inner, faults }
    }
}

fn mount_error(kind: MountErrorKind) -> MountError {
    MountError::new(kind, "call", "something", "injected")
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Mounter for FaultyMounter {
    async fn readiness(&self) -> Readiness {
        self.inner.readiness().await
    }

    async fn published(&self, plan: &MountPlan) -> Result<Vec<PathBuf>, MountError> {
        self.faults.call("published", self.inner.published(plan), mount_error).await
    }

    async fn make_sub_dir(&self, source: &MountSource) -> Result<(), MountError> {
        self.faults.call("make_sub_dir", self.inner.make_sub_dir(source), mount_error).await
    }

    async fn mount(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        self.faults.call("mount", self.inner.mount(plan), mount_error).await
    }

    async fn unmount(&self, target: &Path) -> Result<(), MountError> {
        self.faults.call("unmount", self.inner.unmount(target), mount_error).await
    }

    async fn usage(&self, path: &Path) -> Result<Option<Usage>, MountError> {
        self.faults.call("usage", self.inner.usage(path), mount_error).await
    }
}
