//! Bytes of every kind, stacks, hidden mounts, and files that make no sense.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::*;

/// As the kernel escapes a field.
fn escape(bytes: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    };
    bytes.iter().flat_map(escaped).collect()
}

fn line(id: u64, parent: u64, point: &[u8], source: &[u8]) -> Vec<u8> {
    let (point, source) = (escape(point), escape(source));
    let head = format!("{id} {parent} 1296:295330 / ");
    [head.as_bytes(), &point, b" rw,nosuid shared:5 master:1 - lustre ", &source, b" rw,flock\n"].concat()
}

fn table(mounts: &[(u64, u64, &str)]) -> Mountinfo {
    let lines = mounts.iter().map(|(id, parent, point)| line(*id, *parent, point.as_bytes(), b"s"));
    Mountinfo::new(lines.collect::<Vec<_>>().concat())
}

fn ids(table: &Mountinfo, path: &str) -> Vec<u64> {
    table.at(Path::new(path)).iter().map(|line| line.id).collect()
}

#[test]
fn escapes_tags_and_both_kinds_of_options_are_read() {
    let text = br"39 31 8:1 /sub /mnt/a\040b\134c ro,nosuid shared:5 master:1 - lustre 10.0.0.4@tcp:/lustrefs/team\040a rw,flock,nosuid";
    let line = parse(text).unwrap();
    assert_eq!((line.id, line.parent, line.mount_point.to_str()), (39, 31, Some(r"/mnt/a b\c")));
    assert_eq!((line.fs_type.as_str(), line.source.as_str()), ("lustre", "10.0.0.4@tcp:/lustrefs/team a"));
    assert_eq!((line.options, line.root), (["ro", "nosuid", "rw", "flock"].map(str::to_owned).to_vec(), "/sub".into()));
}

/// Lustre 2.17 and newer write the source as it was given.
#[test]
fn a_source_without_escapes_is_read_whole() {
    for (source, first, other) in [
        ("10.0.0.4@tcp:/lustrefs/team a", "10.0.0.4@tcp:/lustrefs/team a", None),
        ("s/a  b ", "s/a  b ", None),
        ("s/a - b", "s/a - b", None),
        ("s/a\\040b", "s/a b", Some("s/a\\040b")),
        ("s/a\\040b c", "s/a\\040b c", None),
    ] {
        let text = format!("39 31 8:1 / /mnt rw shared:5 - lustre {source} rw,flock");
        let line = parse(text.as_bytes()).unwrap();
        assert_eq!((line.source.as_str(), line.raw_source.as_deref()), (first, other), "{source:?}");
        assert_eq!(line.options, ["rw", "flock"].map(str::to_owned));
        assert_eq!(line.sources().count(), 1 + usize::from(other.is_some()));
    }
}

#[test]
fn odd_lines_are_passed_over_and_odd_escapes_kept() {
    for odd in ["", "39", "x 31 8:1 / /mnt rw - lustre s rw", "39 31 8:1 / /mnt rw lustre s rw", "1 2 3 4 5 6 - a b"] {
        assert_eq!(parse(odd.as_bytes()), None, "{odd}");
    }
    assert_eq!(unescape(br"a\04\999\777\+12\040"), br"a\04\999\777\+12 ");
}

#[test]
fn only_a_shared_tag_makes_a_mount_shared() {
    for (tags, shared) in [
        ("", false),
        ("shared:5 ", true),
        ("shared:5 master:1 ", true),
        ("master:1 shared:5 ", true),
        ("master:1 ", false),
        ("master:1 propagate_from:2 ", false),
        ("unbindable ", false),
    ] {
        let text = format!("39 31 8:1 / /mnt rw {tags}- lustre shared:9 rw");
        assert_eq!(parse(text.as_bytes()).unwrap().shared, shared, "{tags}");
    }
}

#[cfg(feature = "kernel")]
#[test]
fn a_walk_enters_the_mounts_on_its_way() {
    let table = table(&[(1, 0, "/"), (2, 1, "/a"), (3, 2, "/a/b"), (4, 3, "/a/b"), (5, 1, "/b"), (6, 1, "/a/b/c")]);
    let along = |path: &str| -> Vec<u64> { table.along(Path::new(path)).iter().map(|line| line.id).collect() };
    assert_eq!(along("/a/b/x"), [1, 2, 3, 4]);
    assert_eq!(along("/a/bx"), [1, 2]);
    assert_eq!(along("/a/b/c/d"), [1, 2, 3, 4], "a mount below a hidden directory is not entered");
    assert_eq!(along("/"), [1]);
}

