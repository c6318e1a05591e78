//! Fetching by the real apt-get, dpkg-deb, depmod and modinfo.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use azurelustre_csi::adapters::node_setup::host_state::HostState;
use azurelustre_csi::adapters::node_setup::os::Machine;
use azurelustre_csi::adapters::node_setup::packages::keys;
use azurelustre_csi::adapters::node_setup::packages::source::{self, PackageSource};

use azurelustre_csi::adapters::node_setup::ports::Packages;

use crate::modules::KERNEL;
use crate::node::{Node, client, trusting};
use crate::repository::{CLIENT, OTHER, Repository, TRUSTED, content, name};
use crate::server::Failure;
use crate::{Test, tests, tools};

pub(crate) const TESTS: &[Test] = tests![
    the_embedded_key_has_microsofts_fingerprint_and_no_sha1_signature,
    a_client_is_fetched_unpacked_indexed_and_found_again_without_network,
    a_repository_signed_by_another_key_is_rejected_without_a_retry,
    a_repository_without_a_signature_is_rejected,
    an_altered_or_truncated_file_is_never_used,
    a_failing_server_is_tried_six_times_and_used_when_it_recovers,
    a_client_that_is_not_published_is_not_retried_and_the_published_ones_are_listed,
    a_package_that_only_matches_as_a_regular_expression_is_rejected,
    a_package_with_another_name_in_its_control_file_is_rejected,
    a_local_deb_is_used_if_its_sha256_is_accepted,
    a_damaged_local_deb_is_an_error_for_its_own_kernel_only,
    hooks_of_the_host_do_not_run,
    a_client_with_an_altered_file_is_fetched_again,
    packages_for_arm64_are_fetched_on_arm64,
    a_proxy_of_the_environment_is_used,
    a_dry_run_lists_the_commands_and_runs_none,
];

fn the_embedded_key_has_microsofts_fingerprint_and_no_sha1_signature() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.asc");
    fs::write(&file, keys::MICROSOFT).unwrap();
    let gpg = || {
        let mut command = Command::new("gpg");
        command.env("GNUPGHOME", dir.path()).args(["--batch", "--with-colons"]);
        command
    };
    let shown = tools::run(&mut gpg(), ["--show-keys".as_ref(), file.as_os_str()]);
    let fingerprints: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("fpr:")).collect();
    assert_eq!(fingerprints.len(), 1);
    assert_eq!(fingerprints[0].trim_matches(':'), keys::MICROSOFT_FINGERPRINT);
    // The digest of the self-signature (RFC 9580, section 9.5): 8 is SHA-256; 2, SHA-1, is rejected by apt of newer distributions.
    let packets = tools::run(&mut gpg(), ["--list-packets".as_ref(), file.as_os_str()]);
    assert!(packets.contains("digest algo 8,") && !packets.contains("digest algo 2,"), "{packets}");
}

fn a_client_is_fetched_unpacked_indexed_and_found_again_without_network() {
    let (node, repository) = (Node::new(), Repository::new());
    node.ensure(&repository.server.url()).unwrap();
    node.assert_ready();
    assert_eq!((node.attempts(), node.sleeps()), (1, 1));
    let lnet = node.modprobe("lnet");
    let files: Vec<_> = lnet.lines().filter_map(|line| line.split('/').next_back()).map(str::trim).collect();
    assert_eq!(files.last(), Some(&"lnet.ko"));
    assert_eq!(files.iter().collect::<BTreeSet<_>>(), ["libcfs.ko", "lnet.ko", "sunrpc.ko"].iter().collect(), "{lnet}");
    let lustre = node.modprobe("lustre");
    assert!(lustre.contains("crct10dif_common.ko") && lustre.trim_end().ends_with("lustre.ko"), "{lustre}");
    let archives = node.path("var/lib/azurelustre-csi/apt/cache/archives");
    assert!(fs::read_dir(archives).unwrap().flatten().all(|entry| entry.path().is_dir()), "the package is deleted");

    let (requests, runs) = (repository.server.requests().len(), node.runs().len());
    node.ensure(&repository.server.url()).unwrap();
    assert_eq!((repository.server.requests().len(), node.runs().len(), node.sleeps()), (requests, runs, 1));
}

