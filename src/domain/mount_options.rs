//! Mount options: which become flags of mount(2), which go to Lustre, which are dropped, which are refused.
//!
//! Why it exists: the mount helper matches options by prefix and passes on what it does not know, so a user could slip in
//! `device=` (another file system) or an option that makes every mount fail. Here an option is matched whole, against an
//! allow-list. The lists follow what mount.lustre and the Lustre client accept.

use super::error::{Violations, nearest, quote};

/// How access times are kept. Lustre's default is strict, not the kernel's relative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessTime {
    /// `MS_STRICTATIME`; also when nothing was asked for.
    #[default]
    Strict,
    /// `MS_RELATIME`.
    Relative,
    /// `MS_NOATIME`.
    Never,
}

/// Options of one mount, sorted out. The last word wins, as in mount(8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountOptions {
    /// `MS_RDONLY`.
    pub read_only: bool,
    /// `MS_NOSUID`.
    pub no_suid: bool,
    /// `MS_NODEV`.
    pub no_dev: bool,
    /// `MS_NOEXEC`.
    pub no_exec: bool,
    /// `MS_SYNCHRONOUS`.
    pub synchronous: bool,
    /// `MS_NODIRATIME`.
    pub no_dir_atime: bool,
    /// Access times.
    pub access_time: AccessTime,
    /// What the Lustre client parses, in the order asked for, each once.
    pub lustre: Vec<&'static str>,
}

/// Options of the Lustre client; those on one line exclude each other.
const LUSTRE: [&[&str]; 11] = [
    &["flock", "noflock", "localflock"],
    &["user_xattr", "nouser_xattr"],
    &["checksum", "nochecksum"],
    &["lruresize", "nolruresize"],
    &["lazystatfs", "nolazystatfs"],
    &["user_fid2path", "nouser_fid2path"],
    &["verbose", "noverbose"],
    &["encrypt", "noencrypt"],
    &["statfs_project", "nostatfs_project"],
    &["always_ping"],
    &["32bitapi"],
];

/// Options with a meaning to mount(8) or systemd only.
const USERSPACE: [&str; 14] = [
    "_netdev", "nofail", "fail", "defaults", "auto", "noauto", "user", "nouser", "users", "nousers", "owner",
    "noowner", "group", "loop",
];
const USERSPACE_PREFIXES: [&str; 4] = ["x-", "X-", "retry=", "comment="];

const GENERIC: [&str; 18] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

impl MountOptions {
    /// Sorts out the mount flags of a request; every one that is refused is told.
    pub fn parse(flags: &[String]) -> Result<Self, Violations> {
        let mut options = Self::default();
        let mut violations = Violations::default();
        for flag in flags {
            let known = options.generic(flag) || options.lustre(flag) || userspace(flag);
            if !known {
                violations.push("mount option", refusal(flag));
            }
        }
        violations.into_result(Some(options))
    }

    fn generic(&mut self, flag: &str) -> bool {
        match flag {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nosuid" => self.no_suid = true,
            "suid" => self.no_suid = false,
            "nodev" => self.no_dev = true,
            "dev" => self.no_dev = false,
            "noexec" => self.no_exec = true,
            "exec" => self.no_exec = false,
            "sync" => self.synchronous = true,
            "async" => self.synchronous = false,
            "nodiratime" => self.no_dir_atime = true,
            "diratime" => self.no_dir_atime = false,
            "noatime" => self.access_time = AccessTime::Never,
            "relatime" => self.access_time = AccessTime::Relative,
            "strictatime" | "atime" | "norelatime" => self.access_time = AccessTime::Strict,
            _ => return false,
        }
        true
    }

    fn lustre(&mut self, flag: &str) -> bool {
        let Some(group) = group_of(flag) else { return false };
        self.lustre.retain(|earlier| !group.contains(earlier));
        self.lustre.extend(group.iter().find(|known| **known == flag));
        true
    }

