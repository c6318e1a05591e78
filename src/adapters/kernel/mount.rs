//! NodePublishVolume's mount: one whole operation, after which the volume is mounted or nothing of the call is left.
//!
//! The caller begins it and waits; everything is done on one thread, since each change of threads costs as much as a
//! mount(2) of tmpfs: the target's directory, what is mounted there, the permit of the MGS, mount(2), the record. What is
//! in the way is reported back to the caller, who then waits for it or refuses.

use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;

use super::errno::{self, is_corrupt};
use super::mgs_limit::{self, Permit};
use super::mount_records::{self, Record};
use super::node::{Node, open_directory};
use super::registry::{Answer, Attempt, Key, Met, Signal, Start, Ticket, What};
use super::syscalls::UnmountFlags;
use super::{KernelMounter, resolve};
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::target;
use crate::domain::lustre_version::LustreVersion;
use crate::domain::mount::{FS_TYPE, MountPlan, Mounted, Occupancy};
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::{FsName, MountSource};
use crate::ports::mounter::{MountError, MountErrorKind, MountOutcome};

const OPERATION: &str = "mount";
/// Most corrupt mounts that one call replaces at one target.
const REPLACED: usize = 16;
/// Most entries of a bare target that are counted.
const COUNTED: usize = 1000;

impl KernelMounter {
    /// Mounts; a mount that is found corrupt is replaced in the same call.
    pub(super) async fn mount_plan(&self, plan: &MountPlan) -> Result<MountOutcome, MountError> {
        let plan = Arc::new(plan.clone());
        let mut replace = None;
        for _ in 0..REPLACED {
            let Attempt { outcome, found } = self.attempt(&plan, replace).await?;
            let Some((place, number)) = found else { return Ok(outcome) };
            let Some(reason) = self.corruption(&place).await else { return Ok(outcome) };
            tracing::warn!(target = %place.display(), reason, "a corrupt mount is replaced");
            replace = Some(number);
        }
        let message = "what is mounted there is corrupt, however often it is replaced";
        Err(MountError::at(MountErrorKind::Unreachable, OPERATION, &plan.target, message)
            .with_hint(errno::REACHABILITY))
    }

    /// One attempt, which waits for an unmount in progress and for a permit of the MGS.
    async fn attempt(&self, plan: &Arc<MountPlan>, replace: Option<u64>) -> Result<Attempt, MountError> {
        let limit = self.node.settings.limits.mount;
        let mut permit = None;
        loop {
            let (given, with) = (Arc::clone(plan), permit.take());
            let work = move |node: &Node, start| node.mount(&given, with, replace, start);
            let mut waiter = self.start(OPERATION, &plan.target, limit, work).await?;
            let signal = match waiter.wait(limit).await {
                Some(Signal::Met(met)) => self.meet(plan, met).await?,
                other => other,
            };
            match signal {
                Some(Signal::Ended(reply)) => return attempt_of(reply?, plan),
                Some(Signal::NeedsPermit) => permit = Some(self.permit(OPERATION, &plan.source).await?),
                Some(Signal::Met(_)) => {}
                None => return Err(errno::stuck(OPERATION, plan.target.display().to_string(), limit)),
            }
        }
    }

    /// Waits for the operation that a mount met, if it is the same mount or an unmount; [`Signal::Met`] then says that the
    /// target is free.
    async fn meet(&self, plan: &Arc<MountPlan>, met: Met) -> Result<Option<Signal>, MountError> {
        let limit = self.node.settings.limits.mount;
        let mut waiter = met.waiter.clone();
        let message = match &met.what {
            What::Mount { plan: other, abandoned: false } if other == plan => return Ok(waiter.wait(limit).await),
            What::Mount { plan: other, abandoned: false } => {
                format!("another mount, of {} for volume {}, is in progress there", other.source, other.volume_id)
            }
            What::Mount { .. } => "a mount there whose target was unpublished has not ended yet".to_owned(),
            _ if waiter.wait(limit).await.is_some() => return Ok(Some(Signal::Met(met))),
            _ => "an unmount there has not ended yet".to_owned(),
        };
        let kind = if message.starts_with("another") { MountErrorKind::Busy } else { MountErrorKind::Stuck };
        Err(MountError::at(kind, OPERATION, &plan.target, message).with_hint("nothing to do; the call is repeated"))
    }

