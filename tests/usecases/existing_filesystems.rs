//! File systems that exist: not owned, with other properties, begun elsewhere, or deleted by hand.

use std::time::Duration;

use azurelustre_csi::domain::capacity::RequestedCapacity;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::provisioning::VolumeRequest;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::FailureKind;

use crate::fakes::faulty::Fault;
use crate::finality::invalid_requests;
use crate::world::{Azure, BUDGET, NAME, OURS, request, request_with};

#[test]
fn a_file_system_that_is_not_owned_is_neither_adopted_nor_changed() {
    let other_volume = [(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-2")];
    for tags in [&[][..], &[(CREATED_BY, "terraform")], &other_volume] {
        for state in [ProvisioningState::Succeeded, ProvisioningState::Failed, ProvisioningState::Creating] {
            let azure = Azure::new();
            azure.place(NAME, tags, state, "");
            let driver = azure.healthy();
            let failure = driver.create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Conflict);
            assert!(failure.message.contains("tag"), "{failure}");
            assert_eq!(driver.operations(), ["observe"]);
            assert_eq!(azure.billed(), [NAME]);
        }
    }
}

#[test]
fn different_properties_are_a_conflict_that_names_each() {
    let azure = Azure::new();
    azure.volume();
    let changed = request_with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("zone", "2"), ("subnet-name", "other")]);
    let changed = VolumeRequest { capacity: RequestedCapacity::at_least(8 << 40), ..changed };
    let failure = azure.healthy().create_as(changed, BUDGET).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    for part in ["SKU is", "zone is 1, not 2", "subnet is", "size is 4 TiB, not at least 8 TiB"] {
        assert!(failure.message.contains(part), "{part} is not in {failure}");
    }
    assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1));
}

/// A conflict with a file system that was never ready is no reason to forget the claim: it is billed.
#[test]
fn a_conflict_is_not_final_before_the_file_system_was_ready() {
    for anew in [false, true] {
        let azure = Azure::new();
        let first = azure.healthy();
        first.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
        let driver = if anew { azure.healthy() } else { first };
        let changed = request_with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("zone", "2")]);
        let failure = driver.create_as(changed, BUDGET).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        for part in ["SKU is", "zone is 1, not 2", "exists and is billed"] {
            assert!(failure.message.contains(part), "{part} is not in {failure}");
        }
        assert!(failure.hint.unwrap().contains("az amlfs delete --resource-group MC_hpc_aks_eastus --name pvc-1"));
        assert_eq!((azure.billed().len(), azure.made(NAME)), (1, 1));
    }
}

/// An Azure Policy replaced the tags after our PUT: this process knows better.
#[test]
fn tags_that_were_changed_after_our_own_put_are_not_final() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    azure.place(NAME, &[("cost-centre", "7")], ProvisioningState::Creating, "");
    for _ in 0..3 {
        let failure = driver.create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        assert!(failure.message.contains("tag") && failure.message.contains("exists and is billed"), "{failure}");
    }
    assert_eq!(azure.healthy().create(NAME).unwrap_err().kind, FailureKind::Conflict, "another process does not know");
}

#[test]
fn a_file_system_that_was_ready_once_is_never_deleted() {
    for state in [ProvisioningState::Failed, ProvisioningState::Canceled] {
        for address in ["10.0.0.4", "not an address"] {
            let azure = Azure::new();
            azure.place(NAME, &OURS, state.clone(), address);
            let driver = azure.healthy();
            let failure = driver.create(NAME).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Precondition);
            assert!(failure.message.contains("UpdateFailed: said so"), "{failure}");
            assert_eq!(driver.operations(), ["observe"]);
            assert_eq!(azure.billed(), [NAME]);
        }
    }
}