fn a_repository_signed_by_another_key_is_rejected_without_a_retry() {
    let (node, repository) = (Node::new(), Repository::new());
    repository.sign(&OTHER);
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert_eq!((error.exit.code(), error.transient, node.attempts()), (3, false, 1), "{error}");
    assert!(error.why.contains("NO_PUBKEY"), "{error}");
    node.assert_nothing_unpacked();
    // The same key is accepted once a setting trusts it.
    node.ensure_from(&trusting(&repository.server.url(), &OTHER.public())).unwrap();
    node.assert_ready();
}

fn a_repository_without_a_signature_is_rejected() {
    let (node, repository) = (Node::new(), Repository::new());
    fs::remove_file(repository.path("dists/noble/InRelease")).unwrap();
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert!(!error.transient && error.why.contains("no signed repository"), "{error}");
    node.assert_nothing_unpacked();
    // A page of a proxy in its place.
    fs::write(repository.path("dists/noble/InRelease"), "<html>Please log in</html>\n").unwrap();
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert_eq!((error.exit.code(), error.transient), (3, false), "{error}");
    node.assert_nothing_unpacked();
}

fn an_altered_or_truncated_file_is_never_used() {
    for failure in [
        Failure::Altered(".deb"),
        Failure::Truncated(".deb"),
        Failure::Absent(".deb"),
        Failure::Altered("Packages"),
        Failure::Truncated("Packages"),
        Failure::Truncated("InRelease"),
        Failure::Altered("InRelease"),
    ] {
        let (node, repository) = (Node::new(), Repository::new());
        repository.server.fail(Some(failure));
        let error = node.ensure(&repository.server.url()).unwrap_err();
        let of_signature = matches!(failure, Failure::Truncated("InRelease") | Failure::Altered("InRelease"));
        let expected = if of_signature { (3, false, 1) } else { (1, true, 6) };
        assert_eq!((error.exit.code(), error.transient, node.attempts()), expected, "{failure:?}: {error}");
        node.assert_nothing_unpacked();
        repository.server.fail(None);
        node.ensure(&repository.server.url()).unwrap();
        node.assert_ready();
    }
}

fn a_failing_server_is_tried_six_times_and_used_when_it_recovers() {
    for failure in [Failure::Reset, Failure::Status(503), Failure::Status(429)] {
        let (node, repository) = (Node::new(), Repository::new());
        repository.server.fail(Some(failure));
        let error = node.ensure(&repository.server.url()).unwrap_err();
        assert_eq!((error.exit.code(), error.transient, node.attempts()), (1, true, 6), "{failure:?}: {error}");
        assert_eq!(node.sleeps(), 6, "the jitter before the first attempt, and a delay between two");
        assert!(!error.hint.is_empty());
        node.assert_nothing_unpacked();
    }
    // No server listens; then a server recovers.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = Node::new();
    let error = node.ensure(&format!("http://{unused}")).unwrap_err();
    assert_eq!((error.exit.code(), node.attempts()), (1, 6), "{error}");
    assert!(error.why.contains("reached"), "{error}");

    let (node, repository) = (Node::new(), std::sync::Arc::new(Repository::new()));
    repository.server.fail(Some(Failure::Status(503)));
    let recovering = std::sync::Arc::clone(&repository);
    node.on_sleep(move |count| {
        if count == 3 {
            recovering.server.fail(None);
        }
    });
    node.ensure(&repository.server.url()).unwrap();
    assert_eq!(node.attempts(), 3);
    node.assert_ready();
}

