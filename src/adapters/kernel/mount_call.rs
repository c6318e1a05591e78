//! One mount(2) of Lustre as this node's client takes it: file system name, options, device, tuning.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use nix::errno::Errno;

use super::blocking::BlockingMounter;
use super::mgs_limit::{self, Permit};
use super::mount_args::MountArgs;
use super::mount_records::MountRecord;
use super::{errno, host_names};
use crate::adapters::mountinfo::MountEntry;
use crate::adapters::target;
use crate::domain::lustre_version::LustreVersion;
use crate::domain::mount::MountPlan;
use crate::domain::mount_options::MountOptions;
use crate::domain::mount_source::MountSource;
use crate::ports::mounter::{MountError, MountErrorKind};

const OPERATION: &str = "mount";
/// An option that only Microsoft's builds of the client know.
const UNIQUE_FSID: &str = "unique_fsid";

impl BlockingMounter {
    /// Mounts at a canonical target that nothing is mounted at.
    pub(super) fn mount_at(&self, plan: &MountPlan, canonical: &Path, permit: Permit) -> Result<(), MountError> {
        let directory = open_directory(OPERATION, canonical)?;
        let source = host_names::resolve(&*self.syscalls, OPERATION, &plan.source)?;
        let options = self.effective_options(&plan.options, canonical)?;
        let mount = |source: &MountSource| {
            self.without_unique_fsid(&options, |options| {
                self.call_mount(OPERATION, source, options, canonical, &directory)
            })
        };
        let instances = self.tuner.instances();
        let mounted = self.mount_existing(&source, mount)?;
        drop(permit);
        self.tuner.tune(&mounted.fs_name, instances.as_ref());
        self.check_device(plan, &mounted, canonical)?;
        let record = MountRecord {
            mounted_source: mounted.to_string(),
            volume_id: plan.volume_id.clone(),
            target: plan.target.clone(),
            source: plan.source.clone(),
        };
        self.records.insert(canonical, record);
        Ok(())
    }

    /// One mount(2) of a source without host names.
    pub(super) fn call_mount(
        &self,
        operation: &'static str,
        source: &MountSource,
        options: &MountOptions,
        canonical: &Path,
        directory: &File,
    ) -> Result<(), MountError> {
        let args = MountArgs::new(source, options, canonical, &self.settings.fs_type).map_err(|_| {
            let message = "source and options together are longer than the kernel takes";
            MountError::new(MountErrorKind::Invalid, operation, source.to_string(), message)
                .with_hint("shorten sub-dir")
        })?;
        let result = self.syscalls.mount(&args, directory);
        self.mgs_limit.record(&mgs_limit::first_nid(source), !result.is_err_and(errno::is_no_response));
        result.map_err(|errno| errno::of_mount(errno, operation, source, self.syscalls.may_mount()))
    }

    /// Mounts the source or, where its MGS has no file system of that name, `lustrefs`: an AMLFS has one file system, and
    /// the Go driver mounts `lustrefs` whatever `fs-name` is. Returns what was mounted.
    fn mount_existing(
        &self,
        source: &MountSource,
        mount: impl Fn(&MountSource) -> Result<(), MountError>,
    ) -> Result<MountSource, MountError> {
        let error = match mount(source) {
            Ok(()) => return Ok(source.clone()),
            Err(error) if error.kind == MountErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        // With a sub-directory ENOENT means either.
        let Some(existing) = self.existing(OPERATION, source)? else { return Err(error) };
        mount(&existing)?;
        tracing::warn!(requested = %source, mounted = %existing, "the MGS has no file system of this name; the one of every AMLFS is mounted");
        Ok(existing)
    }

    /// The options that have an effect here: those that the loaded client knows, and labels only where the kernel runs
    /// `SELinux`, as mount(8) does.
    fn effective_options(&self, options: &MountOptions, canonical: &Path) -> Result<MountOptions, MountError> {
        let mut options = if options.depend_on_client() {
            let version = self.syscalls.client_version().and_then(|text| LustreVersion::parse(&text));
            options.for_client(version).map_err(|error| {
                MountError::at(MountErrorKind::Invalid, OPERATION, canonical, error.to_string())
                    .with_hint("remove it from mountOptions, or install a newer client on the node")
            })?
        } else {
            options.clone()
        };
        if !options.selinux.is_empty() && !self.syscalls.has_selinux() {
            tracing::warn!(labels = options.selinux.join(","), "labels are dropped: the kernel does not run SELinux");
            options.selinux.clear();
        }
        Ok(options)
    }

    /// mount(2), without `unique_fsid` where the client refuses it: no version shows which builds know it.
    fn without_unique_fsid(
        &self,
        options: &MountOptions,
        mount: impl Fn(&MountOptions) -> Result<(), MountError>,
    ) -> Result<(), MountError> {
        if !options.lustre.contains(&UNIQUE_FSID) {
            return mount(options);
        }
        let mut without = options.clone();
        without.lustre.retain(|option| *option != UNIQUE_FSID);
        if self.refuses_unique_fsid.load(Relaxed) {
            return mount(&without);
        }
        match mount(options) {
            Err(error) if errno::of(&error).is_some_and(|errno| errno.errno() == Errno::EINVAL) => {
                mount(&without)?;
                if !self.refuses_unique_fsid.swap(true, Relaxed) {
                    tracing::warn!(
                        "the Lustre client of this node does not know {UNIQUE_FSID}; volumes are mounted without it"
                    );
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Clients of 2.17 and newer end the device at a comma, and would mount another directory.
    fn check_device(&self, plan: &MountPlan, mounted: &MountSource, canonical: &Path) -> Result<(), MountError> {
        let has_comma = mounted.sub_dir.as_ref().is_some_and(|dir| dir.as_str().contains(','));
        if !has_comma {
            return Ok(());
        }
        let is_whole = |mount: &MountEntry| {
            mount.sources().any(|text| MountSource::parse(text).is_ok_and(|source| source == *mounted))
        };
        if self.mounts(OPERATION, &plan.target)?.at(canonical).last().is_some_and(is_whole) {
            return Ok(());
        }
        self.unmount_or_detach(canonical).map_err(|errno| errno::of_unmount(errno, &plan.target).unknown())?;
        Err(errno::cut_at_comma(OPERATION, mounted))
    }
}

/// Opens a mount point: mount(2) gets it by its descriptor, so that a symbolic link planted there later has no effect.
pub(super) fn open_directory(operation: &'static str, path: &Path) -> Result<File, MountError> {
    target::open_directory(path)
        .map_err(|cause| target::io_error(operation, path, "the directory cannot be opened", cause))
}
