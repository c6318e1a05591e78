//! From request to deletion: what one call writes, the next one reads.

use std::path::PathBuf;

use azurelustre_csi::domain::access::{AccessMode, AccessType, Capability};
use azurelustre_csi::domain::capacity::{RequestedCapacity, Tib};
use azurelustre_csi::domain::filesystem::{
    Filesystem, FilesystemSpec, Observed, ProvisioningState, ReportedMgsAddress,
};
use azurelustre_csi::domain::lifecycle::Step;
use azurelustre_csi::domain::mount::{MountPlan, PublishRequest};
use azurelustre_csi::domain::mount_source::MgsAddress;
use azurelustre_csi::domain::parameters::Parameters;
use azurelustre_csi::domain::placement::Placement;
use azurelustre_csi::domain::provisioning::{DynamicProvision, ProvisionPlan, RequestError, Volume, VolumeRequest};
use azurelustre_csi::domain::reclaim::ReclaimStep;
use azurelustre_csi::domain::sku::Sku;
use azurelustre_csi::domain::template::VARIABLES;
use azurelustre_csi::domain::volume_id::VolumeId;
use azurelustre_csi::domain::{lifecycle, reclaim};
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::generators::{
    any_parameters, bytes, capability, defaults, dynamic_request, hostile, mgs_text, request, volume_name_text,
    written_keys,
};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_new_file_system_is_recognised_reported_mounted_and_deleted(
        (request, address) in (dynamic_request(), mgs_text()), increment in select(&[1_u32, 3, 4, 8, 16, 48][..]),
    ) {
        let plan = dynamic(&request)?;
        let zones = plan.desired().zone.iter().cloned().collect();
        let sku = Sku { name: "AMLFS-Durable-Premium-125".into(), increment: Tib(increment), maximum: Tib(768), largest: Tib(768), bandwidth_per_tib: 1, zones };
        let spec = plan.spec(&sku).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let next = |state, address: &str| lifecycle::next(&Observed::Present(Box::new(as_made(&spec, state, address))), plan.desired());
        prop_assert_eq!(next(ProvisioningState::Creating, ""), Step::Wait(ProvisioningState::Creating));
        prop_assert_eq!(next(ProvisioningState::Failed, ""), Step::DeleteFailed { reason: None });
        let Step::Ready(ready) = next(ProvisioningState::Succeeded, &address) else {
            return Err(TestCaseError::fail("not ready"));
        };
        let volume = plan.volume(&ready).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(VolumeId::parse(&volume.id.to_string()), Some(volume.id.clone()));
        prop_assert_eq!(reclaim::plan(&volume.id.to_string()), Ok(Some(spec.id.clone())));
        let there = Observed::Present(Box::new(as_made(&spec, ProvisioningState::Succeeded, &address)));
        prop_assert_eq!(reclaim::next(&there, &spec.id.name), ReclaimStep::Delete);
        can_be_mounted(&volume, &address)?;
    }

    #[test]
    fn a_volume_on_an_existing_file_system_is_mounted_and_never_deleted(
        (keys, address) in (written_keys(0), mgs_text()), name in volume_name_text(), size in 0_i64..1 << 50,
    ) {
        let mut request = request(name, &keys, RequestedCapacity::at_least(size));
        request.parameters.insert("Mgs-IP-Address".to_owned(), format!(" {address} "));
        let Ok(ProvisionPlan::Existing(volume)) = ProvisionPlan::parse(&request, &Placement::default()) else {
            return Err(TestCaseError::fail("refused"));
        };
        prop_assert!(volume.capacity.0 >= size.unsigned_abs());
        prop_assert_eq!(VolumeId::parse(&volume.id.to_string()), Some(volume.id.clone()));
        prop_assert_eq!(reclaim::plan(&volume.id.to_string()), Ok(None));
        can_be_mounted(&volume, &address)?;
    }

    #[test]
    fn any_request_is_taken_or_refused_with_a_reason(
        name in hostile(), (required_bytes, limit_bytes) in (bytes(), bytes()), access in capability(), parameters in any_parameters(),
    ) {
        let capacity = RequestedCapacity { required_bytes, limit_bytes };
        let request = VolumeRequest { name, capacity, capabilities: vec![access], parameters };
        let answer = ProvisionPlan::parse(&request, &defaults());
        prop_assert_eq!(&answer, &ProvisionPlan::parse(&request, &defaults()), "the same request, another answer");
        if let Err(RequestError::Invalid(problems)) = answer {
            prop_assert!(!problems.is_empty());
        }
    }
}

fn dynamic(request: &VolumeRequest) -> Result<DynamicProvision, TestCaseError> {
    match ProvisionPlan::parse(request, &defaults()) {
        Ok(ProvisionPlan::Dynamic(plan)) => Ok(*plan),
        other => Err(TestCaseError::fail(format!("{other:?}"))),
    }
}

/// The file system that the cloud shows after a PUT of `spec`.
fn as_made(spec: &FilesystemSpec, state: ProvisioningState, mgs_address: &str) -> Filesystem {
    Filesystem {
        sku_name: Some(spec.sku_name.to_uppercase()),
        mgs_address: ReportedMgsAddress::parse(mgs_address),
        ..Filesystem::of(spec, state)
    }
}

/// The context is good to publish with, and for `ValidateVolumeCapabilities`, which sends it back as parameters.
fn can_be_mounted(volume: &Volume, address: &str) -> Result<(), TestCaseError> {
    let again = Parameters::parse(&volume.context);
    prop_assert!(matches!(again, Ok(Parameters::Existing(_))), "{:?}", again);
    let mut context = volume.context.clone();
    context.extend(VARIABLES.map(|(_, key)| (key.to_owned(), "x".to_owned())));
    let capability =
        Capability { access: Some(AccessType::Mount { flags: vec![] }), mode: Some(AccessMode::MultiNodeMultiWriter) };
    let (volume_id, target) = (volume.id.to_string(), PathBuf::from("/target"));
    let plan = MountPlan::new(&PublishRequest { volume_id, target, capability, read_only: false, context });
    prop_assert_eq!(plan.map(|plan| plan.source.mgs), Ok(MgsAddress::parse(address).unwrap()));
    Ok(())
}
