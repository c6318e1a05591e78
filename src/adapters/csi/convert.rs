//! Conversion between CSI messages and domain types: the only place, so that no message reaches a use-case.
//!
//! Fields that this driver does not support are refused or ignored here; the domain checks what a volume needs.

use std::path::PathBuf;

use super::proto::volume_capability::access_mode::Mode;
use super::proto::volume_capability::{self, MountVolume};
use super::proto::volume_usage::Unit;
use super::proto::{self, validate_volume_capabilities_response::Confirmed};
use crate::domain::access::{AccessMode, AccessType, Capability};
use crate::domain::capacity::RequestedCapacity;
use crate::domain::mount::PublishRequest;
use crate::domain::problem::Problems;
use crate::domain::provisioning::{Volume, VolumeRequest};
use crate::ports::inbound::{Failure, FailureKind, ValidateRequest};
use crate::ports::mounter::{Capacity, Usage};

const NO_SECRETS: &str = "not supported; take the secret references out of the StorageClass";

/// The volume asked for. Topology is accepted and has no influence.
pub(super) fn volume_request(request: proto::CreateVolumeRequest) -> Result<VolumeRequest, Failure> {
    refuse(&[
        (!request.secrets.is_empty(), "secrets", NO_SECRETS),
        (
            request.volume_content_source.is_some(),
            "volume content source",
            "not supported; volumes cannot be cloned or restored",
        ),
        (
            !request.mutable_parameters.is_empty(),
            "mutable parameters",
            "not supported; leave out the VolumeAttributesClass",
        ),
    ])?;
    let capacity = request.capacity_range.map_or_else(RequestedCapacity::default, |range| RequestedCapacity {
        required_bytes: range.required_bytes,
        limit_bytes: range.limit_bytes,
    });
    Ok(VolumeRequest {
        name: request.name,
        capacity,
        capabilities: request.volume_capabilities.into_iter().map(capability).collect(),
        parameters: request.parameters.into_iter().collect(),
    })
}

/// The response of `CreateVolume`.
pub(super) fn created(volume: Volume) -> proto::CreateVolumeResponse {
    let volume = proto::Volume {
        capacity_bytes: signed(volume.capacity.0),
        volume_id: volume.id.to_string(),
        volume_context: volume.context.into_iter().collect(),
        content_source: None,
        accessible_topology: Vec::new(),
    };
    proto::CreateVolumeResponse { volume: Some(volume) }
}

/// The id of the volume to delete.
pub(super) fn deletion(request: proto::DeleteVolumeRequest) -> Result<String, Failure> {
    refuse(&[
        (!request.secrets.is_empty(), "secrets", NO_SECRETS),
        (request.volume_id.is_empty(), "volume id", "missing"),
    ])?;
    Ok(request.volume_id)
}

/// What to validate, if the request names a volume and capabilities.
pub(super) fn validation(request: &proto::ValidateVolumeCapabilitiesRequest) -> Result<ValidateRequest, Failure> {
    refuse(&[
        (request.volume_id.is_empty(), "volume id", "missing"),
        (request.volume_capabilities.is_empty(), "volume capabilities", "missing"),
    ])?;
    Ok(ValidateRequest {
        volume_id: request.volume_id.clone(),
        context: request.volume_context.clone().into_iter().collect(),
        capabilities: request.volume_capabilities.iter().cloned().map(capability).collect(),
        parameters: request.parameters.clone().into_iter().collect(),
    })
}

/// The response of `ValidateVolumeCapabilities`; `unsupported` is why it is not confirmed. Mutable parameters never are.
pub(super) fn validated(
    request: proto::ValidateVolumeCapabilitiesRequest,
    unsupported: Option<String>,
) -> proto::ValidateVolumeCapabilitiesResponse {
    if let Some(message) = unsupported {
        return proto::ValidateVolumeCapabilitiesResponse { confirmed: None, message };
    }
    let confirmed = Confirmed {
        volume_context: request.volume_context,
        volume_capabilities: request.volume_capabilities,
        parameters: request.parameters,
        ..Confirmed::default()
    };
    proto::ValidateVolumeCapabilitiesResponse { confirmed: Some(confirmed), message: String::new() }
}

/// The mount asked for. Secrets, staging path and publish context have no influence.
pub(super) fn publish_request(request: proto::NodePublishVolumeRequest) -> PublishRequest {
    PublishRequest {
        volume_id: request.volume_id,
        target: PathBuf::from(request.target_path),
        capability: request.volume_capability.map_or(Capability { access: None, mode: None }, capability),
        read_only: request.readonly,
        context: request.volume_context.into_iter().collect(),
    }
}

