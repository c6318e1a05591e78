//! Layers: inner circles name no outer ones, and an adapter names no other adapter but those it stands on.

use crate::manifest::outer_crates;
use crate::tokens::{named, tokens};
use crate::{entries, read, report, rust_files};

/// A folder or file and what it must not name.
struct Rule {
    /// Below `src`; one that is absent or empty breaks the rule.
    scope: &'static str,
    /// Files or folders below it, without `.rs`, that may.
    except: &'static [&'static str],
    /// Identifiers that may not occur.
    refused: &'static [&'static str],
    /// Whether the crates that only features bring are refused too.
    core: bool,
    /// The reason, as shown on failure.
    because: &'static str,
}

const LAYERS: [Rule; 8] = [
    Rule {
        scope: "domain",
        except: &[],
        refused: &[
            "ports",
            "adapters",
            "app",
            "tracing",
            "async_trait",
            "async_once_cell",
            "async",
            "await",
            "Instant",
            "SystemTime",
            "include",
        ],
        core: true,
        because: "the domain is pure: no ports, no runtime, no wire format, no clock, no log",
    },
    Rule {
        scope: "ports",
        except: &[],
        refused: &["adapters", "app", "tracing", "async_once_cell", "Instant", "SystemTime", "include"],
        core: true,
        because: "ports have the domain's types only",
    },
    Rule {
        scope: "app/usecase",
        except: &[],
        refused: &[
            "adapters",
            "cli",
            "demo",
            "server",
            "settings",
            "telemetry",
            "wiring",
            "Instant",
            "SystemTime",
            "include",
        ],
        core: true,
        because: "use-cases know the domain and the ports; time comes from the Clock",
    },
    Rule {
        scope: "app",
        except: &["app/wiring", "app/demo", "app/settings/cloud"],
        refused: &["adapters"],
        core: false,
        because: "only wiring and demo choose adapters; settings::cloud hands the cloud settings file to those that read it",
    },
    Rule {
        scope: "main.rs",
        except: &[],
        refused: &["adapters", "ports", "domain"],
        core: false,
        because: "the binary only calls the application",
    },
    Rule { scope: "lib.rs", except: &[], refused: &["use"], core: false, because: "a re-export would hide an import" },
    Rule {
        scope: "adapters/mod.rs",
        except: &[],
        refused: &["use", "app"],
        core: false,
        because: "a re-export would hide an import",
    },
    Rule {
        scope: "adapters/node_setup",
        except: &["adapters/node_setup/host_exec"],
        refused: &["Command"],
        core: false,
        because: "programs of the host run with a cleared environment and a limit, by one file",
    },
];

/// An adapter: it names neither `app`, nor another adapter or a front end's crate that it does not `use`, nor what it
/// `refuses`.
struct Adapter {
    /// File or folder below `src/adapters`.
    name: &'static str,
    uses: &'static [&'static str],
    refuses: &'static [&'static str],
    /// Whether the crates that only features bring are refused too.
    core: bool,
}

