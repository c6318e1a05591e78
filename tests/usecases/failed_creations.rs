//! Creations that fail in Azure, and PUTs of unknown outcome.

use azurelustre_csi::adapters::simulator::World;
use azurelustre_csi::adapters::simulator::world::FailingCreation;
use azurelustre_csi::domain::filesystem::ProvisioningState;
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use azurelustre_csi::ports::inbound::FailureKind;
use azurelustre_csi::ports::orchestrator::EventKind;

use crate::fakes::faulty::Fault;
use crate::world::{Azure, NAME, OURS};

#[test]
fn a_cancelled_creation_is_deleted_and_made_anew() {
    let azure = Azure::new();
    azure.place(NAME, &OURS, ProvisioningState::Canceled, "");
    let driver = azure.healthy();
    assert!(azure.retried(|| driver.create(NAME), |_| ()).is_some());
    assert_eq!((azure.made(NAME), driver.count("begin_delete")), (1, 1));
}

fn failing(times: u32) -> World {
    let code = "CreateTimeout".to_owned();
    let failing = FailingCreation { times, after_seconds: 300, code, message: "took too long".to_owned() };
    World { failing_creations: vec![failing], ..World::default() }
}

/// No call sleeps through the pause: the one that deletes ends once it is gone, those in the pause answer the reason.
#[test]
fn failed_creations_are_deleted_reported_and_made_anew_after_a_pause() {
    let azure = Azure::with(failing(3));
    let driver = azure.healthy();
    let mut failures = Vec::new();
    assert!(azure.retried(|| driver.create(NAME), |failure| failures.push(failure.clone())).is_some());
    assert_eq!(azure.made(NAME), 4);
    let events = azure.simulator.orchestrator().events();
    let warnings = events.into_iter().filter(|event| event.kind == EventKind::Warning);
    let reports: Vec<String> = warnings.map(|event| event.message).collect();
    assert_eq!(reports.len(), 3, "{reports:?}");
    for (number, message) in (1..).zip(&reports) {
        assert!(message.contains(&format!("creation {number} of AMLFS {NAME} failed: CreateTimeout")), "{message}");
    }
    assert!(failures.iter().all(|failure| failure.message.contains("CreateTimeout: took too long")), "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::InProgress);
    for failure in &failures {
        let expected = [FailureKind::InProgress, FailureKind::Unavailable, FailureKind::Precondition];
        assert!(expected.contains(&failure.kind), "{failure}");
        assert!(failure.message.contains("next try at"), "{failure}");
    }
    let creations: Vec<u64> =
        driver.calls().iter().filter(|made| made.operation == "begin_create").map(|made| made.at.as_secs()).collect();
    let gaps: Vec<u64> = creations.windows(2).map(|pair| (pair[1] - pair[0]) / 60).collect();
    // Five minutes until it fails, five until it is gone, then three, six and ten.
    assert!(gaps[0] >= 13 && gaps[1] >= 16 && gaps[2] >= 20, "{gaps:?}");
}

#[test]
fn in_the_pause_after_a_failed_creation_the_reason_is_final_after_ninety_seconds() {
    for (code, kind) in [("CreateTimeout", FailureKind::Precondition), ("AmlfsQuotaExceeded", FailureKind::Exhausted)] {
        let azure = Azure::new();
        let failing = FailingCreation { times: 1, after_seconds: 1, code: code.to_owned(), message: "no".to_owned() };
        azure.simulator.cloud().edit_world(|world| world.failing_creations = vec![failing]);
        let driver = azure.healthy();
        let deleted = driver.create(NAME).unwrap_err();
        assert_eq!(deleted.kind, FailureKind::InProgress, "{deleted}");
        assert!(deleted.message.contains(code) && deleted.message.contains("was deleted"), "{deleted}");
        let gone = azure.clock.now();
        let (failures, ended) = azure.until_final(|| driver.create(NAME));
        assert_eq!(failures.last().unwrap().kind, kind);
        assert!(failures.iter().all(|failure| failure.message.contains(code)), "{failures:?}");
        assert_eq!((ended - gone).as_secs(), 90);
        assert_eq!((azure.billed().len(), driver.count("begin_create")), (0, 1));
    }
}

/// Answers of a PUT that leave open whether it had its effect.
fn ambiguous() -> impl Iterator<Item = CloudErrorKind> {
    let clear = |kind: &CloudErrorKind| kind.is_refusal() || *kind == CloudErrorKind::Throttled;
    CloudErrorKind::ALL.into_iter().filter(move |kind| !clear(kind))
}

#[test]
fn a_creation_without_an_answer_is_only_repeated_after_two_observations_five_seconds_apart() {
    for kind in ambiguous() {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::Before(kind), 4, 1);
        driver.create(NAME).unwrap();
        let calls = driver.calls();
        let creations: Vec<usize> =
            (0..calls.len()).filter(|index| calls[*index].operation == "begin_create").collect();
        assert_eq!(creations.len(), 2, "{kind:?}");
        let between = &calls[creations[0] + 1..creations[1]];
        let first = between.first().unwrap();
        let last = between.iter().rfind(|made| made.operation == "observe").unwrap();
        assert!(last.at.saturating_sub(first.at).as_secs() >= 5, "{kind:?}: {between:?}");
    }
}

#[test]
fn a_put_of_unknown_outcome_that_took_effect_is_not_repeated() {
    for kind in ambiguous() {
        let azure = Azure::new();
        let driver = azure.faulty(Fault::After(kind), 4, 1);
        driver.create(NAME).unwrap();
        let creations = driver.operations().iter().filter(|operation| **operation == "begin_create").count();
        assert_eq!(creations, 1, "{kind:?}");
    }
}
