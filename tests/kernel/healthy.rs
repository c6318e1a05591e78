//! Whether healthy volumes are served as fast as ever while others hang.
//!
//! Why a second mounter: the machine is shared, and what somebody else does to it is not the driver's doing. So a mounter
//! for which nothing hangs is measured in turn with the other, and one fair round of several is enough: what a lock or a
//! queue behind hung mounts would do is done in every round.

use std::path::Path;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::kernel::KernelMounter;
use azurelustre_csi::ports::mounter::Mounter;

use crate::world::{HEALTHY, plan, source};

/// Publications of one series, each with its unpublication.
const PAIRS: usize = 150;
/// Rounds at most.
const ROUNDS: usize = 8;

/// A mounter, and where its targets are.
pub(crate) type Place<'a> = (&'a KernelMounter, &'a Path);

/// The 99th percentile of a healthy pair is at most twice that of the undisturbed mounter.
pub(crate) async fn assert_unhurt(disturbed: Place<'_>, undisturbed: Place<'_>) {
    let mut found = vec![];
    for _ in 0..ROUNDS {
        let usual = percentile(undisturbed).await;
        let hurt = percentile(disturbed).await;
        if hurt <= 2 * usual {
            return;
        }
        found.push((hurt, usual));
    }
    panic!("healthy volumes are slow beside those that hang, against undisturbed: {found:?}");
}

async fn percentile((mounter, root): Place<'_>) -> Duration {
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