/// The volume and the path that a node's request is about; `field` is what CSI calls the path.
pub(super) fn volume_at(volume_id: String, field: &str, path: String) -> Result<(String, PathBuf), Failure> {
    refuse(&[(volume_id.is_empty(), "volume id", "missing"), (path.is_empty(), field, "missing")])?;
    Ok((volume_id, PathBuf::from(path)))
}

/// The response of `NodeGetVolumeStats`.
pub(super) fn stats(usage: Usage) -> proto::NodeGetVolumeStatsResponse {
    let inodes = usage.inodes.map(|inodes| volume_usage(inodes, Unit::Inodes));
    let usage = std::iter::once(volume_usage(usage.bytes, Unit::Bytes)).chain(inodes).collect();
    proto::NodeGetVolumeStatsResponse { usage, volume_condition: None }
}

fn volume_usage(capacity: Capacity, unit: Unit) -> proto::VolumeUsage {
    let Capacity { total, used, available } = capacity;
    proto::VolumeUsage { available: signed(available), total: signed(total), used: signed(used), unit: unit.into() }
}

/// Fails with every rule that is broken: (whether, field, rule).
fn refuse(rules: &[(bool, &str, &str)]) -> Result<(), Failure> {
    let mut problems = Problems::default();
    for (_, field, rule) in rules.iter().filter(|(broken, ..)| *broken) {
        problems.add(*field, *rule);
    }
    problems.into_result(Some(())).map_err(|problems| Failure::new(FailureKind::Invalid, problems.to_string()))
}

fn capability(capability: proto::VolumeCapability) -> Capability {
    let access = capability.access_type.map(|access| match access {
        volume_capability::AccessType::Block(_) => AccessType::Block,
        volume_capability::AccessType::Mount(MountVolume { mount_flags, .. }) => {
            AccessType::Mount { flags: mount_flags }
        }
    });
    Capability { access, mode: capability.access_mode.and_then(|mode| access_mode(mode.mode)) }
}

fn access_mode(number: i32) -> Option<AccessMode> {
    match Mode::try_from(number).ok()? {
        Mode::Unknown => None,
        Mode::SingleNodeWriter => Some(AccessMode::SingleNodeWriter),
        Mode::SingleNodeReaderOnly => Some(AccessMode::SingleNodeReaderOnly),
        Mode::MultiNodeReaderOnly => Some(AccessMode::MultiNodeReaderOnly),
        Mode::MultiNodeSingleWriter => Some(AccessMode::MultiNodeSingleWriter),
        Mode::MultiNodeMultiWriter => Some(AccessMode::MultiNodeMultiWriter),
        Mode::SingleNodeSingleWriter => Some(AccessMode::SingleNodeSingleWriter),
        Mode::SingleNodeMultiWriter => Some(AccessMode::SingleNodeMultiWriter),
    }
}

/// CSI's numbers are signed; more than they hold is reported as the most that they hold.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes_keep_their_numbers() {
        let expected = [
            AccessMode::SingleNodeWriter,
            AccessMode::SingleNodeReaderOnly,
            AccessMode::MultiNodeReaderOnly,
            AccessMode::MultiNodeSingleWriter,
            AccessMode::MultiNodeMultiWriter,
            AccessMode::SingleNodeSingleWriter,
            AccessMode::SingleNodeMultiWriter,
        ];
        for (number, mode) in (1..).zip(expected) {
            assert_eq!(access_mode(number), Some(mode));
        }
        for unknown in [0, 8, -1, i32::MAX] {
            assert_eq!(access_mode(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_left_out_is_none() {
        let nothing = Capability { access: None, mode: None };
        assert_eq!(capability(proto::VolumeCapability::default()), nothing);
        assert_eq!(publish_request(proto::NodePublishVolumeRequest::default()).capability, nothing);
        assert_eq!(
            volume_request(proto::CreateVolumeRequest::default()).unwrap().capacity,
            RequestedCapacity::default()
        );
    }

    #[test]
    fn every_refusal_of_a_request_is_reported() {
        let request = proto::CreateVolumeRequest {
            secrets: [("key".to_owned(), "hunter2".to_owned())].into(),
            volume_content_source: Some(proto::VolumeContentSource::default()),
            mutable_parameters: [("tags".to_owned(), String::new())].into(),
            ..Default::default()
        };
        let failure = volume_request(request).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid);
        for part in ["secrets: not supported", "volume content source: not", "mutable parameters: not"] {
            assert!(failure.message.contains(part), "{failure}");
        }
        assert!(!failure.message.contains("hunter2"));
    }

    #[test]
    fn sizes_beyond_signed_numbers_saturate() {
        assert_eq!((signed(0), signed(1 << 62), signed(u64::MAX)), (0, 1 << 62, i64::MAX));
    }
}
