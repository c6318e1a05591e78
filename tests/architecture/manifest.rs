//! Dependencies of Cargo.toml: which of them the core takes, and which only features bring.

use crate::{read, report};

/// What `--no-default-features` may bring.
const CORE_DEPENDENCIES: [&str; 6] =
    ["async-once-cell", "async-trait", "hmac-sha256", "strsim", "thiserror", "tracing"];

#[test]
fn the_core_takes_no_further_dependency() {
    let dependencies = dependencies(&read("Cargo.toml"));
    assert!(dependencies.len() > CORE_DEPENDENCIES.len(), "Cargo.toml was not understood: {dependencies:?}");
    let further =
        dependencies.iter().filter(|(name, optional)| !optional && !CORE_DEPENDENCIES.contains(&name.as_str()));
    report(further.map(|(name, _)| format!("Cargo.toml: {name} is not optional; embedders would take it")));
}

/// The names of a manifest's dependencies for all targets, development and build left out, and whether each is optional.
pub(crate) fn dependencies(manifest: &str) -> Vec<(String, bool)> {
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

/// Crates that only features bring. Two have names that the standard library uses too (`std::time`, `str::bytes`); they are
/// left to the compiler, which builds the core without them.
pub(crate) fn outer_crates(manifest: &str) -> Vec<String> {
    let ambiguous = |name: &str| matches!(name, "bytes" | "time");
    let optional = dependencies(manifest).into_iter().filter(|(name, optional)| *optional && !ambiguous(name));
    optional.map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn every_form_of_a_dependency_is_read() {
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
