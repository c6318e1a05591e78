//! Source of a Lustre mount: MGS address (servers, NIDs), file system name and sub-directory, in one normal form.
//!
//! The kernel shows a mount's source exactly as it was given (`tcp0` stays `tcp0`, double slashes stay), so
//! two spellings of one thing are only equal after both were parsed. The kernel takes numeric addresses with a network
//! (`10.0.0.4@tcp`) and nothing else.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::problem::Notice;
use super::sub_dir::{SubDir, SubDirError};
use super::text::{quote, text_types};

/// The file system name of AMLFS, used where none is given.
pub const DEFAULT_FS_NAME: &str = "lustrefs";

/// Why a text cannot be a mount source or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not an MGS address.
    #[error(
        "{0} is not an MGS address; use the IPv4 address or host name of the file system's MGS, such as 10.0.0.4 (`@tcp` is optional; `,` joins addresses of one server, `:` failover servers)"
    )]
    Mgs(String),
    /// An IPv6 address, which Lustre may have and AMLFS has not.
    #[error(
        "{0} is an IPv6 address, but Azure Managed Lustre has IPv4 addresses only; use one, such as 10.0.0.4, or a host name"
    )]
    V6(String),
    /// Not a Lustre file system name.
    #[error("{0} is not a Lustre file system name (1 to 8 of A-Z a-z 0-9 _ -)")]
    FsName(String),
    /// Not a directory below the root.
    #[error(transparent)]
    SubDir(#[from] SubDirError),
    /// Not of the form `<mgs>:/<fs>[/<dir>]`.
    #[error("{0} is not a Lustre source such as 10.0.0.4@tcp:/lustrefs")]
    Form(String),
}

/// One network address of a server with its LNet network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Nid {
    /// The host part.
    pub host: Host,
    /// LNet network in its normal form: `tcp`, `tcp1`, `o2ib` (a trailing 0 is dropped).
    pub network: String,
}

/// The host part of a [`Nid`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// What the kernel takes and AMLFS uses.
    V4(Ipv4Addr),
    /// Large NIDs of Lustre 2.16 and newer.
    V6(Ipv6Addr),
    /// Must be resolved before a mount; the kernel does not resolve names.
    Name(String),
}

/// Address of a file system's management server: failover servers, each with one or more NIDs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MgsAddress(Vec<Vec<Nid>>);

impl MgsAddress {
    /// Takes `a`, `a@tcp`, `a,b` (addresses of one server) and `a:b` (failover servers), where `a` is an IPv4 address or a
    /// host name. A full stop at the end of a name, as resolvers write it, is dropped.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        let error = || SourceError::Mgs(quote(text));
        if is_v6(text) {
            return Err(SourceError::V6(quote(text)));
        }
        let server = |nids: &str| nids.split(',').map(parse_nid).collect::<Option<Vec<_>>>();
        text.split(':').map(server).collect::<Option<Vec<_>>>().map(Self).ok_or_else(error)
    }

    /// The servers in failover order, each with its addresses.
    pub fn servers(&self) -> &[Vec<Nid>] {
        &self.0
    }
}

fn parse_nid(text: &str) -> Option<Nid> {
    let (host, network) = text.split_once('@').unwrap_or((text, "tcp"));
    Some(Nid { host: parse_host(host)?, network: parse_network(network)? })
}

/// Whether any address in `text`, which holds no separating colon, is an IPv6 one: bare, in brackets, with a network or
/// with a zone.
fn is_v6(text: &str) -> bool {
    text.split(',').any(|nid| {
        let host = nid.split_once('@').map_or(nid, |(host, _)| host);
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        bare.split_once('%').map_or(bare, |(address, _)| address).parse::<Ipv6Addr>().is_ok()
    })
}

fn parse_host(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse() {
        return Some(Host::V4(address));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let name = text.strip_suffix('.').unwrap_or(text);
    (name.len() <= 253 && !numeric && name.split('.').all(label)).then(|| Host::Name(name.to_ascii_lowercase()))
}

fn parse_network(text: &str) -> Option<String> {
    let number = text.strip_prefix("tcp").or_else(|| text.strip_prefix("o2ib"))?;
    let kind = &text[..text.len() - number.len()];
    match number {
        "" | "0" => Some(kind.to_owned()),
        _ if number.len() <= 4 && number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') => {
            Some(text.to_owned())
        }
        _ => None,
    }
}

impl fmt::Display for Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::V4(address) => write!(f, "{address}@{}", self.network),
            Host::V6(address) => write!(f, "{address}@{}", self.network),
            Host::Name(name) => write!(f, "{name}@{}", self.network),
        }
    }
}

impl fmt::Display for MgsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.0.iter().enumerate() {
            let nids: Vec<String> = server.iter().map(Nid::to_string).collect();
            write!(f, "{}{}", if index == 0 { "" } else { ":" }, nids.join(","))?;
        }
        Ok(())
    }
}

/// Name of a Lustre file system on its servers: 1 to 8 characters (mkfs.lustre(8), `--fsname`; the kernel answers
/// `ENAMETOOLONG` beyond).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FsName(String);

impl FsName {
    /// Takes a valid name; slashes round it are dropped.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let name = text.trim().trim_matches('/');
        let valid = (1..=8).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if valid { Ok(Self(name.to_owned())) } else { Err(SourceError::FsName(quote(text))) }
    }

    /// The file system that an `fs-name` of a parameter, volume context or volume id stands for. The Go driver never reads
    /// it and mounts `lustrefs` always, so objects in the field hold anything there, often the name of the Azure resource:
    /// a name that no Lustre can have means `lustrefs`, with a notice, and so does an empty one. A possible name is kept.
    pub fn of_volume(text: &str) -> (Self, Option<Notice>) {
        match Self::parse(text) {
            Ok(name) => (name, None),
            Err(_) if text.trim().is_empty() => (Self::default(), None),
            Err(error) => {
                let instead = format!("{error}; {DEFAULT_FS_NAME} is used, the name of every AMLFS file system");
                (Self::default(), Some(Notice::warning("fs-name", instead)))
            }
        }
    }
}

