//! Packages with a trusted signature and invalid content.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::modules::{self, Info, KERNEL};
use crate::node::{Node, trusting};
use crate::repository::{CLIENT, Repository, TRUSTED, updates};
use crate::{Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    each_invalid_package_is_rejected_and_leaves_no_files,
    unsigned_modules_are_rejected_where_signatures_are_required,
    a_dependency_that_the_kernel_lacks_is_named,
    a_package_with_its_modules_below_usr_lib_is_used,
];

fn recompile(root: &Path, kernel: &str, version: &str) {
    let info = Info { kernel: kernel.to_owned(), version: version.to_owned() };
    modules::client(&updates(root), &info);
}

/// A change of a package's content before it is built.
type Change = fn(&Path);

fn each_invalid_package_is_rejected_and_leaves_no_files() {
    let cases: [(&str, Change); 8] = [
        ("leads out of it", |root| symlink("/etc/passwd", root.join("lib/link")).unwrap()),
        ("leads out of it", |root| symlink("../../etc", root.join("lib/link")).unwrap()),
        ("leads out of it", |root| {
            nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("osc.ko is empty", |root| fs::write(updates(root).join("osc.ko"), "").unwrap()),
        ("no module ksocklnd", |root| fs::remove_file(updates(root).join("ksocklnd.ko")).unwrap()),
        ("not for 6.8.0-1046-azure alone", |root| {
            fs::create_dir_all(root.join("lib/modules/6.8.0-1-azure")).unwrap();
        }),
        ("6.8.0-1046-azure is running", |root| recompile(root, "6.8.0-1046-generic", "2.17.0_24_gf517bc4")),
        ("has version \"2.17.0_19_gbb5310f\"", |root| recompile(root, KERNEL, "2.17.0_19_gbb5310f")),
    ];
    for (expected, change) in cases {
        let (node, repository) = (Node::new(), Repository::with(change));
        let error = node.ensure(&repository.server.url()).unwrap_err();
        assert_eq!((error.exit.code(), node.attempts()), (3, 1), "{expected}: {error}");
        assert!(error.why.contains(expected) && error.what.contains(CLIENT), "{expected}: {error}");
        node.assert_nothing_unpacked();
    }
}

fn unsigned_modules_are_rejected_where_signatures_are_required() {
    let (node, repository) = (Node::new(), Repository::new());
    let source = trusting(&repository.server.url(), &TRUSTED.public());
    let error = node.ensure_with(&source, |state| state.requires_signed_modules = true).unwrap_err();
    assert_eq!(error.exit.code(), 3);
    assert!(error.why.contains("13 of its 13 modules have no signature"), "{error}");
    node.assert_nothing_unpacked();
}

/// depmod omits a module with a symbol that it does not find, and succeeds.
fn a_dependency_that_the_kernel_lacks_is_named() {
    let (node, repository) = (Node::new(), Repository::new());
    let kernel = node.path("lib/modules").join(KERNEL);
    fs::remove_dir_all(kernel.join("kernel/net")).unwrap();
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert_eq!(error.exit.code(), 3);
    assert!(error.why.contains("need sunrpc") && error.hint.contains("linux-modules-extra"), "{error}");
    node.assert_nothing_unpacked();
    fs::remove_dir_all(kernel.join("kernel")).unwrap();
    let error = node.ensure(&repository.server.url()).unwrap_err();
    assert!(error.why.contains(&format!("/lib/modules/{KERNEL}/kernel")), "{error}");
    node.assert_nothing_unpacked();
}

fn a_package_with_its_modules_below_usr_lib_is_used() {
    let repository = Repository::with(|root| {
        fs::create_dir(root.join("usr")).unwrap();
        fs::rename(root.join("lib"), root.join("usr/lib")).unwrap();
    });
    let node = Node::new();
    node.ensure(&repository.server.url()).unwrap();
    node.assert_ready();
    assert!(node.modprobe("lnet").contains("sunrpc.ko"));
}
