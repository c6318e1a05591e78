//! The contract of the port [`Mounter`]: which laws hold for which adapter.
//!
//! Why a table: a law that cannot run with an adapter, or on this machine, stands there as ignored with its reason; it
//! never passes without having run.
//!
//! [`Mounter`]: azurelustre_csi::ports::mounter::Mounter

#[cfg(feature = "kernel")]
mod kernel;
#[cfg(not(feature = "kernel"))]
#[path = "mounter/no_kernel.rs"]
mod kernel;
mod mounts;
mod sub_dirs;
mod targets;
mod unmounts;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;

use azurelustre_csi::adapters::simulator::lustre::Mode;
use libtest_mimic::{Failed, Trial};

use self::world::{MounterWorld, SimulatorWorld, WorldCapability};
use crate::harness;

const PORT: &str = "mounter";

/// What a law says in the end.
pub(crate) type LawResult = Result<(), Failed>;

/// A law and what a world must be able to do for it to mean anything.
pub(crate) struct Law {
    name: &'static str,
    needs: &'static [WorldCapability],
    run: fn(&dyn MounterWorld) -> Running<'_>,
}

type Running<'a> = Pin<Box<dyn Future<Output = LawResult> + 'a>>;

/// A list of laws from the functions that state them: `laws![one, another needs [SharesData]]`.
macro_rules! laws {
    ($($law:ident $(needs [$($need:ident),+])?),+ $(,)?) => {
        &[$($crate::mounter::Law {
            name: stringify!($law),
            needs: &[$($($crate::mounter::world::WorldCapability::$need),+)?],
            run: |world| Box::pin($law(world)),
        }),+]
    };
}
pub(crate) use laws;

/// An implementation of the port and how far it can be held to the laws here.
struct Adapter {
    name: &'static str,
    /// Why none of the laws can run.
    unavailable: Option<&'static str>,
    /// What it cannot do, and why.
    lacks: &'static [(WorldCapability, &'static str)],
    world: Build,
}

type Build = fn() -> std::io::Result<Box<dyn MounterWorld>>;

/// Asked once: it makes a mount.
static MAY_MOUNT: LazyLock<bool> = LazyLock::new(|| Mode::detect() == Mode::Bind);

fn adapters() -> [Adapter; 4] {
    let mount_refused = (!*MAY_MOUNT).then_some("this process may not mount; run as root or under unshare -rm");
    [
        Adapter {
            name: "simulator-bind",
            unavailable: mount_refused,
            lacks: &[],
            world: || SimulatorWorld::boxed(Mode::Bind),
        },
        Adapter {
            name: "simulator-link",
            unavailable: None,
            lacks: &[(WorldCapability::EnforcesReadOnly, "a symbolic link cannot refuse writes")],
            world: || SimulatorWorld::boxed(Mode::Link),
        },
        Adapter {
            name: "kernel-tmpfs",
            unavailable: kernel::UNAVAILABLE.or(mount_refused),
            lacks: &[
                (WorldCapability::SharesData, "each tmpfs is empty; kernel-tree has it"),
                (WorldCapability::StopsServers, "a tmpfs has no servers; kernel-tree has them"),
                (WorldCapability::HasServers, "a tmpfs has no servers; kernel-tree has them"),
            ],
            world: kernel::on_tmpfs,
        },
        Adapter {
            name: "kernel-tree",
            unavailable: kernel::UNAVAILABLE.or(mount_refused),
            lacks: &[],
            world: kernel::on_a_tree,
        },
    ]
}

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    let laws = || [targets::LAWS, mounts::LAWS, sub_dirs::LAWS, unmounts::LAWS].into_iter().flatten();
    adapters().iter().flat_map(|adapter| laws().map(|law| trial(adapter, law))).collect()
}

fn trial(adapter: &Adapter, law: &'static Law) -> Trial {
    let lack = adapter.lacks.iter().find(|(capability, _)| law.needs.contains(capability)).map(|(_, reason)| *reason);
    if let Some(reason) = adapter.unavailable.or(lack) {
        return harness::ignored(PORT, adapter.name, law.name, reason);
    }
    let build = adapter.world;
    harness::trial(PORT, adapter.name, law.name, move || hold(build, law))
}

/// Runs a law in a world of its own, which takes its mounts away however the law ends.
fn hold(build: Build, law: &Law) -> LawResult {
    let world = build()?;
    harness::run((law.run)(world.as_ref()))
}
