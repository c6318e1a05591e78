//! Laws of target paths: what is made of them, what is refused, and that nothing but an empty directory is removed.

use std::os::unix::fs::symlink;

use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome};

use super::Law;
use super::world::{MounterWorld, is_mounted, plan};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    an_absent_target_is_made_and_an_existing_one_is_used,
    only_the_last_directory_of_a_target_is_made,
    a_regular_file_is_refused_and_stays,
    a_symbolic_link_is_refused_and_not_followed,
    a_target_with_files_is_unmounted_and_not_removed,
    two_spellings_of_a_target_are_one,
];

async fn an_absent_target_is_made_and_an_existing_one_is_used(world: &dyn MounterWorld) -> LawResult {
    let mounter = world.mounter();
    let (absent, there) = (world.target("absent"), world.target("there"));
    std::fs::create_dir(&there)?;
    for target in [&absent, &there] {
        let plan = plan(&world.given_filesystem(), target);
        assert_eq!(mounter.mount(&plan).await?, MountOutcome::Mounted);
        assert!(is_mounted(&*mounter, target).await?);
    }
    Ok(())
}

async fn only_the_last_directory_of_a_target_is_made(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("kubelet/pod/mount"));
    let error = mounter.mount(&plan(&world.given_filesystem(), &target)).await.err().ok_or("made the parents")?;
    assert_eq!(error.kind, MountErrorKind::NotReady, "{error}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("--kubelet-dir")), "{error:?}");
    assert!(!world.target("kubelet").exists());
    assert_eq!(mounter.usage(&target).await?, None);
    mounter.unmount(&target).await?;
    assert!(!world.target("kubelet").exists());
    Ok(())
}

async fn a_regular_file_is_refused_and_stays(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("file"));
    std::fs::write(&target, "text")?;
    assert!(mounter.mount(&plan(&world.given_filesystem(), &target)).await.is_err());
    assert!(mounter.unmount(&target).await.is_err());
    assert_eq!(std::fs::read_to_string(&target)?, "text");
    Ok(())
}

async fn a_symbolic_link_is_refused_and_not_followed(world: &dyn MounterWorld) -> LawResult {
    let (mounter, elsewhere, target) = (world.mounter(), world.target("elsewhere"), world.target("link"));
    std::fs::create_dir(&elsewhere)?;
    symlink(&elsewhere, &target)?;
    assert!(mounter.mount(&plan(&world.given_filesystem(), &target)).await.is_err());
    assert!(!is_mounted(&*mounter, &elsewhere).await?);
    assert!(mounter.unmount(&target).await.is_err());
    assert_eq!(std::fs::read_link(&target)?, elsewhere);
    assert!(elsewhere.is_dir());
    Ok(())
}

async fn a_target_with_files_is_unmounted_and_not_removed(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("full"));
    mounter.mount(&plan(&world.given_filesystem(), &target)).await?;
    mounter.unmount(&target).await?;
    std::fs::create_dir_all(target.join("directory"))?;
    let error = mounter.unmount(&target).await.err().ok_or("removed a directory that was not empty")?;
    assert!(error.to_string().contains(&target.display().to_string()) && error.hint.is_some(), "{error:?}");
    assert!(target.join("directory").is_dir(), "files are never deleted");
    Ok(())
}

async fn two_spellings_of_a_target_are_one(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let alias = world.target("alias");
    symlink(target.parent().ok_or("a target below a directory")?, &alias)?;
    let source = world.given_filesystem();
    mounter.mount(&plan(&source, &target)).await?;
    for spelled in [alias.join("target"), alias.join(".//target/")] {
        let again = plan(&source, &spelled);
        assert_eq!(mounter.mount(&again).await?, MountOutcome::AlreadyMounted);
        assert_eq!(mounter.published(&again).await?, [spelled.as_path()], "as the plan spells it");
        assert!(is_mounted(&*mounter, &spelled).await?);
    }
    mounter.unmount(&alias.join("target")).await?;
    assert!(!target.exists());
    Ok(())
}
