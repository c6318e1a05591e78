//! Laws of mounting and of usage: data, options, conflicts at a target, and that a failed mount leaves nothing.

use azurelustre_csi::domain::mount_source::{FsName, MountSource};
use azurelustre_csi::ports::mounter::{MountErrorKind, MountOutcome};

use super::Law;
use super::world::WorldCapability::{EnforcesReadOnly, HasServers, SharesData};
use super::world::{MounterWorld, is_mounted, plan, with_sub_dir};
use crate::harness::{LawResult, laws};

pub(crate) const LAWS: &[Law] = laws![
    a_mount_is_found_by_the_next_call,
    mounts_of_one_file_system_share_its_data needs [SharesData],
    a_sub_directory_is_all_that_its_mount_shows needs [SharesData],
    special_characters_of_a_sub_directory_are_preserved,
    a_read_only_mount_refuses_writes needs [EnforcesReadOnly],
    another_mount_at_a_target_is_refused,
    of_two_mounts_racing_at_a_target_one_wins,
    a_failed_mount_leaves_the_target_as_it_was needs [HasServers],
    an_fs_name_that_the_servers_do_not_have_falls_back_to_lustrefs needs [HasServers],
    published_lists_the_targets_of_the_volume_and_no_others,
    usage_without_a_mount_is_none,
    used_and_available_do_not_exceed_the_total,
];

async fn a_mount_is_found_by_the_next_call(world: &dyn MounterWorld) -> LawResult {
    let (mounter, plan) = (world.mounter(), plan(&world.given_filesystem(), &world.target("target")));
    assert_eq!(mounter.mount(&plan).await?, MountOutcome::Mounted);
    for _ in 0..2 {
        assert_eq!(mounter.mount(&plan).await?, MountOutcome::AlreadyMounted);
    }
    let mut read_only = plan.clone();
    read_only.options.read_only = true;
    assert!(matches!(mounter.mount(&read_only).await?, MountOutcome::Occupied(_)), "other options are another mount");
    mounter.unmount(&plan.target).await?;
    assert_eq!(mounter.mount(&plan).await?, MountOutcome::Mounted);
    Ok(())
}

async fn mounts_of_one_file_system_share_its_data(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let targets = [world.target("writer"), world.target("reader"), world.target("other")];
    for (target, source) in targets.iter().zip([&source, &source, &world.given_filesystem()]) {
        mounter.mount(&plan(source, target)).await?;
    }
    std::fs::write(targets[0].join("file"), "text")?;
    assert_eq!(std::fs::read_to_string(targets[1].join("file"))?, "text");
    assert!(!targets[2].join("file").exists(), "another file system has files of its own");
    Ok(())
}

async fn a_sub_directory_is_all_that_its_mount_shows(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let (whole, part) = (world.target("whole"), world.target("part"));
    let team = with_sub_dir(&source, "team/a")?;
    mounter.make_sub_dir(&team).await?;
    for (source, target) in [(&source, &whole), (&team, &part)] {
        mounter.mount(&plan(source, target)).await?;
    }
    std::fs::write(whole.join("outside"), "")?;
    std::fs::write(part.join("inside"), "")?;
    assert!(whole.join("team/a/inside").exists());
    let names: Vec<_> = std::fs::read_dir(&part)?.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(names.iter().map(std::fs::DirEntry::file_name).collect::<Vec<_>>(), ["inside"]);
    Ok(())
}

async fn special_characters_of_a_sub_directory_are_preserved(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("pod's \\ größe"));
    let source = with_sub_dir(&world.given_filesystem(), "team a/größe \\ 100%/\\040 x/名")?;
    let plan = plan(&source, &target);
    mounter.make_sub_dir(&source).await?;
    mounter.mount(&plan).await?;
    std::fs::write(target.join("file"), "text")?;
    assert_eq!(mounter.mount(&plan).await?, MountOutcome::AlreadyMounted);
    mounter.unmount(&target).await?;
    assert!(!target.exists());
    Ok(())
}

async fn a_read_only_mount_refuses_writes(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let (writable, read_only) = (world.target("writable"), world.target("read-only"));
    let mut restricted = plan(&source, &read_only);
    restricted.options.read_only = true;
    for plan in [&plan(&source, &writable), &restricted] {
        mounter.mount(plan).await?;
    }
    std::fs::write(writable.join("file"), "text")?;
    let refused = std::fs::write(read_only.join("file"), "other").err().map(|error| error.kind());
    assert_eq!(refused, Some(std::io::ErrorKind::ReadOnlyFilesystem));
    std::fs::write(writable.join("file"), "the first mount stays writable")?;
    assert_eq!(mounter.mount(&restricted).await?, MountOutcome::AlreadyMounted);
    Ok(())
}

async fn another_mount_at_a_target_is_refused(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let first = plan(&world.given_filesystem(), &target);
    mounter.mount(&first).await?;
    let other = plan(&world.given_filesystem(), &target);
    let MountOutcome::Occupied(what) = mounter.mount(&other).await? else { return Err("stacked".into()) };
    assert!(what.contains(&first.source.to_string()), "{what}");
    assert_eq!(mounter.mount(&first).await?, MountOutcome::AlreadyMounted);
    mounter.unmount(&target).await?;
    assert!(!is_mounted(&*mounter, &target).await? && !target.exists());
    Ok(())
}

