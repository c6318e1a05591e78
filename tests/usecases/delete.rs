//! DeleteVolume with a fault at every step, and what it must never delete.

use std::time::Duration;

use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::domain::tags::{CREATED_BY, CREATED_BY_US, PV_NAME};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::{Caller, FailureKind, Provisioning};

use crate::fakes::faulty::{Fault, Faults};
use crate::world::{Azure, Driver, NAME, OURS, mortal};

const ID: &str = "pvc-1#lustrefs#10.0.0.4##t#MC_hpc_aks_eastus";

fn steps() -> u32 {
    let azure = Azure::new();
    let volume = azure.volume();
    let driver = azure.healthy();
    driver.delete(&volume.id.to_string()).unwrap();
    driver.call_count()
}

fn ends_deleted(azure: &Azure, driver: &Driver, volume_id: &str, case: &str) {
    assert!(azure.retried(|| driver.delete(volume_id), |_| ()).is_some(), "{case}: never deleted");
    assert_eq!(azure.billed(), ["not-owned"], "{case}");
}

/// A volume, and a neighbour that was made by hand.
fn with_neighbour() -> (Azure, String) {
    let azure = Azure::new();
    azure.place("not-owned", &[], ProvisioningState::Succeeded, "10.9.9.9");
    let volume = azure.volume().id.to_string();
    (azure, volume)
}

#[test]
fn a_fault_at_every_step_ends_deleted_and_touches_nothing_else() {
    let kinds = CloudErrorKind::ALL.into_iter().flat_map(|kind| [Fault::Before(kind), Fault::After(kind)]);
    for fault in kinds.chain([Fault::HangBefore, Fault::HangAfter]) {
        for first in 1..=steps() {
            for times in [1, 5, 30] {
                let (azure, volume) = with_neighbour();
                let driver = azure.faulty(fault, first, times);
                ends_deleted(&azure, &driver, &volume, &format!("{fault:?} at call {first}, {times} times"));
            }
        }
    }
}

#[test]
fn a_failed_observation_deletes_nothing_and_is_never_a_success() {
    for kind in CloudErrorKind::ALL {
        let (azure, volume) = with_neighbour();
        let driver = azure.faulty(Fault::Before(kind), 1, 1);
        let failure = driver.delete(&volume).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{kind:?}");
        assert_eq!(driver.operations(), ["observe"], "{kind:?}");
    }
}

#[test]
fn a_process_that_dies_at_any_step_is_continued() {
    for first in 1..=steps() {
        for fault in [Fault::KillBefore, Fault::KillAfter] {
            let (azure, volume) = with_neighbour();
            assert!(mortal(|| azure.faulty(fault, first, 1).delete(&volume)).is_err());
            ends_deleted(&azure, &azure.healthy(), &volume, &format!("{fault:?} at call {first}"));
        }
    }
}

#[test]
fn nothing_is_deleted_that_is_not_owned_whatever_the_id_says() {
    let other_volume = [(CREATED_BY, CREATED_BY_US), (PV_NAME, "pvc-2")];
    let cases: [&[(&str, &str)]; 3] = [&[], &[(CREATED_BY, "terraform")], &other_volume];
    for tags in cases {
        for state in ["Succeeded", "Failed", "Creating", "Deleting"] {
            let azure = Azure::new();
            azure.place(NAME, tags, ProvisioningState::parse(state), "");
            let driver = azure.healthy();
            let failure = driver.delete(ID).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Precondition, "{tags:?} {state}");
            assert!(failure.message.contains("tag"), "{failure}");
            assert_eq!(driver.operations(), ["observe"], "{tags:?} {state}: something was asked for");
            assert_eq!(azure.billed(), [NAME]);
        }
    }
}

#[test]
fn a_volume_of_the_go_driver_is_deleted() {
    let azure = Azure::new();
    let tags = [(CREATED_BY, CREATED_BY_US), (PV_NAME, NAME)];
    azure.place(NAME, &tags, ProvisioningState::Succeeded, "10.0.0.4");
    azure.healthy().delete(ID).unwrap();
    assert_eq!(azure.billed(), Vec::<String>::new());
}