fn a_client_that_is_not_published_is_not_retried_and_the_published_ones_are_listed() {
    let (node, repository) = (Node::new(), Repository::empty());
    for (kernel, version) in [(KERNEL, "2.17.0-19-gbb5310f"), (KERNEL, "2.15.8-34-gc0f2040"), ("6.8.0-1-azure", CLIENT)]
    {
        let root = tempfile::tempdir().unwrap();
        repository.add(root.path(), &name(kernel, version), "1", "amd64");
    }
    repository.sign(&TRUSTED);
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert_eq!((error.exit.code(), error.transient, node.attempts()), (1, false, 1), "{error}");
    let listed = "exist there: 2.15.8-34-gc0f2040, 2.17.0-19-gbb5310f";
    assert!(error.why.ends_with(listed) && error.why.contains(KERNEL) && error.why.contains(CLIENT), "{error}");
    node.assert_nothing_unpacked();
}

fn a_package_that_only_matches_as_a_regular_expression_is_rejected() {
    let (node, repository) = (Node::new(), Repository::empty());
    let root = tempfile::tempdir().unwrap();
    content(root.path());
    // Each dot of a name that is not found stands for any character.
    repository.add(root.path(), &name(KERNEL, CLIENT).replace("2.17.0", "2+17.0"), "1", "amd64");
    repository.sign(&TRUSTED);
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert!(error.why.contains("has no client"), "{error}");
    node.assert_nothing_unpacked();
}

fn a_package_with_another_name_in_its_control_file_is_rejected() {
    for (package, version, arch) in [(name(KERNEL, "2.17.0"), "1", "amd64"), (name("k", CLIENT), "1", "amd64")] {
        let (node, repository) = (Node::new(), Repository::empty());
        let root = tempfile::tempdir().unwrap();
        content(root.path());
        repository.add_as(root.path(), &name(KERNEL, CLIENT), &package, version, arch);
        repository.sign(&TRUSTED);
        node.ensure(&repository.server.url()).unwrap_err();
        node.assert_nothing_unpacked();
    }
}

fn a_damaged_local_deb_is_an_error_for_its_own_kernel_only() {
    let (node, repository) = (Node::new(), Repository::new());
    let dir = node.path("var/lib/azurelustre-csi/packages");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("another.deb"), "half a copy").unwrap();
    let own = dir.join(format!("kmod-lustre-client-{KERNEL}.deb"));
    fs::write(&own, "half a copy").unwrap();
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert!(error.to_string().contains("kmod-lustre-client"), "{error}");
    node.assert_nothing_unpacked();
    fs::remove_file(own).unwrap();
    node.ensure(&repository.server.url()).unwrap();
    node.assert_ready();
}

fn a_local_deb_is_used_if_its_sha256_is_accepted() {
    let (node, repository) = (Node::new(), Repository::new());
    let dir = node.path("var/lib/azurelustre-csi/packages");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("any-name.deb");
    fs::copy(repository.package(), &file).unwrap();
    let hash = tools::run(&mut Command::new("sha256sum"), [&file]);
    let hash = hash.split_whitespace().next().unwrap();
    for wrong in [None, Some("0".repeat(64))] {
        let sha256 = wrong.map(|text| source::parse_hashes(&text).unwrap()).unwrap_or_default();
        let error = node.ensure_from(&PackageSource { sha256, ..PackageSource::default() }).unwrap_err();
        assert_eq!(error.exit.code(), 2, "{error}");
        assert!(error.why.contains(hash), "{error}");
        node.assert_nothing_unpacked();
    }
    let sha256 = source::parse_hashes(&format!("{},{}", "0".repeat(64), hash.to_uppercase())).unwrap();
    node.ensure_from(&PackageSource { sha256, ..PackageSource::default() }).unwrap();
    node.assert_ready();
    assert_eq!((repository.server.requests().len(), node.sleeps()), (0, 0), "no network and no sleep");
    assert!(file.exists(), "the local file stays");
}