    /// Why a mount is corrupt, if it is. One that does not answer in time is not: its servers may come back.
    async fn corruption(&self, place: &Path) -> Option<String> {
        self.corrupt_errno(place).await?;
        tokio::time::sleep(self.node.settings.limits.recheck_after).await;
        Some(format!("statfs failed twice: {}", self.corrupt_errno(place).await?))
    }

    async fn corrupt_errno(&self, place: &Path) -> Option<super::syscalls::SysError> {
        let answer = self.statfs(place, self.node.settings.limits.observe).await.err()?;
        errno::errno(&answer).filter(|errno| is_corrupt(*errno))
    }
}

fn attempt_of(answer: Answer, plan: &MountPlan) -> Result<Attempt, MountError> {
    match answer {
        Answer::Mount(attempt) => Ok(attempt),
        _ => Err(MountError::at(
            MountErrorKind::Unknown,
            OPERATION,
            &plan.target,
            "another operation ended there instead",
        )),
    }
}

impl Node {
    /// The whole mount. `replace` is the number of a corrupt mount that is to be unmounted first.
    fn mount(&self, plan: &Arc<MountPlan>, permit: Option<Permit>, replace: Option<u64>, start: Start) {
        let place = match target::canonical(OPERATION, &plan.target) {
            Ok(Some(place)) => place,
            Ok(None) => return start.end(Err(target::no_parent(OPERATION, &plan.target).into())),
            Err(error) => return start.end(Err(error.into())),
        };
        let what = What::Mount { plan: Arc::clone(plan), abandoned: false };
        let Some(ticket) = self.registry.begin(Key::Target(place.clone()), what, start) else { return };
        match self.mount_at(plan, &place, permit, replace) {
            Ok(Some(attempt)) => self.complete(ticket, &place, Ok(attempt)),
            Ok(None) => ticket.withdraw(),
            Err(fault) => self.complete(ticket, &place, Err(fault)),
        }
    }

    /// `None`, without a change, where a permit is missing.
    fn mount_at(
        &self,
        plan: &MountPlan,
        place: &Path,
        permit: Option<Permit>,
        replace: Option<u64>,
    ) -> Result<Option<Attempt>, MountError> {
        self.check_propagation(&plan.target, place)?;
        // Nothing is mounted on a directory that did not exist: mountinfo need not be read.
        let made = target::make(&plan.target)?;
        if !made && let Some(found) = self.examine(plan, place, replace)? {
            return Ok(Some(found));
        }
        let permit = permit.or_else(|| self.mgs_limit.try_enter(&mgs_limit::key(&plan.source)));
        let result = permit.map(|permit| self.mount_on(plan, place, permit)).transpose();
        if made
            && !matches!(result, Ok(Some(())))
            && let Err(error) = target::remove(&plan.target)
        {
            tracing::warn!(?error, "the directory of a mount that failed stays");
        }
        Ok(result?.map(|()| Attempt { outcome: MountOutcome::Mounted, found: None }))
    }

    /// What is mounted at a target that exists; none if nothing is.
    fn examine(&self, plan: &MountPlan, place: &Path, replace: Option<u64>) -> Result<Option<Attempt>, MountError> {
        let mut lines = self.mounts(OPERATION, &plan.target)?.at(place);
        if replace.is_some() && lines.last().map(|top| top.id) == replace {
            self.unmount_or_detach(place).map_err(|errno| errno::of_unmount(errno, &plan.target).unknown())?;
            self.records.forget(place);
            lines = self.mounts(OPERATION, &plan.target)?.at(place);
        }
        let Some(top) = lines.last() else {
            target::check_directory(&plan.target, place)?;
            warn_of_entries(plan, place);
            return Ok(None);
        };
        let found = self.is_ours(top).then(|| (place.to_owned(), top.id));
        let mounts = lines.iter().map(|line| self.identified(line, plan)).collect::<Result<Vec<_>, _>>()?;
        let outcome = match plan.occupancy(&mounts) {
            Occupancy::Other(what) => MountOutcome::Occupied(what),
            Occupancy::Free | Occupancy::AsPlanned => MountOutcome::AlreadyMounted,
        };
        Ok(Some(Attempt { outcome, found }))
    }

