//! Mount plans of tests.

use std::net::Ipv4Addr;
use std::path::Path;

use azurelustre_csi::domain::mount::MountPlan;
use azurelustre_csi::domain::mount_options::MountOptions;
use azurelustre_csi::domain::mount_source::MountSource;

/// The whole file system of a server.
pub(crate) fn source(server: Ipv4Addr) -> MountSource {
    MountSource::parse(&format!("{server}:/lustrefs")).unwrap()
}

/// The plan to mount a source read and write, for the volume `volume`.
pub(crate) fn plan(source: &MountSource, target: &Path) -> MountPlan {
    MountPlan {
        volume_id: "volume".into(),
        source: source.clone(),
        target: target.to_owned(),
        options: MountOptions::default(),
        exclusive: false,
    }
}
