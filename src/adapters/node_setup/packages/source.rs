//! Where packages come from: repository, further keys, and SHA-256 of package files on the node.

use std::fs;
use std::path::Path;

use super::keys;
use crate::adapters::node_setup::error::SetupError;
use crate::adapters::node_setup::os::Os;

/// Settings of the package source, judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageSource {
    url: Option<String>,
    keys: Vec<String>,
    sha256: Vec<String>,
}

impl PackageSource {
    /// `url`: a repository in the place of Microsoft's, with `{os}` for `jammy`, `noble` or `azurelinux3`. `key_file`: a file
    /// of this process with ASCII-armoured OpenPGP keys that are trusted besides Microsoft's. `sha256`: hashes of package
    /// files, separated by commas, that may be used without a signature. All problems are in the error, each with its
    /// setting.
    pub fn new(url: Option<&str>, key_file: Option<&Path>, sha256: Option<&str>) -> Result<Self, Vec<String>> {
        let url = url.map(parse_url).transpose().map_err(|why| format!("package-url: {why}"));
        let keys = key_file.map(read_keys).transpose().map_err(|why| format!("package-key-file: {why}"));
        let sha256 = sha256.map(parse_hashes).transpose().map_err(|why| format!("package-sha256: {why}"));
        match (url, keys, sha256) {
            (Ok(url), Ok(keys), Ok(sha256)) => {
                Ok(Self { url, keys: keys.unwrap_or_default(), sha256: sha256.unwrap_or_default() })
            }
            (url, keys, sha256) => Err([url.err(), keys.err(), sha256.err()].into_iter().flatten().collect()),
        }
    }

    /// The repository for an operating system, without a slash at its end.
    pub(super) fn repository(&self, os: Os) -> String {
        match &self.url {
            Some(url) => url.replace("{os}", os.key()),
            None if os == Os::AzureLinux3 => "https://packages.microsoft.com/yumrepos/amlfs-al3".to_owned(),
            None => format!("https://packages.microsoft.com/repos/amlfs-{}", os.key()),
        }
    }

    /// Whether the repository is not Microsoft's.
    pub(super) fn is_mirror(&self) -> bool {
        self.url.is_some()
    }

    /// Trusted keys: file name and ASCII-armoured content.
    pub(super) fn trusted_keys(&self) -> Vec<(String, &str)> {
        let further = self.keys.iter().enumerate().map(|(at, key)| (format!("further-{}.asc", at + 1), key.as_str()));
        std::iter::once(("microsoft.asc".to_owned(), keys::MICROSOFT)).chain(further).collect()
    }

    /// Whether a package file with this SHA-256, in lower case, may be used without a signature.
    pub(super) fn accepts(&self, sha256: &str) -> bool {
        self.sha256.iter().any(|accepted| accepted == sha256)
    }
}

/// A repository's address goes into configuration files and messages, so it holds nothing that would end a word there, and
/// no password.
fn parse_url(text: &str) -> Result<String, String> {
    let url = text.trim();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("{:?} does not begin with https:// or http://", without_userinfo(url)));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/%+=@{}".contains(c);
    if authority.contains('@') {
        return Err("it holds a user name; give credentials in /etc/apt/auth.conf.d of the node".to_owned());
    }
    if authority.is_empty() || !rest.chars().all(plain) || rest.replace("{os}", "").contains(['{', '}']) {
        return Err(format!("{url:?} is not a URL such as https://mirror.example.com/repos/amlfs-{{os}}"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// `text` without what stands between `//` and `@`, which may be a password.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("//");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let end = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let after = part[..end].rfind('@').map_or(0, |at| at + 1);
        format!("{done}//{}", &part[after..])
    })
}

fn read_keys(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let keys = keys::blocks(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(keys)
}

fn parse_hashes(text: &str) -> Result<Vec<String>, String> {
    let hash = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        let plain = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        if plain { Ok(word) } else { Err(format!("{word:?} is not a SHA-256 of 64 hexadecimal digits")) }
    };
    text.split(',').map(hash).collect()
}

/// A package file of the node that no setting accepts.
pub(super) fn not_accepted(what: String, path: &Path, sha256: &str) -> SetupError {
    SetupError::wrong_setting(
        what,
        format!("{} has SHA-256 {sha256}, which package-sha256 does not name", path.display()),
        "Compare the hash with the one of the package's origin, then add it to package-sha256; or remove the file.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_microsofts_unless_another_is_given() {
        let url = |url: Option<&str>, os| PackageSource::new(url, None, None).unwrap().repository(os);
        assert_eq!(url(None, Os::Noble), "https://packages.microsoft.com/repos/amlfs-noble");
        assert_eq!(url(None, Os::AzureLinux3), "https://packages.microsoft.com/yumrepos/amlfs-al3");
        assert_eq!(url(Some("http://m:8080/r/{os}/"), Os::Jammy), "http://m:8080/r/jammy");
        assert_eq!(url(Some(" https://m/x "), Os::Jammy), "https://m/x");
    }

    #[test]
    fn an_address_that_would_break_a_configuration_file_is_refused() {
        for url in [
            "", "m/x", "ftp://m/x", "file:///x", "https://", "https:///x", "https://m/a b", "https://m/\nx", "https://m/\"",
            "https://m/{dist}", "https://m/{os", "https://m/[x]", "https://user:pw@m/x", "user:pw://secret@m",
        ] {
            let problems = PackageSource::new(Some(url), None, None).unwrap_err();
            assert!(matches!(problems.as_slice(), [one] if one.starts_with("package-url: ")), "{url}: {problems:?}");
            assert!(!problems[0].contains("pw"), "{problems:?}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = PackageSource::new(Some("x"), Some(Path::new("/no/such/file")), Some("abc")).unwrap_err();
        let settings = ["package-url", "package-key-file", "package-sha256"];
        assert_eq!(problems.len(), 3);
        assert!(problems.iter().zip(settings).all(|(problem, setting)| problem.starts_with(setting)), "{problems:?}");
    }

    #[test]
    fn hashes_are_compared_without_case() {
        let (first, second) = ("AB".repeat(32), "cd".repeat(32));
        let source = PackageSource::new(None, None, Some(&format!("{first}, {second}"))).unwrap();
        assert!(source.accepts(&first.to_lowercase()) && source.accepts(&second) && !source.accepts(&"0".repeat(64)));
        for wrong in ["", "ab", &"g".repeat(64), &format!("{first},")] {
            assert!(PackageSource::new(None, None, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_of_proxies_are_not_repeated() {
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
