//! The shape of the source, kept by a test: inner circles name no outer ones.
//!
//! With all features on, the compiler accepts a `tonic` type in the domain as gladly as anywhere. Here each
//! file is read as tokens, so that every way to name a thing counts (imports, inline paths, macro bodies) and comments
//! and strings do not. The checker itself is tested at the end.

#![allow(clippy::expect_used, clippy::panic, reason = "a file that cannot be read or parsed is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What a file or folder must never name, and why.
struct Rule {
    /// File or folder; one that is absent or empty breaks the rule.
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

const RULES: [Rule; 23] = [
    Rule {
        scope: "src/domain",
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
        scope: "src/ports",
        except: &[],
        refused: &["adapters", "app", "tracing", "async_once_cell", "Instant", "SystemTime", "include"],
        core: true,
        because: "ports speak the domain's language only",
    },
    Rule {
        scope: "src/app/usecase",
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
        scope: "src/app",
        except: &["src/app/wiring", "src/app/demo", "src/app/settings/cloud"],
        refused: &["adapters"],
        core: false,
        because: "only wiring and demo choose adapters; settings::cloud hands the cloud settings file to those that read it",
    },
    Rule {
        scope: "src/main.rs",
        except: &[],
        refused: &["adapters", "ports", "domain"],
        core: false,
        because: "the binary only calls the application",
    },
    Rule {
        scope: "src/lib.rs",
        except: &[],
        refused: &["use"],
        core: false,
        because: "a re-export would hide an arrow",
    },
    Rule {
        scope: "src/adapters/mod.rs",
        except: &[],
        refused: &["use", "app"],
        core: false,
        because: "a re-export would hide an arrow",
    },
    Rule {
        scope: "src/adapters/arm",
        except: &[],
        refused: &[
            "app",
            "csi",
            "simulator",
            "kernel",
            "tonic",
            "tonic_prost",
            "prost",
            "prost_types",
            "clap",
            "figment",
        ],
        core: false,
        because: "an adapter knows no other adapter and no front end",
    },
    Rule {
        scope: "src/adapters/kube",
        except: &[],
        refused: &[
            "app",
            "csi",
            "simulator",
            "arm",
            "kernel",
            "tonic",
            "tonic_prost",
            "prost",
            "prost_types",
            "clap",
            "figment",
            "Command",
        ],
        core: false,
        because: "an adapter knows no other adapter and no front end, and this one starts no programs",
    },
    Rule {
        scope: "src/adapters/lnet",
        except: &[],
        refused: &[
            "app",
            "csi",
            "simulator",
            "arm",
            "kube",
            "kernel",
            "node_setup",
            "tonic",
            "prost",
            "clap",
            "figment",
            "tokio",
            "Command",
        ],
        core: false,
        because: "kernel and node-setup stand on it; it knows no other adapter, no runtime and starts no programs",
    },
    Rule {
        scope: "src/adapters/host_network.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "kube", "kernel", "node_setup", "domain", "ports", "nix"],
        core: true,
        because: "it reads files",
    },
    Rule {
        scope: "src/adapters/node_setup",
        except: &[],
        refused: &[
            "app",
            "csi",
            "simulator",
            "arm",
            "kube",
            "node_status",
            "KernelMounter",
            "client_state",
            "tonic",
            "prost",
            "clap",
            "figment",
            "tokio",
            "async",
            "await",
            "O_TRUNC",
        ],
        core: false,
        because: "an init container is synchronous, knows LNet and files of the host alone, and forces no module out",
    },
    Rule {
        scope: "src/adapters/node_setup",
        except: &["src/adapters/node_setup/host_exec"],
        refused: &["Command"],
        core: false,
        because: "programs of the host run with a cleared environment and a limit, by one file",
    },
    Rule {
        scope: "src/adapters/cloud_settings.rs",
        except: &[],
        refused: &[
            "ports",
            "app",
            "csi",
            "simulator",
            "arm",
            "kube",
            "kernel",
            "node_setup",
            "tonic",
            "clap",
            "tokio",
            "async",
            "await",
        ],
        core: false,
        because: "the ARM adapter and the settings stand on it; it reads one file",
    },
    Rule {
        scope: "src/adapters/clock.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "domain", "tonic", "prost"],
        core: false,
        because: "a clock reads the time",
    },
    Rule {
        scope: "src/adapters/log.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "domain", "tonic", "prost"],
        core: false,
        because: "it only logs",
    },
    Rule {
        scope: "src/adapters/no_cloud.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "kernel", "tonic", "prost"],
        core: false,
        because: "it stands in the cloud's place and knows its port alone",
    },
    Rule {
        scope: "src/adapters/mountinfo.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "kernel", "domain", "ports", "nix"],
        core: true,
        because: "it reads a text",
    },
    Rule {
        scope: "src/adapters/target.rs",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "kernel", "domain", "Mounter"],
        core: false,
        because: "it knows directories, and what their failures mean to a mounter",
    },
    Rule {
        scope: "src/adapters/csi",
        except: &[],
        refused: &["app", "simulator", "arm", "kernel", "Cloud", "Mounter", "Orchestrator", "CloudError", "MountError"],
        core: false,
        because: "the front end knows the driving ports, no use-case and nothing that use-cases drive",
    },
    Rule {
        scope: "src/adapters/node_status",
        except: &[],
        refused: &["app", "csi", "simulator", "arm", "kernel", "Cloud", "Mounter", "Orchestrator"],
        core: false,
        because: "the front end of the node's status knows the port that it reports, and no other adapter",
    },
    Rule {
        scope: "src/adapters/simulator",
        except: &[],
        refused: &["app", "csi", "arm", "kernel", "tonic", "tonic_prost", "prost", "prost_types", "clap", "figment"],
        core: false,
        because: "an adapter knows no other adapter and no front end",
    },
    Rule {
        scope: "src/adapters/kernel",
        except: &[],
        refused: &[
            "app",
            "csi",
            "simulator",
            "arm",
            "tonic",
            "tonic_prost",
            "prost",
            "prost_types",
            "clap",
            "figment",
            "Command",
        ],
        core: false,
        because: "an adapter knows no other adapter and no front end, and this one starts no programs",
    },
];