    /// The generic options as words, for messages and for tables that show mounts: `ro` or `rw` first.
    pub fn words(&self) -> Vec<&'static str> {
        let access_time = match self.access_time {
            AccessTime::Strict => None,
            AccessTime::Relative => Some("relatime"),
            AccessTime::Never => Some("noatime"),
        };
        let switches = [
            (self.no_suid, "nosuid"),
            (self.no_dev, "nodev"),
            (self.no_exec, "noexec"),
            (self.synchronous, "sync"),
            (self.no_dir_atime, "nodiratime"),
        ];
        let mut words = vec![if self.read_only { "ro" } else { "rw" }];
        words.extend(switches.into_iter().filter_map(|(on, word)| on.then_some(word)));
        words.extend(access_time);
        words.extend(&self.lustre);
        words
    }

    /// The first option asked for that a mount shown with these words does not have. Options that Lustre adds by itself do
    /// not count, and a Lustre option counts as missing only if its opposite is shown: older clients do not show defaults.
    pub fn missing_from(&self, shown: &[String]) -> Option<String> {
        let has = |word: &str| shown.iter().any(|other| other == word);
        if has("ro") != self.read_only {
            return Some(if self.read_only { "ro".into() } else { "rw".into() });
        }
        let generic = self.words().into_iter().skip(1).filter(|word| !self.lustre.contains(word));
        let opposite = |option: &&&str| {
            group_of(option).is_some_and(|group| group.iter().any(|other| *other != **option && has(other)))
        };
        generic
            .filter(|word| !has(word))
            .map(str::to_owned)
            .next()
            .or_else(|| self.lustre.iter().find(opposite).map(|word| (*word).to_owned()))
    }
}

fn group_of(flag: &str) -> Option<&'static [&'static str]> {
    LUSTRE.into_iter().find(|group| group.contains(&flag))
}

fn userspace(flag: &str) -> bool {
    let prefixed = USERSPACE_PREFIXES.iter().any(|prefix| flag.starts_with(prefix));
    USERSPACE.contains(&flag) || (prefixed && !flag.contains(','))
}

fn refusal(flag: &str) -> String {
    if flag.contains(',') {
        return format!("{} holds a comma; give each option as an item of its own", quote(flag));
    }
    let known = LUSTRE.into_iter().flatten().chain(&GENERIC).copied();
    let hint = nearest(flag, known).filter(|near| *near != flag).map(|near| format!("; did you mean {near}?"));
    format!("{} is not allowed{}", quote(flag), hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<MountOptions, Violations> {
        MountOptions::parse(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
    }

    fn shown(words: &str) -> Vec<String> {
        words.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn options_are_sorted_out() {
        let options =
            parse(&["ro", "noatime", "nosuid", "_netdev", "x-systemd.automount", "flock", "retry=5", "nouser_xattr"])
                .unwrap();
        assert_eq!(options.words(), ["ro", "nosuid", "noatime", "flock", "nouser_xattr"]);
        assert_eq!(parse(&[]).unwrap().access_time, AccessTime::Strict);
        assert_eq!(parse(&["relatime"]).unwrap().access_time, AccessTime::Relative);
    }

    #[test]
    fn the_last_word_wins_and_nothing_is_said_twice() {
        let options = parse(&["ro", "rw", "noatime", "atime", "flock", "flock", "localflock"]).unwrap();
        assert_eq!(options.words(), ["rw", "localflock"]);
    }

    #[test]
    fn what_could_hijack_or_break_a_mount_is_refused() {
        for bad in [
            "device=10.0.0.9@tcp:/x",
            "flock,device=x",
            "x-a,device=b",
            "mgsnode=1",
            "remount",
            "bind",
            "lazytime",
            "rofoo",
            "Flock",
            "",
            "nostrictatime",
            "acl",
            "skpath=/k",
            "noatime ",
            "svname=x",
            "param=x",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad:?}");
        }
        let error = parse(&["flok", "a,b", "ro"]).unwrap_err().to_string();
        assert!(error.contains("did you mean flock?") && error.contains("holds a comma"), "{error}");
    }

    #[test]
    fn an_existing_mount_is_held_against_what_was_asked_only() {
        let theirs = shown("rw,flock,checksum,encrypt,lazystatfs,lruresize,nolock,nouser_xattr,verbose");
        assert_eq!(parse(&[]).unwrap().missing_from(&theirs), None);
        assert_eq!(parse(&["flock", "nouser_xattr"]).unwrap().missing_from(&theirs), None);
        assert_eq!(parse(&["user_xattr"]).unwrap().missing_from(&theirs).as_deref(), Some("user_xattr"));
        assert_eq!(parse(&["noflock"]).unwrap().missing_from(&theirs).as_deref(), Some("noflock"));
        assert_eq!(parse(&["ro"]).unwrap().missing_from(&theirs).as_deref(), Some("ro"));
        assert_eq!(parse(&["noexec"]).unwrap().missing_from(&theirs).as_deref(), Some("noexec"));
        assert_eq!(parse(&["flock"]).unwrap().missing_from(&shown("rw")), None);
        assert_eq!(parse(&[]).unwrap().missing_from(&shown("ro,noatime")).as_deref(), Some("rw"));
    }
}
