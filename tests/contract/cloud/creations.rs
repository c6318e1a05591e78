//! Laws of observing and creating.

use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{FilesystemSpec, Observed, ProvisioningState};
use azurelustre_csi::domain::lifecycle;
use azurelustre_csi::ports::cloud::CloudErrorKind;
use libtest_mimic::Failed;

use super::Law;
use super::world::{CloudWorld, id, location, present, spec};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    an_unknown_name_is_absent,
    a_creation_is_visible_at_once_without_an_address,
    a_creation_succeeds_after_its_duration_and_not_before,
    a_repeated_creation_makes_no_second_file_system,
    names_and_groups_compare_without_case,
    a_file_system_is_shown_as_it_was_requested,
    a_changed_specification_of_an_existing_name_is_refused,
    a_failed_creation_stays_listed_with_its_error,
    a_failed_creation_holds_its_quota,
    nothing_exists_after_a_refusal,
    a_creation_without_free_addresses_never_becomes_ready,
];

async fn an_unknown_name_is_absent(world: &CloudWorld) -> LawResult {
    assert_eq!(world.cloud().observe(&id("nobody")?).await?, Observed::Absent);
    world.given_only_group("other");
    assert_eq!(world.cloud().observe(&id("nobody")?).await?, Observed::Absent);
    Ok(())
}

async fn a_creation_is_visible_at_once_without_an_address(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    let found = present(world, "fs1").await?;
    assert_eq!(found.state, ProvisioningState::Creating);
    assert!(!found.was_ready());
    Ok(())
}

async fn a_creation_succeeds_after_its_duration_and_not_before(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.advance(std::time::Duration::from_mins(5));
    assert_eq!(present(world, "fs1").await?.state, ProvisioningState::Creating);
    world.finish_pending();
    let found = present(world, "fs1").await?;
    assert_eq!(found.state, ProvisioningState::Succeeded);
    let ready = lifecycle::ready(&found).ok_or("Succeeded without a usable address")?;
    assert_eq!(ready.fs_name.as_str(), "lustrefs");
    Ok(())
}

async fn a_repeated_creation_makes_no_second_file_system(world: &CloudWorld) -> LawResult {
    let spec = spec("fs1")?;
    world.given_quota(1);
    for _ in 0..3 {
        world.cloud().begin_create(&spec).await?;
    }
    world.finish_pending();
    let first = present(world, "fs1").await?;
    world.cloud().begin_create(&spec).await?;
    assert_eq!(present(world, "fs1").await?, first, "a repetition changed a finished file system");
    Ok(())
}

async fn names_and_groups_compare_without_case(world: &CloudWorld) -> LawResult {
    world.given_only_group("RG");
    world.given_quota(1);
    world.cloud().begin_create(&spec("Name1")?).await?;
    world.cloud().begin_create(&spec("nAME1")?).await?;
    assert_eq!(present(world, "NAME1").await?.state, ProvisioningState::Creating);
    Ok(())
}

async fn a_file_system_is_shown_as_it_was_requested(world: &CloudWorld) -> LawResult {
    let spec = spec("fs1")?;
    world.cloud().begin_create(&spec).await?;
    for _ in 0..2 {
        let found = present(world, "fs1").await?;
        assert_eq!(found.tags, spec.tags);
        assert_eq!(found.sku_name.as_deref(), Some(spec.sku_name.as_str()));
        assert_eq!(found.zones, spec.zone.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(found.location.as_ref(), Some(&spec.location));
        assert_eq!(found.capacity, Some(spec.capacity.bytes()));
        assert!(found.subnet.is_some_and(|subnet| subnet.is(&spec.subnet)));
        world.finish_pending();
    }
    Ok(())
}

async fn a_changed_specification_of_an_existing_name_is_refused(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    let larger = FilesystemSpec { capacity: Tib(8), ..spec("fs1")? };
    let error = world.cloud().begin_create(&larger).await.err().ok_or("another size was accepted")?;
    assert_eq!(error.kind, CloudErrorKind::Invalid);
    assert_eq!(present(world, "fs1").await?.capacity, Some(Tib(4).bytes()));
    Ok(())
}

async fn a_failed_creation_stays_listed_with_its_error(world: &CloudWorld) -> LawResult {
    world.given_failing_creation("CreateTimeout");
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    let found = present(world, "fs1").await?;
    assert_eq!(found.state, ProvisioningState::Failed);
    assert!(!found.was_ready());
    let reason = found.failure.ok_or("no reason")?;
    assert!(reason.contains("CreateTimeout"), "{reason}");
    world.finish_pending();
    assert_eq!(present(world, "fs1").await?.state, ProvisioningState::Failed, "it went by itself");
    Ok(())
}

async fn a_failed_creation_holds_its_quota(world: &CloudWorld) -> LawResult {
    world.given_quota(1);
    world.given_failing_creation("InternalExecutionError");
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    let error = world.cloud().begin_create(&spec("fs2")?).await.err().ok_or("the quota did not count it")?;
    assert_eq!(error.kind, CloudErrorKind::QuotaExceeded);
    assert!(error.message.contains("quota limits"), "{}", error.message);
    Ok(())
}

/// A specification that must be refused, the kind of the error, and what is arranged for it.
type Refused = (FilesystemSpec, CloudErrorKind, fn(&CloudWorld));

fn refused_specs() -> Result<Vec<Refused>, Failed> {
    let spec = spec("fs1")?;
    Ok(vec![
        (FilesystemSpec { capacity: Tib(5), ..spec.clone() }, CloudErrorKind::Invalid, |_| {}),
        (FilesystemSpec { capacity: Tib(132), ..spec.clone() }, CloudErrorKind::Invalid, |_| {}),
        (FilesystemSpec { sku_name: "none".into(), ..spec.clone() }, CloudErrorKind::Invalid, |_| {}),
        (FilesystemSpec { zone: None, ..spec.clone() }, CloudErrorKind::Invalid, |_| {}),
        (FilesystemSpec { location: location("nowhere")?, ..spec.clone() }, CloudErrorKind::Invalid, |_| {}),
        (spec.clone(), CloudErrorKind::QuotaExceeded, |world| world.given_quota(0)),
        (spec.clone(), CloudErrorKind::NotFound, |world| world.given_only_group("other")),
        (spec, CloudErrorKind::NotFound, |world| world.given_only_known_subnets()),
    ])
}

async fn nothing_exists_after_a_refusal(world: &CloudWorld) -> LawResult {
    for (spec, kind, arrange) in refused_specs()? {
        arrange(world);
        let error = world.cloud().begin_create(&spec).await.err().ok_or_else(|| format!("accepted: {spec:?}"))?;
        assert!(error.kind.is_refusal(), "{error}");
        assert_eq!(error.kind, kind, "{error}");
        world.finish_pending();
        assert_eq!(world.cloud().observe(&spec.id).await?, Observed::Absent, "{error}");
        world.given_quota(100);
        world.given_only_group("rg");
    }
    Ok(())
}

async fn a_creation_without_free_addresses_never_becomes_ready(world: &CloudWorld) -> LawResult {
    world.given_free_addresses(1);
    if world.cloud().begin_create(&spec("fs1")?).await.is_err() {
        assert_eq!(world.cloud().observe(&id("fs1")?).await?, Observed::Absent);
        return Ok(());
    }
    world.finish_pending();
    let found = present(world, "fs1").await?;
    assert_eq!((found.state.clone(), found.was_ready()), (ProvisioningState::Failed, false));
    Ok(())
}