/// What `--no-default-features` may bring.
const CORE_DEPENDENCIES: [&str; 6] =
    ["async-once-cell", "async-trait", "hmac-sha256", "strsim", "thiserror", "tracing"];

/// The way in for a newcomer; the README names these.
const PROMISED: [&str; 8] =
    ["Cargo.toml", "src/domain", "src/ports", "src/adapters", "src/app", "deploy", "tests/contract", "tests/fakes"];

const LONGEST_FILE: usize = 400;

#[test]
fn inner_circles_name_no_outer_ones() {
    let outer = outer_crates(&read("Cargo.toml"));
    let mut broken = Vec::new();
    for rule in &RULES {
        let files = rust_files(rule.scope);
        if files.is_empty() {
            broken.push(format!("{}: the rule guards nothing; is the folder gone or renamed?", rule.scope));
        }
        for file in files.iter().filter(|file| !is_excepted(file, rule.except)) {
            let refused =
                |name: &str| rule.refused.contains(&name) || (rule.core && outer.iter().any(|krate| krate == name));
            let named = named(&tokens(file), &refused).into_iter();
            broken.extend(named.map(|(line, name)| format!("{file}:{line} names `{name}`: {}", rule.because)));
        }
    }
    report(&broken);
}

#[test]
fn every_part_of_the_source_has_a_rule() {
    let parts = ["src", "src/adapters"].into_iter().flat_map(entries);
    let guarded = |part: &String| RULES.iter().any(|rule| rule.scope.starts_with(part.as_str()));
    let broken: Vec<String> =
        parts.filter(|part| !guarded(part)).map(|part| format!("{part}: no rule in tests/architecture.rs")).collect();
    report(&broken);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let files = ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files);
    let silent = files.filter(|file| !read(file).starts_with("//! "));
    report(&silent.map(|file| format!("{file}: begins without `//!`")).collect::<Vec<_>>());
}

#[test]
fn every_source_file_fits_a_readers_head() {
    let lengths = rust_files("src").into_iter().map(|file| (read(&file).lines().count(), file));
    let long = lengths.filter(|(lines, _)| *lines > LONGEST_FILE);
    report(&long.map(|(lines, file)| format!("{file}: {lines} lines; at most {LONGEST_FILE}")).collect::<Vec<_>>());
}

#[test]
fn what_the_readme_promises_is_there() {
    let missing = PROMISED.iter().chain(&["README.md"]).filter(|path| !root().join(path).exists());
    report(&missing.map(|path| format!("{path}: missing")).collect::<Vec<_>>());
}

