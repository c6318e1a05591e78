//! The contract of the port [`Cloud`]: which laws hold for which adapter.
//!
//! The use-cases trust each of these; an adapter that breaks one leaks or loses file systems.
//!
//! [`Cloud`]: azurelustre_csi::ports::cloud::Cloud

mod creations;
mod deletions;
mod inventory;
pub(crate) mod world;

use std::future::Future;
use std::pin::Pin;

use libtest_mimic::{Failed, Trial};

use self::world::{CloudWorld, SimulatedWorld};
use crate::harness;

const PORT: &str = "cloud";

/// What a law says in the end.
pub(crate) type LawResult = Result<(), Failed>;

type Running<'a> = Pin<Box<dyn Future<Output = LawResult> + 'a>>;

/// A law by its name.
pub(crate) struct Law {
    name: &'static str,
    run: fn(&dyn CloudWorld) -> Running<'_>,
}

/// A list of laws from the functions that state them.
macro_rules! cloud_laws {
    ($($law:ident),+ $(,)?) => {
        &[$($crate::cloud::Law { name: stringify!($law), run: |world| Box::pin($law(world)) }),+]
    };
}
pub(crate) use cloud_laws;

/// An implementation of the port.
struct Adapter {
    name: &'static str,
    unavailable: Option<&'static str>,
    world: fn() -> std::io::Result<Box<dyn CloudWorld>>,
}

const ADAPTERS: [Adapter; 2] = [
    Adapter { name: "simulator", unavailable: None, world: SimulatedWorld::boxed },
    #[cfg(feature = "arm")]
    Adapter { name: "arm", unavailable: None, world: world::ArmWorld::boxed },
    #[cfg(not(feature = "arm"))]
    Adapter {
        name: "arm",
        unavailable: Some("built without the feature `arm`"),
        world: || Err(std::io::ErrorKind::Unsupported.into()),
    },
];

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    let laws = || [creations::LAWS, deletions::LAWS, inventory::LAWS].into_iter().flatten();
    ADAPTERS.iter().flat_map(|adapter| laws().map(|law| trial(adapter, law))).collect()
}

fn trial(adapter: &Adapter, law: &'static Law) -> Trial {
    if let Some(reason) = adapter.unavailable {
        return harness::ignored(PORT, adapter.name, law.name, reason);
    }
    let build = adapter.world;
    harness::trial(PORT, adapter.name, law.name, move || {
        let world = build()?;
        harness::run((law.run)(world.as_ref()))
    })
}