async fn of_two_mounts_racing_at_a_target_one_wins(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let plans = [plan(&world.given_filesystem(), &target), plan(&world.given_filesystem(), &target)];
    for _ in 0..20 {
        let (left, right) = tokio::join!(mounter.mount(&plans[0]), mounter.mount(&plans[1]));
        let won = [left, right].map(|result| matches!(result, Ok(MountOutcome::Mounted)));
        assert!(won[0] != won[1], "{won:?}");
        assert_eq!(mounter.mount(&plans[usize::from(won[1])]).await?, MountOutcome::AlreadyMounted);
        mounter.unmount(&target).await?;
        assert!(!target.exists(), "one mount was there, not two");
    }
    Ok(())
}

async fn a_failed_mount_leaves_the_target_as_it_was(world: &dyn MounterWorld) -> LawResult {
    let mounter = world.mounter();
    let missing = with_sub_dir(&world.given_filesystem(), "not/there")?;
    for (name, source, kind) in
        [("missing", missing, MountErrorKind::NotFound), ("nowhere", world.unreachable(), MountErrorKind::Unreachable)]
    {
        for there_before in [false, true] {
            let plan = plan(&source, &world.target(&format!("{name}-{there_before}")));
            if there_before {
                std::fs::create_dir(&plan.target)?;
            }
            let error = mounter.mount(&plan).await.err().ok_or("mounted what is not there")?;
            assert_eq!(error.kind, kind, "{error}");
            assert_eq!(plan.target.is_dir(), there_before, "a directory that was there stays, another does not");
            assert!(!is_mounted(&*mounter, &plan.target).await? && mounter.published(&plan).await?.is_empty());
        }
    }
    Ok(())
}

/// The Go driver never reads `fs-name`, so objects in the field hold anything there.
async fn an_fs_name_that_the_servers_do_not_have_falls_back_to_lustrefs(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let named = MountSource { fs_name: FsName::parse("amlfs1")?, ..source.clone() };
    let (whole, part) =
        (plan(&named, &world.target("whole")), plan(&with_sub_dir(&named, "a")?, &world.target("part")));
    assert_eq!(mounter.mount(&whole).await?, MountOutcome::Mounted);
    let missing = mounter.mount(&part).await.err().ok_or("mounted a directory that is not there")?;
    assert_eq!(missing.kind, MountErrorKind::NotFound, "{missing}");
    mounter.make_sub_dir(&part.source).await?;
    assert_eq!(mounter.mount(&part).await?, MountOutcome::Mounted);
    for plan in [&whole, &part] {
        assert_eq!(mounter.mount(plan).await?, MountOutcome::AlreadyMounted);
        assert!(is_mounted(&*mounter, &plan.target).await?);
    }
    std::fs::write(part.target.join("file"), "text")?;
    assert!(whole.target.join("a/file").exists(), "it is the one file system");
    Ok(())
}

async fn published_lists_the_targets_of_the_volume_and_no_others(world: &dyn MounterWorld) -> LawResult {
    let (mounter, source) = (world.mounter(), world.given_filesystem());
    let mut targets = vec![world.target("one"), world.target("two")];
    let mut other = plan(&source, &world.target("other"));
    other.volume_id = "volume-2".into();
    for plan in [&plan(&source, &targets[0]), &plan(&source, &targets[1]), &other] {
        mounter.mount(plan).await?;
    }
    let asked = plan(&source, &targets[0]);
    let mut published = mounter.published(&asked).await?;
    published.sort();
    targets.sort();
    assert_eq!(published, targets);
    let mut unknown = asked.clone();
    unknown.volume_id = "vol".into();
    assert!(mounter.published(&unknown).await?.is_empty());
    mounter.unmount(&targets[0]).await?;
    std::fs::create_dir(&targets[0])?;
    assert_eq!(mounter.published(&asked).await?, targets[1..], "a directory is no target");
    Ok(())
}

async fn usage_without_a_mount_is_none(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    assert_eq!(mounter.usage(&target).await?, None);
    std::fs::create_dir(&target)?;
    assert_eq!(mounter.usage(&target).await?, None);
    mounter.mount(&plan(&world.given_filesystem(), &target)).await?;
    mounter.unmount(&target).await?;
    assert_eq!(mounter.usage(&target).await?, None);
    assert_eq!(mounter.usage(&target.join("below")).await?, None);
    Ok(())
}

async fn used_and_available_do_not_exceed_the_total(world: &dyn MounterWorld) -> LawResult {
    let (mounter, target) = (world.mounter(), world.target("target"));
    mounter.mount(&plan(&world.given_filesystem(), &target)).await?;
    let empty = mounter.usage(&target).await?.ok_or("nothing is mounted")?;
    std::fs::write(target.join("file"), vec![1; 1 << 20])?;
    let filled = mounter.usage(&target).await?.ok_or("nothing is mounted")?;
    let (before, after) = (empty.inodes.ok_or("inodes are counted")?, filled.inodes.ok_or("inodes are counted")?);
    for amount in [empty.bytes, before, filled.bytes, after] {
        assert!(amount.total > 0 && amount.used <= amount.total, "{amount:?}");
        assert!(amount.available <= amount.total - amount.used, "{amount:?}");
    }
    assert!(after.used > before.used, "{after:?} after {before:?}");
    Ok(())
}
