//! The synchronous side: each method is one operation from beginning to end, on a thread that it may block.
//!
//! Why it is apart: every system call is made here or below, so none is made on a thread of the runtime, and no lock is
//! held across any of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::errno::Errno;

use super::call::MountCall;
use super::failure::{self, Fault};
use super::gate::Gate;
use super::late::Late;
use super::operations::{Operations, Ticket};
use super::parts::{ImportsSource, Parts};
use super::propagation::Propagation;
use super::settings::KernelSettings;
use super::syscalls::{How, Syscalls};
use super::threads::Threads;
use super::volumes::{self, Record, Records};
use super::{resolve, target};
use crate::adapters::mountinfo::{Line, Mountinfo};
use crate::domain::mount::{FS_TYPE, MountPlan, MountState, Mounted};
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountErrorKind, Usage};
use crate::ports::node_faults::NodeFault;

/// What is under way at a target.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A mount. One that is abandoned takes itself back when it succeeds in the end.
    Mount { plan: Box<MountPlan>, abandoned: bool },
    /// An unmount, and whether a second thread has tried force.
    Unmount { rescued: bool },
}

/// The right to end what is under way at a target.
pub(super) type TargetTicket = Ticket<PathBuf, Act, ()>;

/// The state of one node: what is under way, what was mounted, and the way to the kernel.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) settings: KernelSettings,
    pub(super) calls: Arc<dyn Syscalls>,
    pub(super) imports: ImportsSource,
    pub(super) propagation: Option<Arc<Propagation>>,
    pub(super) threads: Threads,
    pub(super) gate: Arc<Gate>,
    pub(super) targets: Arc<Operations<PathBuf, Act, ()>>,
    pub(super) measures: Arc<Operations<PathBuf, (), Usage>>,
    pub(super) sub_dirs: Arc<Operations<String, MountSource, ()>>,
    pub(super) late: Late,
    pub(super) records: Records,
}

/// The target of a mount of this volume that nobody has given up.
fn mounting(act: Act, volume_id: &str) -> Option<PathBuf> {
    match act {
        Act::Mount { plan, abandoned: false } if plan.volume_id == volume_id => Some(plan.target),
        _ => None,
    }
}

impl Node {
    pub(super) fn new(settings: KernelSettings, parts: &Parts) -> Self {
        Self {
            calls: Arc::clone(&parts.calls),
            imports: parts.imports.clone(),
            propagation: parts.propagation.clone(),
            threads: Threads::new(settings.threads),
            gate: Arc::new(Gate::new(settings.mounts_per_mgs, settings.limits.mount)),
            targets: Arc::default(),
            measures: Arc::default(),
            sub_dirs: Arc::default(),
            late: Late::default(),
            records: Records::default(),
            settings,
        }
    }

    /// All mounts of the moment.
    pub(super) fn look(&self, operation: &'static str, about: &Path) -> Result<Mountinfo, Fault> {
        let failed = |cause| failure::of_path(&cause, operation, about, "/proc/self/mountinfo cannot be read");
        self.calls.mountinfo().map(Mountinfo::new).map_err(failed)
    }

    /// The mounts at a place, the lowest first, and what is there if there are none.
    pub(super) fn see(&self, operation: &'static str, place: &Path) -> Result<(Vec<Line>, MountState), Fault> {
        let lines = self.look(operation, place)?.at(place);
        let state = match lines.as_slice() {
            [] => target::unmounted(operation, place)?,
            lines => MountState::Mounted(lines.iter().map(|line| self.shown(line)).collect()),
        };
        Ok((lines, state))
    }

    /// A mount in the domain's words: the type that stands for Lustre is called so.
    fn shown(&self, line: &Line) -> Mounted {
        let fs_type = if self.is_ours(line) { FS_TYPE.to_owned() } else { line.fs_type.clone() };
        Mounted { source: line.source.clone(), fs_type, options: line.options.clone() }
    }

    pub(super) fn is_ours(&self, line: &Line) -> bool {
        line.fs_type == self.settings.fs_type
    }

    /// Whether a mount is of the plan's source, though it is written otherwise.
    pub(super) fn is_of_plan(&self, line: &Line, planned: &MountSource) -> bool {
        self.records.of(line).is_some_and(|record| record.source == *planned)
            || MountSource::parse(&line.source)
                .is_ok_and(|mounted| resolve::names_same(&*self.calls, planned, &mounted))
    }

    /// Targets of a volume, those of earlier processes included, and those at which a mount is still under way.
    pub(super) fn published(&self, volume_id: &str) -> Result<Vec<PathBuf>, Fault> {
        let mounts = self.look("list the mounts of", Path::new(volume_id))?;
        let mut targets: Vec<PathBuf> =
            self.targets.list().into_iter().filter_map(|(_, act, _)| mounting(act, volume_id)).collect();
        for line in mounts.lines().filter(|line| self.is_ours(line)) {
            let of_volume = match self.records.of(&line) {
                Some(record) => (record.volume_id == volume_id).then_some(record.target),
                None => volumes::is_of(volume_id, &line)
                    .then(|| volumes::as_kubelet_spells(&self.settings.kubelet_dir, &line.point)),
            };
            targets.extend(of_volume.filter(|target| !targets.contains(target)));
        }
        Ok(targets)
    }