/// Numbers of mounts are used again, so a smaller number may be the upper mount, and the order of lines means nothing.
#[test]
fn a_stack_is_ordered_by_what_sits_on_what() {
    let root = (1, 0, "/");
    assert_eq!(ids(&table(&[root, (20, 50, "/t"), (50, 1, "/t"), (30, 20, "/t")]), "/t"), [50, 20, 30]);
    assert_eq!(ids(&table(&[root, (20, 1, "/t")]), "/"), [1]);
    assert!(ids(&table(&[root, (20, 1, "/t")]), "/t/below").is_empty());
    assert!(ids(&table(&[root, (20, 1, "/t")]), "/tt").is_empty());
}

#[test]
fn a_mount_that_another_one_hides_is_not_there() {
    // /a/t was mounted, then something over /a, then /a/t again in it.
    let hidden = [(1, 0, "/"), (2, 1, "/a/t"), (3, 1, "/a")];
    assert!(ids(&table(&hidden), "/a/t").is_empty());
    let both = [&hidden[..], &[(4, 3, "/a/t")]].concat();
    assert_eq!(ids(&table(&both), "/a/t"), [4]);
    assert_eq!(table(&both).below(Path::new("/a")).count(), 2);
    // Something over the root itself.
    assert_eq!(ids(&table(&[(1, 0, "/"), (2, 1, "/t"), (3, 1, "/"), (4, 3, "/t")]), "/t"), [4]);
}

#[test]
fn a_root_that_is_not_listed_hides_nothing() {
    assert_eq!(ids(&table(&[(20, 9, "/t"), (30, 20, "/t")]), "/t"), [20, 30]);
    assert_eq!(ids(&table(&[(1, 1, "/"), (2, 1, "/t")]), "/t"), [2]);
}

#[test]
fn a_file_that_goes_round_in_circles_ends() {
    assert!(ids(&table(&[(1, 2, "/t"), (2, 1, "/t")]), "/t").is_empty());
}

#[test]
fn thousands_of_lines_are_read_at_once() {
    let lines = (2..10_000).map(|id| line(id, 1, format!("/pods/{id}/mount").as_bytes(), b"10.0.0.4@tcp:/lustrefs"));
    let text = [line(1, 0, b"/", b"root"), lines.collect::<Vec<_>>().concat()].concat();
    let table = Mountinfo::new(text);
    assert_eq!((table.entries().count(), ids(&table, "/pods/7777/mount")), (9_999, vec![7777]));
}

#[test]
fn the_root_of_this_process_is_listed() {
    let table = Mountinfo::new(std::fs::read("/proc/self/mountinfo").unwrap());
    assert!(!table.at(Path::new("/")).is_empty());
}

fn component() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![Just(b' '), Just(b'\n'), Just(b'\\'), Just(b'\t'), Just(b'0'), any::<u8>()];
    prop::collection::vec(odd.prop_filter("no part of a name", |byte| !matches!(byte, 0 | b'/')), 1..12)
        .prop_filter("no name", |name| !matches!(name.as_slice(), b"." | b".."))
}

fn absolute() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(component(), 1..4)
        .prop_map(|parts| parts.iter().flat_map(|part| [b"/", part.as_slice()].concat()).collect())
}

proptest! {
    #[test]
    fn every_path_and_source_survives(point in absolute(), source in component()) {
        let table = Mountinfo::new([line(1, 0, b"/", b"root"), line(2, 1, &point, &source)].concat());
        let found = table.at(Path::new(OsStr::from_bytes(&point)));
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(&found[0].source, &String::from_utf8_lossy(&source));
        prop_assert_eq!(&found[0].options, &["rw", "nosuid", "flock"].map(str::to_owned));
    }

    #[test]
    fn a_stack_of_any_numbers_in_any_order_has_its_top_last(
        stack in prop::collection::hash_set(2_u64..1000, 1..12),
        others in prop::collection::vec(absolute(), 0..20),
        seed in any::<u64>(),
    ) {
        let stack: Vec<u64> = stack.into_iter().collect();
        let parents = [&[1], &stack[..]].concat();
        let mut lines: Vec<Vec<u8>> =
            stack.iter().zip(&parents).map(|(id, parent)| line(*id, *parent, b"/the target", b"s")).collect();
        lines.extend((2000..).zip(&others).map(|(id, point)| line(id, 1, &[b"/others", &point[..]].concat(), b"s")));
        lines.push(line(1, 0, b"/", b"root"));
        let turn = usize::try_from(seed % lines.len() as u64).unwrap();
        lines.rotate_left(turn);
        let table = Mountinfo::new(lines.concat());
        prop_assert_eq!(ids(&table, "/the target"), stack);
    }

    #[test]
    fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Mountinfo::new(bytes).at(Path::new("/target"));
    }
}
