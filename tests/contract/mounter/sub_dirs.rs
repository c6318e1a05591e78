//! Laws of sub-directories. `SubDir` itself refuses `..`.

use std::os::unix::fs::{PermissionsExt, symlink};

use azurelustre_csi::ports::mounter::MountErrorKind;

use super::Law;
use super::world::WorldCapability::{HasServers, SharesData};
use super::world::{MounterWorld, SUB_DIR_MODE, plan, with_sub_dir};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    a_sub_directory_is_made_with_its_parents_and_kept_when_it_is_there needs [SharesData],
    a_source_without_a_sub_directory_needs_none_made,
    a_sub_directory_has_the_permissions_that_are_set needs [SharesData],
    a_sub_directory_is_never_made_through_a_link needs [SharesData],
    a_sub_directory_is_never_mounted_through_a_link needs [SharesData],
    a_sub_directory_of_unreachable_servers_is_not_made needs [HasServers],
];

async fn a_sub_directory_is_made_with_its_parents_and_kept_when_it_is_there(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem(), world.target("target"));
    mounter.make_sub_dir(&with_sub_dir(&source, "a/b")?).await?;
    mounter.mount(&plan(&source, &target)).await?;
    std::fs::write(target.join("a/b/file"), "text")?;
    for path in ["a/b", "a", "a/b/c/d", "a/b/c/d"] {
        mounter.make_sub_dir(&with_sub_dir(&source, path)?).await?;
        assert!(target.join(path).is_dir(), "{path}");
    }
    assert_eq!(std::fs::read_to_string(target.join("a/b/file"))?, "text");
    Ok(())
}

async fn a_source_without_a_sub_directory_needs_none_made(world: &dyn MounterWorld) -> LawResult {
    Ok(world.mounter().make_sub_dir(&world.given_filesystem()).await?)
}

/// World-writable, so that no usual umask gives it by chance.
async fn a_sub_directory_has_the_permissions_that_are_set(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem(), world.target("target"));
    mounter.make_sub_dir(&with_sub_dir(&source, "team/a")?).await?;
    mounter.mount(&plan(&source, &target)).await?;
    for path in ["team", "team/a"] {
        let mode = std::fs::metadata(target.join(path))?.permissions().mode() & 0o7777;
        assert_eq!(mode, SUB_DIR_MODE, "{path}: {mode:o}");
    }
    Ok(())
}

async fn a_sub_directory_is_never_made_through_a_link(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source, target) = (world.mounter(), world.given_filesystem(), world.target("target"));
    let elsewhere = world.target("elsewhere");
    std::fs::create_dir(&elsewhere)?;
    mounter.mount(&plan(&source, &target)).await?;
    std::fs::create_dir_all(target.join("a/b"))?;
    for link in ["link", "a/link", "a/b/link"] {
        symlink(&elsewhere, target.join(link))?;
        for path in [link.to_owned(), format!("{link}/new"), format!("{link}/new/more")] {
            assert!(mounter.make_sub_dir(&with_sub_dir(&source, &path)?).await.is_err(), "{path}");
        }
    }
    symlink("a", target.join("inner"))?;
    assert!(mounter.make_sub_dir(&with_sub_dir(&source, "inner/new")?).await.is_err(), "a link within the file system");
    assert_eq!(std::fs::read_dir(&elsewhere)?.count(), 0);
    assert!(!target.join("a/new").exists());
    Ok(())
}

async fn a_sub_directory_is_never_mounted_through_a_link(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let (whole, part, elsewhere) = (world.target("whole"), world.target("part"), world.target("elsewhere"));
    std::fs::create_dir_all(elsewhere.join("below"))?;
    mounter.mount(&plan(&source, &whole)).await?;
    symlink(&elsewhere, whole.join("link"))?;
    for path in ["link", "link/below"] {
        assert!(mounter.mount(&plan(&with_sub_dir(&source, path)?, &part)).await.is_err(), "{path}");
        assert!(!part.exists());
    }
    Ok(())
}

async fn a_sub_directory_of_unreachable_servers_is_not_made(world: &dyn MounterWorld) -> LawResult {
    let nowhere = with_sub_dir(&world.unreachable(), "a")?;
    let error = world.mounter().make_sub_dir(&nowhere).await.err().ok_or("made a directory nowhere")?;
    assert_eq!(error.kind, MountErrorKind::Unreachable, "{error}");
    Ok(())
}
