//! Tables of accepted, dropped and refused options.

use super::*;

fn parse(flags: &[&str]) -> Result<MountOptions, Problems> {
    MountOptions::parse(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
}

fn shown(words: &str) -> Vec<String> {
    words.split(',').map(str::to_owned).collect()
}

#[test]
fn options_are_sorted_out() {
    let options =
        parse(&["ro", "noatime", "nosuid", "_netdev", "x-systemd.automount", "flock", "retry=5", "nouser_xattr"])
            .unwrap();
    assert_eq!(options.words(), ["ro", "nosuid", "noatime", "flock", "nouser_xattr"]);
    assert_eq!(parse(&[]).unwrap().access_time, AccessTime::Strict);
    assert_eq!(parse(&["relatime"]).unwrap().access_time, AccessTime::Relative);
}

#[test]
fn the_last_word_wins_and_nothing_is_said_twice() {
    let options = parse(&["ro", "rw", "noatime", "atime", "flock", "flock", "localflock"]).unwrap();
    assert_eq!(options.words(), ["rw", "localflock"]);
}

#[test]
fn several_options_may_stand_in_one_string() {
    let options = parse(&["noatime,flock", " nosuid , ,user_xattr,", "", ","]).unwrap();
    assert_eq!(options.words(), ["rw", "nosuid", "noatime", "flock", "user_xattr"]);
    assert_eq!(parse(&["ro,rw"]), parse(&["ro", "rw"]));
    let error = parse(&["flok,noatime,remount"]).unwrap_err();
    assert_eq!(error.as_slice().len(), 2, "{error}");
    assert!(error.to_string().contains("did you mean flock?"), "{error}");
}

#[test]
fn what_works_with_the_go_driver_is_accepted() {
    assert_eq!(parse(&["noatime", "flock", "no_unique_fsid"]).unwrap().words(), ["rw", "noatime", "flock"]);
    assert_eq!(parse(&["unique_fsid,nolock"]).unwrap().lustre, ["unique_fsid", "nolock"]);
    assert_eq!(parse(&["unique_fsid", "no_unique_fsid"]).unwrap(), MountOptions::default());
    assert_eq!(parse(&["no_unique_fsid", "unique_fsid"]).unwrap().lustre, ["unique_fsid"], "the last word wins");
    assert_eq!(parse(&["sync_on_close"]).unwrap().lustre, ["sync_on_close"]);
    for dropped in [
        "acl",
        "noacl",
        "_netdev",
        "nofail",
        "nogroup",
        "force",
        "retry=5",
        "x-systemd.automount",
        "comment=a=b",
        "max_sectors_kb=0",
    ] {
        assert_eq!(parse(&[dropped]), Ok(MountOptions::default()), "{dropped}");
    }
}

#[test]
fn labels_of_selinux_are_kept_apart() {
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    let quoted = format!("context=\"{label}\"");
    let options = parse(&[&format!("noatime,{quoted},flock"), "fscontext=u:r:t:s0"]).unwrap();
    assert_eq!(options.selinux, [quoted.as_str(), "fscontext=u:r:t:s0"]);
    assert_eq!(options.words(), ["rw", "noatime", "flock"]);
    assert_eq!(options.missing_from(&shown("rw,noatime")), None);
    for key in ["context", "fscontext", "defcontext", "rootcontext"] {
        assert_eq!(parse(&[&format!("{key}=\"a:b\"")]).unwrap().selinux, [format!("{key}=a:b")]);
    }
    assert_eq!(parse(&["context=a:b,context=c:d"]).unwrap().selinux, ["context=c:d"]);
    for bad in [
        "context=",
        "context=\"\"",
        "context=\"a",
        "context=a\"",
        "context=\"a\"b",
        "context=\"a\",device=x",
        "context=a b",
        "context=\"a,device=x\"",
        "context=a,c2",
        "rootcontext=@target",
        "context=a=b",
        "seclabel=a",
        "Context=a",
        "\"noatime\"",
    ] {
        assert!(parse(&[bad]).is_err(), "{bad:?}");
    }
}

#[test]
fn what_could_hijack_or_break_a_mount_is_refused() {
    for bad in [
        "device=10.0.0.9@tcp:/x",
        "flock,device=x",
        "x-a,device=b",
        "x-a=\",device=b",
        "mgsnode=1",
        "mgs",
        "network=tcp1",
        "exclude=x",
        "remount",
        "bind",
        "lazytime",
        "rofoo",
        "Flock",
        "nostrictatime",
        "skpath=/k",
        "skid=1",
        "svname=x",
        "param=x",
        "osd=x",
        "nosvc",
        "no atime",
    ] {
        assert!(parse(&[bad]).is_err(), "{bad:?}");
    }
    let error = parse(&["flok", "ro"]).unwrap_err().to_string();
    assert!(error.contains("did you mean flock?"), "{error}");
}

#[test]
fn an_existing_mount_is_held_against_what_was_asked_only() {
    let theirs = shown("rw,flock,checksum,encrypt,lazystatfs,lruresize,nolock,nouser_xattr,verbose");
    assert_eq!(parse(&[]).unwrap().missing_from(&theirs), None);
    assert_eq!(parse(&["flock", "nouser_xattr"]).unwrap().missing_from(&theirs), None);
    assert_eq!(parse(&["user_xattr"]).unwrap().missing_from(&theirs).as_deref(), Some("user_xattr"));
    assert_eq!(parse(&["noflock"]).unwrap().missing_from(&theirs).as_deref(), Some("noflock"));
    assert_eq!(parse(&["ro"]).unwrap().missing_from(&theirs).as_deref(), Some("ro"));
    assert_eq!(parse(&["noexec"]).unwrap().missing_from(&theirs).as_deref(), Some("noexec"));
    assert_eq!(parse(&["flock"]).unwrap().missing_from(&shown("rw")), None);
    let on_close = parse(&["sync_on_close"]).unwrap();
    assert_eq!(on_close.missing_from(&shown("rw,sync,flock,nosync_on_close")), None);
    assert_eq!(on_close.missing_from(&shown("rw,flock,nosync_on_close")).as_deref(), Some("sync_on_close"));
    assert_eq!(parse(&[]).unwrap().missing_from(&shown("ro,noatime")).as_deref(), Some("rw"));
}