/// A document that names a test which is gone promises what nobody holds.
#[test]
fn every_test_that_the_architecture_names_is_there() {
    let text = read("ARCHITECTURE.md");
    let quoted = text.split('`').skip(1).step_by(2).filter_map(|name| name.rsplit("::").next());
    let crates: Vec<String> = dependencies(&read("Cargo.toml")).into_iter().map(|(name, _)| name).collect();
    let is_test = |name: &&str| {
        name.len() > 20
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            && !crates.iter().any(|known| known.replace('-', "_") == **name)
    };
    let named: Vec<&str> = quoted.filter(is_test).collect();
    assert!(named.len() > 10, "ARCHITECTURE.md was not understood: {named:?}");
    let sources: String = ["src", "tests"].into_iter().flat_map(rust_files).map(|file| read(&file)).collect();
    let missing = named.iter().filter(|name| !sources.contains(&format!("fn {name}(")));
    report(&missing.map(|name| format!("ARCHITECTURE.md: no test is named {name}")).collect::<Vec<_>>());
}

/// A newcomer goes where the document points.
#[test]
fn every_path_that_the_architecture_names_is_there() {
    const FOLDERS: [&str; 7] = ["src/", "tests/", "docs/", "deploy/", "proto/", "scripts/", "examples/"];
    let text = read("ARCHITECTURE.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder))).collect();
    assert!(paths.len() > 40, "ARCHITECTURE.md was not understood: {paths:?}");
    let missing = paths.iter().filter(|path| !root().join(path).exists());
    report(&missing.map(|path| format!("ARCHITECTURE.md: {path} is missing")).collect::<Vec<_>>());
}

#[test]
fn the_core_takes_no_further_dependency() {
    let dependencies = dependencies(&read("Cargo.toml"));
    assert!(dependencies.len() > CORE_DEPENDENCIES.len(), "Cargo.toml was not understood: {dependencies:?}");
    let further =
        dependencies.iter().filter(|(name, optional)| !optional && !CORE_DEPENDENCIES.contains(&name.as_str()));
    report(
        &further
            .map(|(name, _)| format!("Cargo.toml: {name} is not optional; embedders would take it"))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_gives_up_at_run_time() {
    let files = rust_files("src").into_iter().filter(|file| !file.ends_with("/tests.rs") && !file.contains("/tests/"));
    let broken = files.flat_map(|file| {
        let found = giving_up(&without_tests(tokens(&file)));
        found.into_iter().map(move |(line, what)| format!("{file}:{line} has `{what}` outside tests"))
    });
    report(&broken.collect::<Vec<_>>());
}

/// The one file with a system call that no crate wraps.
const UNSAFE: &str = "src/adapters/lnet/ioctl.rs";

#[test]
fn one_file_alone_holds_unsafe_code() {
    assert!(read("Cargo.toml").lines().any(|line| line.starts_with("unsafe_code = \"deny\"")), "the lint is off");
    let all = ["src", "tests", "benches", "examples", "build.rs"].into_iter().flat_map(rust_files);
    let (of_it, others): (Vec<_>, Vec<_>) =
        all.flat_map(|file| unsafe_places(&file)).partition(|(file, ..)| file == UNSAFE);
    let allows = of_it.iter().filter(|(.., name)| name == "unsafe_code").count();
    assert_eq!((allows, of_it.len()), (1, 2), "{UNSAFE}: one allow and one unsafe block: {of_it:?}");
    assert!(read(UNSAFE).contains("// SAFETY: "), "{UNSAFE}: no SAFETY comment");
    let broken = others.iter().map(|(file, line, name)| format!("{file}:{line} names `{name}`; only {UNSAFE} may"));
    report(&broken.collect::<Vec<_>>());
}

/// Where a file has `unsafe`, or names the lint in any attribute, at a module declaration too.
fn unsafe_places(file: &str) -> Vec<(String, usize, String)> {
    let refused = |name: &str| matches!(name, "unsafe" | "unsafe_code");
    named(&tokens(file), &refused).into_iter().map(|(line, name)| (file.to_owned(), line, name)).collect()
}

// Reading.

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn tokens(file: &str) -> TokenStream {
    read(file).parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Paths of a folder's entries, relative to the package, sorted; none if it is absent.
fn entries(folder: &str) -> Vec<String> {
    let listed = fs::read_dir(root().join(folder)).into_iter().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).expect("below the root").display().to_string();
    paths.iter().map(relative).collect()
}

/// The Rust files of a folder and of those below it, or the file itself.
fn rust_files(scope: &str) -> Vec<String> {
    if root().join(scope).is_dir() {
        return entries(scope).iter().flat_map(|entry| rust_files(entry)).collect();
    }
    let is_source =
        root().join(scope).is_file() && Path::new(scope).extension().is_some_and(|extension| extension == "rs");
    is_source.then(|| scope.to_owned()).into_iter().collect()
}

fn is_excepted(file: &str, except: &[&str]) -> bool {
    except.iter().any(|path| file == format!("{path}.rs") || file.starts_with(&format!("{path}/")))
}

/// All breaches at once: whoever moved code wants to see every place.
fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

// Checking.

/// Where refused identifiers occur, in groups and macro bodies too: line and name.
fn named(tokens: &TokenStream, refused: &dyn Fn(&str) -> bool) -> Vec<(usize, String)> {
    tokens.clone().into_iter().fold(Vec::new(), |mut found, token| {
        match token {
            TokenTree::Group(group) => found.extend(named(&group.stream(), refused)),
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let name = name.trim_start_matches("r#");
                found.extend(refused(name).then(|| (ident.span().start().line, name.to_owned())));
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        found
    })
}

/// `.unwrap(…)`, `todo!`, `dbg!` and `unimplemented!`.
fn giving_up(tokens: &TokenStream) -> Vec<(usize, String)> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => found.extend(giving_up(&group.stream())),
            TokenTree::Ident(ident) => {
                let method = index > 0 && is_punct(tokens.get(index - 1), '.') && ident == "unwrap";
                let is_macro = is_punct(tokens.get(index + 1), '!');
                if method || (is_macro && ["todo", "dbg", "unimplemented"].iter().any(|name| ident == name)) {
                    found.push((ident.span().start().line, ident.to_string()));
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// The tokens without the items that only tests compile.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match (&token, tokens.peek()) {
            (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)))
                if hash.as_char() == '#' && is_test_only(attribute.stream()) =>
            {
                // The attributed item ends with its body or its semicolon.
                tokens.by_ref().find(|token| match token {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    token => is_punct(Some(token), ';'),
                });
            }
            (TokenTree::Group(group), _) => {
                kept.push(proc_macro2::Group::new(group.delimiter(), without_tests(group.stream())).into());
            }
            _ => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

/// Whether an attribute is `cfg(test)` or `cfg(all(test, …))`.
fn is_test_only(attribute: TokenStream) -> bool {
    let text: String = attribute.into_iter().map(|token| token.to_string()).collect::<String>().replace(' ', "");
    let condition = text.strip_prefix("cfg(").and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
    let all = condition.strip_prefix("all(").and_then(|rest| rest.strip_suffix(')'));
    all.unwrap_or(condition).split(',').any(|part| part == "test")
}

/// The names of a manifest's dependencies for all targets, development and build left out, and whether each is optional.
fn dependencies(manifest: &str) -> Vec<(String, bool)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    let mut section = "";
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']);
        }
        let (table, own) =
            section.rsplit_once("dependencies.").map_or((section, None), |(_, name)| ("dependencies", Some(name)));
        if !table.ends_with("dependencies") || section.contains("dev-") || section.contains("build-") {
            continue;
        }
        let optional = line.replace(' ', "").contains("optional=true");
        match (own, line.split_once('=')) {
            (Some(name), None) => found.push((name.to_owned(), false)),
            (Some(_), Some(_)) => {
                if let Some((_, known)) = found.last_mut() {
                    *known |= optional;
                }
            }
            (None, Some((name, _))) => found.push((name.trim().trim_end_matches(".workspace").to_owned(), optional)),
            (None, None) => {}
        }
    }
    found
}

/// The crates that only features bring, as code names them.
/// Crates that only features bring. Two have names that the standard library uses too (`std::time`, `str::bytes`); they are
/// left to the compiler, which builds the core without them.
fn outer_crates(manifest: &str) -> Vec<String> {
    let ambiguous = |name: &str| matches!(name, "bytes" | "time");
    let optional = dependencies(manifest).into_iter().filter(|(name, optional)| *optional && !ambiguous(name));
    optional.map(|(name, _)| name.replace('-', "_")).collect()
}

// The checker, checked.

fn names_in(source: &str) -> Vec<String> {
    let refused = |name: &str| ["adapters", "tonic", "async"].contains(&name);
    let found = named(&source.parse().expect("Rust"), &refused);
    found.into_iter().map(|(line, name)| format!("{line} {name}")).collect()
}

#[test]
fn the_checker_sees_every_way_to_name_a_thing() {
    for (source, found) in [
        ("use crate::adapters::clock;", "1 adapters"),
        ("use crate::{\n  domain::names,\n  adapters::{clock, csi},\n};", "3 adapters"),
        ("use super::super::adapters as outside;", "1 adapters"),
        ("use tonic as gentle;", "1 tonic"),
        ("extern crate tonic;", "1 tonic"),
        ("fn f() -> tonic::Status { todo() }", "1 tonic"),
        ("fn f<T: Into<::tonic::Status>>(t: T) {}", "1 tonic"),
        ("macro_rules! m { ($x:expr) => { crate::adapters::make($x) } }", "1 adapters"),
        ("fn f() { println!(\"{}\", tonic::VERSION) }", "1 tonic"),
        ("#[tonic::async_trait] trait T {}", "1 tonic"),
        ("async fn f() {}", "1 async"),
        ("use crate::r#adapters::clock;", "1 adapters"),
        ("mod m { fn f() { let _ = [(|| adapters::x)()]; } }", "1 adapters"),
    ] {
        assert_eq!(names_in(source), [found], "{source}");
    }
}

#[test]
fn the_checker_ignores_comments_and_strings_and_longer_names() {
    for source in [
        "// crate::adapters",
        "/* tonic */ fn f() {}",
        "//! See [`crate::adapters`].\n/// Not `tonic`.\nfn f() {}",
        "const A: &str = \"use tonic;\"; const B: &[u8] = b\"async\"; const C: &str = r#\"adapters\"#;",
        "fn adapters_of(atonic: u8) {}",
    ] {
        assert_eq!(names_in(source), [""; 0], "{source}");
    }
}

#[test]
fn an_absent_folder_guards_nothing() {
    assert_eq!(rust_files("src/no-such-folder"), [""; 0]);
    assert_eq!(rust_files("Cargo.toml"), [""; 0]);
    assert_eq!(rust_files("src/lib.rs"), ["src/lib.rs"]);
    assert!(
        is_excepted("src/app/demo/steps.rs", &["src/app/demo"]) && is_excepted("src/app/demo.rs", &["src/app/demo"])
    );
    assert!(!is_excepted("src/app/demolition.rs", &["src/app/demo"]));
}

#[test]
fn the_checker_knows_test_code_and_what_gives_up() {
    for (source, found) in [
        ("fn f() { a().unwrap(); }", 1),
        ("fn f() { todo!() } fn g() { dbg!(1); unimplemented!(\"later\") }", 3),
        ("fn f() { vec![a.unwrap()]; }", 1),
        ("fn f() { a.unwrap_or(1); unwrap(); let todo = 1; }", 0),
        ("#[cfg(test)] mod tests { fn f() { a.unwrap(); } }", 0),
        ("#[cfg(test)]\n#[allow(x)]\nfn f() { a.unwrap(); }\nfn g() { b.unwrap(); }", 1),
        ("#[cfg(test)] mod tests; fn g() { b.unwrap(); }", 1),
        ("#[cfg(all(test, feature = \"server\"))] mod tests { fn f() { todo!() } }", 0),
        ("#[cfg(not(test))] fn f() { a.unwrap(); }", 1),
        ("#[cfg(any(test, feature = \"server\"))] fn f() { a.unwrap(); }", 1),
        ("mod m { #[cfg(test)] fn f() { a.unwrap(); } fn g() { b.unwrap(); } }", 1),
    ] {
        assert_eq!(giving_up(&without_tests(source.parse().expect("Rust"))).len(), found, "{source}");
    }
}

#[test]
fn the_manifest_is_understood() {
    let manifest = "
        [dependencies]
        sha2 = \"1\"                                # one
        async-nats = { version = \"1\", optional = true }
        [dependencies.big]
        version = \"1\"
        [dependencies.rare]
        optional = true
        [target.'cfg(unix)'.dependencies]
        unixy = \"1\"
        [dev-dependencies]
        proptest = \"1\"
        [build-dependencies.tool]
        version = \"1\"
        [features]
        default = []";
    let found: Vec<_> =
        dependencies(manifest).into_iter().map(|(name, optional)| format!("{name} {optional}")).collect();
    assert_eq!(found, ["sha2 false", "async-nats true", "big false", "rare true", "unixy false"]);
    assert_eq!(outer_crates(manifest), ["async_nats", "rare"]);
}
