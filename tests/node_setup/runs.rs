//! What a run does in each state that a node can be in.

use std::sync::LazyLock;

use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::interfaces::InterfaceRule;
use azurelustre_csi::adapters::node_setup::load::Parameters;
use azurelustre_csi::adapters::node_setup::plan::Replace;
use azurelustre_csi::adapters::node_setup::ports::RetryPolicy;

use crate::node::{BOTH, Fault, KERNEL, NEW, Node, OLD};

const LOAD: [&str; 8] = [
    "modprobe lnet networks=tcp(eth0)",
    "modprobe ksocklnd skip_mr_route_setup=1",
    "modprobe lustre",
    "modprobe mgc",
    "modprobe mdc",
    "modprobe lmv",
    "modprobe lov",
    "modprobe osc",
];
const REMOVE: [&str; 13] = [
    "remove lustre",
    "remove mdc",
    "remove lmv",
    "remove lov",
    "remove osc",
    "remove mgc",
    "remove fid",
    "remove fld",
    "remove ptlrpc",
    "remove obdclass",
    "remove ksocklnd",
    "remove lnet",
    "remove libcfs",
];
const PING: &str = "PING 10.224.0.4@tcp";
const PRUNE: &str = "prune but true";

fn unreachable() -> SetupError {
    SetupError::try_again("cannot fetch", "Could not resolve 'packages.microsoft.com'", "Allow it.")
}

fn unsigned() -> SetupError {
    SetupError::needs_human("cannot fetch", "NO_PUBKEY EB3E94ADBE1229CF", "Stop.")
}

fn log<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

#[test]
fn a_new_node_is_fetched_for_loaded_and_checked_and_then_left_alone() {
    let node = Node::new();
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), NEW);
    assert_eq!((ready.nids, ready.warnings), (vec!["10.224.0.4@tcp".to_owned()], Vec::<String>::new()));
    assert_eq!(node.take_log(), log(&[&["fetch 2.17.0-24-gf517bc4"], &LOAD, &[PING, PRUNE]]));
    let again = node.run(|_| {}).unwrap();
    assert_eq!((again.warnings, node.take_log()), (Vec::<String>::new(), Vec::<String>::new()));
}

#[test]
fn after_a_reboot_the_unpacked_modules_are_loaded_without_the_network() {
    let node = Node::new();
    node.run(|_| {}).unwrap();
    node.reboot(KERNEL);
    *node.no_package.lock().unwrap() = Some(unreachable());
    node.take_log();
    node.run(|_| {}).unwrap();
    assert_eq!(node.take_log(), log(&[&LOAD, &[PING, PRUNE]]));
}

#[test]
fn modules_that_were_altered_are_fetched_again() {
    let node = Node::new();
    node.write(&format!("var/lib/azurelustre-csi/{KERNEL}/{NEW}/ok.json"), "of other files");
    node.run(|_| {}).unwrap();
    assert_eq!(node.take_log()[0], "fetch 2.17.0-24-gf517bc4");
}

#[test]
fn a_new_kernel_without_packages_ends_with_the_reason_and_changes_nothing() {
    let node = Node::new();
    node.run(|_| {}).unwrap();
    node.reboot("6.8.0-1099-azure");
    *node.no_package.lock().unwrap() = Some(unreachable());
    node.take_log();
    assert_eq!(node.run(|_| {}).unwrap_err(), unreachable());
    assert_eq!(node.take_log(), ["fetch 2.17.0-24-gf517bc4"]);
}

#[test]
fn below_a_mount_nothing_is_removed_and_the_next_boot_has_its_client() {
    let node = Node::new();
    node.load_client(OLD);
    node.mount();
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(
        (ready.client.unwrap().as_str(), node.take_log()),
        (OLD, vec!["fetch 2.17.0-24-gf517bc4".to_owned(), PING.to_owned(), PRUNE.to_owned()])
    );
    assert!(ready.warnings[0].contains("stays until the node is rebooted or drained"), "{:?}", ready.warnings);
    node.run(|_| {}).unwrap();
    assert!(node.take_log().is_empty());
    node.reboot(KERNEL);
    assert_eq!(node.run(|_| {}).unwrap().client.unwrap().as_str(), NEW);
    assert!(!node.take_log().iter().any(|step| step.starts_with("fetch")));
}

