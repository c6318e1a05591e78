//! `OpenPGP` keys that package signatures are verified with.

/// Microsoft's key for the repositories of packages.microsoft.com, as published at
/// <https://packages.microsoft.com/keys/microsoft.asc>. A test computes its fingerprint.
pub const MICROSOFT: &str = include_str!("microsoft.asc");

/// The fingerprint of [`MICROSOFT`].
pub const MICROSOFT_FINGERPRINT: &str = "BC528686B50D79E339D3721CEB3E94ADBE1229CF";

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// The ASCII-armoured keys of a text (RFC 9580, section 6.2), one by one: apt reads only the first of a file.
pub(super) fn armoured_keys(text: &str) -> Result<Vec<String>, String> {
    let key = |rest: &str| {
        let end = rest.find(END).ok_or_else(|| format!("a key has no line {END:?}"))?;
        Ok(format!("{BEGIN}{}{END}\n", &rest[..end]))
    };
    let keys: Vec<_> = text.split(BEGIN).skip(1).map(key).collect::<Result<_, String>>()?;
    if keys.is_empty() {
        return Err(format!("it has no ASCII-armoured key ({BEGIN:?}); export one with gpg --armor --export"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_a_file_is_found() {
        let two = format!("comment\n{MICROSOFT}\n{MICROSOFT}");
        let found = armoured_keys(&two).unwrap();
        assert_eq!(found, [MICROSOFT, MICROSOFT]);
    }

    #[test]
    fn a_file_without_a_whole_key_is_refused() {
        let cut = &MICROSOFT[..MICROSOFT.len() / 2];
        let private = MICROSOFT.replace("PUBLIC", "PRIVATE");
        for text in ["", "binary \u{99}", cut, &format!("{cut}{MICROSOFT}"), &private] {
            assert!(armoured_keys(text).is_err(), "{text}");
        }
    }
}