/// Another resource group or region would make a second file system and orphan the first.
#[test]
fn a_volume_that_was_begun_elsewhere_is_not_begun_again() {
    for (elsewhere, part) in [
        (&[("resource-group", "other")][..], "pvc-1 in resource group MC_hpc_aks_eastus"),
        (&[("location", "westus2"), ("resource-group", "other")], "in eastus"),
    ] {
        for put in
            [Fault::After(CloudErrorKind::Unavailable), Fault::Before(CloudErrorKind::Unavailable), Fault::HangAfter]
        {
            let azure = Azure::new();
            let driver = azure.faulty(put, 4, 1);
            driver.create_as(request(NAME), Some(Duration::from_secs(5))).unwrap_err();
            let failure = driver.create_as(request_with(elsewhere), BUDGET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
            assert!(failure.message.contains(part), "{failure}");
            assert!(azure.billed().len() <= 1);
            // As before, it continues.
            assert!(azure.retried(|| driver.create(NAME), |_| ()).is_some());
            assert_eq!(azure.billed().len(), 1);
            // Also once it is a volume: the answer may have been lost.
            let failure = driver.create_as(request_with(elsewhere), BUDGET).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        }
    }
}

#[test]
fn a_creation_that_was_refused_or_deleted_elsewhere_blocks_nothing() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::Before(CloudErrorKind::Denied), 4, 1);
    driver.create(NAME).unwrap_err();
    let other = request_with(&[("resource-group", "other")]);
    let volume = driver.create_as(other.clone(), BUDGET).unwrap();
    driver.delete(&volume.id.to_string()).unwrap();
    driver.create(NAME).unwrap();
    assert_eq!(azure.billed().len(), 1);
}

/// Somebody followed our hint and deleted the file system by hand, which this process did not see.
#[test]
fn a_file_system_deleted_by_hand_is_not_reported_to_exist_and_is_made_anew() {
    for (mistake, _) in invalid_requests() {
        let azure = Azure::new();
        let driver = azure.healthy();
        driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
        let failure = driver.create_as(mistake.clone(), BUDGET).unwrap_err();
        assert!(failure.message.contains("exists and is billed"), "{failure}");
        azure.remove(NAME);
        let begun = azure.clock.now();
        let mut refusals = Vec::new();
        while azure.clock.now() - begun <= Duration::from_mins(3) {
            let failure = driver.create_as(mistake.clone(), BUDGET).unwrap_err();
            assert!(!failure.kind.is_final(), "once seen and absent later is in doubt: {failure}");
            refusals.push((azure.clock.now() - begun, failure));
            azure.pass(Duration::from_secs(30));
        }
        for (time, failure) in &refusals {
            let says_so = failure.message.contains("exists");
            assert_eq!(says_so, *time < Duration::from_secs(90), "after {time:?}: {failure}");
        }
        let (_, last) = refusals.last().unwrap();
        assert!(last.message.contains("is absent for 3m00s in resource group"), "{last}");
        assert_eq!(last.kind, FailureKind::Unavailable);
        // Corrected, also with other parameters than the first time.
        let corrected =
            request_with(&[("sku-name", "AMLFS-Durable-Premium-250"), ("maintenance-day-of-week", "Friday")]);
        driver.create_as(corrected, BUDGET).unwrap();
        assert_eq!((azure.made(NAME), azure.billed().len()), (2, 1));
    }
}

#[test]
fn a_file_system_deleted_by_hand_elsewhere_is_not_reported_to_exist() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create_as(request(NAME), Some(Duration::from_mins(1))).unwrap_err();
    azure.remove(NAME);
    let begun = azure.clock.now();
    while azure.clock.now() - begun <= Duration::from_mins(3) {
        let failure = driver.create_as(request_with(&[("resource-group", "other")]), BUDGET).unwrap_err();
        assert_eq!(failure.kind, FailureKind::InProgress, "{failure}");
        let passed = azure.clock.now() - begun;
        assert_eq!(failure.message.contains("exists"), passed < Duration::from_secs(90), "after {passed:?}: {failure}");
        azure.pass(Duration::from_secs(30));
    }
    assert_eq!(azure.billed(), Vec::<String>::new(), "two could come to exist");
    driver.create(NAME).unwrap();
    assert_eq!(azure.billed().len(), 1);
}
