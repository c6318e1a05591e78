//! CreateVolume with a fault at every step.

use std::time::Duration;

use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::Failure;

use crate::fakes::faulty::Fault;
use crate::world::{Azure, Driver, NAME, mortal};

fn faults() -> Vec<Fault<CloudErrorKind>> {
    let kinds = CloudErrorKind::ALL.into_iter().flat_map(|kind| [Fault::Before(kind), Fault::After(kind)]);
    kinds.chain([Fault::HangBefore, Fault::HangAfter]).collect()
}

/// A refusal after the effect would be a lie of the cloud, which the port forbids.
fn is_a_lie(fault: Fault<CloudErrorKind>, operation: Option<&&str>) -> bool {
    matches!(fault, Fault::After(kind) if kind.is_refusal()) && operation == Some(&"begin_create")
}

/// Calls of a creation that meets no fault.
fn undisturbed() -> Vec<&'static str> {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create(NAME).unwrap();
    driver.operations()
}

/// After a final failure a deleted claim is forgotten: nothing may exist, now or later.
fn leaks_nothing(azure: &Azure, failure: &Failure, case: &str) {
    assert_eq!(azure.billed(), Vec::<String>::new(), "{case}: leaked after {:?}: {failure}", failure.kind);
    azure.pass(Duration::from_mins(20));
    assert_eq!(azure.billed(), Vec::<String>::new(), "{case}: leaked late after {:?}: {failure}", failure.kind);
}

/// Repeats the call as Kubernetes does until the volume is there, then deletes it; counts what was made.
fn converges(azure: &Azure, driver: &Driver, case: &str) {
    let volume = azure.retried(
        || driver.create(NAME),
        |failure| {
            if failure.kind.is_final() {
                leaks_nothing(azure, failure, case);
            }
            assert!(!failure.message.is_empty(), "{case}");
        },
    );
    let volume = volume.unwrap_or_else(|| panic!("{case}: never ready"));
    assert_eq!(azure.billed(), [NAME], "{case}");
    assert_eq!(azure.made(NAME), 1, "{case}: creations accepted");
    assert_eq!(driver.create(NAME).unwrap(), volume, "{case}: not the same volume again");
    azure.healthy().delete(&volume.id.to_string()).unwrap();
    assert_eq!(azure.billed(), Vec::<String>::new(), "{case}: not deleted");
}

#[test]
fn a_fault_at_every_step_ends_with_one_file_system() {
    let steps = undisturbed();
    // Once, for longer than a wait bears, and for a long time.
    for times in [1, 5, 30] {
        for fault in faults() {
            for first in 1..=u32::try_from(steps.len()).unwrap() {
                if (first..first + times).any(|call| is_a_lie(fault, steps.get(call as usize - 1))) {
                    continue;
                }
                let azure = Azure::new();
                let driver = azure.faulty(fault, first, times);
                converges(&azure, &driver, &format!("{fault:?} at call {first}, {times} times"));
                assert!(driver.call_count() >= first, "the fault never came");
            }
        }
    }
}

#[test]
fn a_slow_cloud_ends_with_one_file_system_too() {
    for seconds in [1, 60, 600, 3600] {
        for first in 1..=u32::try_from(undisturbed().len()).unwrap() {
            let azure = Azure::new();
            let driver = azure.faulty(Fault::Delay(Duration::from_secs(seconds)), first, 3);
            converges(&azure, &driver, &format!("{seconds} s at call {first}"));
        }
    }
}

#[test]
fn a_failed_observation_is_never_final_whatever_the_cause() {
    for kind in CloudErrorKind::ALL {
        let azure = Azure::new();
        let failure = azure.faulty(Fault::Before(kind), 1, 1).create(NAME).unwrap_err();
        assert!(!failure.kind.is_final(), "{kind:?} became {:?}", failure.kind);
        let azure = Azure::new();
        azure.healthy().create(NAME).unwrap();
        let failure = azure.faulty(Fault::Before(kind), 1, 100).create(NAME).unwrap_err();
        assert!(!failure.kind.is_final(), "{kind:?} became {:?}", failure.kind);
    }
}

#[test]
fn a_process_that_dies_at_any_step_leaves_nothing_that_its_successor_does_not_find() {
    let steps = u32::try_from(undisturbed().len()).unwrap();
    for first in 1..=steps {
        for second in 1..=steps {
            for fault in [Fault::KillBefore, Fault::KillAfter] {
                let case = format!("{fault:?} at call {first}, then at call {second}");
                let azure = Azure::new();
                let died = mortal(|| azure.faulty(fault, first, 1).create(NAME));
                assert!(died.is_err(), "{case}: it lived");
                // The second process may be done before its turn to die comes.
                drop(mortal(|| azure.faulty(fault, second, 1).create(NAME)));
                converges(&azure, &azure.healthy(), &case);
            }
        }
    }
}

#[test]
fn a_panic_gives_the_volume_back() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::KillAfter, 4, 1);
    assert!(mortal(|| driver.create(NAME)).is_err());
    converges(&azure, &driver, "the same process continues after a panic");
}