    /// A mount in the domain's words: the type that stands for Lustre is called so, and a source that is the plan's is
    /// spelled as the plan spells it.
    fn identified(&self, line: &MountEntry, plan: &MountPlan) -> Result<Mounted, MountError> {
        let mut mounted =
            Mounted { source: line.source.clone(), fs_type: line.fs_type.clone(), options: line.options.clone() };
        if self.is_ours(line) {
            FS_TYPE.clone_into(&mut mounted.fs_type);
            if self.is_of_plan(line, plan)? {
                mounted.source = plan.source.to_string();
            }
        }
        Ok(mounted)
    }

    /// Whether a mount is of the plan's source, however it is written. What cannot be looked up now is no difference:
    /// kubelet's own record of the target decides then, or it stays unknown.
    pub(super) fn is_of_plan(&self, line: &MountEntry, plan: &MountPlan) -> Result<bool, MountError> {
        if self.records.of(line).is_some_and(|record| record.source == plan.source) {
            return Ok(true);
        }
        // `lustrefs` is mounted where the MGS has no file system of the planned name.
        let instead = MountSource { fs_name: FsName::default(), ..plan.source.clone() };
        let spelled = line.sources().filter_map(|text| MountSource::parse(text).ok());
        let pairs =
            spelled.flat_map(|mounted| [&plan.source, &instead].map(|planned| (planned.clone(), mounted.clone())));
        let same: Vec<_> =
            pairs.map(|(planned, mounted)| resolve::names_same(&*self.calls, &planned, &mounted)).collect();
        if same.contains(&Some(true)) || !same.contains(&None) {
            return Ok(same.contains(&Some(true)));
        }
        if mount_records::kubelets_volume_id(&line.mount_point).is_some_and(|id| id == plan.volume_id) {
            return Ok(true);
        }
        let (shown, planned) = (&line.source, &plan.source);
        let message =
            format!("whether the mount of {shown} there is of {planned} is unknown: a host name cannot be resolved");
        Err(MountError::at(MountErrorKind::Unknown, OPERATION, &plan.target, message)
            .with_hint("check the node's DNS, or give the address as a number"))
    }

    /// Mounts where nothing is mounted.
    fn mount_on(&self, plan: &MountPlan, place: &Path, permit: Permit) -> Result<(), MountError> {
        let directory = open_directory(OPERATION, place)?;
        let source = resolve::numeric(&*self.calls, OPERATION, &plan.source)?;
        let call = |source: &MountSource, options: &MountOptions| {
            self.call_mount(OPERATION, source, options, place, &directory)
        };
        let options = self.effective(&plan.options, place)?;
        let mount = |source: &MountSource| self.without_refused(&options, |options| call(source, options));
        let instances = self.tuner.instances();
        let mounted = self.mount_existing(&source, mount)?;
        drop(permit);
        self.tuner.tune(&mounted.fs_name, instances.as_ref());
        self.check_device(plan, &mounted, place)?;
        let (volume_id, target, shown) = (plan.volume_id.clone(), plan.target.clone(), mounted.to_string());
        self.records.put(place, Record { shown, volume_id, target, source: plan.source.clone() });
        Ok(())
    }

    /// Mounts the source or, where its MGS has no file system of that name, `lustrefs`: an AMLFS has one file system, and
    /// the Go driver mounts `lustrefs` whatever `fs-name` says. Returns what was mounted.
    fn mount_existing(
        &self,
        source: &MountSource,
        mount: impl Fn(&MountSource) -> Result<(), MountError>,
    ) -> Result<MountSource, MountError> {
        let fault = match mount(source) {
            Ok(()) => return Ok(source.clone()),
            Err(fault) if fault.kind == MountErrorKind::NotFound => fault,
            Err(fault) => return Err(fault),
        };
        // With a sub-directory ENOENT means either.
        let Some(instead) = self.existing(OPERATION, source)? else { return Err(fault) };
        mount(&instead)?;
        tracing::warn!(asked = %source, mounted = %instead, "the MGS has no file system of this name; the one of every AMLFS is mounted");
        Ok(instead)
    }

    /// The options that mean something here: those that the client which is loaded knows, and labels only where the kernel
    /// runs `SELinux`, as mount(8) does.
    fn effective(&self, options: &MountOptions, place: &Path) -> Result<MountOptions, MountError> {
        let mut options = if options.depend_on_client() {
            let version = self.calls.client_version().and_then(|text| LustreVersion::parse(&text));
            options.for_client(version).map_err(|error| {
                MountError::at(MountErrorKind::Invalid, OPERATION, place, error.to_string())
                    .with_hint("remove it from mountOptions, or install a newer client on the node")
            })?
        } else {
            options.clone()
        };
        if !options.selinux.is_empty() && !self.calls.has_selinux() {
            tracing::warn!(labels = options.selinux.join(","), "labels are dropped: the kernel does not run SELinux");
            options.selinux.clear();
        }
        Ok(options)
    }

