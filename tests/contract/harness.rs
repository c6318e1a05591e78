//! Laws of a port, the adapters that they run against, and how each pair becomes a test.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;

use libtest_mimic::{Failed, Trial};

/// A law that does not hold panics or returns why.
pub(crate) type LawResult = Result<(), Failed>;

type Running<'a> = Pin<Box<dyn Future<Output = LawResult> + 'a>>;

/// A law, and what a world must be capable of for it to mean anything.
pub(crate) struct Law<W: ?Sized, C: 'static = Infallible> {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [C],
    pub(crate) run: for<'a> fn(&'a W) -> Running<'a>,
}

/// A list of laws from the functions that state them: `laws![one, another needs [WorldCapability::SharesData]]`.
macro_rules! laws {
    ($($law:ident $(needs [$($need:expr),+])?),+ $(,)?) => {
        &[$($crate::harness::Law {
            name: stringify!($law),
            needs: &[$($($need),+)?],
            run: |world| Box::pin($law(world)),
        }),+]
    };
}
pub(crate) use laws;

/// Makes a new world.
type MakeWorld<W> = fn() -> io::Result<Box<W>>;

/// An implementation of a port and how far it can be held to the laws here.
pub(crate) struct Adapter<W: ?Sized, C: 'static = Infallible> {
    pub(crate) name: &'static str,
    /// A new world with it, or why none can be had here.
    pub(crate) world: Result<MakeWorld<W>, &'static str>,
    /// What its world is not capable of, and why.
    pub(crate) lacks: &'static [(C, &'static str)],
}

impl<W: ?Sized, C> Adapter<W, C> {
    /// One that every law can run against.
    pub(crate) fn new(name: &'static str, world: MakeWorld<W>) -> Self {
        Self { name, world: Ok(world), lacks: &[] }
    }

    /// One that no law can run against here.
    pub(crate) fn unavailable(name: &'static str, reason: &'static str) -> Self {
        Self { name, world: Err(reason), lacks: &[] }
    }
}

/// Every law with every adapter.
pub(crate) fn trials<W: ?Sized + 'static, C: PartialEq>(
    port: &str,
    adapters: &[Adapter<W, C>],
    laws: &[&[Law<W, C>]],
) -> Vec<Trial> {
    let laws = || laws.iter().copied().flatten();
    adapters.iter().flat_map(|adapter| laws().map(|law| trial(port, adapter, law))).collect()
}

/// A law that cannot run here is ignored, with the reason in its name. Run all the same (`--include-ignored`), it fails.
fn trial<W: ?Sized + 'static, C: PartialEq>(port: &str, adapter: &Adapter<W, C>, law: &Law<W, C>) -> Trial {
    let name = format!("{port}::{}::{}", adapter.name, law.name);
    let lack = adapter.lacks.iter().find(|(capability, _)| law.needs.contains(capability));
    let world = adapter.world.and_then(|world| lack.map_or(Ok(world), |(_, reason)| Err(*reason)));
    let run = law.run;
    match world {
        Ok(world) => Trial::test(name, move || block_on(run(world()?.as_ref()))),
        Err(reason) => Trial::test(format!("{name} ({reason})"), move || Err(reason.into())).with_ignored_flag(true),
    }
}

/// Runs a law on a runtime of its own.
fn block_on(law: impl Future<Output = LawResult>) -> LawResult {
    runtime()?.block_on(law)
}

/// A runtime for the set-up of a world.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