    pub(super) fn make_target(&self, target: &Path) -> Result<bool, Fault> {
        if target::make(target)? {
            return Ok(true);
        }
        match self.see("make", &target::place(target))?.1 {
            MountState::Obstructed { what } => Err(target::obstructed("make", target, &what)),
            _ => Ok(false),
        }
    }

    /// Mounts a plan unless something is there, and remembers whose it is.
    pub(super) fn mount(&self, plan: &MountPlan, place: &Path) -> Result<(), Fault> {
        self.check_propagation(&plan.target, place)?;
        if let Some(line) = self.look("mount", &plan.target)?.at(place).last() {
            let message = format!("a {} mount of {} is there already", line.fs_type, line.source);
            return Err(Fault::at(MountErrorKind::Busy, "mount", &plan.target, message)
                .hint("unmount it, or leave it if it is right"));
        }
        self.mount_on(plan, place)
    }

    /// Refuses a target at which kubelet would not see the mount.
    pub(super) fn check_propagation(&self, target: &Path, place: &Path) -> Result<(), Fault> {
        let fault = self.propagation.as_ref().and_then(|propagation| propagation.fault_for(place));
        fault.map_or(Ok(()), |fault| {
            let NodeFault { message, hint } = fault.into();
            Err(Fault::at(MountErrorKind::NotReady, "mount", target, message).hint(hint))
        })
    }

    /// Mounts where nothing is mounted.
    pub(super) fn mount_on(&self, plan: &MountPlan, place: &Path) -> Result<(), Fault> {
        self.check_propagation(&plan.target, place)?;
        let directory = target::open_directory("mount", place)
            .map_err(|fault| target::check_directory(&plan.target, place).err().unwrap_or(fault))?;
        let source = resolve::numeric(&*self.calls, "mount", &plan.source)?;
        self.call_mount("mount", &source, &plan.options, place, &directory)?;
        let (volume_id, target, shown) = (plan.volume_id.clone(), plan.target.clone(), source.to_string());
        self.records.put(place, Record { shown, volume_id, target, source: plan.source.clone() });
        Ok(())
    }

    /// One mount(2) of a source without host names.
    pub(super) fn call_mount(
        &self,
        operation: &'static str,
        source: &MountSource,
        options: &MountOptions,
        place: &Path,
        directory: &File,
    ) -> Result<(), Fault> {
        let call = MountCall::new(source, options, place, &self.settings.fs_type).map_err(|_| {
            let message = "source and options together are longer than the kernel takes";
            Fault::new(MountErrorKind::Invalid, operation, source.to_string(), message).hint("shorten sub-dir")
        })?;
        let failed = |errno| failure::of_mount(errno, operation, source, self.calls.may_mount());
        self.calls.mount(&call, directory).map_err(failed)
    }

    /// Ends a mount: as it is, or undone if it was abandoned meanwhile.
    pub(super) fn settle(&self, ticket: TargetTicket, plan: &MountPlan, place: &Path, result: Result<(), Fault>) {
        let abandoned = |act: &Act| matches!(act, Act::Mount { abandoned: true, .. });
        match ticket.finish_unless(abandoned, result.clone()) {
            Ok(true) => {}
            Ok(false) => match result {
                Ok(()) => tracing::info!(target = %place.display(), "a mount that took long has succeeded"),
                Err(fault) => {
                    tracing::warn!(target = %place.display(), ?fault, "a mount that took long has failed");
                    self.late.keep(plan, fault);
                }
            },
            Err(ticket) => {
                if result.is_ok() {
                    tracing::warn!(target = %place.display(), "a mount succeeded after its target was unpublished; it is taken away");
                    self.undo(place);
                }
                let message = "the target was unpublished while the mount was under way";
                ticket.finish(Err(Fault::at(MountErrorKind::Stuck, "mount", &plan.target, message)));
            }
        }
    }

    /// Takes away what this process mounted last at a place, and nothing else.
    fn undo(&self, place: &Path) {
        let mounts = self.look("unmount", place);
        let is_ours =
            mounts.is_ok_and(|mounts| mounts.at(place).last().is_some_and(|top| self.records.of(top).is_some()));
        if is_ours && let Err(errno) = self.take_off(place) {
            tracing::error!(%errno, target = %place.display(), "a mount that nobody wants stays; unmount it by hand");
        }
        self.records.forget(place);
    }

    /// Unmounts, or takes out of sight what is in use.
    pub(super) fn take_off(&self, place: &Path) -> Result<(), Errno> {
        self.calls.unmount(place, How::Plain).or_else(|_| self.calls.unmount(place, How::Detach))
    }

    /// How full a mount is, asked on a further thread; nothing if that takes longer than `limit`.
    pub(super) fn ask(&self, place: &Path, limit: Duration) -> Option<Result<Usage, Errno>> {
        let (tell, hear) = mpsc::channel();
        let (calls, place) = (Arc::clone(&self.calls), place.to_owned());
        let begun = self.threads.run(move || {
            tell.send(calls.statfs(&place)).ok();
        });
        begun.ok().and_then(|()| hear.recv_timeout(limit).ok())
    }
}
