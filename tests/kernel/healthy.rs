//! Whether healthy volumes are served as fast as ever while others hang.
//!
//! Why the best of some series: the machine is shared, and what somebody else does to one series is not the driver's
//! doing. What a lock or a queue behind hung mounts would do is done to every series.

use std::path::Path;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::kernel::KernelMounter;
use azurelustre_csi::ports::mounter::Mounter;

use crate::world::{Bench, HEALTHY, plan, source};

/// Publications of one series, each with its unpublication.
const PAIRS: usize = 150;
/// Series at most.
const SERIES: usize = 6;

/// The 99th percentile of the time that a pair takes when nothing is wrong.
pub(crate) async fn usual(bench: &Bench) -> Duration {
    usual_of(&bench.mounter, &bench.root).await
}

/// Healthy volumes take at most twice as long.
pub(crate) async fn assert_unhurt(bench: &Bench, usual: Duration) {
    assert_unhurt_of(&bench.mounter, &bench.root, usual).await;
}

/// [`usual`] for targets below `root`.
pub(crate) async fn usual_of(mounter: &KernelMounter, root: &Path) -> Duration {
    let mut found = vec![];
    for _ in 0..5 {
        found.push(percentile(mounter, root).await);
    }
    found.sort();
    found[2]
}

/// [`assert_unhurt`] for targets below `root`.
pub(crate) async fn assert_unhurt_of(mounter: &KernelMounter, root: &Path, usual: Duration) {
    let mut found = vec![];
    for _ in 0..SERIES {
        found.push(percentile(mounter, root).await);
        if found.last() <= Some(&(2 * usual)) {
            return;
        }
    }
    panic!("healthy volumes took {found:?}, not {usual:?}");
}

async fn percentile(mounter: &KernelMounter, root: &Path) -> Duration {
    let mut took = vec![];
    for pair in 0..PAIRS {
        let target = root.join(format!("pods/healthy-{pair}/mount"));
        let begun = Instant::now();
        mounter.inspect(&target).await.unwrap();
        mounter.make_target(&target).await.unwrap();
        mounter.mount(&plan(&source(HEALTHY), &target)).await.unwrap();
        mounter.unmount(&target).await.unwrap();
        mounter.remove_target(&target).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    took[PAIRS - 1 - PAIRS / 100]
}
