//! The contract of the port [`Orchestrator`]: taints and events, best effort but never wrong.
//!
//! [`Orchestrator`]: azurelustre_csi::ports::orchestrator::Orchestrator

use azurelustre_csi::adapters::simulator::SimulatedOrchestrator;
use azurelustre_csi::ports::orchestrator::{ClaimEvent, Orchestrator};
use libtest_mimic::{Failed, Trial};

use crate::harness;

/// A law by its name.
type Law = (&'static str, fn() -> Result<(), Failed>);

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    let laws: [Law; 3] = [
        ("the_taint_goes_once_and_for_all", the_taint_goes_once_and_for_all),
        ("events_are_told_in_their_order", events_are_told_in_their_order),
        ("a_long_message_is_cut_between_characters", a_long_message_is_cut_between_characters),
    ];
    let with = |(name, law): Law| {
        [
            harness::trial("orchestrator", "simulator", name, law),
            harness::ignored("orchestrator", "kubernetes", name, "arrives with the Kubernetes adapter"),
        ]
    };
    laws.into_iter().flat_map(with).collect()
}

fn event(message: &str) -> ClaimEvent {
    let message = message.to_owned();
    ClaimEvent { namespace: "default".into(), claim: "pvc-lustre".into(), reason: "FilesystemCreationFailed", message }
}

fn the_taint_goes_once_and_for_all() -> Result<(), Failed> {
    let cluster = SimulatedOrchestrator::default();
    assert!(cluster.is_tainted());
    for _ in 0..2 {
        harness::run(async { Ok(cluster.remove_startup_taint().await?) })?;
        assert!(!cluster.is_tainted());
    }
    Ok(())
}

fn events_are_told_in_their_order() -> Result<(), Failed> {
    let cluster = SimulatedOrchestrator::default();
    for message in ["first", "second"] {
        harness::run(async { Ok(cluster.report(&event(message)).await?) })?;
    }
    assert_eq!(cluster.events(), [event("first"), event("second")]);
    Ok(())
}

fn a_long_message_is_cut_between_characters() -> Result<(), Failed> {
    let cluster = SimulatedOrchestrator::default();
    harness::run(async { Ok(cluster.report(&event(&"字".repeat(1000))).await?) })?;
    let told = cluster.events().remove(0).message;
    assert!(told.len() <= 1024 && told.len() > 1000, "{} bytes", told.len());
    Ok(())
}
