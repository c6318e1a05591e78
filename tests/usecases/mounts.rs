//! Publish and unpublish with a fault at every step, races at one target, and single writers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::simulator::lustre::{Mode, SimulatedLustre};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::ports::inbound::{Failure, FailureKind, Publishing};
use azurelustre_csi::ports::mounter::MountErrorKind;
use futures_lite::future::{yield_now, zip};

use crate::fakes::faulty::{Fault, Faults, FaultyMounter};
use crate::world::{Azure, BUDGET, mortal};

const VOLUME: &str = "volume";

/// A node that outlives the driver's process.
struct Machine {
    azure: Azure,
    clock: Arc<SystemClock>,
    lustre: Arc<SimulatedLustre>,
    pods: tempfile::TempDir,
}

/// One process of the driver on it.
struct Process {
    mounter: Arc<FaultyMounter>,
    publish: Publish,
}

/// Runs on a runtime whose time is skipped whenever everything waits; blocking work of the simulated kernel holds it.
fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(work)
}

impl Machine {
    fn new() -> Self {
        let azure = Azure::new();
        let lustre = Arc::new(SimulatedLustre::with_mode(azure.simulator.servers(), Mode::Link));
        Self { azure, clock: Arc::new(SystemClock::new()), lustre, pods: tempfile::tempdir().unwrap() }
    }

    fn process(&self, faults: Faults<MountErrorKind>) -> Process {
        let mounter = Arc::new(FaultyMounter::new(self.lustre.clone(), faults));
        Process { publish: Publish::new(mounter.clone(), self.clock.clone()), mounter }
    }

    fn healthy(&self) -> Process {
        self.process(Faults::none(self.clock.clone()))
    }

    fn faulty(&self, fault: Fault<MountErrorKind>, first: u32, times: u32) -> Process {
        let plan = move |call: u32, _: &str| (first..first + times).contains(&call).then_some(fault);
        self.process(Faults::new(self.clock.clone(), Box::new(plan)))
    }

    fn target(&self, pod: &str) -> PathBuf {
        let directory = self.pods.path().join(pod);
        // kubelet's part of it.
        std::fs::create_dir_all(&directory).unwrap();
        directory.join("mount")
    }

    /// A mount of the simulated kernel is a link, seen here from outside.
    fn is_mounted(&self, target: &Path) -> bool {
        target.starts_with(self.pods.path()) && std::fs::read_link(target).is_ok()
    }

    /// Whether there is neither a mount nor a directory.
    fn is_absent(&self, target: &Path) -> bool {
        target.starts_with(self.pods.path()) && std::fs::symlink_metadata(target).is_err()
    }
}

impl Process {
    fn publish(&self, request: &PublishRequest) -> Result<(), Failure> {
        on_runtime(self.publish.publish(request.clone(), BUDGET))
    }

    fn unpublish(&self, target: &Path) -> Result<(), Failure> {
        on_runtime(self.publish.unpublish(VOLUME, target, BUDGET))
    }

    fn operations(&self) -> Vec<&'static str> {
        self.mounter.faults.calls().into_iter().map(|made| made.operation).collect()
    }
}

