//! Laws of unmounting: always possible, never a loss of data.

use azurelustre_csi::domain::mount::{MountAction, MountState};

use super::world::{MounterWorld, plan};
use super::{Law, Verdict, laws};

pub(crate) const LAWS: &[Law] = laws![
    unmounting_twice_is_fine,
    unmounting_what_is_not_there_is_fine,
    files_left_in_a_mount_hinder_nothing_and_are_kept needs [SharesData],
    the_directory_stays_until_it_is_removed,
    a_corrupt_mount_is_seen_and_can_be_unmounted needs [StopsServers],
    a_corrupt_mount_makes_room_for_a_new_one needs [StopsServers],
];

async fn unmounting_twice_is_fine(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    mounter.unmount(&target).await?;
    mounter.unmount(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    Ok(())
}

async fn unmounting_what_is_not_there_is_fine(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("nothing"));
    mounter.unmount(&target).await?;
    mounter.unmount(&target.join("below")).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Absent, "nothing was made");
    Ok(())
}

async fn files_left_in_a_mount_hinder_nothing_and_are_kept(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let plan = plan(&world.given_filesystem()?, &target);
    mounter.make_target(&target).await?;
    mounter.mount(&plan).await?;
    std::fs::create_dir(target.join("directory"))?;
    std::fs::write(target.join("directory/file"), "text")?;
    mounter.unmount(&target).await?;
    assert_eq!(std::fs::read_dir(&target)?.count(), 0, "the files were the file system's");
    mounter.mount(&plan).await?;
    assert_eq!(std::fs::read_to_string(target.join("directory/file"))?, "text");
    Ok(())
}

async fn the_directory_stays_until_it_is_removed(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pods/target"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    std::fs::write(target.join("file"), "text")?;
    mounter.unmount(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    mounter.remove_target(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Absent);
    assert!(target.parent().is_some_and(std::path::Path::is_dir), "the parent stays");
    Ok(())
}

async fn a_corrupt_mount_makes_room_for_a_new_one(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem()?, world.target("target"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&source, &target)).await?;
    world.stop_servers(&source);
    for _ in 0..2 {
        mounter.clear(&target).await?;
        assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    }
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    assert!(matches!(mounter.inspect(&target).await?, MountState::Mounted(_)));
    Ok(())
}

async fn a_corrupt_mount_is_seen_and_can_be_unmounted(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem()?, world.target("target"));
    let plan = plan(&source, &target);
    mounter.make_target(&target).await?;
    mounter.mount(&plan).await?;
    std::fs::write(target.join("file"), "text")?;
    world.stop_servers(&source);
    let state = mounter.inspect(&target).await?;
    assert!(matches!(state, MountState::Corrupt { .. }), "{state:?}");
    assert_eq!(plan.action(&state), MountAction::RepairThenMount);
    assert_eq!(mounter.published("volume").await?, [target.as_path()], "still in its place");
    mounter.unmount(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    mounter.remove_target(&target).await?;
    Ok(())
}