/// apt reads the host's configuration first, which holds its proxies and its hooks.
fn hooks_of_the_host_do_not_run() {
    let (node, repository) = (Node::new(), Repository::new());
    let (config, mark) = (node.path("host.conf"), node.path("mark"));
    let hooks = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"];
    let lines = hooks.map(|hook| format!("{hook} {{ \"touch {}\"; }};\n", mark.display()));
    let unsafe_lines = "APT::Get::AllowUnauthenticated \"true\";\nAcquire::AllowInsecureRepositories \"true\";\n";
    fs::write(&config, format!("{}{unsafe_lines}", lines.concat())).unwrap();
    repository.sign(&OTHER);
    let source = trusting(&repository.server.url(), &TRUSTED.public());
    // The host's settings come before the private configuration.
    node.stub(move |run| {
        let private = run.args.first()?.to_str()?.strip_prefix("-c=")?.to_owned();
        let text = fs::read_to_string(&private).unwrap();
        if !text.contains("touch") {
            fs::write(&private, format!("{}{text}", fs::read_to_string(&config).unwrap())).unwrap();
        }
        None
    });
    assert_eq!(
        node.ensure_from(&source).unwrap_err().exit.code(),
        3,
        "an insecure configuration of the host does not apply"
    );
    repository.sign(&TRUSTED);
    node.ensure_from(&source).unwrap();
    assert!(!mark.exists());
}

fn a_client_with_an_altered_file_is_fetched_again() {
    let (node, repository) = (Node::new(), Repository::new());
    node.ensure(&repository.server.url()).unwrap();
    let lnet = crate::repository::updates(&node.unpacked().join("root")).join("lnet.ko");
    fs::write(&lnet, "").unwrap();
    assert!(!node.is_complete());
    node.ensure(&repository.server.url()).unwrap();
    node.assert_ready();
    assert_eq!(client().as_str(), CLIENT);
}

fn packages_for_arm64_are_fetched_on_arm64() {
    let (node, repository) = (Node::new(), Repository::empty());
    let root = tempfile::tempdir().unwrap();
    content(root.path());
    repository.add(root.path(), &name(KERNEL, CLIENT), "1", "arm64");
    repository.sign(&TRUSTED);
    let source = trusting(&repository.server.url(), &TRUSTED.public());
    let error = node.ensure_from(&source).unwrap_err();
    assert!(error.why.contains("has no client"), "{error}");
    node.ensure_with(&source, |state| state.machine = Ok(Machine::Aarch64)).unwrap();
    node.assert_ready();
}

fn a_proxy_of_the_environment_is_used() {
    let repository = Repository::new();
    let node = Node::with_variable("http_proxy", &repository.server.url());
    node.ensure("http://packages.invalid/repository").unwrap_err();
    let requests = repository.server.requests();
    assert!(requests.iter().all(|path| path.starts_with("repository/dists/")) && !requests.is_empty(), "{requests:?}");
    node.ensure("http://packages.invalid").unwrap();
    node.assert_ready();
}

fn a_dry_run_lists_the_commands_and_runs_none() {
    let node = Node::new();
    let state = HostState::read(&node.host).unwrap();
    let steps = node.packages(&PackageSource::default(), |packages| packages.planned(&state, &client()));
    let commands: Vec<_> = steps.iter().map(|step| step.command.as_str()).collect();
    let package = format!("{}=1", name(KERNEL, CLIENT));
    for (at, words) in ["sources.list", "apt-get -c=", &package, "dpkg-deb -x", "depmod -b"].into_iter().enumerate() {
        assert!(commands[at].contains(words), "{words}: {commands:?}");
    }
    assert!(steps[1].reason.contains("https://packages.microsoft.com/repos/amlfs-noble"));
    assert!(node.runs().is_empty() && !node.path("var/lib/azurelustre-csi/apt").exists());
}
