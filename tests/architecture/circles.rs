//! Circles of imports: no two files of `src` reach each other by the items that they name, except those that are listed.
//!
//! An import of a re-export counts as one of the file that defines the item; code that only tests compile does not count.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use crate::tokens::{is_punct, tokens, without_tests};
use crate::{report, rust_files};

/// Files that may reach each other, and why.
const CIRCLES: [(&str, &str); 3] = [
    ("src/adapters/arm/credentials/mod.rs", "makes each kind of credential; the kinds use its request for a token"),
    ("src/adapters/arm/credentials/entra.rs", "sends the request for a token that `mod.rs` builds for every issuer"),
    ("src/adapters/arm/credentials/cache.rs", "makes a credential anew when its settings change"),
];

type ItemPath = Vec<String>;

/// What one file names, by paths from the root of the crate.
#[derive(Default)]
struct Named {
    /// Last name and path of each `pub use`.
    re_exports: BTreeMap<String, ItemPath>,
    paths: Vec<ItemPath>,
}

/// The path of a file's module: `src/domain/mod.rs` and `src/domain.rs` are `[domain]`.
fn module_of(file: &str) -> ItemPath {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|name| !matches!(*name, "lib" | "main" | "mod")).map(str::to_owned).collect()
}

/// Paths that begin with `crate`, `self` or `super`, from the root of the crate. A `use` tree is one path for each item.
fn collect(stream: TokenStream, module: &ItemPath, prefix: &ItemPath, is_re_export: bool, found: &mut Named) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let (mut path, mut continues, mut is_public) = (prefix.clone(), !prefix.is_empty(), is_re_export);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(ident) => {
                let before = index.checked_sub(1).and_then(|before| tokens.get(before));
                is_public |= ident == "use" && (is_ident(before, "pub") || matches!(before, Some(TokenTree::Group(_))));
                if !continues {
                    path.clone_from(prefix);
                }
                path.push(ident.to_string());
                continues = is_punct(tokens.get(index + 1), ':') && is_punct(tokens.get(index + 2), ':');
                if !continues && let Some(absolute) = from_the_root(&path, module) {
                    if is_public {
                        found.re_exports.insert(ident.to_string(), absolute);
                    } else {
                        found.paths.push(absolute);
                    }
                }
            }
            // `pub(in crate::adapters)` names no item.
            TokenTree::Group(_) if index > 0 && is_ident(tokens.get(index - 1), "pub") => {}
            TokenTree::Group(group) if continues => collect(group.stream(), module, &path, is_public, found),
            TokenTree::Group(group) => collect(group.stream(), module, &Vec::new(), false, found),
            TokenTree::Punct(punct) => {
                is_public &= punct.as_char() != ';';
                continues &= punct.as_char() == ':';
            }
            TokenTree::Literal(_) => {}
        }
    }
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn from_the_root(path: &[String], module: &ItemPath) -> Option<ItemPath> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let base = match path.first()?.as_str() {
        "crate" => &[][..],
        "self" | "super" => module.get(..module.len().checked_sub(ups)?)?,
        _ => return None,
    };
    // `pub(super)` names no item.
    let item = path.get(ups.max(1)..).filter(|item| !item.is_empty())?;
    Some([base, item].concat())
}

/// The file that defines the item of a path: that of the longest module in it, or where that one re-exports it from.
fn file_of<'a>(
    path: &[String],
    files: &'a BTreeMap<ItemPath, String>,
    named: &BTreeMap<ItemPath, Named>,
) -> Option<&'a str> {
    let length = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let (module, item) = (&path[..length], path.get(length));
    match item.and_then(|item| named.get(module)?.re_exports.get(item)).filter(|target| **target != path) {
        Some(target) => file_of(target, files, named),
        None => files.get(module).map(String::as_str),
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files: BTreeMap<ItemPath, String> =
        rust_files("src").into_iter().map(|file| (module_of(&file), file)).collect();
    let named: BTreeMap<ItemPath, Named> = files
        .iter()
        .map(|(module, file)| {
            let mut named = Named::default();
            collect(without_tests(tokens(file)), module, &Vec::new(), false, &mut named);
            (module.clone(), named)
        })
        .collect();
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, names) in &named {
        let targets = names.paths.iter().filter_map(|path| file_of(path, &files, &named));
        reached.insert(&files[module], targets.filter(|target| *target != files[module]).collect());
    }
    let direct = reached.clone();
    while grow(&mut reached) {}
    let edges = direct.iter().flat_map(|(file, targets)| targets.iter().map(move |target| (*file, *target)));
    let is_listed = |file: &str| CIRCLES.iter().any(|(listed, _)| *listed == file);
    let circular = edges.filter(|(file, target)| reached[target].contains(file) && !is_listed(file));
    report(circular.map(|(file, target)| format!("{file} names items of {target}, which reaches it again")));
}

/// Adds what is reached in one more step; `false` if nothing was.
fn grow(reached: &mut BTreeMap<&str, BTreeSet<&str>>) -> bool {
    let before = reached.clone();
    for targets in reached.values_mut() {
        let further: BTreeSet<&str> =
            targets.iter().filter_map(|target| before.get(target)).flatten().copied().collect();
        targets.extend(further);
    }
    *reached != before
}
