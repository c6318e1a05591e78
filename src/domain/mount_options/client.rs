//! Mount options that clients of some versions alone know, and what to do about them on an older client.
//!
//! `unique_fsid` is not among them: the version does not say which builds know it.

use super::MountOptions;
use crate::domain::lustre_version::LustreVersion;

/// What is done on a client that does not know an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Older {
    /// The mount is refused, as the client would refuse it.
    Refuse,
    /// `sync` stands for it and promises more; so did mount.lustre, which matches options by their beginning.
    Sync,
    /// It is dropped: it is what an older client does anyway.
    Drop,
}

/// Options with the first version that knows them (`lustre/llite/llite_lib.c`, `ll_options`).
const SINCE: [(&str, LustreVersion, Older); 6] = [
    ("encrypt", LustreVersion([2, 14, 0]), Older::Refuse),
    ("noencrypt", LustreVersion([2, 14, 0]), Older::Drop),
    ("statfs_project", LustreVersion([2, 17, 0]), Older::Refuse),
    ("nostatfs_project", LustreVersion([2, 17, 0]), Older::Refuse),
    ("sync_on_close", LustreVersion([2, 17, 57]), Older::Sync),
    ("nosync_on_close", LustreVersion([2, 17, 57]), Older::Drop),
];

/// A mount option that the client of this node does not know. Displays with the version that does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mount option {option} needs a Lustre client of {since} or newer, and this node has {client}")]
pub struct UnsupportedOption {
    /// The option.
    pub option: &'static str,
    /// The first version that knows it.
    pub since: LustreVersion,
    /// The version of this node's client.
    pub client: LustreVersion,
}

impl MountOptions {
    /// Whether the options depend on the version of the client.
    pub fn depend_on_client(&self) -> bool {
        self.lustre.iter().any(|option| since(option).is_some())
    }

    /// The options as a client of this version takes them. Where the version is not known (the module is loaded by the
    /// first mount), those that an older client may do without are replaced, and the others handed on.
    ///
    /// # Errors
    /// If the client does not know an option and nothing can stand for it.
    pub fn for_client(&self, client: Option<LustreVersion>) -> Result<Self, UnsupportedOption> {
        let mut options = Self { lustre: Vec::new(), ..self.clone() };
        for option in &self.lustre {
            match (since(option), client) {
                (Some((_, first, _)), Some(client)) if client >= *first => options.lustre.push(option),
                (Some((option, since, Older::Refuse)), Some(client)) => {
                    return Err(UnsupportedOption { option, since: *since, client });
                }
                (Some((.., Older::Sync)), _) => options.synchronous = true,
                (Some((.., Older::Drop)), _) => {}
                (Some((.., Older::Refuse)) | None, _) => options.lustre.push(option),
            }
        }
        Ok(options)
    }
}

fn since(option: &str) -> Option<&'static (&'static str, LustreVersion, Older)> {
    SINCE.iter().find(|(known, ..)| *known == option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(client: &str, flags: &str) -> Result<Vec<&'static str>, String> {
        let options = MountOptions::parse(&[flags.to_owned()]).unwrap();
        let options = options.for_client(LustreVersion::parse(client)).map_err(|error| error.to_string())?;
        Ok(options.words())
    }

    #[test]
    fn options_are_what_the_loaded_client_knows() {
        let words = |words: &[&'static str]| Ok(words.to_vec());
        for (client, flags, expected) in [
            ("2.15.8_39_g2d32b59", "flock,user_xattr,encrypt", words(&["rw", "flock", "user_xattr", "encrypt"])),
            ("2.17.0_24_gf517bc4", "statfs_project", words(&["rw", "statfs_project"])),
            (
                "2.16.1_21_g153e389",
                "statfs_project",
                Err("statfs_project needs a Lustre client of 2.17.0 or newer, and this node has 2.16.1"),
            ),
            (
                "2.15.8",
                "flock,nostatfs_project",
                Err("nostatfs_project needs a Lustre client of 2.17.0 or newer, and this node has 2.15.8"),
            ),
            ("2.12.9", "encrypt", Err("encrypt needs a Lustre client of 2.14.0 or newer, and this node has 2.12.9")),
            ("2.12.9", "noencrypt", words(&["rw"])),
            ("2.17.0", "sync_on_close", words(&["rw", "sync"])),
            ("2.17.57", "sync_on_close", words(&["rw", "sync_on_close"])),
            ("2.15.8", "nosync_on_close,flock", words(&["rw", "flock"])),
            ("2.18.0", "nosync_on_close", words(&["rw", "nosync_on_close"])),
            ("2.15.8", "unique_fsid", words(&["rw", "unique_fsid"])),
            ("", "statfs_project,sync_on_close", words(&["rw", "sync", "statfs_project"])),
            ("", "noencrypt,flock", words(&["rw", "flock"])),
        ] {
            let expected: Result<_, &str> = expected;
            let expected = expected.map_err(|error| format!("mount option {error}"));
            assert_eq!(on(client, flags), expected, "{client} {flags}");
        }
    }

    #[test]
    fn only_options_of_the_table_depend_on_the_client() {
        for (flags, depend) in [("flock,noatime", false), ("unique_fsid", false), ("flock,statfs_project", true)] {
            let options = MountOptions::parse(&[flags.to_owned()]).unwrap();
            assert_eq!(options.depend_on_client(), depend, "{flags}");
        }
    }
}
