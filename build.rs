//! Generates the types and services of CSI (`proto/csi.proto`) and of the driver's own status (`proto/node.proto`).
//!
//! Generated code is not kept in the tree, and the builder's machine needs no protoc: protox compiles the files in this
//! process. Without the feature `server` there is nothing to generate and no dependency to build.

use std::error::Error;

/// Messages with a field that holds secrets. Their generated `Debug` would print it, so they get one of our own
/// (`adapters::csi::proto`); a test compares this list with the file.
#[cfg(feature = "server")]
const MESSAGES_WITH_SECRETS: &[&str] = &[
    ".csi.v1.ControllerExpandVolumeRequest",
    ".csi.v1.ControllerModifyVolumeRequest",
    ".csi.v1.ControllerPublishVolumeRequest",
    ".csi.v1.ControllerUnpublishVolumeRequest",
    ".csi.v1.CreateSnapshotRequest",
    ".csi.v1.CreateVolumeRequest",
    ".csi.v1.DeleteSnapshotRequest",
    ".csi.v1.DeleteVolumeRequest",
    ".csi.v1.GetSnapshotRequest",
    ".csi.v1.ListSnapshotsRequest",
    ".csi.v1.NodeExpandVolumeRequest",
    ".csi.v1.NodePublishVolumeRequest",
    ".csi.v1.NodeStageVolumeRequest",
    ".csi.v1.ValidateVolumeCapabilitiesRequest",
];

#[cfg_attr(not(feature = "server"), expect(clippy::unnecessary_wraps, reason = "only generating can fail"))]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "server")]
    generate()?;
    Ok(())
}

#[cfg(feature = "server")]
fn generate() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["proto/csi.proto", "proto/node.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .emit_rerun_if_changed(false)
        .skip_debug(MESSAGES_WITH_SECRETS)
        .compile_fds(descriptors)?;
    Ok(())
}
