//! A volume on a real file system that stops answering: every call about it is answered in its time, and it can be
//! unpublished.
//!
//! Nothing stands in for the kernel here: the driver's type of mounts is `fuse`, and what waits, waits in the kernel.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::syscalls::Syscalls;
use azurelustre_csi::adapters::kernel::{Dependencies, KernelMounter};
use azurelustre_csi::app::usecase::publish::Publish;
use azurelustre_csi::domain::mount::PublishRequest;
use azurelustre_csi::ports::inbound::{Failure, FailureKind, Publishing};
use azurelustre_csi::ports::mounter::{Mounter, Readiness};
use azurelustre_csi::ports::operations::Operations;

use crate::fuse::Fuse;
use crate::world::{LONG, SHORT, SICK, TestNode, is_mounted, patient, request, until, vol_data, with_limits};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    while_it_is_silent_every_call_is_answered_in_its_time,
    a_volume_of_dead_servers_is_detached_and_ends_with_its_server,
    a_volume_whose_servers_answer_is_never_detached,
    a_volume_whose_server_ended_is_unpublished,
    one_that_answers_again_is_as_before,
    a_mount_of_another_type_that_is_silent_stays,
];

/// What a call may take whose limits are all short: far more than these, far less than a hang.
const IN_TIME: Duration = Duration::from_secs(5);

/// The real kernel, and a network in which the MGS answers or not.
#[derive(Debug, Default)]
struct Network {
    answers: AtomicBool,
}

impl Syscalls for Network {
    fn connect(&self, _: SocketAddr, _: Duration) -> io::Result<()> {
        if self.answers.load(Ordering::SeqCst) { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

struct Volume {
    network: Arc<Network>,
    driver: Publish,
    mounter: Arc<KernelMounter>,
    request: PublishRequest,
    // Before the directory that it is mounted in.
    fuse: Option<Fuse>,
    _node: TestNode,
}

impl Volume {
    /// A healthy volume, published by an earlier process of the driver.
    fn published(fs_type: &str) -> Self {
        let node = TestNode::new(with_limits(patient()));
        let limits = Limits { unmount: SHORT, statfs: SHORT, observe: SHORT, ..patient() };
        let settings = KernelSettings { fs_type: fs_type.into(), limits, ..node.settings.clone() };
        let network = Arc::<Network>::default();
        let mounter = Arc::new(KernelMounter::new(
            settings,
            Dependencies { syscalls: network.clone(), ..Dependencies::default() },
        ));
        let driver = Publish::new(mounter.clone(), Arc::new(SystemClock::new()));
        let request = request(&node.root, "silent", SICK);
        std::fs::create_dir_all(&request.target).unwrap();
        let fuse = Fuse::mount("10.0.0.9@tcp:/lustrefs", &request.target).unwrap();
        Self { network, driver, mounter, request, fuse: Some(fuse), _node: node }
    }

    fn fuse(&self) -> &Fuse {
        self.fuse.as_ref().unwrap()
    }

    fn target(&self) -> &PathBuf {
        &self.request.target
    }

    async fn usage(&self) -> Result<(), Failure> {
        let asked = self.driver.usage(&self.request.volume_id, self.target(), None);
        in_time(asked).await.map(drop)
    }

    async fn publish(&self) -> Result<(), Failure> {
        in_time(self.driver.publish(self.request.clone(), None)).await
    }

    /// Unpublishes as kubelet does: again and again, each time answered.
    async fn unpublish(&self) {
        let begun = Instant::now();
        loop {
            let call = self.driver.unpublish(&self.request.volume_id, self.target(), None);
            match in_time(call).await {
                Ok(()) => break,
                Err(failure) => assert!(is_repeated(&failure) && begun.elapsed() < LONG, "{failure:?}"),
            }
        }
        assert!(!is_mounted(self.target()) && !self.target().exists());
    }

    async fn settled(&self) {
        until("nothing is in progress", || self.mounter.in_progress().is_empty()).await;
    }
}

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(IN_TIME, call).await.unwrap()
}

/// Whether kubelet has to take it as "it may go on".
fn is_repeated(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::InProgress)
}

async fn while_it_is_silent_every_call_is_answered_in_its_time() {
    let volume = Volume::published("fuse");
    volume.usage().await.unwrap();
    volume.publish().await.unwrap();
    volume.fuse().fall_silent();
    for _ in 0..5 {
        let failure = volume.usage().await.unwrap_err();
        assert!(is_repeated(&failure), "{failure:?}");
        volume.publish().await.unwrap();
        assert!(is_mounted(volume.target()), "silence is not corrupt");
        assert_eq!(in_time(volume.mounter.readiness()).await, Readiness::Ready);
    }
    assert_eq!(volume.fuse().hanging(), 1, "it is asked once");
    assert!(volume.mounter.threads() <= 4, "{} threads", volume.mounter.threads());
    assert_eq!(volume.mounter.in_progress().len(), 1);
}

async fn a_volume_of_dead_servers_is_detached_and_ends_with_its_server() {
    let mut volume = Volume::published("fuse");
    vol_data(volume.target(), &volume.request.volume_id);
    volume.fuse().fall_silent();
    volume.usage().await.unwrap_err();
    volume.unpublish().await;
    assert!(!volume.mounter.in_progress().is_empty(), "the statfs hangs and is listed");
    volume.fuse.take().unwrap().die();
    volume.settled().await;
}

/// The statfs of the driver itself uses it.
async fn a_volume_whose_servers_answer_is_never_detached() {
    let volume = Volume::published("fuse");
    volume.network.answers.store(true, Ordering::SeqCst);
    volume.fuse().fall_silent();
    volume.usage().await.unwrap_err();
    for _ in 0..3 {
        let call = volume.driver.unpublish(&volume.request.volume_id, volume.target(), None);
        assert_eq!(in_time(call).await.unwrap_err().kind, FailureKind::Precondition);
        assert!(is_mounted(volume.target()));
    }
    volume.fuse().resume();
    volume.settled().await;
    volume.unpublish().await;
}

async fn a_volume_whose_server_ended_is_unpublished() {
    let mut volume = Volume::published("fuse");
    volume.fuse().fall_silent();
    volume.usage().await.unwrap_err();
    volume.fuse.take().unwrap().die();
    volume.settled().await;
    let failure = volume.usage().await.unwrap_err();
    assert!(is_repeated(&failure), "{failure:?}");
    volume.unpublish().await;
}

async fn one_that_answers_again_is_as_before() {
    let volume = Volume::published("fuse");
    volume.fuse().fall_silent();
    volume.usage().await.unwrap_err();
    volume.fuse().resume();
    volume.settled().await;
    volume.usage().await.unwrap();
    volume.publish().await.unwrap();
    volume.unpublish().await;
    volume.settled().await;
}

/// It is not even asked.
async fn a_mount_of_another_type_that_is_silent_stays() {
    let volume = Volume::published("lustre");
    volume.fuse().fall_silent();
    assert_eq!(volume.usage().await.unwrap_err().kind, FailureKind::NotFound);
    assert_eq!(volume.publish().await.unwrap_err().kind, FailureKind::Conflict);
    let call = volume.driver.unpublish(&volume.request.volume_id, volume.target(), None);
    in_time(call).await.unwrap_err();
    assert!(is_mounted(volume.target()));
    assert_eq!(volume.fuse().hanging(), 0);
    assert!(volume.mounter.in_progress().is_empty());
}