#[test]
fn a_failed_fetch_for_the_next_boot_is_a_warning_whatever_its_kind() {
    for error in [unreachable(), unsigned()] {
        let node = Node::new();
        node.load_client(OLD);
        node.mount();
        *node.no_package.lock().unwrap() = Some(error.clone());
        let ready = node.run(|_| {}).unwrap();
        assert!(ready.warnings.iter().any(|warning| warning.contains(&error.why)), "{:?}", ready.warnings);
    }
}

#[test]
fn an_idle_client_of_another_version_is_replaced() {
    let node = Node::new();
    node.load_client(OLD);
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), NEW);
    let expected = log(&[&["fetch 2.17.0-24-gf517bc4", "UNCONFIGURE"], &REMOVE, &LOAD, &[PING, PRUNE]]);
    assert_eq!(node.take_log(), expected);
    let node = Node::new();
    node.load_client(OLD);
    let ready = node.run(|setup| setup.replace = Replace::Never).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("remove")));
}

#[test]
fn what_the_kernel_does_not_release_is_loaded_again() {
    for refused in ["lustre", "mgc", "ptlrpc", "libcfs"] {
        for unpacked in [true, false] {
            let node = Node::new();
            node.load_client(OLD);
            node.unpack(KERNEL, NEW);
            if unpacked {
                node.unpack(KERNEL, OLD);
            } else {
                node.install_on_host();
            }
            node.refused.lock().unwrap().push(refused);
            let ready = node.run(|_| {}).unwrap();
            assert_eq!(ready.client.unwrap().as_str(), OLD, "{refused}");
            assert!(
                ready.warnings.iter().any(|warning| warning.contains(&format!("module {refused} cannot be removed")))
            );
            assert_eq!(ready.nids, ["10.224.0.4@tcp"]);
            assert!(["mgc", "lustre", "osc", "ksocklnd"].into_iter().all(|module| node.is_loaded(module)), "{refused}");
        }
    }
}

#[test]
fn without_the_old_files_a_half_removed_client_needs_a_reboot() {
    let node = Node::new();
    node.load_client(OLD);
    node.unpack(KERNEL, NEW);
    node.refused.lock().unwrap().push("ptlrpc");
    let error = node.run(|_| {}).unwrap_err();
    assert_eq!((error.exit.code(), error.hint.as_str()), (3, "Reboot the node."));
    assert!(error.why.contains("module ptlrpc cannot be removed"), "{error}");
}

#[test]
fn a_client_that_cannot_be_loaded_is_replaced_by_the_old_one() {
    let node = Node::new();
    node.load_client(OLD);
    node.unpack(KERNEL, NEW);
    node.unpack(KERNEL, OLD);
    let says = "modprobe: ERROR: could not insert 'lustre': Key was rejected by service";
    *node.not_loadable.lock().unwrap() = Some(("lustre", NEW, says));
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(ready.warnings.iter().any(|warning| warning.contains("Key was rejected")), "{:?}", ready.warnings);
    // On a node that had no client there is nothing to go back to.
    node.reboot(KERNEL);
    let error = node.run(|_| {}).unwrap_err();
    assert_eq!(error.exit.code(), 3);
    assert!(error.hint.contains("UEFI keys"), "{}", error.hint);
}

#[test]
fn lnet_without_lustre_is_loaded_anew_or_configured_by_ioctl() {
    let failed_start = || {
        let node = Node::new();
        node.unpack(KERNEL, NEW);
        node.load_modules(&["libcfs", "lnet", "ksocklnd", "obdclass"], NEW);
        node.write("sys/module/lnet/parameters/networks", "tcp(eth9)");
        node
    };
    let node = failed_start();
    assert_eq!(node.run(|_| {}).unwrap().warnings, Vec::<String>::new());
    let steps = node.take_log();
    assert_eq!(steps[..5], ["UNCONFIGURE", "remove obdclass", "remove ksocklnd", "remove lnet", "remove libcfs"]);
    assert_eq!(steps[5..13], LOAD);
    let node = failed_start();
    node.refused.lock().unwrap().push("lnet");
    let ready = node.run(|_| {}).unwrap();
    assert_eq!((ready.client.unwrap().as_str(), ready.nids), (NEW, vec!["10.224.0.4@tcp".to_owned()]));
    let steps = node.take_log();
    let at = |step: &str| steps.iter().position(|other| other == step).unwrap();
    assert!(at("CONFIGURE") < at("ADD eth0") && at("ADD eth0") < at("modprobe lustre"), "{steps:?}");
}

