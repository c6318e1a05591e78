//! Laws of mounting: what is then seen, shared, refused and counted.

use azurelustre_csi::domain::mount::{FS_TYPE, MountAction, MountState};
use azurelustre_csi::ports::mounter::MountErrorKind;

use super::world::{MounterWorld, plan, with_sub_dir};
use super::{Law, Verdict, laws};

pub(crate) const LAWS: &[Law] = laws![
    a_mount_is_seen_with_its_source_byte_for_byte,
    mounts_of_one_file_system_share_its_data needs [SharesData],
    a_sub_directory_is_all_that_its_mount_shows needs [SharesData],
    odd_characters_of_a_sub_directory_survive,
    a_read_only_mount_refuses_writes needs [EnforcesReadOnly],
    a_second_mount_at_a_target_is_refused,
    of_two_mounts_racing_at_a_target_one_wins,
    a_mount_in_one_act_is_made_only_where_nothing_is,
    what_is_taken_away_leaves_no_directory,
    a_missing_sub_directory_is_not_found_and_leaves_nothing needs [HasServers],
    a_server_that_does_not_answer_leaves_nothing needs [HasServers],
    published_lists_the_targets_of_the_volume_and_no_others,
    usage_of_what_is_not_mounted_is_none,
    usage_adds_up,
];

async fn a_mount_is_seen_with_its_source_byte_for_byte(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let plan = plan(&world.given_filesystem()?, &target);
    mounter.make_target(&target).await?;
    mounter.mount(&plan).await?;
    let state = mounter.inspect(&target).await?;
    assert_eq!(plan.action(&state), MountAction::Done);
    let MountState::Mounted(mounts) = state else { return Err("not mounted".into()) };
    assert_eq!((mounts[0].source.as_str(), mounts[0].fs_type.as_str()), (plan.source.to_string().as_str(), FS_TYPE));
    Ok(())
}

async fn mounts_of_one_file_system_share_its_data(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source) = (world.mounter(), world.given_filesystem()?);
    let targets = [world.target("writer"), world.target("reader"), world.target("other")];
    for (target, source) in targets.iter().zip([&source, &source, &world.given_filesystem()?]) {
        mounter.make_target(target).await?;
        mounter.mount(&plan(source, target)).await?;
    }
    std::fs::write(targets[0].join("file"), "text")?;
    assert_eq!(std::fs::read_to_string(targets[1].join("file"))?, "text");
    assert!(!targets[2].join("file").exists(), "another file system has files of its own");
    Ok(())
}

async fn a_sub_directory_is_all_that_its_mount_shows(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source) = (world.mounter(), world.given_filesystem()?);
    let (whole, part) = (world.target("whole"), world.target("part"));
    let team = with_sub_dir(&source, "team/a")?;
    mounter.make_sub_dir(&team).await?;
    for (source, target) in [(&source, &whole), (&team, &part)] {
        mounter.make_target(target).await?;
        mounter.mount(&plan(source, target)).await?;
    }
    std::fs::write(whole.join("outside"), "")?;
    std::fs::write(part.join("inside"), "")?;
    assert!(whole.join("team/a/inside").exists());
    let names: Vec<_> = std::fs::read_dir(&part)?.collect::<Result<Vec<_>, _>>()?;
    assert_eq!(names.iter().map(std::fs::DirEntry::file_name).collect::<Vec<_>>(), ["inside"]);
    Ok(())
}

async fn odd_characters_of_a_sub_directory_survive(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pod's \\ größe"));
    let source = with_sub_dir(&world.given_filesystem()?, "team a/größe \\ 100%/名")?;
    let plan = plan(&source, &target);
    mounter.make_sub_dir(&source).await?;
    mounter.make_target(&target).await?;
    mounter.mount(&plan).await?;
    std::fs::write(target.join("file"), "text")?;
    let state = mounter.inspect(&target).await?;
    assert_eq!(plan.action(&state), MountAction::Done, "{state:?}");
    mounter.unmount(&target).await?;
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    Ok(())
}

async fn a_read_only_mount_refuses_writes(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source) = (world.mounter(), world.given_filesystem()?);
    let (writable, read_only) = (world.target("writable"), world.target("read-only"));
    let mut restricted = plan(&source, &read_only);
    restricted.options.read_only = true;
    for plan in [&plan(&source, &writable), &restricted] {
        mounter.make_target(&plan.target).await?;
        mounter.mount(plan).await?;
    }
    std::fs::write(writable.join("file"), "text")?;
    let refused = std::fs::write(read_only.join("file"), "other").err().map(|error| error.kind());
    assert_eq!(refused, Some(std::io::ErrorKind::ReadOnlyFilesystem));
    std::fs::write(writable.join("file"), "the first mount stays writable")?;
    assert_eq!(restricted.action(&mounter.inspect(&read_only).await?), MountAction::Done);
    Ok(())
}

async fn a_second_mount_at_a_target_is_refused(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let first = plan(&world.given_filesystem()?, &target);
    mounter.make_target(&target).await?;
    mounter.mount(&first).await?;
    for second in [first.clone(), plan(&world.given_filesystem()?, &target)] {
        assert!(mounter.mount(&second).await.is_err());
    }
    assert_eq!(first.action(&mounter.inspect(&target).await?), MountAction::Done);
    Ok(())
}

