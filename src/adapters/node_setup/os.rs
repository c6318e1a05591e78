//! Operating systems and processor architectures for which Microsoft publishes the Lustre client ("Client installation" of the
//! Azure Managed Lustre documentation; the repositories `amlfs-*` of packages.microsoft.com).

use std::fmt;

use super::error::SetupError;

/// A supported release of an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Os {
    /// Ubuntu 22.04.
    Jammy,
    /// Ubuntu 24.04.
    Noble,
    /// Azure Linux 3.
    AzureLinux3,
}

impl Os {
    /// All supported releases.
    pub const ALL: [Self; 3] = [Self::Jammy, Self::Noble, Self::AzureLinux3];

    /// The release that an os-release(5) file describes by `ID` and `VERSION_ID`.
    pub fn parse(os_release: &str) -> Result<Self, SetupError> {
        let (id, version) = (field(os_release, "ID"), field(os_release, "VERSION_ID"));
        match (id.as_str(), version.as_str()) {
            ("ubuntu", "22.04") => Ok(Self::Jammy),
            ("ubuntu", "24.04") => Ok(Self::Noble),
            ("azurelinux", version) if version.split('.').next() == Some("3") => Ok(Self::AzureLinux3),
            _ => Err(SetupError::needs_human(
                "cannot choose a Lustre client for this node",
                format!(
                    "its operating system is {id:?} {version:?} (/etc/os-release), for which no packages are published"
                ),
                "Use nodes with Ubuntu 22.04, Ubuntu 24.04 or Azure Linux 3; or load the client by other means and set install-lustre-client to no.",
            )),
        }
    }

    /// Whether the release's repository has packages for this architecture.
    pub fn supports(self, machine: Machine) -> bool {
        machine == Machine::X86_64 || self == Self::Noble
    }

    fn release(self) -> Release {
        match self {
            Self::Jammy => Release { key: "jammy", name: "Ubuntu 22.04", client: "2.15.8-39-g2d32b59" },
            Self::Noble => Release { key: "noble", name: "Ubuntu 24.04", client: "2.17.0-24-gf517bc4" },
            Self::AzureLinux3 => Release { key: "azurelinux3", name: "Azure Linux 3", client: "2.17.0-24-gf517bc4" },
        }
    }

    /// The name in the setting `client-version`; of Ubuntu also in the name of the repository, `amlfs-<key>`.
    pub fn key(self) -> &'static str {
        self.release().key
    }

    /// The version of the client that is installed where the settings give none.
    pub fn default_client(self) -> &'static str {
        self.release().client
    }
}

/// One row of the supported releases.
struct Release {
    key: &'static str,
    name: &'static str,
    /// A version of the repository's index: `dists/<key>/main` or `repodata` below packages.microsoft.com.
    client: &'static str,
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.release().name)
    }
}

/// The value of `name` in an os-release(5) file, without its quotes; the last assignment counts, as in a shell.
fn field(text: &str, name: &str) -> String {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    let value = values.next_back().unwrap_or_default().trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// amd64.
    X86_64,
    /// arm64.
    Aarch64,
}

impl Machine {
    /// Parses `machine` of uname(2).
    pub fn parse(machine: &str) -> Result<Self, SetupError> {
        match machine.trim() {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Aarch64),
            other => Err(SetupError::needs_human(
                "cannot choose a Lustre client for this node",
                format!("its architecture is {other:?}, for which no packages are published"),
                "Use nodes with x86_64 or aarch64 processors.",
            )),
        }
    }

    /// dpkg's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// uname's and rpm's name.
    pub fn rpm(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_recognised_by_id_and_version() {
        for (text, expected) in [
            ("NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nID=ubuntu\nID_LIKE=debian\n", Some(Os::Jammy)),
            ("ID='ubuntu'\nVERSION_ID='24.04'\n", Some(Os::Noble)),
            ("ID=ubuntu\nVERSION_ID=20.04\n", None),
            ("ID=azurelinux\nVERSION_ID=\"3.0\"\n", Some(Os::AzureLinux3)),
            ("ID=azurelinux\nVERSION_ID=\"3.0.20250910\"\n", Some(Os::AzureLinux3)),
            ("ID=azurelinux\nVERSION_ID=30\n", None),
            ("ID=azurecontainerlinux\nVERSION_ID=3.0\n", None),
            ("ID=mariner\nVERSION_ID=2.0\n", None),
            ("ID=flatcar\nVERSION_ID=4081.2.0\n", None),
            ("", None),
        ] {
            assert_eq!(Os::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_release_is_named_with_the_supported_ones() {
        let error = Os::parse("ID=flatcar\nVERSION_ID=4081.2.0\n").unwrap_err();
        assert_eq!(error.exit.code(), 3);
        assert!(error.why.contains("flatcar") && error.why.contains("4081.2.0"), "{error}");
        for os in Os::ALL {
            assert!(error.hint.contains(&os.to_string()), "{}", error.hint);
        }
    }
}