#[test]
fn without_packages_a_client_that_amlfs_supports_is_used() {
    let adopted = |prepare: fn(&Node), client: &str| {
        let node = Node::new();
        prepare(&node);
        *node.no_package.lock().unwrap() = Some(unreachable());
        let ready = node.run(|_| {}).unwrap();
        assert_eq!(ready.client.unwrap().as_str(), client);
        assert!(ready.warnings.iter().any(|warning| warning.contains("Could not resolve")), "{:?}", ready.warnings);
        // A signature that is wrong is never passed over.
        let node = Node::new();
        prepare(&node);
        *node.no_package.lock().unwrap() = Some(unsigned());
        assert_eq!(node.run(|_| {}).unwrap_err(), unsigned());
    };
    adopted(|node| node.load_client(OLD), OLD);
    adopted(|node| node.unpack(KERNEL, "2.16.1-21-g153e389"), "2.16.1-21-g153e389");
    adopted(Node::install_on_host, OLD);
    let node = Node::new();
    node.load_client("2.14.0");
    *node.no_package.lock().unwrap() = Some(unreachable());
    assert_eq!(node.run(|_| {}).unwrap_err(), unreachable());
}

#[test]
fn a_loaded_client_that_stays_is_completed() {
    for on_host in [true, false] {
        let node = Node::new();
        node.load_client(OLD);
        std::fs::remove_dir_all(node.path("sys/module/mgc")).unwrap();
        *node.no_package.lock().unwrap() = Some(unreachable());
        if on_host {
            node.install_on_host();
            assert_eq!(node.run(|_| {}).unwrap().client.unwrap().as_str(), OLD);
            assert!(node.is_loaded("mgc"));
        } else {
            assert_eq!(node.run(|_| {}).unwrap_err(), unreachable());
        }
    }
}

#[test]
fn what_is_not_to_be_installed_is_not_fetched() {
    let node = Node::new();
    let ready = node.run(|setup| setup.install = false).unwrap();
    assert!(ready.without_client && ready.warnings[0].contains("install-lustre-client is no"), "{ready:?}");
    node.install_on_host();
    assert_eq!(node.run(|setup| setup.install = false).unwrap().client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("fetch")));
}

#[test]
fn further_interfaces_are_added_by_ioctl_and_may_fail() {
    let node = Node::new();
    let ready = node.run(|setup| setup.interfaces = &BOTH).unwrap();
    assert_eq!(ready.nids, ["10.224.0.4@tcp", "10.225.0.4@tcp"]);
    let steps = node.take_log();
    assert_eq!(steps[1..9], LOAD);
    assert_eq!(steps[9..11], ["CONFIGURE", "ADD eth1"]);
    let node = Node::new();
    node.set_fault(Some((10, Fault::Error)));
    let ready = node.run(|setup| setup.interfaces = &BOTH).unwrap();
    assert_eq!(ready.nids, ["10.224.0.4@tcp"]);
    assert!(ready.warnings[0].contains("cannot add eth1"), "{:?}", ready.warnings);
}

#[test]
fn an_interface_that_comes_up_late_is_waited_for() {
    let node = Node::new();
    node.write("sys/class/net/eth0/operstate", "down\n");
    *node.on_pause.lock().unwrap() = Some(|node| node.write("sys/class/net/eth0/operstate", "up\n"));
    assert_eq!(node.run(|_| {}).unwrap().nids, ["10.224.0.4@tcp"]);
    let node = Node::new();
    node.write("sys/class/net/eth0/operstate", "down\n");
    let error = node.run(|_| {}).unwrap_err();
    assert!(error.to_string().contains("eth0"), "{error}");
    assert!(node.take_log().is_empty());
    // A node that is ready stays so.
    node.load_client(NEW);
    let ready = node.run(|_| {}).unwrap();
    assert!(ready.warnings.iter().any(|warning| warning.contains("LNet stays as it is")), "{:?}", ready.warnings);
}

