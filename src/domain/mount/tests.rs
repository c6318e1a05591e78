//! Plans from requests, and the decision table of what is at the target.

use super::*;
use crate::domain::access::AccessType;

fn request(flags: &[&str], context: &[(&str, &str)]) -> PublishRequest {
    PublishRequest {
        volume_id: "vol".into(),
        target: "/var/lib/kubelet/pods/1/mount".into(),
        capability: Capability {
            access: Some(AccessType::Mount { flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }),
            mode: Some(AccessMode::MultiNodeMultiWriter),
        },
        read_only: false,
        context: context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

const MGS: (&str, &str) = ("mgs-ip-address", "10.0.0.4");

fn plan(flags: &[&str], sub_dir: Option<&str>) -> MountPlan {
    let context: Vec<_> = [MGS].into_iter().chain(sub_dir.map(|dir| ("sub-dir", dir))).collect();
    MountPlan::new(&request(flags, &context)).unwrap()
}

fn mounted(source: &str, options: &str) -> [Mounted; 1] {
    let options = options.split(',').map(str::to_owned).collect();
    [Mounted { source: source.into(), fs_type: "lustre".into(), options }]
}

#[test]
fn the_source_comes_from_the_context_alone() {
    let full = request(
        &["noatime"],
        &[
            ("MGS-ip-address", "10.0.0.4@tcp0"),
            ("fs-name", "myfs"),
            ("sub-dir", "a/${pod.metadata.name}"),
            ("csi.storage.k8s.io/pod.name", "p-0"),
        ],
    );
    assert_eq!(MountPlan::new(&full).unwrap().source.to_string(), "10.0.0.4@tcp:/myfs/a/p-0");
    let by_id_only = PublishRequest { volume_id: "v#lustrefs#10.0.0.4".into(), ..request(&[], &[]) };
    assert!(MountPlan::new(&by_id_only).unwrap_err().to_string().contains("mgs-ip-address: missing"));
}

#[test]
fn every_mistake_of_a_publish_is_reported() {
    let bad = PublishRequest {
        volume_id: String::new(),
        target: "relative/..".into(),
        capability: Capability { access: Some(AccessType::Block), mode: None },
        read_only: false,
        context: [("sub-dir".to_owned(), "${pod.metadata.name}".to_owned())].into(),
    };
    let error = MountPlan::new(&bad).unwrap_err();
    assert_eq!(error.as_slice().len(), 6, "{error}");
}

#[test]
fn read_only_comes_from_request_or_flags_and_never_makes_directories() {
    assert!(plan(&[], Some("a")).makes_sub_dir());
    assert!(!plan(&["ro"], Some("a")).makes_sub_dir());
    assert!(!plan(&[], None).makes_sub_dir());
    let read_only = MountPlan::new(&PublishRequest { read_only: true, ..request(&["ro", "rw"], &[MGS]) }).unwrap();
    assert_eq!(read_only.options.words(), ["ro"]);
}

#[test]
fn mounts_as_planned_are_left_alone_in_any_spelling() {
    for source in ["10.0.0.4@tcp:/lustrefs", "10.0.0.4@tcp0://lustrefs/", "10.0.0.4:/lustrefs"] {
        assert_eq!(
            plan(&[], None).occupancy(&mounted(source, "rw,flock,lazystatfs")),
            Occupancy::AsPlanned,
            "{source}"
        );
    }
}

#[test]
fn anything_else_at_the_target_is_a_conflict() {
    for (source, options) in [
        ("10.0.0.5@tcp:/lustrefs", "rw"),
        ("10.0.0.4@tcp:/other", "rw"),
        ("10.0.0.4@tcp:/lustrefs/sub", "rw"),
        ("10.0.0.4@tcp:/lustrefs", "ro"),
        ("tmpfs", "rw"),
    ] {
        assert!(
            matches!(plan(&[], None).occupancy(&mounted(source, options)), Occupancy::Other(_)),
            "{source} {options}"
        );
    }
    let tmpfs =
        Mounted { source: "10.0.0.4@tcp:/lustrefs".into(), fs_type: "tmpfs".into(), options: vec!["rw".into()] };
    assert!(matches!(plan(&[], None).occupancy(std::slice::from_ref(&tmpfs)), Occupancy::Other(_)));
    assert!(matches!(plan(&[], None).occupancy(&[tmpfs.clone(), tmpfs]), Occupancy::Other(_)));
    assert_eq!(plan(&[], None).occupancy(&[]), Occupancy::Free);
}

#[test]
fn a_stack_is_as_planned_only_if_every_layer_is() {
    let plan = plan(&[], None);
    let ([same], [other]) = (mounted("10.0.0.4@tcp:/lustrefs", "rw"), mounted("10.0.0.5@tcp:/lustrefs", "rw"));
    assert_eq!(plan.occupancy(&[same.clone(), same.clone()]), Occupancy::AsPlanned);
    for stack in [[same.clone(), other.clone()], [other, same]] {
        let Occupancy::Other(what) = plan.occupancy(&stack) else { panic!("{stack:?} is as planned") };
        assert!(what.contains("2 mounts are stacked") && what.contains("10.0.0.5"), "{what}");
    }
}