fn request(target: &Path) -> PublishRequest {
    let context = [
        ("mgs-ip-address", "10.0.0.4"),
        ("sub-dir", "team/${pod.metadata.name}"),
        ("csi.storage.k8s.io/pod.name", "p"),
    ];
    PublishRequest {
        volume_id: VOLUME.into(),
        target: target.to_owned(),
        capability: Capability {
            access: Some(AccessType::Mount { flags: vec!["noatime".into()] }),
            mode: Some(AccessMode::MultiNodeMultiWriter),
        },
        read_only: false,
        context: context.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

fn with_mode(target: &Path, mode: AccessMode) -> PublishRequest {
    let mut request = request(target);
    request.capability.mode = Some(mode);
    request
}

/// What may happen to a call. A mounter that has mounted does not fail with a kind that says that it has not.
fn faults() -> Vec<Fault<MountErrorKind>> {
    let before = MountErrorKind::ALL.into_iter().map(Fault::Before);
    let after = MountErrorKind::ALL.into_iter().filter(|kind| kind.may_be_mounted()).map(Fault::After);
    before.chain(after).chain([Fault::HangBefore, Fault::HangAfter]).collect()
}

const PUBLISH_STEPS: [&str; 3] = ["mount", "make_sub_dir", "mount"];

#[test]
fn a_sub_directory_is_made_only_where_it_is_missing() {
    let machine = Machine::new();
    let process = machine.healthy();
    process.publish(&request(&machine.target("a"))).unwrap();
    assert_eq!(process.operations(), PUBLISH_STEPS);
    process.publish(&request(&machine.target("a"))).unwrap();
    process.publish(&request(&machine.target("b"))).unwrap();
    let read_only = PublishRequest { read_only: true, ..request(&machine.target("c")) };
    process.publish(&read_only).unwrap();
    assert_eq!(process.operations()[3..], ["mount"; 3], "an existing sub-directory costs one mount");
    let mut missing = PublishRequest { read_only: true, ..request(&machine.target("d")) };
    missing.context.insert("sub-dir".into(), "missing".into());
    assert_eq!(process.publish(&missing).unwrap_err().kind, FailureKind::NotFound);
    assert_eq!(process.operations()[6..], ["mount"], "a read-only volume makes none");
}

#[test]
fn a_fault_at_every_step_of_a_publish_ends_mounted_as_asked() {
    for times in [1, 3, 20] {
        for fault in faults() {
            for first in 1..=3 {
                let case = format!("{fault:?} at call {first}, {times} times");
                let machine = Machine::new();
                let (process, target) = (machine.faulty(fault, first, times), machine.target("a"));
                let published = (0..100).any(|_| match process.publish(&request(&target)) {
                    Ok(()) => true,
                    Err(failure) => {
                        let left = failure.kind.is_final() && machine.is_mounted(&target);
                        assert!(!left, "{case}: mounted after the final {:?}: {failure}", failure.kind);
                        false
                    }
                });
                assert!(published && machine.is_mounted(&target), "{case}");
                let again = machine.healthy();
                again.publish(&request(&target)).unwrap();
                assert_eq!(again.operations(), ["mount"], "{case}: mounted as planned");
                machine.healthy().unpublish(&target).unwrap();
                assert!(machine.is_absent(&target), "{case}");
            }
        }
    }
}

#[test]
fn a_fault_of_an_unpublish_ends_with_nothing() {
    for times in [1, 3, 20] {
        let kinds = MountErrorKind::ALL.into_iter().flat_map(|kind| [Fault::Before(kind), Fault::After(kind)]);
        for fault in kinds.chain([Fault::HangBefore, Fault::HangAfter]) {
            let machine = Machine::new();
            let target = machine.target("a");
            machine.healthy().publish(&request(&target)).unwrap();
            let process = machine.faulty(fault, 1, times);
            let case = format!("{fault:?}, {times} times");
            assert!((0..100).any(|_| process.unpublish(&target).is_ok()), "{case}");
            assert!(machine.is_absent(&target), "{case}");
            assert!(target.parent().unwrap().is_dir(), "{case}: a parent went");
        }
    }
}

#[test]
fn a_process_that_dies_at_any_step_is_continued() {
    for fault in [Fault::KillBefore, Fault::KillAfter] {
        for first in 1..=3 {
            let machine = Machine::new();
            let target = machine.target("a");
            assert!(mortal(|| machine.faulty(fault, first, 1).publish(&request(&target))).is_err());
            machine.healthy().publish(&request(&target)).unwrap();
            assert!(machine.is_mounted(&target), "{fault:?} at call {first}");
            assert!(mortal(|| machine.faulty(fault, 1, 1).unpublish(&target)).is_err());
            machine.healthy().unpublish(&target).unwrap();
            assert!(machine.is_absent(&target), "{fault:?}");
        }
    }
}

#[test]
fn a_corrupt_mount_is_replaced_in_the_same_call() {
    let machine = Machine::new();
    let target = machine.target("a");
    machine.healthy().publish(&request(&target)).unwrap();
    machine.azure.simulator.servers().stop("10.0.0.4".parse().unwrap()).unwrap();
    let fs_name = azurelustre_csi::domain::mount_source::FsName::default();
    let size = azurelustre_csi::domain::capacity::Tib(4).bytes();
    machine.azure.simulator.servers().start("10.0.0.4".parse().unwrap(), &fs_name, size);
    let driver = machine.healthy();
    driver.publish(&request(&target)).unwrap();
    assert!(machine.is_mounted(&target) && target.is_dir());
    assert_eq!(driver.operations(), PUBLISH_STEPS, "with its sub-directory, which the new file system lacks");
}

#[test]
fn an_occupied_target_is_a_conflict_and_stays_as_it_is() {
    let machine = Machine::new();
    let target = machine.target("a");
    machine.healthy().publish(&request(&target)).unwrap();
    let before = std::fs::read_link(&target).unwrap();
    let mut other = request(&target);
    other.context.insert("mgs-ip-address".into(), "10.0.0.5".into());
    let failure = machine.healthy().publish(&other).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.message.contains("10.0.0.4@tcp:/lustrefs/team/p"), "{failure}");
    assert_eq!(std::fs::read_link(&target).unwrap(), before);
    let file = machine.target("b");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(machine.healthy().publish(&request(&file)).unwrap_err().kind, FailureKind::Internal);
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_single_writer_has_one_target_also_after_a_restart() {
    let machine = Machine::new();
    let (first, second) = (machine.target("a"), machine.target("b"));
    let single = |target: &Path| with_mode(target, AccessMode::SingleNodeSingleWriter);
    machine.healthy().publish(&single(&first)).unwrap();
    for process in [machine.healthy(), machine.healthy()] {
        process.publish(&single(&first)).unwrap();
        let failure = process.publish(&single(&second)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Precondition, "{failure}");
        assert!(machine.is_absent(&second));
    }
    machine.healthy().unpublish(&first).unwrap();
    machine.healthy().publish(&single(&second)).unwrap();
}

async fn after<T>(steps: u32, work: impl Future<Output = T>) -> T {
    for _ in 0..steps {
        yield_now().await;
    }
    work.await
}

#[test]
fn single_writers_that_race_for_a_volume_get_one_target() {
    for lead in 0..20 {
        let machine = Machine::new();
        let process = machine.process(Faults::yielding(machine.clock.clone(), 2));
        let targets = [machine.target("a"), machine.target("b")];
        let [first, second] = targets
            .each_ref()
            .map(|target| process.publish.publish(with_mode(target, AccessMode::SingleNodeSingleWriter), BUDGET));
        let (first, second) = on_runtime(zip(first, after(lead, second)));
        assert_eq!(u8::from(first.is_ok()) + u8::from(second.is_ok()), 1, "lead {lead}");
        let mounted = targets.iter().filter(|target| machine.is_mounted(target)).count();
        assert_eq!(mounted, 1, "lead {lead}");
    }
}

#[test]
fn spellings_of_one_target_exclude_each_other() {
    for lead in 0..20 {
        let machine = Machine::new();
        let process = machine.process(Faults::yielding(machine.clock.clone(), 2));
        let plain = machine.target("a");
        let odd = PathBuf::from(format!("{}/.//a/./mount", machine.pods.path().display()));
        let publish = |target: &Path| process.publish.publish(request(target), BUDGET);
        let (first, second) = on_runtime(zip(publish(&plain), after(lead, publish(&odd))));
        first.unwrap();
        assert!(second.is_ok() || second.is_err_and(|busy| busy.kind == FailureKind::InProgress), "lead {lead}");
        assert!(machine.is_mounted(&plain), "lead {lead}");
    }
}

#[test]
fn a_mount_that_won_the_race_is_left_alone() {
    let machine = Machine::new();
    let target = machine.target("a");
    let busy = machine.faulty(Fault::After(MountErrorKind::Busy), 3, 1);
    let failure = busy.publish(&request(&target)).unwrap_err();
    assert!(!failure.kind.is_final(), "{:?}", failure.kind);
    assert!(machine.is_mounted(&target), "what is there stays");
    assert_eq!(busy.operations().last(), Some(&"mount"));
}

#[test]
fn a_publish_and_an_unpublish_that_race_leave_one_mount_or_none() {
    for lead in 0..20 {
        let machine = Machine::new();
        let process = machine.process(Faults::yielding(machine.clock.clone(), 2));
        let target = machine.target("a");
        let publish = process.publish.publish(request(&target), BUDGET);
        let unpublish = after(lead, process.publish.unpublish(VOLUME, &target, BUDGET));
        let (published, unpublished) = on_runtime(zip(publish, unpublish));
        published.unwrap();
        match unpublished {
            Ok(()) => assert!(machine.is_absent(&target), "lead {lead}"),
            Err(busy) => assert_eq!((busy.kind, machine.is_mounted(&target)), (FailureKind::InProgress, true)),
        }
    }
}

#[test]
fn usage_and_paths_are_checked() {
    let machine = Machine::new();
    let process = machine.healthy();
    let usage = |volume: &'static str, path: &Path| on_runtime(process.publish.usage(volume, path, BUDGET));
    let target = machine.target("a");
    process.publish(&request(&target)).unwrap();
    assert!(usage(VOLUME, &target).unwrap().bytes.total > 0);
    for (volume, path, kind) in [
        ("", target.as_path(), FailureKind::Invalid),
        (VOLUME, Path::new(""), FailureKind::Invalid),
        (VOLUME, Path::new("some/path"), FailureKind::NotFound),
        (VOLUME, Path::new("/nowhere/at/all"), FailureKind::NotFound),
    ] {
        assert_eq!(usage(volume, path).unwrap_err().kind, kind, "{volume:?} {path:?}");
    }
    let bad = PublishRequest { context: BTreeMap::new(), ..request(&target) };
    assert_eq!(process.publish(&bad).unwrap_err().kind, FailureKind::Invalid);
    assert_eq!(process.unpublish(Path::new("relative")).unwrap_err().kind, FailureKind::Invalid);
}
