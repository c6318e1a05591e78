//! The package source: URL of the repository, additional trusted keys, and accepted SHA-256 of package files on the node.

use std::fs;
use std::path::Path;

use super::keys;
use crate::adapters::node_setup::os::Os;

/// Settings of the package source after parsing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageSource {
    /// URL of a repository that replaces Microsoft's, as [`parse_url`] reads it.
    pub url: Option<String>,
    /// Keys that are trusted besides Microsoft's, as [`read_keys`] reads them.
    pub keys: Vec<String>,
    /// Hashes of package files that may be used without a signature, as [`parse_hashes`] reads them.
    pub sha256: Vec<String>,
}

impl PackageSource {
    /// The repository for an operating system, without a slash at its end.
    pub(super) fn repository(&self, os: Os) -> String {
        match &self.url {
            Some(url) => url.replace("{os}", os.key()),
            None if os == Os::AzureLinux3 => "https://packages.microsoft.com/yumrepos/amlfs-al3".to_owned(),
            None => format!("https://packages.microsoft.com/repos/amlfs-{}", os.key()),
        }
    }

    /// Trusted keys: file name and ASCII-armoured content.
    pub(super) fn trusted_keys(&self) -> Vec<(String, &str)> {
        let additional =
            self.keys.iter().enumerate().map(|(at, key)| (format!("additional-{}.asc", at + 1), key.as_str()));
        std::iter::once(("microsoft.asc".to_owned(), keys::MICROSOFT)).chain(additional).collect()
    }

    /// Whether a package file with this SHA-256, in lower case, may be used without a signature.
    pub(super) fn accepts(&self, sha256: &str) -> bool {
        self.sha256.iter().any(|accepted| accepted == sha256)
    }
}

/// Parses the URL of a repository, with `{os}` for `jammy`, `noble` or `azurelinux3`. It is written into configuration files
/// and messages, so it must not contain a character that ends a word there, nor a password.
pub fn parse_url(text: &str) -> Result<String, String> {
    let url = text.trim();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("{:?} does not begin with https:// or http://", without_userinfo(url)));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/%+=@{}".contains(c);
    if authority.contains('@') {
        return Err("it contains a user name; give credentials in /etc/apt/auth.conf.d of the node".to_owned());
    }
    if authority.is_empty() || !rest.chars().all(plain) || rest.replace("{os}", "").contains(['{', '}']) {
        return Err(format!("{url:?} is not a URL such as https://mirror.example.com/repos/amlfs-{{os}}"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// `text` without the user information of URLs (RFC 3986, section 3.2.1), which may be a password.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("//");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let end = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let after = part[..end].rfind('@').map_or(0, |at| at + 1);
        format!("{done}//{}", &part[after..])
    })
}

/// Reads a file of the container with ASCII-armoured `OpenPGP` keys.
pub fn read_keys(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    keys::armoured_keys(&String::from_utf8_lossy(&text)).map_err(|why| format!("{}: {why}", path.display()))
}

/// Parses one SHA-256 of 64 hexadecimal digits, or several separated by commas.
pub fn parse_hashes(text: &str) -> Result<Vec<String>, String> {
    let hash = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        let plain = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        if plain { Ok(word) } else { Err(format!("{word:?} is not a SHA-256 of 64 hexadecimal digits")) }
    };
    text.split(',').map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_microsofts_unless_a_setting_replaces_it() {
        let url = |url: Option<&str>, os| {
            let url = url.map(|url| parse_url(url).unwrap());
            PackageSource { url, ..PackageSource::default() }.repository(os)
        };
        assert_eq!(url(None, Os::Noble), "https://packages.microsoft.com/repos/amlfs-noble");
        assert_eq!(url(None, Os::AzureLinux3), "https://packages.microsoft.com/yumrepos/amlfs-al3");
        assert_eq!(url(Some("http://m:8080/r/{os}/"), Os::Jammy), "http://m:8080/r/jammy");
        assert_eq!(url(Some(" https://m/x "), Os::Jammy), "https://m/x");
    }

    #[test]
    fn a_url_that_would_break_a_configuration_file_is_rejected() {
        for url in [
            "",
            "m/x",
            "ftp://u:secret@m/x",
            "file:///x",
            "https://",
            "https:///x",
            "https://m/a b",
            "https://m/\nx",
            "https://m/\"",
            "https://m/{dist}",
            "https://m/{os",
            "https://m/[x]",
            "https://user:secret@m/x",
        ] {
            let problem = parse_url(url).unwrap_err();
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn hashes_are_compared_without_case() {
        let (first, second) = ("AB".repeat(32), "cd".repeat(32));
        let sha256 = parse_hashes(&format!("{first}, {second}")).unwrap();
        let source = PackageSource { sha256, ..PackageSource::default() };
        assert!(source.accepts(&first.to_lowercase()) && source.accepts(&second) && !source.accepts(&"0".repeat(64)));
        for wrong in ["", "ab", &"g".repeat(64), &format!("{first},")] {
            assert!(parse_hashes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.asc");
        assert!(read_keys(&path).unwrap_err().contains("keys.asc"));
        fs::write(&path, [0x99, 1, 2]).unwrap();
        assert!(read_keys(&path).unwrap_err().contains("keys.asc"));
        fs::write(&path, keys::MICROSOFT).unwrap();
        let source = PackageSource { keys: read_keys(&path).unwrap(), ..PackageSource::default() };
        let names: Vec<_> = source.trusted_keys().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["microsoft.asc", "additional-1.asc"]);
    }

    #[test]
    fn passwords_of_proxies_are_removed() {
        for (text, expected) in [
            ("http://u:p@proxy:3128 failed", "http://proxy:3128 failed"),
            ("http://u:p@w@proxy/x", "http://proxy/x"),
            ("a https://m/x@y b", "a https://m/x@y b"),
            ("http://m, http://u@n", "http://m, http://n"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_userinfo(text), expected);
        }
    }
}
