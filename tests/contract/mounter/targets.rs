//! Laws of target paths: what is told of them, how they come and go.

use std::os::unix::fs::symlink;

use azurelustre_csi::domain::mount::MountState;

use super::world::{MounterWorld, plan};
use super::{Law, Verdict, laws};

pub(crate) const LAWS: &[Law] = laws![
    nothing_is_absent,
    an_empty_directory_is_a_directory,
    a_regular_file_is_an_obstruction_and_stays,
    a_foreign_link_is_an_obstruction_and_not_followed,
    making_a_target_tells_whether_it_was_made,
    removing_a_target_leaves_its_parents,
    a_target_with_files_is_not_removed,
    a_mounted_target_is_not_removed,
];

async fn nothing_is_absent(world: &dyn MounterWorld) -> Verdict {
    let target = world.target("nothing");
    assert_eq!(world.mounter().inspect(&target).await?, MountState::Absent);
    assert_eq!(world.mounter().inspect(&target.join("below")).await?, MountState::Absent);
    Ok(())
}

async fn an_empty_directory_is_a_directory(world: &dyn MounterWorld) -> Verdict {
    let target = world.target("directory");
    std::fs::create_dir(&target)?;
    assert_eq!(world.mounter().inspect(&target).await?, MountState::Directory);
    Ok(())
}

async fn a_regular_file_is_an_obstruction_and_stays(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("file"));
    std::fs::write(&target, "text")?;
    assert!(matches!(mounter.inspect(&target).await?, MountState::Obstructed { .. }));
    assert!(mounter.make_target(&target).await.is_err());
    assert!(mounter.mount(&plan(&world.given_filesystem()?, &target)).await.is_err());
    assert!(mounter.remove_target(&target).await.is_err());
    assert_eq!(std::fs::read_to_string(&target)?, "text");
    Ok(())
}

async fn a_foreign_link_is_an_obstruction_and_not_followed(world: &dyn MounterWorld) -> Verdict {
    let (mounter, elsewhere, target) = (world.mounter(), world.target("elsewhere"), world.target("link"));
    std::fs::create_dir(&elsewhere)?;
    symlink(&elsewhere, &target)?;
    assert!(matches!(mounter.inspect(&target).await?, MountState::Obstructed { .. }));
    assert!(mounter.mount(&plan(&world.given_filesystem()?, &target)).await.is_err());
    assert_eq!(mounter.inspect(&elsewhere).await?, MountState::Directory);
    mounter.unmount(&target).await?;
    assert!(mounter.remove_target(&target).await.is_err());
    assert_eq!(std::fs::read_link(&target)?, elsewhere);
    Ok(())
}

async fn making_a_target_tells_whether_it_was_made(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pods/1/mount"));
    assert!(mounter.make_target(&target).await?, "made with its parents");
    assert!(!mounter.make_target(&target).await?, "it was there");
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    assert!(!mounter.make_target(&target).await?, "it was there, and mounted");
    Ok(())
}

async fn removing_a_target_leaves_its_parents(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pods/2/mount"));
    mounter.make_target(&target).await?;
    mounter.remove_target(&target).await?;
    mounter.remove_target(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Absent);
    assert!(target.parent().is_some_and(std::path::Path::is_dir), "the parent stays");
    Ok(())
}

async fn a_target_with_files_is_not_removed(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("full"));
    std::fs::create_dir_all(target.join("directory"))?;
    let error = mounter.remove_target(&target).await.err().ok_or("removed a directory that was not empty")?;
    assert!(error.to_string().contains(&target.display().to_string()), "{error}");
    assert!(target.join("directory").is_dir());
    Ok(())
}

async fn a_mounted_target_is_not_removed(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("mounted"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    assert!(mounter.remove_target(&target).await.is_err());
    assert!(matches!(mounter.inspect(&target).await?, MountState::Mounted(_)));
    Ok(())
}
