//! No `unwrap`, `todo!`, `dbg!` or `unimplemented!` outside tests, and unsafe code in one file.

use proc_macro2::{TokenStream, TokenTree};

use crate::tokens::{is_punct, named, tokens, without_tests};
use crate::{read, report, rust_files};

#[test]
fn no_code_outside_tests_unwraps() {
    let files = rust_files("src").into_iter().filter(|file| !file.ends_with("/tests.rs") && !file.contains("/tests/"));
    report(files.flat_map(|file| {
        let found = panicking(&without_tests(tokens(&file)));
        found.into_iter().map(move |(line, name)| format!("{file}:{line} has `{name}` outside tests"))
    }));
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
    report(others.iter().map(|(file, line, name)| format!("{file}:{line} names `{name}`; only {UNSAFE} may")));
}

/// Where a file has `unsafe`, or names the lint in any attribute, at a module declaration too.
fn unsafe_places(file: &str) -> Vec<(String, usize, String)> {
    let refused = |name: &str| matches!(name, "unsafe" | "unsafe_code");
    named(&tokens(file), &refused).into_iter().map(|(line, name)| (file.to_owned(), line, name)).collect()
}

/// `.unwrap(…)`, `todo!`, `dbg!` and `unimplemented!`.
fn panicking(tokens: &TokenStream) -> Vec<(usize, String)> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => found.extend(panicking(&group.stream())),
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

#[test]
fn panicking_code_is_found_and_code_of_tests_is_not() {
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
        assert_eq!(panicking(&without_tests(source.parse().expect("Rust"))).len(), found, "{source}");
    }
}