#[test]
fn parameters_of_modules_are_given_at_load() {
    let node = Node::new();
    let parameters = Parameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: Some(2560) };
    node.run(|setup| setup.parameters = parameters).unwrap();
    let steps = node.take_log();
    assert_eq!(
        steps[2..5],
        [
            "modprobe ksocklnd skip_mr_route_setup=1 credits=2560",
            "modprobe ptlrpc ptlrpcd_per_cpt_max=32",
            "modprobe lustre"
        ]
    );
}

#[test]
fn parameters_that_loaded_modules_have_otherwise_are_noted() {
    let node = Node::new();
    node.load_client(NEW);
    node.write("sys/module/ksocklnd/parameters/credits", "256\n");
    for (credits, warnings) in [(256, 0), (2560, 1)] {
        let parameters = Parameters { ksocklnd_credits: Some(credits), ..Parameters::default() };
        let ready = node.run(|setup| setup.parameters = parameters).unwrap();
        assert_eq!(ready.warnings.len(), warnings, "{:?}", ready.warnings);
    }
}

#[test]
fn a_host_that_cannot_be_written_stops_only_a_node_that_is_not_ready() {
    let node = Node::new();
    node.write("var/lib", "a file in the place of the directory");
    assert_eq!(node.run(|_| {}).unwrap_err().exit.code(), 3);
    assert!(node.take_log().is_empty());
    node.load_client(NEW);
    let ready = node.run(|_| {}).unwrap();
    assert!(ready.warnings.iter().any(|warning| warning.contains("cannot write /var/lib/azurelustre-csi")));
}

#[test]
fn a_dry_run_names_each_step_with_its_command_and_its_reason_and_changes_nothing() {
    let node = Node::new();
    let (steps, warnings) = node.with(|_| {}, |setup| setup.dry_run()).unwrap();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[..3], ["fetch client 2.17.0-24-gf517bc4", "load module lnet", "load module ksocklnd"]);
    assert!(steps.iter().all(|step| !step.command.is_empty() && !step.reason.is_empty()), "{steps:?}");
    assert_eq!((titles.len(), warnings, node.take_log()), (9, Vec::new(), Vec::<String>::new()));
    assert!(!node.path("var").exists());
    node.load_client(OLD);
    let (steps, _) = node.with(|setup| setup.interfaces = &BOTH, |setup| setup.dry_run()).unwrap();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[1], "remove the modules that are loaded");
    assert_eq!(titles[10..], ["configure LNet", "add eth1 to LNet's network tcp"]);
    node.load_client(NEW);
    assert_eq!(node.with(|_| {}, |setup| setup.dry_run()).unwrap(), (Vec::new(), Vec::new()));
}

/// An interface that the node does not have.
static ABSENT: LazyLock<InterfaceRule> = LazyLock::new(|| InterfaceRule::Listed(vec!["eth9".to_owned()]));

#[test]
fn an_idle_client_is_not_replaced_while_no_interface_can_be_chosen() {
    let node = Node::new();
    node.load_client(OLD);
    let ready = node.run(|setup| setup.interfaces = &ABSENT).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("remove") || step.contains("modprobe")));
    assert!(ready.warnings.iter().any(|warning| warning.contains("so does the loaded client")), "{:?}", ready.warnings);
}

#[test]
fn a_node_that_is_to_have_no_client_needs_no_interface() {
    let node = Node::new();
    let ready = node.run(|setup| (setup.install, setup.interfaces) = (false, &ABSENT)).unwrap();
    assert!(ready.without_client && node.take_log().is_empty(), "{ready:?}");
}

#[test]
fn only_a_download_without_which_the_node_cannot_mount_is_repeated() {
    let node = Node::new();
    node.run(|_| {}).unwrap();
    assert_eq!(node.patience.lock().unwrap().take(), Some(RetryPolicy::WithBackoff));
    let node = Node::new();
    node.load_client(OLD);
    node.mount();
    node.run(|_| {}).unwrap();
    assert_eq!(node.patience.lock().unwrap().take(), Some(RetryPolicy::Once));
}
