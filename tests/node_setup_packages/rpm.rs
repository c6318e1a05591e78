//! Packages of Azure Linux by the real rpm, rpmkeys, rpm2cpio and cpio; tdnf is a stub.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::os::Os;
use azurelustre_csi::adapters::node_setup::tools::{Invocation, Output, ToolError};

use crate::modules::KERNEL;
use crate::node::{Node, trusting};
use crate::repository::{CLIENT, Key, OTHER, TRUSTED, content};
use crate::tools::shared_dir;
use crate::{Test, tests, tools};

pub(crate) const TESTS: &[Test] = tests![
    a_signed_rpm_is_unpacked_by_cpio_tar_or_rpm,
    an_rpm_without_a_good_signature_is_rejected,
    a_local_rpm_is_used_if_its_signature_is_trusted,
    each_error_of_tdnf_has_its_exit_code_and_cause,
    dnf_downloads_where_tdnf_cannot_use_the_rpm_database,
];

const NAME: &str = "kmod-lustre-client-2.17.0_24_gf517bc4";

/// The package, unsigned; made once.
static UNSIGNED: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = shared_dir();
    let root = dir.join("content");
    content(&root);
    let spec = format!(
        "Name: {NAME}\nVersion: 6.8.0\nRelease: 1\nSummary: test\nLicense: GPL\nBuildArch: x86_64\nAutoReqProv: no\n\
         %description\ntest\n%install\nmkdir -p %{{buildroot}}\ncp -r {}/. %{{buildroot}}\n%files\n/lib\n",
        root.display()
    );
    let file = dir.join("test.spec");
    fs::write(&file, spec).unwrap();
    let define = |name: &str, value: &str| ["--define".to_owned(), format!("{name} {value}")];
    let top = dir.join("top");
    let defines = [
        define("_topdir", top.to_str().unwrap()),
        define("_rpmdir", dir.to_str().unwrap()),
        define("_build_name_fmt", "package.rpm"),
        define("__os_install_post", "%{nil}"),
        define("debug_package", "%{nil}"),
        define("_build_id_links", "none"),
    ];
    let command = &mut Command::new("rpmbuild");
    command.args(["-bb", "--target", "x86_64"]).args(defines.concat());
    tools::run(command, [file]);
    dir
});

/// The package, signed by a key or by none.
fn package(key: Option<&Key>, to: &Path) {
    fs::copy(UNSIGNED.join("package.rpm"), to).unwrap();
    let Some(key) = key else { return };
    let command = &mut Command::new("rpmsign");
    command.env("GNUPGHOME", key.home()).args([
        "--define",
        "_gpg_name Signer of tests",
        "--define",
        "__gpg /usr/bin/gpg",
        "--define",
    ]);
    command.arg(format!("_gpg_path {}", key.home().display()));
    tools::run(command, ["--addsign".as_ref(), to.as_os_str()]);
}

/// A node with Azure Linux whose tdnf downloads this package.
fn node_with(package: PathBuf) -> Node {
    let node = Node::new();
    node.stub(move |run| (run.program == "tdnf").then(|| Ok(tdnf(run, &package))));
    node
}

fn ok(text: &str) -> Output {
    Output { stdout: text.into(), ..Output::default() }
}

fn tdnf(run: &Invocation, package: &Path) -> Output {
    let args: Vec<_> = run.args.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert_eq!(args[0], "-c");
    assert!(fs::read_to_string(args[1]).unwrap().contains("gpgcheck=1"));
    if args.contains(&"repoquery") {
        let expected = "amlfs-lustre-client-2.17.0_24_gf517bc4-6.8.0.1046.azure-1";
        assert_eq!(args.last(), Some(&expected));
        return ok(&format!("kernel = {KERNEL}\n{NAME} = 6.8.0-1\nlustre-client\n"));
    }
    assert!(args.contains(&"--downloadonly"), "no package is installed: {args:?}");
    assert_eq!(args.last().copied(), Some(format!("{NAME}-6.8.0-1").as_str()));
    let dir = args.iter().skip_while(|arg| **arg != "--downloaddir").nth(1).unwrap();
    fs::copy(package, Path::new(dir).join(format!("{NAME}-6.8.0-1.x86_64.rpm"))).unwrap();
    fs::copy(package, Path::new(dir).join("kernel-6.8.0-1.x86_64.rpm")).unwrap();
    ok("")
}

fn ensure(node: &Node) -> Result<(), SetupError> {
    let source = trusting("https://mirror.example.com/x", &TRUSTED.public());
    node.ensure_with(&source, |state| state.os = Ok(Os::AzureLinux3))
}

