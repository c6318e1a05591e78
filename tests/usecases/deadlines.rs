//! Deadlines and polling: answers before the deadline, observations that back off.

use std::time::Duration;

use azurelustre_csi::app::usecase::{deadline, polling};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::FailureKind;

use crate::fakes::faulty::Fault;
use crate::world::{Azure, NAME, request};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn near_the_deadline_the_progress_is_answered() {
    let azure = Azure::new();
    let driver = azure.healthy();
    let failure = driver.create_as(request(NAME), Some(secs(400))).unwrap_err();
    assert_eq!(failure.kind, FailureKind::InProgress);
    assert!(failure.message.contains("AMLFS pvc-1 is Creating, 6m3"), "{failure}");
    assert!(failure.message.contains("usually ready in 10 to 20 minutes"), "{failure}");
    assert_eq!(azure.clock.now(), deadline::working_time(Some(secs(400))));
    let failure = driver.create_as(request(NAME), Some(secs(60))).unwrap_err();
    assert!(failure.message.contains("Creating, 7m"), "the second call counts on: {failure}");
}

#[test]
fn a_hanging_cloud_is_answered_at_the_deadline_wherever_it_hangs() {
    for call in 1..10 {
        for fault in [Fault::HangBefore, Fault::HangAfter] {
            let azure = Azure::new();
            let failure = azure.faulty(fault, call, 1).create(NAME).unwrap_err();
            assert!(!failure.kind.is_final(), "call {call}: {:?}", failure.kind);
            assert_eq!(azure.clock.now(), deadline::working_time(Some(Duration::from_mins(15))), "call {call}");
        }
    }
}

/// Whatever the cause, a 404 that is not "absent" included: one failed observation is waited out, three are not.
#[test]
fn three_failed_observations_in_a_row_end_a_wait() {
    for kind in CloudErrorKind::ALL {
        let azure = Azure::new();
        let failure = azure.faulty(Fault::Before(kind), 6, 100).create(NAME).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{kind:?}");
        assert!(failure.message.contains("injected") && azure.clock.now() < Duration::from_mins(1), "{failure}");
        let azure = Azure::new();
        azure.faulty(Fault::Before(kind), 6, 2).create(NAME).unwrap();
    }
}

#[test]
fn a_call_without_a_deadline_ends_too() {
    let azure = Azure::new();
    let driver = azure.faulty(Fault::HangBefore, 5, 1);
    assert!(driver.create_as(request(NAME), None).is_err());
    assert_eq!(azure.clock.now(), deadline::working_time(None));
}

#[test]
fn observations_back_off_and_a_ready_file_system_is_reported_within_one_interval() {
    let azure = Azure::new();
    let driver = azure.healthy();
    driver.create(NAME).unwrap();
    let calls = driver.calls();
    let created = calls.iter().position(|made| made.operation == "begin_create").unwrap();
    let polls: Vec<u64> = calls[created..].iter().map(|made| made.at.as_secs()).take(6).collect();
    assert_eq!(polls, [0, 2, 6, 14, 27, 40]);
    let late = azure.clock.now() - Duration::from_mins(12);
    assert!(late <= polling::LONGEST_PAUSE, "{late:?}");
}
