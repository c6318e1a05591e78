//! Words: comments, names, messages and documents have the field's terms, not the words that these replace.
//!
//! A text is compared word by word. A name is as many words as it is put together from, so `IsForeign` and `is_foreign` are
//! two, and a phrase is found across the end of a line.

use crate::{files, read, report};

/// Words and phrases that are not written, and what to write.
const REPLACED: [(&str, &str); 29] = [
    ("told", "reported"),
    ("tell", "report, emit"),
    ("tells", "reports"),
    ("look", "observe, observation, poll"),
    ("looks", "observes, observations"),
    ("looked", "observed"),
    ("looking", "observing"),
    ("under way", "in progress"),
    ("why it exists", "nothing: begin with what is in the module"),
    ("verdict", "finality, result"),
    ("judge", "decide, assess"),
    ("judges", "decides"),
    ("judged", "decided"),
    ("foreign", "not owned by this driver"),
    ("somebody else", "another process, another client"),
    ("trouble", "transient error"),
    ("troubles", "transient errors"),
    ("passing trouble", "transient error"),
    ("for the taking", "available"),
    ("give up", "abandon, stop after"),
    ("gives up", "abandons, stops after"),
    ("given up", "abandoned"),
    ("goes on", "continues"),
    ("whoever", "the caller, the process that"),
    ("at work", "in progress"),
    ("is away", "is unreachable, is absent"),
    ("dear", "expensive"),
    ("hear", "learn, receive"),
    ("heard", "learned, received"),
];

/// Where a word stands that cannot be replaced, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] = [("tests/architecture/language.rs", "", "the list itself")];

/// The words of a text in lower case, each with its line.
fn words(text: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut before = ' ';
        for c in text.chars() {
            let begins = !before.is_ascii_alphabetic() || (before.is_ascii_lowercase() && c.is_ascii_uppercase());
            match words.last_mut().filter(|_| !begins) {
                Some((_, word)) if c.is_ascii_alphabetic() => word.push(c.to_ascii_lowercase()),
                _ if c.is_ascii_alphabetic() => words.push((line, c.to_ascii_lowercase().to_string())),
                _ => {}
            }
            before = c;
        }
    }
    words
}

/// Lines at which a phrase begins.
fn occurrences(words: &[(usize, String)], phrase: &str) -> Vec<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    let is_it = |window: &&[(usize, String)]| window.iter().map(|(_, word)| word.as_str()).eq(phrase.iter().copied());
    words.windows(phrase.len()).filter(is_it).map(|window| window[0].0).collect()
}

#[test]
fn no_word_is_written_that_has_a_term_of_the_field() {
    let code = ["src", "tests", "benches", "examples"].into_iter().flat_map(|folder| files(folder, "rs"));
    let documents = ["README.md", "ARCHITECTURE.md", "docs"].into_iter().flat_map(|scope| files(scope, "md"));
    report(code.chain(documents).flat_map(|file| {
        let words = words(&read(&file));
        let is_excepted = |phrase: &str| {
            EXCEPTIONS.iter().any(|(known, excepted, _)| *known == file && (excepted.is_empty() || *excepted == phrase))
        };
        let replaced = REPLACED.iter().filter(|(phrase, _)| !is_excepted(phrase));
        let found = replaced.flat_map(|(phrase, term)| {
            let lines = occurrences(&words, phrase).into_iter();
            lines.map(|line| format!("{file}:{line}: \"{phrase}\"; write {term}")).collect::<Vec<_>>()
        });
        found.collect::<Vec<_>>()
    }));
}

#[test]
fn words_are_found_in_names_and_across_lines() {
    for (text, lines) in [
        ("fn f() {}\n/// It is under\n/// way.", vec![2]),
        ("is_under_way UnderWay underway UNDER WAY", vec![1, 1, 1]),
        ("under the way, sunder way", vec![]),
    ] {
        assert_eq!(occurrences(&words(text), "under way"), lines, "{text}");
    }
}