fn a_signed_rpm_is_unpacked_by_cpio_tar_or_rpm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.rpm");
    package(Some(&TRUSTED), &file);
    let root = nix::unistd::geteuid().is_root();
    for missing in [&[][..], &["cpio"], &["rpm2cpio"], &["cpio", "rpm2archive"], &["cpio", "tar", "rpm"]] {
        if missing == ["cpio", "rpm2archive"] && !root {
            // rpm changes its root for this way, which only root may.
            continue;
        }
        let (node, file) = (Node::new(), file.clone());
        node.stub(move |run| match run.program {
            "tdnf" => Some(Ok(tdnf(run, &file))),
            program if missing.contains(&program) => Some(Err(ToolError::Missing { program })),
            _ => None,
        });
        let result = ensure(&node);
        if missing.contains(&"rpm") {
            let error = result.unwrap_err();
            assert!(error.exit.code() == 3 && error.why.contains("cpio, tar, rpm"), "{error}");
            node.assert_nothing_unpacked();
        } else {
            result.unwrap_or_else(|error| panic!("{missing:?}: {error}"));
            node.assert_ready();
            assert!(node.modprobe("lnet").contains("sunrpc.ko"));
        }
    }
}

fn an_rpm_without_a_good_signature_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.rpm");
    let altered = || {
        package(Some(&TRUSTED), &file);
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
    };
    let cases: [(&str, &dyn Fn()); 3] = [
        ("without a signature", &|| package(None, &file)),
        ("by another key", &|| package(Some(&OTHER), &file)),
        ("altered", &altered),
    ];
    for (case, make) in cases {
        make();
        let node = node_with(file.clone());
        let error = ensure(&node).expect_err(case);
        assert_eq!((error.exit.code(), error.transient), (3, false), "{case}: {error}");
        assert!(error.why.contains("no good signature"), "{case}: {error}");
        node.assert_nothing_unpacked();
    }
}

fn a_local_rpm_is_used_if_its_signature_is_trusted() {
    for (key, expected) in [(Some(&*TRUSTED), Ok(())), (Some(&*OTHER), Err(3)), (None, Err(3))] {
        let node = Node::new();
        let dir = node.path("var/lib/azurelustre-csi/packages");
        fs::create_dir_all(&dir).unwrap();
        package(key, &dir.join("any.rpm"));
        node.stub(|run| {
            assert_ne!(run.program, "tdnf", "the local file is used");
            None
        });
        assert_eq!(ensure(&node).map_err(|error| error.exit.code()), expected);
        assert_eq!(node.is_complete(), expected.is_ok());
        assert!(dir.join("any.rpm").exists());
    }
}

fn each_error_of_tdnf_has_its_exit_code_and_cause() {
    for (stdout, exit, transient, cause) in [
        ("Error(1602) : Couldn't resolve host name", 1, true, "reached"),
        ("curl#28: Timeout was reached", 1, true, "reached"),
        ("Error(1011) : No matching packages not found or not installed", 1, false, CLIENT),
        ("Error: GPG check failed", 3, false, "signature"),
        ("Error(1032) : SSL peer certificate or SSH remote key was not OK", 3, false, "TLS"),
        ("Error: Status code: 503 for https://x", 1, true, "overloaded"),
        ("No space left on device", 1, false, "full"),
    ] {
        let node = Node::new();
        node.stub(move |run| {
            let output = Output { code: 245, stdout: stdout.into(), stderr: String::new() };
            (run.program == "tdnf").then_some(Ok(output))
        });
        let error = ensure(&node).unwrap_err();
        assert_eq!((error.exit.code(), error.transient), (exit, transient), "{stdout}: {error}");
        assert!(error.why.contains(cause), "{stdout}: {error}");
        let runs = node.runs().iter().filter(|run| run.program == "tdnf").count();
        assert_eq!(runs, if transient { 6 } else { 1 }, "{stdout}");
        node.assert_nothing_unpacked();
    }
}

fn dnf_downloads_where_tdnf_cannot_use_the_rpm_database() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.rpm");
    package(Some(&TRUSTED), &file);
    for has_dnf in [true, false] {
        let (node, file) = (Node::new(), file.clone());
        node.stub(move |run| match run.program {
            "tdnf" if run.args.iter().any(|arg| arg == "install") => Some(Ok(Output {
                code: 1,
                stdout: "Error(1304) : rpmdb cannot be opened".into(),
                stderr: String::new(),
            })),
            "tdnf" => Some(Ok(tdnf(run, &file))),
            "dnf" if has_dnf => {
                let dir = run.args.iter().skip_while(|arg| *arg != "--destdir").nth(1).unwrap();
                fs::copy(&file, Path::new(dir).join(format!("{NAME}.rpm"))).unwrap();
                Some(Ok(ok("")))
            }
            "dnf" => Some(Err(ToolError::Missing { program: "dnf" })),
            _ => None,
        });
        let result = ensure(&node);
        if has_dnf {
            result.unwrap();
            node.assert_ready();
        } else {
            assert!(result.unwrap_err().why.contains("rpmdb cannot be opened"));
        }
    }
}
