//! Sizes: no file above 400 lines, no function above 60.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::tokens::tokens;
use crate::{read, report, rust_files};

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

/// Files and functions that are longer, and why.
const LONGER: [(&str, &str); 0] = [];

fn is_excepted(place: &str) -> bool {
    LONGER.iter().any(|(known, _)| *known == place)
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let lengths = ["src", "tests"].into_iter().flat_map(rust_files).map(|file| (read(&file).lines().count(), file));
    let long = lengths.filter(|(lines, file)| *lines > LONGEST_FILE && !is_excepted(file));
    report(long.map(|(lines, file)| format!("{file}: {lines} lines; at most {LONGEST_FILE}")));
}

#[test]
fn no_function_is_longer_than_sixty_lines() {
    let files = ["src", "tests"].into_iter().flat_map(rust_files);
    let all = files.flat_map(|file| functions(tokens(&file)).into_iter().map(move |function| (file.clone(), function)));
    let long = all.filter(|(file, Function { name, lines, .. })| {
        *lines > LONGEST_FUNCTION && !is_excepted(&format!("{file}::{name}"))
    });
    report(long.map(|(file, Function { name, line, lines })| {
        format!("{file}:{line}: `{name}` has {lines} lines; at most {LONGEST_FUNCTION}")
    }));
}

/// A function: its name, the line that it begins at, and how many lines it has.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions with a body, nested ones included.
fn functions(tokens: TokenStream) -> Vec<Function> {
    let mut found = Vec::new();
    let mut begun: Option<(String, usize)> = None;
    let mut after_fn = None;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "fn" => after_fn = Some(ident.span().start().line),
            TokenTree::Ident(ident) => {
                if let Some(line) = after_fn.take() {
                    begun = Some((ident.to_string(), line));
                }
            }
            TokenTree::Group(group) => {
                after_fn = None;
                if group.delimiter() == Delimiter::Brace
                    && let Some((name, line)) = begun.take()
                {
                    found.push(Function { name, line, lines: group.span_close().end().line + 1 - line });
                }
                found.extend(functions(group.stream()));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => begun = None,
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

#[test]
fn a_functions_lines_are_counted_to_its_closing_brace() {
    let source = "trait T { fn a(&self); fn b() {} }\nfn c()\nwhere\n{\n  fn d() {\n  }\n}\nconst E: fn(u8) = f;";
    let found = functions(source.parse().expect("Rust"));
    let found: Vec<String> = found.iter().map(|f| format!("{} {} {}", f.name, f.line, f.lines)).collect();
    assert_eq!(found, ["b 1 1", "c 2 6", "d 5 2"]);
}
