//! Mount options: which become flags of mount(2), which go to Lustre, which are dropped, which are refused.
//!
//! `mountOptions` of StorageClasses and PersistentVolumes cannot be edited, so everything that works with mount(8),
//! mount.lustre and the Go driver is accepted here. mount.lustre, however, matches options by prefix and hands on what it
//! does not know, so that `device=` could name another file system; here an option is matched whole, against an allow-list.
//!
//! Sources: the option table of mount.lustre (`lustre/utils/mount_lustre.c`) and of the client
//! (`lustre/llite/llite_lib.c`, `ll_options`), mount(8), and the Go driver's `docs/driver-parameters.md` (`no_unique_fsid`).

mod client;

pub use self::client::UnsupportedOption;
use super::problem::Problems;
use super::text::{did_you_mean, quote};

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

/// Options of one mount by kind. Of options that exclude each other the last one counts, as in mount(8).
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
    /// What the Lustre client parses, in the order asked for, each once. Some are known to clients of newer versions only
    /// ([`MountOptions::for_client`]). `unique_fsid` may be among them: only Microsoft's builds of the client know it, the
    /// others answer `EINVAL`, and the mount then works without it.
    pub lustre: Vec<&'static str>,
    /// `SELinux` labels, such as `context="system_u:object_r:container_file_t:s0:c1,c2"`, each key once, quoted where the
    /// label holds a comma, ready for the data of mount(2). They take effect only where the kernel runs `SELinux`
    /// (`/sys/fs/selinux` exists); elsewhere mount(8) drops them, and so must the caller of mount(2). Nothing but
    /// the label's alphabet is ever in them, so they cannot name another device.
    pub selinux: Vec<String>,
}

/// Options of the Lustre client; those on one line exclude each other.
const LUSTRE: [&[&str]; 14] = [
    &["flock", "noflock", "localflock"],
    &["user_xattr", "nouser_xattr"],
    &["checksum", "nochecksum"],
    &["lruresize", "nolruresize"],
    &["lazystatfs", "nolazystatfs"],
    &["user_fid2path", "nouser_fid2path"],
    &["verbose", "noverbose"],
    &["encrypt", "noencrypt"],
    &["statfs_project", "nostatfs_project"],
    &["sync_on_close", "nosync_on_close"],
    &["always_ping"],
    &["32bitapi"],
    &["nolock"],
    &["unique_fsid"],
];

/// Options that mean nothing to the kernel: they belong to mount(8), systemd, mount.lustre (`force`) or the Go driver
/// (`no_unique_fsid`), or are refused by every Lustre client although the servers decide (`acl`, `noacl`).
const DROPPED: [&str; 19] = [
    "_netdev",
    "nofail",
    "fail",
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "loop",
    "force",
    "acl",
    "noacl",
    NO_UNIQUE_FSID,
];
/// The same with a value: of mount(8) and systemd (`x-…`, `comment=`), of mount.lustre (`retry=`, and two of servers).
const DROPPED_PREFIXES: [&str; 6] = ["x-", "X-", "retry=", "comment=", "max_sectors_kb=", "md_stripe_cache_size="];
/// The Go driver's word for "do not add `unique_fsid`".
const NO_UNIQUE_FSID: &str = "no_unique_fsid";

/// Keys of `SELinux` labels (mount(8), "context=context, fscontext=context, …").
const SELINUX: [&str; 4] = ["context", "fscontext", "defcontext", "rootcontext"];

/// An option that sets a flag, the one that clears it, and the flag.
type Switch = (&'static str, &'static str, fn(&mut MountOptions) -> &mut bool);

/// Options of mount(8) that set or clear a flag.
const SWITCHES: [Switch; 6] = [
    ("ro", "rw", |options| &mut options.read_only),
    ("nosuid", "suid", |options| &mut options.no_suid),
    ("nodev", "dev", |options| &mut options.no_dev),
    ("noexec", "exec", |options| &mut options.no_exec),
    ("sync", "async", |options| &mut options.synchronous),
    ("nodiratime", "diratime", |options| &mut options.no_dir_atime),
];

/// Options of mount(8) for access times. `nostrictatime` is not among them: it leaves open what is wanted.
const ACCESS_TIMES: [(&str, AccessTime); 5] = [
    ("noatime", AccessTime::Never),
    ("relatime", AccessTime::Relative),
    ("strictatime", AccessTime::Strict),
    ("atime", AccessTime::Strict),
    ("norelatime", AccessTime::Strict),
];