async fn of_two_mounts_racing_at_a_target_one_wins(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let plans = [plan(&world.given_filesystem()?, &target), plan(&world.given_filesystem()?, &target)];
    for _ in 0..20 {
        mounter.make_target(&target).await?;
        let (left, right) = tokio::join!(mounter.mount(&plans[0]), mounter.mount(&plans[1]));
        assert!(left.is_ok() != right.is_ok(), "{left:?} and {right:?}");
        let winner = &plans[usize::from(right.is_ok())];
        assert_eq!(winner.action(&mounter.inspect(&target).await?), MountAction::Done);
        mounter.unmount(&target).await?;
        assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    }
    Ok(())
}

/// An adapter that takes every step by itself answers `None` each time.
async fn a_mount_in_one_act_is_made_only_where_nothing_is(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pods/new"));
    // Kubelet has made it.
    std::fs::create_dir_all(target.parent().ok_or("a target below a directory")?)?;
    let plan = plan(&world.given_filesystem()?, &target);
    let Some(fresh) = mounter.mount_fresh(&plan).await else {
        assert_eq!(mounter.inspect(&target).await?, MountState::Absent, "nothing was done");
        return Ok(());
    };
    fresh.result?;
    assert!(fresh.made_target);
    let state = mounter.inspect_for(&plan).await?;
    assert_eq!(plan.action(&state), MountAction::Done);
    assert!(mounter.mount_fresh(&plan).await.is_none());
    assert_eq!(mounter.inspect_for(&plan).await?, state, "nothing was done");
    mounter.unmount(&target).await?;
    let again = mounter.mount_fresh(&plan).await.map(|fresh| (fresh.made_target, fresh.result.is_ok()));
    assert_eq!(again, Some((false, true)), "the directory was there");
    let obstructed = super::world::plan(&plan.source, &world.target("file"));
    std::fs::write(&obstructed.target, "text")?;
    assert!(mounter.mount_fresh(&obstructed).await.is_none());
    Ok(())
}

async fn what_is_taken_away_leaves_no_directory(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("pods/target"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    for _ in 0..2 {
        mounter.take_away(&target).await?;
        assert_eq!(mounter.inspect(&target).await?, MountState::Absent);
    }
    mounter.make_target(&target).await?;
    std::fs::write(target.join("file"), "text")?;
    assert!(mounter.take_away(&target).await.is_err(), "files are never deleted");
    assert!(target.join("file").exists());
    Ok(())
}

async fn a_missing_sub_directory_is_not_found_and_leaves_nothing(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    let missing = with_sub_dir(&world.given_filesystem()?, "not/there")?;
    mounter.make_target(&target).await?;
    let error = mounter.mount(&plan(&missing, &target)).await.err().ok_or("mounted a directory that is not there")?;
    assert_eq!(error.kind, MountErrorKind::NotFound, "{error}");
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    assert!(mounter.published("volume").await?.is_empty());
    Ok(())
}

async fn a_server_that_does_not_answer_leaves_nothing(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    mounter.make_target(&target).await?;
    let error = mounter.mount(&plan(&world.unreachable()?, &target)).await.err().ok_or("mounted from nowhere")?;
    assert_eq!(error.kind, MountErrorKind::Unreachable, "{error}");
    assert_eq!(mounter.inspect(&target).await?, MountState::Directory);
    assert!(mounter.published("volume").await?.is_empty());
    Ok(())
}

async fn published_lists_the_targets_of_the_volume_and_no_others(world: &dyn MounterWorld) -> Verdict {
    let (mounter, source) = (world.mounter(), world.given_filesystem()?);
    let mut targets = vec![world.target("one"), world.target("two")];
    let mut other = plan(&source, &world.target("other"));
    other.volume_id = "volume-2".into();
    for plan in [&plan(&source, &targets[0]), &plan(&source, &targets[1]), &other] {
        mounter.make_target(&plan.target).await?;
        mounter.mount(plan).await?;
    }
    let mut published = mounter.published("volume").await?;
    published.sort();
    targets.sort();
    assert_eq!(published, targets);
    assert!(mounter.published("vol").await?.is_empty());
    mounter.unmount(&targets[0]).await?;
    assert_eq!(mounter.published("volume").await?, targets[1..]);
    Ok(())
}

async fn usage_of_what_is_not_mounted_is_none(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    assert_eq!(mounter.usage(&target).await?, None);
    mounter.make_target(&target).await?;
    assert_eq!(mounter.usage(&target).await?, None);
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    mounter.unmount(&target).await?;
    assert_eq!(mounter.usage(&target).await?, None);
    Ok(())
}

async fn usage_adds_up(world: &dyn MounterWorld) -> Verdict {
    let (mounter, target) = (world.mounter(), world.target("target"));
    mounter.make_target(&target).await?;
    mounter.mount(&plan(&world.given_filesystem()?, &target)).await?;
    let empty = mounter.usage(&target).await?.ok_or("nothing is mounted")?;
    std::fs::write(target.join("file"), vec![1; 1 << 20])?;
    let filled = mounter.usage(&target).await?.ok_or("nothing is mounted")?;
    for amount in [empty.bytes, empty.inodes, filled.bytes, filled.inodes] {
        assert!(amount.total > 0 && amount.used <= amount.total, "{amount:?}");
        assert!(amount.available <= amount.total - amount.used, "{amount:?}");
    }
    assert!(filled.inodes.used > empty.inodes.used, "{filled:?} after {empty:?}");
    Ok(())
}
