//! A file system of the real kernel that stops answering: whatever asks it hangs there until its connection is aborted.
//!
//! Why FUSE: its servers are files of this process, so they can fall silent and come to an end as Lustre's do, and the
//! threads that wait for them wait in the kernel. The first request, which opens the connection, is answered; no other
//! ever is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use azurelustre_csi::adapters::kernel::call::MountCall;
use azurelustre_csi::adapters::kernel::settings::{KernelSettings, Limits};
use azurelustre_csi::adapters::kernel::syscalls::{Kernel, Syscalls};
use azurelustre_csi::adapters::kernel::{KernelMounter, Parts};
use azurelustre_csi::domain::mount::MountState;
use azurelustre_csi::ports::mounter::{MountErrorKind, Mounter};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::fakes::lustre::unmount_below;
use crate::healthy::assert_unhurt;
use crate::world::{LONG, SHORT, SICK, is_mounted, patient, plan, source, until};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    fifty_file_systems_that_stop_answering_hurt_nobody_and_are_taken_away,
    a_sub_directory_on_a_file_system_that_stops_answering_is_given_up_and_cleaned_up,
];

/// Lustre is FUSE at the sick server, tmpfs elsewhere.
#[derive(Debug, Default)]
struct FuseKernel {
    /// The servers' ends of the connections. Closed, a connection is aborted.
    connections: Mutex<BTreeMap<u64, File>>,
}

impl FuseKernel {
    /// Every silent server comes to an end.
    fn release(&self) {
        self.connections.lock().unwrap().clear();
    }
}

impl Syscalls for FuseKernel {
    fn mount(&self, call: &MountCall, directory: &File) -> Result<(), Errno> {
        let target = format!("/proc/self/fd/{}", directory.as_raw_fd());
        if !call.source.starts_with(&SICK.to_string()) {
            return mount(Some(call.source.as_str()), target.as_str(), Some("tmpfs"), MsFlags::empty(), None::<&str>);
        }
        let connection = mount_fuse(&call.source, Path::new(&target))?;
        let mut connections = self.connections.lock().unwrap();
        let number = connections.len() as u64;
        connections.insert(number, connection);
        Ok(())
    }

    fn mountinfo(&self) -> io::Result<Vec<u8>> {
        let shown = String::from_utf8_lossy(&Kernel.mountinfo()?).into_owned();
        let lustre =
            |text: String, stand_in: &str| text.replace(&format!(" - {stand_in} 10.0.0."), " - lustre 10.0.0.");
        Ok(lustre(lustre(shown, "fuse"), "tmpfs").into_bytes())
    }
}

/// Mounts a FUSE whose server answers the first request; returns the server's end.
fn mount_fuse(source: &str, target: &Path) -> Result<File, Errno> {
    let failed = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let mut connection = OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(failed)?;
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", connection.as_raw_fd());
    mount(Some(source), target, Some("fuse"), MsFlags::empty(), Some(data.as_str()))?;
    // FUSE_INIT: its header has the request's number in bytes 8 to 15.
    let mut request = [0; 8192];
    connection.read(&mut request).map_err(failed)?;
    // Header (length, no error, number) and fuse_init_out of protocol 7.31.
    let mut answer = [80_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat();
    answer.extend(&request[8..16]);
    answer.extend([7_u32, 31, 65_536, 0, 0, 4096, 1].into_iter().flat_map(u32::to_ne_bytes));
    answer.resize(80, 0);
    connection.write_all(&answer).map_err(failed)?;
    Ok(connection)
}

/// Whether FUSE can be used here.
pub(crate) fn works() -> bool {
    let directory = tempfile::tempdir().unwrap();
    mount_fuse("probe", directory.path()).is_ok() && umount2(directory.path(), MntFlags::MNT_DETACH).is_ok()
}

struct Bench {
    kernel: Arc<FuseKernel>,
    mounter: Arc<KernelMounter>,
    settings: KernelSettings,
    root: PathBuf,
    _directory: tempfile::TempDir,
}

fn parts(kernel: &Arc<FuseKernel>) -> Parts {
    Parts { calls: kernel.clone(), ..Parts::default() }
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let limits = Limits { mount: SHORT, statfs: SHORT, look: SHORT, second_look: SHORT, ..patient() };
        let settings = KernelSettings {
            working_dir: root.join("working"),
            kubelet_dir: root.clone(),
            limits,
            ..KernelSettings::default()
        };
        let kernel = Arc::new(FuseKernel::default());
        let mounter = Arc::new(KernelMounter::new(settings.clone(), parts(&kernel)));
        Self { kernel, mounter, settings, root, _directory: directory }
    }

    /// A mounter beside the first one.
    fn another(&self) -> KernelMounter {
        KernelMounter::new(self.settings.clone(), parts(&self.kernel))
    }

    async fn settled(&self) {
        until("everything has ended", || self.mounter.under_way().is_empty()).await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.kernel.release();
        unmount_below(&self.root);
    }
}

