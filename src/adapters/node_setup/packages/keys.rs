//! `OpenPGP` keys that package signatures are checked with.

/// Microsoft's key for the repositories of packages.microsoft.com, as published at
/// <https://packages.microsoft.com/keys/microsoft.asc>. A test computes its fingerprint.
pub const MICROSOFT: &str = include_str!("microsoft.asc");

/// The fingerprint of [`MICROSOFT`].
pub const MICROSOFT_FINGERPRINT: &str = "BC528686B50D79E339D3721CEB3E94ADBE1229CF";

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The armoured keys of a text, one by one: apt reads only the first of a file.
pub(super) fn blocks(text: &str) -> Result<Vec<String>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let block = &rest[begin..];
        let end = block.find(END).ok_or_else(|| format!("a key has no line {END:?}"))? + END.len();
        if block[BEGIN.len()..end].contains(BEGIN) {
            return Err(format!("a key has no line {END:?}"));
        }
        blocks.push(format!("{}\n", &block[..end]));
        rest = &block[end..];
    }
    if blocks.is_empty() {
        return Err(format!("it holds no ASCII-armoured key ({BEGIN:?}); export one with gpg --armor --export"));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_a_file_is_found() {
        let two = format!("comment\n{MICROSOFT}\n{MICROSOFT}");
        let found = blocks(&two).unwrap();
        assert_eq!(found, [MICROSOFT, MICROSOFT]);
    }

    #[test]
    fn a_file_without_a_whole_key_is_refused() {
        let cut = &MICROSOFT[..MICROSOFT.len() / 2];
        let private = MICROSOFT.replace("PUBLIC", "PRIVATE");
        for text in ["", "binary \u{99}", cut, &format!("{cut}{MICROSOFT}"), &private] {
            assert!(blocks(text).is_err(), "{text}");
        }
    }
}
