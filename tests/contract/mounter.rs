//! The contract of the port [`Mounter`]: its laws and its adapters. A law that cannot run with an adapter, or on this
//! machine, is ignored with its reason; it never passes without having run.
//!
//! [`Mounter`]: azurelustre_csi::ports::mounter::Mounter

#[cfg(feature = "kernel")]
mod kernel;
mod mounts;
mod sub_dirs;
mod targets;
mod unmounts;
mod world;

use azurelustre_csi::adapters::simulator::lustre::Mode;
use libtest_mimic::Trial;

use self::world::{MounterWorld, SimulatorWorld, WorldCapability};
use crate::harness;

/// A law of this port.
type Law = harness::Law<dyn MounterWorld, WorldCapability>;
type Adapter = harness::Adapter<dyn MounterWorld, WorldCapability>;

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    harness::trials("mounter", &adapters(), &[targets::LAWS, mounts::LAWS, sub_dirs::LAWS, unmounts::LAWS])
}

fn adapters() -> [Adapter; 4] {
    let may_mount = Mode::detect() == Mode::Bind;
    let with_mounts = |adapter: Adapter| {
        let reason = "this process may not mount; run as root or under unshare -rm";
        if may_mount { adapter } else { Adapter::unavailable(adapter.name, reason) }
    };
    let link = Adapter::new("simulator-link", || SimulatorWorld::boxed(Mode::Link));
    [
        with_mounts(Adapter::new("simulator-bind", || SimulatorWorld::boxed(Mode::Bind))),
        Adapter { lacks: &[(WorldCapability::EnforcesReadOnly, "a symbolic link cannot refuse writes")], ..link },
        #[cfg(feature = "kernel")]
        with_mounts(Adapter { lacks: kernel::TMPFS_LACKS, ..Adapter::new("kernel-tmpfs", kernel::on_tmpfs) }),
        #[cfg(feature = "kernel")]
        with_mounts(Adapter::new("kernel-tree", kernel::on_a_tree)),
        #[cfg(not(feature = "kernel"))]
        Adapter::unavailable("kernel-tmpfs", "needs --features kernel"),
        #[cfg(not(feature = "kernel"))]
        Adapter::unavailable("kernel-tree", "needs --features kernel"),
    ]
}
