//! The contract of the port [`Orchestrator`]: startup taints and events, best effort but never wrong.
//!
//! [`Orchestrator`]: azurelustre_csi::ports::orchestrator::Orchestrator

#[cfg(feature = "kube")]
mod kube;
mod world;

use std::time::Duration;

use azurelustre_csi::ports::orchestrator::{ClaimEvent, EventKind, NOTE_MAX, OrchestratorErrorKind};
use libtest_mimic::Trial;

use self::world::{OrchestratorWorld, ShownEvent, SimulatorWorld};
use crate::harness::{self, Adapter, Law, LawResult, laws};

/// The startup taint of the driver's usual name.
const STARTUP_TAINT: &str = "azurelustre.csi.azure.com/agent-not-ready";

const LAWS: &[Law<dyn OrchestratorWorld>] = laws![
    the_startup_taint_is_removed_and_stays_removed,
    other_taints_stay_in_their_order,
    nothing_is_removed_before_the_driver_is_registered,
    a_node_without_startup_taints_needs_no_registration,
    events_are_shown_with_kind_claim_and_text,
    a_repeated_event_is_one_with_a_greater_count_and_the_newest_text,
    events_of_other_volumes_kinds_and_reasons_are_others,
    a_long_text_loses_its_middle_only,
];

/// Every law with every adapter.
pub(crate) fn trials() -> Vec<Trial> {
    let adapters: [Adapter<dyn OrchestratorWorld>; 2] = [
        Adapter::new("simulator", || Ok(Box::new(SimulatorWorld::default()))),
        #[cfg(feature = "kube")]
        Adapter::new("kubernetes", kube::KubeWorld::boxed),
        #[cfg(not(feature = "kube"))]
        Adapter::unavailable("kubernetes", "built without the feature `kube`"),
    ];
    harness::trials("orchestrator", &adapters, &[LAWS])
}

fn event(reason: &'static str, message: &str) -> ClaimEvent {
    ClaimEvent {
        kind: EventKind::Normal,
        volume_name: "pvc-0b5ad9ea-5f5d-4f0e-9f5e-0d1f7e3b6c21".to_owned(),
        namespace: "team".to_owned(),
        claim: "claim".to_owned(),
        reason,
        message: message.to_owned(),
        age: Duration::ZERO,
    }
}

fn messages(shown: &[ShownEvent]) -> Vec<&str> {
    shown.iter().map(|event| event.message.as_str()).collect()
}

async fn the_startup_taint_is_removed_and_stays_removed(world: &dyn OrchestratorWorld) -> LawResult {
    world.set_taints(&[STARTUP_TAINT]);
    for _ in 0..2 {
        world.orchestrator().remove_startup_taint().await?;
        assert_eq!(world.taints(), Vec::<String>::new());
    }
    Ok(())
}

async fn other_taints_stay_in_their_order(world: &dyn OrchestratorWorld) -> LawResult {
    world.set_taints(&["sku", STARTUP_TAINT, "other.csi.azure.com/agent-not-ready", "node.kubernetes.io/not-ready"]);
    world.orchestrator().remove_startup_taint().await?;
    assert_eq!(world.taints(), ["sku", "other.csi.azure.com/agent-not-ready", "node.kubernetes.io/not-ready"]);
    Ok(())
}

async fn nothing_is_removed_before_the_driver_is_registered(world: &dyn OrchestratorWorld) -> LawResult {
    world.set_taints(&["sku", STARTUP_TAINT]);
    world.set_registered(false);
    let refused = world.orchestrator().remove_startup_taint().await.map_err(|error| error.kind);
    assert_eq!(refused, Err(OrchestratorErrorKind::NotRegistered));
    assert_eq!(world.taints(), ["sku", STARTUP_TAINT]);
    world.set_registered(true);
    world.orchestrator().remove_startup_taint().await?;
    assert_eq!(world.taints(), ["sku"]);
    Ok(())
}

async fn a_node_without_startup_taints_needs_no_registration(world: &dyn OrchestratorWorld) -> LawResult {
    world.set_registered(false);
    for taints in [&[][..], &["sku"]] {
        world.set_taints(taints);
        world.orchestrator().remove_startup_taint().await?;
        assert_eq!(world.taints(), taints);
    }
    Ok(())
}

async fn events_are_shown_with_kind_claim_and_text(world: &dyn OrchestratorWorld) -> LawResult {
    let warning = ClaimEvent { kind: EventKind::Warning, ..event("B", "second") };
    for event in [event("A", "first"), warning] {
        world.orchestrator().report(&event).await?;
    }
    let shown = |kind, reason: &str, message: &str| ShownEvent {
        kind,
        namespace: "team".to_owned(),
        claim: "claim".to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        count: 1,
    };
    assert_eq!(world.events(), [shown(EventKind::Normal, "A", "first"), shown(EventKind::Warning, "B", "second")]);
    Ok(())
}

async fn a_repeated_event_is_one_with_a_greater_count_and_the_newest_text(world: &dyn OrchestratorWorld) -> LawResult {
    for message in ["30s so far", "1m30s so far", "2m30s so far"] {
        world.orchestrator().report(&event("A", message)).await?;
    }
    let shown = world.events();
    assert_eq!((messages(&shown), shown[0].count), (vec!["2m30s so far"], 3));
    Ok(())
}

async fn events_of_other_volumes_kinds_and_reasons_are_others(world: &dyn OrchestratorWorld) -> LawResult {
    let first = event("A", "1");
    let others = [
        ClaimEvent { reason: "B", message: "2".to_owned(), ..first.clone() },
        ClaimEvent { kind: EventKind::Warning, message: "3".to_owned(), ..first.clone() },
        ClaimEvent { volume_name: "pvc-2".to_owned(), message: "4".to_owned(), ..first.clone() },
    ];
    for event in [&first].into_iter().chain(&others) {
        world.orchestrator().report(event).await?;
    }
    assert_eq!(messages(&world.events()), ["1", "2", "3", "4"]);
    Ok(())
}

async fn a_long_text_loses_its_middle_only(world: &dyn OrchestratorWorld) -> LawResult {
    let message = format!("what happened {} what to do", "字".repeat(1000));
    world.orchestrator().report(&event("A", &message)).await?;
    let shown = world.events().remove(0).message;
    assert!(shown.len() <= NOTE_MAX && shown.len() > NOTE_MAX - 24, "{} bytes", shown.len());
    assert!(shown.starts_with("what happened") && shown.ends_with("what to do"), "{shown}");
    Ok(())
}
