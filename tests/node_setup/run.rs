//! Steps and result of a run for each state of a node.

use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::load::ModuleParameters;
use azurelustre_csi::adapters::node_setup::plan::ReplaceClient;
use azurelustre_csi::adapters::node_setup::ports::RetryPolicy;

use crate::node::{FakeNode, Fault, KERNEL, NEW, OLD, both_interfaces, listed};

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
const PRUNE: &str = "prune all but the loaded client";

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
fn a_new_node_is_set_up_and_the_next_run_changes_nothing() {
    let node = FakeNode::new();
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), NEW);
    assert_eq!((ready.nids, ready.warnings), (vec!["10.224.0.4@tcp".to_owned()], Vec::<String>::new()));
    assert_eq!(node.take_log(), log(&[&["fetch 2.17.0-24-gf517bc4"], &LOAD, &[PING, PRUNE]]));
    let again = node.run(|_| {}).unwrap();
    assert_eq!((again.warnings, node.take_log()), (Vec::<String>::new(), Vec::<String>::new()));
}

#[test]
fn after_a_reboot_the_unpacked_modules_are_loaded_without_the_network() {
    let node = FakeNode::new();
    node.run(|_| {}).unwrap();
    node.reboot(KERNEL);
    *node.no_package.lock().unwrap() = Some(unreachable());
    node.take_log();
    node.run(|_| {}).unwrap();
    assert_eq!(node.take_log(), log(&[&LOAD, &[PING, PRUNE]]));
}

#[test]
fn modules_that_were_altered_are_fetched_again() {
    let node = FakeNode::new();
    node.write(&format!("var/lib/azurelustre-csi/{KERNEL}/{NEW}/ok.json"), "of other files");
    node.run(|_| {}).unwrap();
    assert_eq!(node.take_log()[0], "fetch 2.17.0-24-gf517bc4");
}

#[test]
fn a_new_kernel_without_packages_ends_with_the_reason_and_changes_nothing() {
    let node = FakeNode::new();
    node.run(|_| {}).unwrap();
    node.reboot("6.8.0-1099-azure");
    *node.no_package.lock().unwrap() = Some(unreachable());
    node.take_log();
    assert_eq!(node.run(|_| {}).unwrap_err(), unreachable());
    assert_eq!(node.take_log(), ["fetch 2.17.0-24-gf517bc4"]);
}

#[test]
fn under_a_mount_no_module_is_removed_and_the_client_is_fetched_for_the_next_boot() {
    let node = FakeNode::new();
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
fn a_failed_fetch_for_the_next_boot_is_a_warning() {
    for error in [unreachable(), unsigned()] {
        let node = FakeNode::new();
        node.load_client(OLD);
        node.mount();
        *node.no_package.lock().unwrap() = Some(error.clone());
        let ready = node.run(|_| {}).unwrap();
        assert!(ready.warnings.iter().any(|warning| warning.contains(&error.why)), "{:?}", ready.warnings);
    }
}

#[test]
fn an_idle_client_of_another_version_is_replaced() {
    let node = FakeNode::new();
    node.load_client(OLD);
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), NEW);
    let expected = log(&[&["fetch 2.17.0-24-gf517bc4", "UNCONFIGURE"], &REMOVE, &LOAD, &[PING, PRUNE]]);
    assert_eq!(node.take_log(), expected);
    let node = FakeNode::new();
    node.load_client(OLD);
    let ready = node.run(|settings| settings.replace = ReplaceClient::Never).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("remove")));
}