#[test]
fn ids_without_anything_behind_them_cost_no_request() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Succeeded, "10.0.0.4");
    let driver = azure.healthy();
    for volume_id in ["any-handle", "pvc-1#lustrefs#10.0.0.4", "pvc-1#lustrefs#10.0.0.4##f#MC_hpc_aks_eastus"] {
        driver.delete(volume_id).unwrap();
    }
    for (volume_id, part) in [
        ("", "missing"),
        ("pvc-1#lustrefs#10.0.0.4##t", "resource group"),
        ("../x#fs#1##t#rg", "AMLFS name"),
        ("pvc-1#lustrefs#10.0.0.4##t#rg#x", "7 fields"),
        ("pvc-1#lustrefs#10.0.0.4##f#rg#x", "7 fields"),
    ] {
        let failure = driver.delete(volume_id).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Invalid, "{volume_id}");
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(driver.operations(), Vec::<&str>::new());
    assert_eq!(azure.billed(), [NAME]);
}

#[test]
fn what_is_absent_creating_or_already_going_ends_deleted() {
    let azure = Azure::new();
    azure.healthy().delete(ID).unwrap();
    drop(mortal(|| azure.faulty(Fault::KillAfter, 4, 1).create(NAME)));
    assert_eq!(azure.billed(), [NAME]);
    drop(mortal(|| azure.faulty(Fault::KillAfter, 2, 1).delete(ID)));
    assert_eq!(azure.billed(), [NAME], "Deleting is still there");
    azure.healthy().delete(ID).unwrap();
    assert_eq!(azure.billed(), Vec::<String>::new());
}

/// ARM shows such 404s while regions replicate.
#[test]
fn a_single_404_is_not_absence() {
    for (lie, found) in [(1, true), (2, false)] {
        let (azure, volume) = with_neighbour();
        let driver = azure.faulty(Fault::Absent, 1, lie);
        let begun = azure.clock.now();
        driver.delete(&volume).unwrap();
        assert_eq!(driver.count("begin_delete") > 0, found, "two observations five seconds apart are believed");
        if !found {
            assert_eq!((azure.clock.now() - begun).as_secs(), 5);
        }
    }
    // The second observation may be that of a later call.
    let (azure, volume) = with_neighbour();
    let driver = azure.faulty(Fault::Absent, 1, 100);
    let hasty = || azure.clock.run(driver.provision.delete(&volume, Caller::staying(Some(Duration::from_secs(2)))));
    assert_eq!(hasty().unwrap_err().kind, FailureKind::InProgress);
    azure.pass(Duration::from_secs(5));
    hasty().unwrap();
    assert_eq!(driver.operations(), ["observe", "observe"]);
}

/// After Deleting was seen, one observation that finds nothing is enough.
#[test]
fn absent_after_deleting_is_gone() {
    let (azure, volume) = with_neighbour();
    let driver = azure.healthy();
    driver.delete(&volume).unwrap();
    let operations = driver.operations();
    assert_eq!(azure.clock.now() - driver.calls().last().unwrap().at, Duration::ZERO);
    assert_eq!(operations.iter().filter(|made| **made == "begin_delete").count(), 1);
    let calls = driver.calls();
    let [.., before, last] = &calls[..] else { panic!("{operations:?}") };
    assert!((last.at - before.at).as_secs() <= 13, "no second observation of the absence");
}

/// A deletion that fails in Azure: the file system is there again, with a reason.
#[test]
fn a_failed_deletion_reports_the_reason_of_the_cloud() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Failed, "10.0.0.4");
    // Every DELETE is accepted and has no effect.
    let plan = |_: u32, of: &str| (of == "begin_delete").then_some(Fault::Ignored);
    let driver = azure.driver(Faults::new(azure.clock.clone(), Box::new(plan)));
    let begun = azure.clock.now();
    for call in 0..60 {
        let failure = driver.delete(ID).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
        assert!(failure.message.contains("UpdateFailed: said so"), "{failure}");
        assert!(failure.message.contains("next try at"), "{failure}");
        if call == 0 {
            assert!((azure.clock.now() - begun).as_secs() < 60, "within a minute");
            assert_eq!(driver.count("begin_delete"), 2);
        }
        azure.pass(Duration::from_secs(15));
    }
    assert!(driver.count("begin_delete") <= 6, "{}", driver.count("begin_delete"));
}
