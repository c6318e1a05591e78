//! Sub-directory templates: no text escapes, no value is scanned again.

use std::path::{Component, Path};

use azurelustre_csi::domain::sub_dir::{SubDir, SubDirTemplate};
use azurelustre_csi::domain::template::VARIABLES;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::config;
use crate::generators::{context, hostile};

/// A piece of a template: text, or one of the seven variables.
#[derive(Debug, Clone)]
enum Piece {
    Text(&'static str),
    Variable(usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    let texts =
        "a b-c .. . / // /../ ./ # } %2e ä ... ~ \0".split(' ').chain([" ", "\n", "\u{2028}"]).collect::<Vec<_>>();
    prop_oneof![select(texts).prop_map(Piece::Text), (0..VARIABLES.len()).prop_map(Piece::Variable)]
}

/// What a path is without `.` and repeated slashes.
fn plain(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

pub(crate) fn stays_below(root: &str, dir: &SubDir) -> bool {
    let path = Path::new(dir.as_str());
    let joined = Path::new(root).join(path);
    path.components().all(|part| matches!(part, Component::Normal(_)))
        && dir.as_str().split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !dir.as_str().contains(|c: char| c.is_control() || c == '#')
        && joined.starts_with(root)
        && joined != Path::new(root)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    #[test]
    fn no_template_and_no_value_escapes(text in hostile(), context in context()) {
        if let Ok(dir) = SubDirTemplate::parse(&text).and_then(|template| template.expand(&context)) {
            prop_assert!(stays_below("/mnt/root", &dir), "{:?}", dir);
        }
        if let Ok(dir) = SubDir::parse(&text) {
            prop_assert!(stays_below("/mnt/root", &dir), "{:?}", dir);
            prop_assert_eq!(SubDir::parse(dir.as_str()), Ok(dir));
        }
    }

    #[test]
    fn a_template_is_filled_once_left_to_right(pieces in vec(piece(), 0..6), context in context()) {
        let (mut written, mut filled, mut usable) = (String::new(), String::new(), true);
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    written.push_str(text);
                    filled.push_str(text);
                }
                Piece::Variable(index) => {
                    let (variable, key) = VARIABLES[*index];
                    let value = context.get(key).map_or("", String::as_str);
                    usable &= !matches!(value, "" | "." | "..") && !value.contains('/');
                    written.extend(["${", variable, "}"]);
                    filled.push_str(value);
                }
            }
        }
        let Ok(template) = SubDirTemplate::parse(&written) else {
            let with_words = pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "x" }).collect::<String>();
            prop_assert!(SubDir::parse(&with_words).is_err(), "{:?} was refused", written);
            return Ok(());
        };
        prop_assert_eq!(SubDirTemplate::parse(template.as_str()), Ok(template.clone()));
        let expected = SubDir::parse(&filled).ok().filter(|_| usable).map(|_| plain(&filled));
        prop_assert_eq!(template.expand(&context).ok().map(|dir| dir.as_str().to_owned()), expected);
    }
}