const fn adapter(name: &'static str, uses: &'static [&'static str], refuses: &'static [&'static str]) -> Adapter {
    Adapter { name, uses, refuses, core: false }
}

/// Crates of the front end and of the settings.
const FRONT_ENDS: [&str; 6] = ["tonic", "tonic_prost", "prost", "prost_types", "clap", "figment"];
/// Names of adapters that are also ordinary identifiers.
const AMBIGUOUS: [&str; 3] = ["clock", "log", "target"];

const ADAPTERS: [Adapter; 15] = [
    adapter("arm", &["cloud_settings"], &[]),
    adapter("clock.rs", &[], &["domain"]),
    adapter("cloud_settings.rs", &["figment"], &["ports", "tokio", "async", "await"]),
    // The driving ports alone: no use-case, and nothing that use-cases drive.
    adapter(
        "csi",
        &["tonic", "tonic_prost", "prost", "prost_types"],
        &["Cloud", "Mounter", "Orchestrator", "CloudError", "MountError"],
    ),
    Adapter { core: true, ..adapter("host_network.rs", &[], &["domain", "ports", "nix"]) },
    adapter("kernel", &["lnet", "host_network", "mountinfo", "node_setup"], &["Command"]),
    adapter("kube", &[], &["Command"]),
    adapter("lnet", &[], &["tokio", "Command"]),
    adapter("log.rs", &[], &["domain"]),
    Adapter { core: true, ..adapter("mountinfo.rs", &[], &["domain", "ports", "nix"]) },
    adapter("no_cloud.rs", &[], &[]),
    // An init container is synchronous and forces no module out (`O_TRUNC` of delete_module(2)). `kernel` is also the release.
    adapter(
        "node_setup",
        &["lnet", "host_network", "mountinfo", "kernel"],
        &["KernelMounter", "client_state", "tokio", "async", "await", "O_TRUNC"],
    ),
    adapter("node_status", &["tonic", "tonic_prost", "prost", "prost_types"], &["Cloud", "Mounter", "Orchestrator"]),
    adapter("simulator", &["mountinfo"], &[]),
    adapter("target.rs", &[], &["domain", "Mounter"]),
];

impl Adapter {
    fn module(&self) -> &'static str {
        self.name.trim_end_matches(".rs")
    }

    fn refuses(&self, name: &str) -> bool {
        let is_other = ADAPTERS.iter().any(|other| other.module() == name && name != self.module());
        let is_outside = name == "app" || FRONT_ENDS.contains(&name) || (is_other && !AMBIGUOUS.contains(&name));
        self.refuses.contains(&name) || (is_outside && !self.uses.contains(&name))
    }
}

#[test]
fn inner_circles_name_no_outer_ones() {
    let outer = outer_crates(&read("Cargo.toml"));
    let is_outer = |core: bool, name: &str| core && outer.iter().any(|krate| krate == name);
    let layers = LAYERS.iter().flat_map(|rule| {
        let refused = |name: &str| rule.refused.contains(&name) || is_outer(rule.core, name);
        violations(rule.scope, rule.except, &refused, rule.because)
    });
    let adapters = ADAPTERS.iter().flat_map(|adapter| {
        let refused = |name: &str| adapter.refuses(name) || is_outer(adapter.core, name);
        let because = "an adapter names no front end, and only the adapters of its row in tests/architecture/layers.rs";
        violations(&format!("adapters/{}", adapter.name), &[], &refused, because)
    });
    report(layers.chain(adapters));
}

fn violations(scope: &str, except: &[&str], refused: &dyn Fn(&str) -> bool, because: &str) -> Vec<String> {
    let files = rust_files(&format!("src/{scope}"));
    if files.is_empty() {
        return vec![format!("src/{scope}: no file is left for its rule; was it renamed?")];
    }
    let held = files.iter().filter(|file| !is_excepted(file, except));
    let named = held.flat_map(|file| named(&tokens(file), refused).into_iter().map(move |found| (file, found)));
    named.map(|(file, (line, name))| format!("{file}:{line} names `{name}`: {because}")).collect()
}

fn is_excepted(file: &str, except: &[&str]) -> bool {
    let file = file.trim_start_matches("src/");
    except.iter().any(|path| file == format!("{path}.rs") || file.starts_with(&format!("{path}/")))
}

#[test]
fn every_part_of_the_source_has_a_rule() {
    let parts = ["src", "src/adapters"].into_iter().flat_map(entries).map(|part| part.replace("src/", ""));
    let has_rule = |part: &String| {
        LAYERS.iter().any(|rule| rule.scope.starts_with(part.as_str()))
            || ADAPTERS.iter().any(|adapter| format!("adapters/{}", adapter.name).starts_with(part.as_str()))
    };
    let without = parts.filter(|part| !has_rule(part));
    report(without.map(|part| format!("src/{part}: no rule in tests/architecture/layers.rs")));
}

#[test]
fn an_exception_holds_for_a_module_and_not_for_longer_names() {
    assert!(is_excepted("src/app/demo/steps.rs", &["app/demo"]) && is_excepted("src/app/demo.rs", &["app/demo"]));
    assert!(!is_excepted("src/app/demolition.rs", &["app/demo"]));
}
