//! Kernel modules of the Lustre client as `/sys/module` shows them: which are loaded, their versions and their users.

use std::collections::BTreeMap;
use std::fs;

use super::layout::HostRoot;
use super::version::ClientVersion;

/// All modules of the client in an order in which they can be removed. `lov` before `mdc` is refused and leaves half of
/// them loaded.
pub const REMOVAL_ORDER: [&str; 13] =
    ["lustre", "mdc", "lmv", "lov", "osc", "mgc", "fid", "fld", "ptlrpc", "obdclass", "ksocklnd", "lnet", "libcfs"];

/// The modules that a mount needs, in the order in which they are loaded. The kernel requests `ksocklnd` and `mgc` from the
/// host's modprobe, which cannot find them; without `ksocklnd` loading `lustre` gives EINVAL, without `mgc` every mount
/// ENODEV.
pub const LOAD_ORDER: [&str; 8] = ["lnet", "ksocklnd", "lustre", "mgc", "mdc", "lmv", "lov", "osc"];

/// One loaded module (`Documentation/ABI/testing/sysfs-module`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedModule {
    /// `refcnt`; `None` where the kernel cannot unload modules, or while the module is still loading.
    pub refcnt: Option<u32>,
    /// `holders`: modules that use it.
    pub holders: Vec<String>,
    /// `version`; `None` where the module or sysfs has none.
    pub version: Option<ClientVersion>,
}

/// The client's modules in the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedModules {
    /// Loaded modules by name.
    pub loaded: BTreeMap<&'static str, LoadedModule>,
    /// The value of lnet's parameter `networks`; `None` where LNet was configured by other means.
    pub networks: Option<String>,
}

impl LoadedModules {
    /// Reads `/sys/module`.
    pub fn read(host: &HostRoot) -> Self {
        let module = |name: &'static str| {
            let dir = format!("/sys/module/{name}");
            host.at(&dir).is_dir().then(|| {
                let holders = fs::read_dir(host.at(format!("{dir}/holders"))).into_iter().flatten().flatten();
                let mut holders: Vec<_> =
                    holders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                holders.sort();
                let refcnt = host.read_text(format!("{dir}/refcnt")).and_then(|text| text.parse().ok());
                let version = host.read_text(format!("{dir}/version")).and_then(|text| ClientVersion::parse(&text));
                (name, LoadedModule { refcnt, holders, version })
            })
        };
        let networks = host.read_text("/sys/module/lnet/parameters/networks");
        Self {
            loaded: REMOVAL_ORDER.into_iter().filter_map(module).collect(),
            // The kernel shows an unset string as `(null)`.
            networks: networks.filter(|text| !text.is_empty() && text != "(null)"),
        }
    }

    /// Whether a module is loaded.
    pub fn has(&self, name: &str) -> bool {
        self.loaded.contains_key(name)
    }

    /// The version of `lustre`, if it is loaded and has one.
    pub fn client_version(&self) -> Option<&ClientVersion> {
        self.loaded.get("lustre")?.version.as_ref()
    }

    /// Modules of [`LOAD_ORDER`] that are not loaded, in that order.
    pub fn missing(&self) -> Vec<&'static str> {
        LOAD_ORDER.into_iter().filter(|name| !self.has(name)).collect()
    }

    /// Whether `lustre` is in use by a mount, or by one that is being made.
    pub fn lustre_in_use(&self) -> bool {
        self.loaded.get("lustre").is_some_and(|module| module.refcnt != Some(0) || !module.holders.is_empty())
    }

    /// Why the modules cannot all be removed; `None` if they can. `refcnt` counts the holders, and one more of `ksocklnd`
    /// while an interface is up, and of `lnet` after CONFIGURE.
    pub fn removal_blocker(&self) -> Option<String> {
        REMOVAL_ORDER.into_iter().find_map(|name| {
            let module = self.loaded.get(name)?;
            if let Some(other) = module.holders.iter().find(|holder| !REMOVAL_ORDER.contains(&holder.as_str())) {
                return Some(format!("module {name} is used by module {other}"));
            }
            let of_lnet = usize::from(matches!(name, "ksocklnd" | "lnet"));
            match module.refcnt {
                None => Some(format!("the use of module {name} cannot be read (/sys/module/{name}/refcnt)")),
                Some(count) if count as usize > module.holders.len() + of_lnet => {
                    Some(format!("module {name} is in use ({count} references)"))
                }
                Some(_) => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(refcnt: Option<u32>, holders: &[&str]) -> LoadedModule {
        LoadedModule { refcnt, holders: holders.iter().map(|&holder| holder.to_owned()).collect(), version: None }
    }

    fn modules(changed: &[(&'static str, LoadedModule)]) -> LoadedModules {
        let idle = [
            ("lustre", module(Some(0), &[])),
            ("ptlrpc", module(Some(2), &["lustre", "osc"])),
            ("ksocklnd", module(Some(1), &[])),
            ("lnet", module(Some(3), &["ksocklnd", "ptlrpc"])),
        ];
        LoadedModules { loaded: idle.into_iter().chain(changed.iter().cloned()).collect(), networks: None }
    }

    #[test]
    fn modules_are_idle_if_only_each_other_and_lnet_itself_use_them() {
        for (changed, blocker) in [
            (None, None),
            (Some(("lnet", module(Some(2), &["ksocklnd", "ptlrpc"]))), None),
            (Some(("lnet", module(Some(4), &["ksocklnd", "ptlrpc"]))), Some("lnet is in use")),
            (Some(("lnet", module(Some(3), &["ksocklnd", "lnet_selftest"]))), Some("used by module lnet_selftest")),
            (Some(("lustre", module(Some(1), &[]))), Some("lustre is in use")),
            (Some(("ksocklnd", module(Some(2), &[]))), Some("ksocklnd is in use")),
            (Some(("osc", module(None, &[]))), Some("osc cannot be read")),
        ] {
            let found = modules(changed.as_slice()).removal_blocker();
            assert_eq!(found.is_some(), blocker.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().contains(blocker.unwrap_or_default()), "{blocker:?}");
        }
    }

    #[test]
    fn sysfs_is_read_as_the_kernel_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join("sys/module").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("lustre/version", "2.17.0_19_gbb5310f\n");
        write("lustre/refcnt", "0\n");
        write("lnet/refcnt", "2\n");
        write("lnet/holders/ksocklnd", "");
        write("lnet/parameters/networks", "tcp(eth0)\n");
        let modules = LoadedModules::read(&HostRoot::directory(dir.path()));
        assert_eq!(modules.client_version(), ClientVersion::parse("2.17.0-19-gbb5310f").as_ref());
        assert_eq!(modules.networks.as_deref(), Some("tcp(eth0)"));
        assert_eq!(modules.loaded["lnet"], module(Some(2), &["ksocklnd"]));
        assert_eq!(modules.missing(), ["ksocklnd", "mgc", "mdc", "lmv", "lov", "osc"]);
        write("lnet/parameters/networks", "(null)\n");
        assert_eq!(LoadedModules::read(&HostRoot::directory(dir.path())).networks, None);
    }
}