async fn fifty_file_systems_that_stop_answering_hurt_nobody_and_are_taken_away() {
    const SILENT: usize = 50;
    let bench = Bench::new();
    let targets: Vec<PathBuf> = (0..SILENT).map(|pod| bench.root.join(format!("pods/silent-{pod}/mount"))).collect();
    for target in &targets {
        bench.mounter.make_target(target).await.unwrap();
        bench.mounter.mount(&plan(&source(SICK), target)).await.unwrap();
    }
    let asked: Vec<_> = targets.iter().cloned().map(|target| (bench.mounter.clone(), target)).collect();
    let asked = asked.into_iter().map(|(mounter, target)| tokio::spawn(async move { mounter.usage(&target).await }));
    for answer in asked.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap().unwrap_err().kind, MountErrorKind::Stuck);
    }
    assert_eq!(bench.mounter.under_way().len(), SILENT, "each waits in the kernel");
    let state = bench.mounter.inspect_for(&plan(&source(SICK), &targets[0])).await.unwrap();
    assert!(matches!(state, MountState::Mounted(_)), "silence is not corruption: {state:?}");
    let undisturbed = bench.another();
    let root = bench.root.join("undisturbed");
    assert_unhurt((&bench.mounter, &bench.root), (&undisturbed, &root)).await;
    assert!(bench.mounter.threads() <= SILENT + 10, "{} threads", bench.mounter.threads());

    // Each is in use by a thread that waits, and silent at second thought: it is ended by force, and so are its threads.
    let (first, rest) = targets.split_at(SILENT / 2);
    let begun = Instant::now();
    let ended = first.iter().cloned().map(|target| {
        let mounter = bench.mounter.clone();
        tokio::spawn(async move { mounter.unmount(&target).await })
    });
    for end in ended.collect::<Vec<_>>() {
        end.await.unwrap().unwrap();
    }
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert!(!first.iter().any(|target| is_mounted(target)));
    until("their threads have ended", || bench.mounter.under_way().len() <= rest.len()).await;

    bench.kernel.release();
    bench.settled().await;
    for target in rest {
        bench.mounter.unmount(target).await.unwrap();
        assert!(!is_mounted(target));
    }
    assert!(bench.mounter.published("volume").await.unwrap().is_empty());
}

async fn a_sub_directory_on_a_file_system_that_stops_answering_is_given_up_and_cleaned_up() {
    let bench = Bench::new();
    let below = crate::world::below(SICK, "team/a");
    for _ in 0..2 {
        assert_eq!(bench.mounter.make_sub_dir(&below).await.unwrap_err().kind, MountErrorKind::Stuck);
    }
    assert_eq!(bench.mounter.under_way().len(), 1, "the second call joins the first");
    bench.kernel.release();
    bench.settled().await;
    let left: Vec<_> = std::fs::read_dir(bench.root.join("working")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