impl Default for FsName {
    fn default() -> Self {
        Self(DEFAULT_FS_NAME.to_owned())
    }
}

text_types!(FsName);

/// Source of a mount in its normal form: `10.0.0.4@tcp:/lustrefs/dir`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MountSource {
    /// The servers.
    pub mgs: MgsAddress,
    /// The file system on them.
    pub fs_name: FsName,
    /// The directory that is mounted; none is the root.
    pub sub_dir: Option<SubDir>,
}

impl MountSource {
    /// Reads a source as mountinfo shows it, in any spelling.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let (mgs, path) = text.split_once(":/").ok_or_else(|| SourceError::Form(quote(text)))?;
        let path = path.trim_start_matches('/');
        let (fs_name, sub_dir) = path.split_once('/').unwrap_or((path, ""));
        let sub_dir = sub_dir.trim_matches('/');
        Ok(Self {
            mgs: MgsAddress::parse(mgs)?,
            fs_name: FsName::parse(fs_name)?,
            sub_dir: if sub_dir.is_empty() { None } else { Some(SubDir::parse(sub_dir)?) },
        })
    }

    /// The same file system without the sub-directory.
    #[must_use]
    pub fn root(&self) -> Self {
        Self { sub_dir: None, ..self.clone() }
    }
}

impl fmt::Display for MountSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:/{}", self.mgs, self.fs_name)?;
        self.sub_dir.as_ref().map_or(Ok(()), |dir| write!(f, "/{dir}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_normal_form() {
        for (text, normal) in [
            ("10.0.0.4", "10.0.0.4@tcp"),
            (" 10.0.0.4@tcp0 ", "10.0.0.4@tcp"),
            ("10.0.0.4@tcp1", "10.0.0.4@tcp1"),
            ("10.0.0.4:10.0.0.5", "10.0.0.4@tcp:10.0.0.5@tcp"),
            ("10.0.0.4@tcp,10.1.0.4@tcp1:10.0.0.5", "10.0.0.4@tcp,10.1.0.4@tcp1:10.0.0.5@tcp"),
            ("MGS.example.com", "mgs.example.com@tcp"),
            ("mgs.example.", "mgs.example@tcp"),
            ("mgs.@tcp:mgs2.example.@tcp1,10.0.0.4", "mgs@tcp:mgs2.example@tcp1,10.0.0.4@tcp"),
        ] {
            assert_eq!(MgsAddress::parse(text).unwrap().to_string(), normal);
        }
        for bad in
            ["", "1.2.3", "1.2.3.256", "a b", "a/b", "a#b", "10.0.0.4@", "10.0.0.4@ib", "a,,b", "a:", "-a", "a@tcp00"]
        {
            assert!(MgsAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_amlfs_cannot_have_is_refused_with_what_is_taken() {
        for v6 in [
            "fd00::1",
            "fd00::1@tcp",
            "[fd00::1]",
            "fe80::1%eth0",
            "::ffff:10.0.0.4",
            "fd00:1:2:3:4:5:6:7",
            "fd00::1,fd00::2",
        ] {
            let error = MgsAddress::parse(v6).unwrap_err().to_string();
            assert!(error.contains("is an IPv6 address") && error.contains("10.0.0.4"), "{v6}: {error}");
        }
        for odd in [
            "10.0.0.4::10.0.0.5",
            ":10.0.0.4",
            "10.0.0.4,",
            "10.0.0.4;10.0.0.5",
            "10.0.0.4.",
            "mgs..",
            ".",
            "10.0.0.4:988",
            "10.0.0.4 10.0.0.5",
        ] {
            let error = MgsAddress::parse(odd).unwrap_err().to_string();
            assert!(error.contains("IPv4 address or host name"), "{odd}: {error}");
        }
    }

    #[test]
    fn an_fs_name_that_no_lustre_can_have_stands_for_lustrefs() {
        for kept in ["lustrefs", "myfs", " /hpc_1-a/ "] {
            let (name, notice) = FsName::of_volume(kept);
            assert_eq!((name.as_str(), notice), (kept.trim().trim_matches('/'), None));
        }
        for replaced in ["lustreAKS", "my.fs", "a b", "a#b", "über", "a/b"] {
            let (name, notice) = FsName::of_volume(replaced);
            assert_eq!(name, FsName::default());
            assert!(notice.unwrap().to_string().contains(replaced));
        }
        assert_eq!(FsName::of_volume(" "), (FsName::default(), None));
    }

    #[test]
    fn sources_are_equal_after_normalising() {
        let source = MountSource::parse("10.99.0.1@tcp0://lustrefs/sub//dir/").unwrap();
        assert_eq!(source, MountSource::parse("10.99.0.1@tcp:/lustrefs/sub/dir").unwrap());
        assert_eq!(source.to_string(), "10.99.0.1@tcp:/lustrefs/sub/dir");
        assert_eq!(source.root().to_string(), "10.99.0.1@tcp:/lustrefs");
        for bad in ["tmpfs", "10.0.0.4@tcp:/", "10.0.0.4@tcp:/toolongname", "10.0.0.4@tcp:/lustrefs/../x"] {
            assert!(MountSource::parse(bad).is_err(), "{bad:?}");
        }
    }
}