#[test]
fn modules_are_loaded_again_after_the_kernel_refuses_a_removal() {
    for refused in ["lustre", "mgc", "ptlrpc", "libcfs"] {
        for unpacked in [true, false] {
            let node = FakeNode::new();
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
    let node = FakeNode::new();
    node.load_client(OLD);
    node.unpack(KERNEL, NEW);
    node.refused.lock().unwrap().push("ptlrpc");
    let error = node.run(|_| {}).unwrap_err();
    assert_eq!((error.exit.code(), error.hint.as_str()), (3, "Reboot the node."));
    assert!(error.why.contains("module ptlrpc cannot be removed"), "{error}");
}

#[test]
fn after_a_failed_load_the_previous_client_is_loaded() {
    let node = FakeNode::new();
    node.load_client(OLD);
    node.unpack(KERNEL, NEW);
    node.unpack(KERNEL, OLD);
    let message = "modprobe: ERROR: could not insert 'lustre': Key was rejected by service";
    *node.not_loadable.lock().unwrap() = Some(("lustre", NEW, message));
    let ready = node.run(|_| {}).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(ready.warnings.iter().any(|warning| warning.contains("Key was rejected")), "{:?}", ready.warnings);
    // A node without a previous client has no fallback.
    node.reboot(KERNEL);
    let error = node.run(|_| {}).unwrap_err();
    assert_eq!(error.exit.code(), 3);
    assert!(error.hint.contains("UEFI keys"), "{}", error.hint);
}

#[test]
fn lnet_without_lustre_is_reloaded_or_configured_by_ioctl() {
    let failed_start = || {
        let node = FakeNode::new();
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
fn without_packages_a_supported_client_of_the_node_is_used() {
    let adopted = |prepare: fn(&FakeNode), client: &str| {
        let node = FakeNode::new();
        prepare(&node);
        *node.no_package.lock().unwrap() = Some(unreachable());
        let ready = node.run(|_| {}).unwrap();
        assert_eq!(ready.client.unwrap().as_str(), client);
        assert!(ready.warnings.iter().any(|warning| warning.contains("Could not resolve")), "{:?}", ready.warnings);
        // A wrong signature is never ignored.
        let node = FakeNode::new();
        prepare(&node);
        *node.no_package.lock().unwrap() = Some(unsigned());
        assert_eq!(node.run(|_| {}).unwrap_err(), unsigned());
    };
    adopted(|node| node.load_client(OLD), OLD);
    adopted(|node| node.unpack(KERNEL, "2.16.1-21-g153e389"), "2.16.1-21-g153e389");
    adopted(FakeNode::install_on_host, OLD);
    let node = FakeNode::new();
    node.load_client("2.14.0");
    *node.no_package.lock().unwrap() = Some(unreachable());
    assert_eq!(node.run(|_| {}).unwrap_err(), unreachable());
}

#[test]
fn missing_modules_of_a_loaded_client_are_loaded() {
    for on_host in [true, false] {
        let node = FakeNode::new();
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
fn with_install_lustre_client_no_nothing_is_fetched() {
    let node = FakeNode::new();
    let ready = node.run(|settings| settings.install = false).unwrap();
    assert!(ready.without_client && ready.warnings[0].contains("install-lustre-client is no"), "{ready:?}");
    node.install_on_host();
    assert_eq!(node.run(|settings| settings.install = false).unwrap().client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("fetch")));
}

#[test]
fn further_interfaces_are_added_by_ioctl_and_may_fail() {
    let node = FakeNode::new();
    let ready = node.run(|settings| settings.interfaces = both_interfaces()).unwrap();
    assert_eq!(ready.nids, ["10.224.0.4@tcp", "10.225.0.4@tcp"]);
    let steps = node.take_log();
    assert_eq!(steps[1..9], LOAD);
    assert_eq!(steps[9..11], ["CONFIGURE", "ADD eth1"]);
    let node = FakeNode::new();
    node.set_fault(Some((10, Fault::Error)));
    let ready = node.run(|settings| settings.interfaces = both_interfaces()).unwrap();
    assert_eq!(ready.nids, ["10.224.0.4@tcp"]);
    assert!(ready.warnings[0].contains("cannot add eth1"), "{:?}", ready.warnings);
}

#[test]
fn a_run_waits_for_an_interface_that_comes_up_late() {
    let node = FakeNode::new();
    node.write("sys/class/net/eth0/operstate", "down\n");
    *node.on_sleep.lock().unwrap() = Some(|node| node.write("sys/class/net/eth0/operstate", "up\n"));
    assert_eq!(node.run(|_| {}).unwrap().nids, ["10.224.0.4@tcp"]);
    let node = FakeNode::new();
    node.write("sys/class/net/eth0/operstate", "down\n");
    let error = node.run(|_| {}).unwrap_err();
    assert!(error.to_string().contains("eth0"), "{error}");
    assert!(node.take_log().is_empty());
    // A node that is ready stays ready.
    node.load_client(NEW);
    let ready = node.run(|_| {}).unwrap();
    assert!(ready.warnings.iter().any(|warning| warning.contains("LNet stays as it is")), "{:?}", ready.warnings);
}

#[test]
fn parameters_of_modules_are_given_at_load() {
    let node = FakeNode::new();
    let parameters = ModuleParameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: Some(2560) };
    node.run(|settings| settings.parameters = parameters).unwrap();
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
fn another_value_of_a_parameter_of_a_loaded_module_is_a_warning() {
    let node = FakeNode::new();
    node.load_client(NEW);
    node.write("sys/module/ksocklnd/parameters/credits", "256\n");
    for (credits, warnings) in [(256, 0), (2560, 1)] {
        let parameters = ModuleParameters { ksocklnd_credits: Some(credits), ..ModuleParameters::default() };
        let ready = node.run(|settings| settings.parameters = parameters).unwrap();
        assert_eq!(ready.warnings.len(), warnings, "{:?}", ready.warnings);
    }
}

#[test]
fn a_host_that_cannot_be_written_stops_only_a_node_that_is_not_ready() {
    let node = FakeNode::new();
    node.write("var/lib", "a file in the place of the directory");
    assert_eq!(node.run(|_| {}).unwrap_err().exit.code(), 3);
    assert!(node.take_log().is_empty());
    node.load_client(NEW);
    let ready = node.run(|_| {}).unwrap();
    assert!(ready.warnings.iter().any(|warning| warning.contains("cannot write /var/lib/azurelustre-csi")));
}

#[test]
fn a_dry_run_returns_each_step_with_command_and_reason_and_changes_nothing() {
    let node = FakeNode::new();
    let (steps, warnings) = node.with(|_| {}, |setup| setup.dry_run()).unwrap();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[..3], ["fetch client 2.17.0-24-gf517bc4", "load module lnet", "load module ksocklnd"]);
    assert!(steps.iter().all(|step| !step.command.is_empty() && !step.reason.is_empty()), "{steps:?}");
    assert_eq!((titles.len(), warnings, node.take_log()), (9, Vec::new(), Vec::<String>::new()));
    assert!(!node.path("var").exists());
    node.load_client(OLD);
    let (steps, _) = node.with(|settings| settings.interfaces = both_interfaces(), |setup| setup.dry_run()).unwrap();
    let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(titles[1], "remove the modules that are loaded");
    assert_eq!(titles[10..], ["configure LNet", "add eth1 to LNet's network tcp"]);
    node.load_client(NEW);
    assert_eq!(node.with(|_| {}, |setup| setup.dry_run()).unwrap(), (Vec::new(), Vec::new()));
}

#[test]
fn an_idle_client_is_not_replaced_while_no_interface_can_be_chosen() {
    let node = FakeNode::new();
    node.load_client(OLD);
    let ready = node.run(|settings| settings.interfaces = listed(&["eth9"])).unwrap();
    assert_eq!(ready.client.unwrap().as_str(), OLD);
    assert!(!node.take_log().iter().any(|step| step.starts_with("remove") || step.contains("modprobe")));
    assert!(ready.warnings.iter().any(|warning| warning.contains("so does the loaded client")), "{:?}", ready.warnings);
}

#[test]
fn a_node_without_a_client_needs_no_interface() {
    let node = FakeNode::new();
    let ready = node.run(|settings| (settings.install, settings.interfaces) = (false, listed(&["eth9"]))).unwrap();
    assert!(ready.without_client && node.take_log().is_empty(), "{ready:?}");
}

#[test]
fn only_a_download_that_a_mount_needs_is_repeated() {
    let node = FakeNode::new();
    node.run(|_| {}).unwrap();
    assert_eq!(node.retry_policy.lock().unwrap().take(), Some(RetryPolicy::WithBackoff));
    let node = FakeNode::new();
    node.load_client(OLD);
    node.mount();
    node.run(|_| {}).unwrap();
    assert_eq!(node.retry_policy.lock().unwrap().take(), Some(RetryPolicy::Once));
}
