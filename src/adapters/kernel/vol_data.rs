//! kubelet's record of a CSI volume: the file `vol_data.json` beside the mount point of each pod's volume.
//!
//! kubelet writes it in `…/pods/<uid>/volumes/kubernetes.io~csi/<PersistentVolume>/` shortly before it calls
//! NodePublishVolume (Kubernetes, `pkg/volume/csi/csi_mounter.go`, `volDataKey`).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

/// The file's name.
pub(super) const FILE_NAME: &str = "vol_data.json";

/// Longest file that is read, in bytes. The real ones hold some hundreds.
const LONGEST: u64 = 256 << 10;

/// The fields of the file that the driver needs; none where the file lacks them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VolData {
    /// CSI name of the driver.
    pub(super) driver_name: Option<String>,
    /// CSI volume id.
    pub(super) volume_handle: Option<String>,
}

impl VolData {
    /// The record beside a mount point; empty as with [`Self::read`].
    pub(super) fn beside(mount_point: &Path) -> Self {
        mount_point.parent().map(Self::read).unwrap_or_default()
    }

    /// The record in this directory; empty where it is absent, torn (by a power cut) or not kubelet's.
    pub(super) fn read(directory: &Path) -> Self {
        let mut bytes = Vec::new();
        let read = File::open(directory.join(FILE_NAME)).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
        read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_read_whole_or_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(VolData::read(directory.path()), VolData::default());
        let data = r#"{"attachmentID":"csi-1","driverName":"azurelustre.csi.azure.com","volumeHandle":"pvc-2","x":{}}"#;
        std::fs::write(directory.path().join(FILE_NAME), data).unwrap();
        let VolData { driver_name, volume_handle } = VolData::read(directory.path());
        assert_eq!(driver_name.as_deref(), Some("azurelustre.csi.azure.com"));
        assert_eq!(volume_handle.as_deref(), Some("pvc-2"));
        std::fs::write(directory.path().join(FILE_NAME), r#"{"driverName":"x"}"#).unwrap();
        assert_eq!(VolData::read(directory.path()).volume_handle, None);
        for torn in ["", "{", r#"{"volumeHandle":7}"#] {
            std::fs::write(directory.path().join(FILE_NAME), torn).unwrap();
            assert_eq!(VolData::read(directory.path()), VolData::default(), "{torn}");
        }
    }
}
