//! Volume capabilities: access modes and the access type.
//!
//! CSI's capabilities arrive with every request; what Lustre cannot do (block devices, unknown modes) is
//! refused here, before anything is created.
//!
//! Source: CSI specification 1.12, `VolumeCapability`.

use super::mount_options::MountOptions;
use super::problem::Problems;

/// CSI's access modes (`VolumeCapability.AccessMode.Mode`) without `UNKNOWN`. Lustre supports all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessMode {
    /// One node, read and write (deprecated in CSI in favour of the next two, still what RWO sends).
    SingleNodeWriter,
    /// One node, reading.
    SingleNodeReaderOnly,
    /// Many nodes, reading.
    MultiNodeReaderOnly,
    /// Many nodes, one of them writing.
    MultiNodeSingleWriter,
    /// Many nodes, all writing.
    MultiNodeMultiWriter,
    /// One pod on one node (`ReadWriteOncePod`): the only mode that excludes a second target on a node.
    SingleNodeSingleWriter,
    /// Several pods on one node.
    SingleNodeMultiWriter,
}

/// How the volume appears in the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessType {
    /// As a directory, with these mount flags.
    Mount {
        /// `mountOptions` of the `StorageClass` or PersistentVolume.
        flags: Vec<String>,
    },
    /// As a block device, which Lustre is not.
    Block,
}

/// A capability as requested; `None` is a mode or type that CSI does not define or that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Directory or device.
    pub access: Option<AccessType>,
    /// Who may use it at once.
    pub mode: Option<AccessMode>,
}

impl Capability {
    /// The mode and the mount options, if Lustre can do this.
    pub fn check(&self) -> Result<(AccessMode, MountOptions), Problems> {
        let mut problems = Problems::default();
        if self.mode.is_none() {
            problems.add("access mode", "missing or unknown; use one of the seven that CSI defines");
        }
        let options = match &self.access {
            Some(AccessType::Mount { flags }) => problems.note(MountOptions::parse(flags)),
            Some(AccessType::Block) => {
                problems.add(
                    "access type",
                    "block volumes are not supported; Lustre is a file system (volumeMode: Filesystem)",
                );
                None
            }
            None => {
                problems.add("access type", "missing; only mount volumes are supported");
                None
            }
        };
        problems.into_result(self.mode.zip(options))
    }
}

/// Checks all capabilities of a request; there must be at least one.
pub fn check_all(capabilities: &[Capability]) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if capabilities.is_empty() {
        problems.add("volume capabilities", "missing");
    }
    for capability in capabilities {
        problems.note(capability.check());
    }
    problems.into_result(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(flags: &[&str]) -> AccessType {
        AccessType::Mount { flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }
    }

    #[test]
    fn only_mounts_with_known_modes_and_flags_pass() {
        let mode = Some(AccessMode::MultiNodeMultiWriter);
        assert!(check_all(&[Capability { access: Some(mount(&["noatime"])), mode }]).is_ok());
        let bad = [
            Capability { access: Some(AccessType::Block), mode: None },
            Capability { access: None, mode },
            Capability { access: Some(mount(&["device=x"])), mode },
        ];
        assert_eq!(check_all(&bad).unwrap_err().as_slice().len(), 4);
        assert!(check_all(&[]).is_err());
    }
}