impl MountOptions {
    /// Sorts out the mount flags of a request. A string may hold several options, separated by commas outside double
    /// quotes, as mount(8) reads them; blanks round an option and empty options are dropped. Every option that is refused
    /// is reported.
    pub fn parse(flags: &[String]) -> Result<Self, Problems> {
        let mut options = Self::default();
        let mut problems = Problems::default();
        for option in flags.iter().flat_map(|flag| split(flag)).filter(|option| !option.is_empty()) {
            let known =
                options.generic(option) || options.lustre(option) || options.selinux(option) || options.dropped(option);
            if !known {
                problems.add("mount option", refusal(option));
            }
        }
        problems.into_result(Some(options))
    }

    fn generic(&mut self, option: &str) -> bool {
        let switch = SWITCHES.iter().find(|(on, off, _)| [*on, *off].contains(&option));
        let access_time = ACCESS_TIMES.iter().find(|(known, _)| *known == option);
        if let Some((on, _, flag)) = switch {
            *flag(self) = option == *on;
        }
        if let Some((_, access_time)) = access_time {
            self.access_time = *access_time;
        }
        switch.is_some() || access_time.is_some()
    }

    fn lustre(&mut self, flag: &str) -> bool {
        let Some(group) = group_of(flag) else { return false };
        self.lustre.retain(|earlier| !group.contains(earlier));
        self.lustre.extend(group.iter().find(|known| **known == flag));
        true
    }

    /// Takes `context=label` and the like, the label bare or in double quotes.
    fn selinux(&mut self, option: &str) -> bool {
        let Some((key, value)) = option.split_once('=') else { return false };
        let label = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'));
        let Some(label) = label.filter(|label| SELINUX.contains(&key) && is_label(label)) else { return false };
        let quotes = if label.contains(',') { "\"" } else { "" };
        self.selinux.retain(|earlier| earlier.split_once('=').is_none_or(|(other, _)| other != key));
        self.selinux.push(format!("{key}={quotes}{label}{quotes}"));
        true
    }

    fn dropped(&mut self, option: &str) -> bool {
        if option == NO_UNIQUE_FSID {
            self.lustre.retain(|earlier| *earlier != "unique_fsid");
        }
        let whole = option.matches('"').count().is_multiple_of(2);
        DROPPED.contains(&option) || (whole && DROPPED_PREFIXES.iter().any(|prefix| option.starts_with(prefix)))
    }

    /// The generic and Lustre's options as words, for messages and for tables that show mounts: `ro` or `rw` first. `SELinux`
    /// labels are not among them, since it depends on the node whether they take effect.
    pub fn words(&self) -> Vec<&'static str> {
        let mut options = self.clone();
        let mut words = vec![if self.read_only { "ro" } else { "rw" }];
        words.extend(SWITCHES.iter().skip(1).filter_map(|(on, _, flag)| flag(&mut options).then_some(*on)));
        let strict = self.access_time == AccessTime::Strict;
        words.extend(
            ACCESS_TIMES.iter().filter(|(_, time)| !strict && *time == self.access_time).map(|(word, _)| *word),
        );
        words.extend(&self.lustre);
        words
    }

    /// The first option asked for that a mount shown with these words does not have. Options that Lustre adds by itself do
    /// not count, and a Lustre option counts as missing only if its opposite is shown: older clients do not show defaults.
    /// `SELinux` labels never count: where `SELinux` is off they were dropped.
    pub fn missing_from(&self, shown: &[String]) -> Option<String> {
        let has = |word: &str| shown.iter().any(|other| other == word);
        if has("ro") != self.read_only {
            return Some(if self.read_only { "ro".into() } else { "rw".into() });
        }
        let generic = self.words().into_iter().skip(1).filter(|word| !self.lustre.contains(word));
        // Where the client did not know `sync_on_close`, `sync` stands for it.
        let replaced = |option: &str| option == "sync_on_close" && has("sync");
        let opposite = |option: &&&str| {
            group_of(option).is_some_and(|group| group.iter().any(|other| *other != **option && has(other)))
                && !replaced(option)
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

/// The options in one string: separated by commas, but never inside double quotes, each without blanks round it.
fn split(flag: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    flag.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

/// Letters, digits and `_ . : , -`: what `SELinux` contexts consist of. No quote, blank, `=` or `@` ends or extends one.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:,-".contains(&byte))
}

fn refusal(option: &str) -> String {
    if let Some((key, _)) = option.split_once('=').filter(|(key, _)| SELINUX.contains(key)) {
        let form = format!("{key}=\"system_u:object_r:container_file_t:s0:c1,c2\"");
        return format!("{} is not allowed; give a label, such as {form}", quote(option));
    }
    let switches = SWITCHES.iter().flat_map(|(on, off, _)| [*on, *off]);
    let generic = switches.chain(ACCESS_TIMES.iter().map(|(word, _)| *word));
    let known = LUSTRE.into_iter().flatten().copied().chain(generic);
    format!("{} is not allowed{}", quote(option), did_you_mean(option, known))
}

#[cfg(test)]
mod tests;
