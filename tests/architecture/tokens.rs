//! Rust files as tokens: which names occur, which items only tests compile.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::read;

pub(crate) fn tokens(file: &str) -> TokenStream {
    read(file).parse().unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Where refused identifiers occur, in groups and macro bodies too: line and name.
pub(crate) fn named(tokens: &TokenStream, refused: &dyn Fn(&str) -> bool) -> Vec<(usize, String)> {
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

pub(crate) fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// The tokens without the items that only tests compile.
pub(crate) fn without_tests(tokens: TokenStream) -> TokenStream {
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
                kept.push(Group::new(group.delimiter(), without_tests(group.stream())).into());
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

fn names_in(source: &str) -> Vec<String> {
    let refused = |name: &str| ["adapters", "tonic", "async"].contains(&name);
    let found = named(&source.parse().expect("Rust"), &refused);
    found.into_iter().map(|(line, name)| format!("{line} {name}")).collect()
}

#[test]
fn every_way_to_name_an_item_is_found() {
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
fn comments_strings_and_longer_names_are_ignored() {
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