    /// mount(2) with the options that this client takes: `unique_fsid` is known to Microsoft's builds only, and no
    /// version says which those are.
    fn without_refused(
        &self,
        options: &MountOptions,
        mount: impl Fn(&MountOptions) -> Result<(), MountError>,
    ) -> Result<(), MountError> {
        use std::sync::atomic::Ordering::Relaxed;
        const OPTION: &str = "unique_fsid";
        if !options.lustre.contains(&OPTION) {
            return mount(options);
        }
        let mut without = options.clone();
        without.lustre.retain(|option| *option != OPTION);
        if self.refuses_unique_fsid.load(Relaxed) {
            return mount(&without);
        }
        match mount(options) {
            Err(fault) if errno::errno(&fault).is_some_and(|errno| errno.errno() == Errno::EINVAL) => {
                mount(&without)?;
                if !self.refuses_unique_fsid.swap(true, Relaxed) {
                    tracing::warn!(
                        "the Lustre client of this node does not know {OPTION}; volumes are mounted without it"
                    );
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Clients of 2.17 and newer end the device at a comma, and would mount another directory.
    fn check_device(&self, plan: &MountPlan, mounted: &MountSource, place: &Path) -> Result<(), MountError> {
        let has_comma = mounted.sub_dir.as_ref().is_some_and(|dir| dir.as_str().contains(','));
        if !has_comma {
            return Ok(());
        }
        let lines = self.mounts(OPERATION, &plan.target)?.at(place);
        let is_whole = |line: &MountEntry| {
            line.sources().any(|text| MountSource::parse(text).is_ok_and(|shown| shown == *mounted))
        };
        if lines.last().is_some_and(is_whole) {
            return Ok(());
        }
        self.unmount_or_detach(place).map_err(|errno| errno::of_unmount(errno, &plan.target).unknown())?;
        Err(errno::cut_at_comma(OPERATION, mounted))
    }

    /// Ends a mount: as it is, or undone if it was abandoned meanwhile.
    fn complete(&self, ticket: Ticket, place: &Path, result: Result<Attempt, MountError>) {
        let mounted = matches!(&result, Ok(Attempt { outcome: MountOutcome::Mounted, .. }));
        let fault = result.as_ref().err().cloned();
        match ticket.finish_unless_abandoned(result.map(Answer::Mount)) {
            Ok(true) => {}
            Ok(false) => tracing::info!(target = %place.display(), mounted, ?fault, "a mount has ended after its call"),
            Err(ticket) => {
                if mounted {
                    tracing::warn!(target = %place.display(), "a mount succeeded after its target was unpublished; it is unmounted");
                    self.undo(place);
                }
                let message = "the target was unpublished while the mount was in progress";
                ticket.finish(Err(MountError::at(MountErrorKind::Stuck, OPERATION, place, message)));
            }
        }
    }

    /// Unmounts what this process mounted last at a place, and nothing else.
    fn undo(&self, place: &Path) {
        let is_recorded = |top: &MountEntry| self.records.of(top).is_some();
        let mounts = self.mounts("unmount", place);
        if mounts.is_ok_and(|mounts| mounts.at(place).last().is_some_and(is_recorded))
            && let Err(errno) = self
                .calls
                .unmount(place, UnmountFlags::Plain)
                .or_else(|_| self.calls.unmount(place, UnmountFlags::Detach))
        {
            tracing::error!(%errno, target = %place.display(), "a mount that nobody wants stays; unmount it by hand");
        }
        self.records.forget(place);
    }
}

/// Files in a target that a mount hides make its removal fail after the unmount.
fn warn_of_entries(plan: &MountPlan, place: &Path) {
    let entries = entries(place);
    if entries > 0 {
        tracing::warn!(
            target = %plan.target.display(), entries, volume = plan.volume_id,
            "the target holds files that were written while nothing was mounted; the mount hides them, and unpublish will \
             fail until they are moved elsewhere"
        );
    }
}

/// How many entries a directory holds that nothing is mounted on, at most [`COUNTED`].
fn entries(place: &Path) -> usize {
    std::fs::read_dir(place).map_or(0, |entries| entries.take(COUNTED).count())
}
