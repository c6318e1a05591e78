//! Laws of deleting.

use std::time::Duration;

use azurelustre_csi::domain::filesystem::{Observed, ProvisioningState};
use azurelustre_csi::ports::cloud::CloudErrorKind;

use super::Law;
use super::world::{CloudWorld, id, present, spec};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    deleting_an_absent_file_system_succeeds,
    a_deletion_stays_visible_until_it_is_done,
    a_repeated_deletion_takes_no_longer,
    a_creation_during_a_deletion_is_busy_and_not_accepted,
    a_creation_in_progress_can_be_deleted,
    a_failed_creation_can_be_deleted_and_created_again,
];

async fn deleting_an_absent_file_system_succeeds(world: &CloudWorld) -> LawResult {
    world.cloud().begin_delete(&id("nobody")?).await?;
    world.given_only_group("other");
    world.cloud().begin_delete(&id("nobody")?).await?;
    assert_eq!(world.cloud().observe(&id("nobody")?).await?, Observed::Absent);
    Ok(())
}

async fn a_deletion_stays_visible_until_it_is_done(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    world.cloud().begin_delete(&id("fs1")?).await?;
    let found = present(world, "fs1").await?;
    assert_eq!(found.state, ProvisioningState::Deleting);
    assert_eq!(found.tags, spec("fs1")?.tags, "ownership must be readable to the end");
    world.finish_pending();
    assert_eq!(world.cloud().observe(&id("fs1")?).await?, Observed::Absent);
    Ok(())
}

async fn a_repeated_deletion_takes_no_longer(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    world.cloud().begin_delete(&id("fs1")?).await?;
    for _ in 0..6 {
        world.advance(Duration::from_mins(1));
        world.cloud().begin_delete(&id("fs1")?).await?;
    }
    assert_eq!(world.cloud().observe(&id("fs1")?).await?, Observed::Absent);
    Ok(())
}

async fn a_creation_during_a_deletion_is_busy_and_not_accepted(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.cloud().begin_delete(&id("fs1")?).await?;
    let error = world.cloud().begin_create(&spec("fs1")?).await.err().ok_or("accepted while Deleting")?;
    assert_eq!(error.kind, CloudErrorKind::Busy);
    world.finish_pending();
    assert_eq!(world.cloud().observe(&id("fs1")?).await?, Observed::Absent);
    Ok(())
}

async fn a_creation_in_progress_can_be_deleted(world: &CloudWorld) -> LawResult {
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.cloud().begin_delete(&id("fs1")?).await?;
    world.finish_pending();
    assert_eq!(world.cloud().observe(&id("fs1")?).await?, Observed::Absent);
    Ok(())
}

async fn a_failed_creation_can_be_deleted_and_created_again(world: &CloudWorld) -> LawResult {
    world.given_failing_creation("AscInternalError");
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    world.cloud().begin_delete(&id("fs1")?).await?;
    world.finish_pending();
    world.cloud().begin_create(&spec("fs1")?).await?;
    world.finish_pending();
    assert_eq!(present(world, "fs1").await?.state, ProvisioningState::Succeeded);
    Ok(())
}
