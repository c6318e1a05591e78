//! Laws of unmounting: always possible, and no data is lost.

use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome};

use super::Law;
use super::world::WorldCapability::{SharesData, StopsServers};
use super::world::{MounterWorld, is_mounted, plan};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    an_unmount_removes_the_target_and_keeps_its_parent,
    unmounting_an_absent_target_succeeds,
    a_directory_that_nothing_is_mounted_on_is_removed,
    files_in_a_mount_do_not_prevent_unmounting_and_are_kept needs [SharesData],
    a_corrupt_mount_is_listed_and_can_be_unmounted needs [StopsServers],
    a_corrupt_mount_is_replaced_by_the_next_mount needs [StopsServers],
];

async fn an_unmount_removes_the_target_and_keeps_its_parent(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("pod/mount"));
    let parent = world.target("pod");
    std::fs::create_dir(&parent)?;
    mounter.mount(&plan(&world.given_filesystem(), &target)).await?;
    std::fs::write(target.join("file"), "text")?;
    for _ in 0..2 {
        mounter.unmount(&target).await?;
        assert!(!target.exists() && parent.is_dir());
    }
    Ok(())
}

async fn unmounting_an_absent_target_succeeds(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("nothing"));
    mounter.unmount(&target).await?;
    mounter.unmount(&target.join("below")).await?;
    assert!(!target.exists(), "nothing was made");
    Ok(())
}

async fn a_directory_that_nothing_is_mounted_on_is_removed(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("bare"));
    std::fs::create_dir(&target)?;
    mounter.unmount(&target).await?;
    assert!(!target.exists());
    Ok(())
}

async fn files_in_a_mount_do_not_prevent_unmounting_and_are_kept(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let plan = plan(&world.given_filesystem(), &target);
    mounter.mount(&plan).await?;
    std::fs::create_dir(target.join("directory"))?;
    std::fs::write(target.join("directory/file"), "text")?;
    mounter.unmount(&target).await?;
    assert!(!target.exists(), "the files were the file system's");
    mounter.mount(&plan).await?;
    assert_eq!(std::fs::read_to_string(target.join("directory/file"))?, "text");
    Ok(())
}

async fn a_corrupt_mount_is_listed_and_can_be_unmounted(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem(), world.target("target"));
    let plan = plan(&source, &target);
    mounter.mount(&plan).await?;
    std::fs::write(target.join("file"), "text")?;
    world.stop_servers(&source);
    let error = mounter.usage(&target).await.err().ok_or("usage of dead servers")?;
    assert_eq!(error.kind, MountErrorKind::Unreachable, "{error}");
    assert_eq!(mounter.published(&plan).await?, [target.as_path()], "still in its place");
    mounter.unmount(&target).await?;
    assert!(!target.exists());
    Ok(())
}

async fn a_corrupt_mount_is_replaced_by_the_next_mount(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem(), world.target("target"));
    mounter.mount(&plan(&source, &target)).await?;
    world.stop_servers(&source);
    let error = mounter.mount(&plan(&source, &target)).await.err().ok_or("mounted from dead servers")?;
    assert_eq!(error.kind, MountErrorKind::Unreachable, "{error}");
    assert!(mounter.published(&plan(&source, &target)).await?.is_empty(), "the corrupt mount is gone");
    let new = plan(&world.given_filesystem(), &target);
    assert_eq!(mounter.mount(&new).await?, MountOutcome::Mounted);
    assert!(is_mounted(&*mounter, &target).await?);
    Ok(())
}
