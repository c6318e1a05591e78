//! A fake node: files as the kernel writes them, modprobe and `delete_module` with the rules of Lustre's modules, LNet, and
//! packages.
//!
//! Every effect is a step with a number, at which the process can be killed or the step can fail.

mod lnet;
mod modules;
mod packages;

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use azurelustre_csi::adapters::lnet::{Ipv4Nid, LocalNi};
use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::interfaces::InterfaceRule;
use azurelustre_csi::adapters::node_setup::layout::HostRoot;
use azurelustre_csi::adapters::node_setup::load::ModuleParameters;
use azurelustre_csi::adapters::node_setup::plan::ReplaceClient;
use azurelustre_csi::adapters::node_setup::ports::RetryPolicy;
use azurelustre_csi::adapters::node_setup::setup::{NodeSetup, Ready, SetupSettings};
use azurelustre_csi::adapters::node_setup::version::ClientVersions;

use self::lnet::FakeLnet;

pub(crate) const KERNEL: &str = "6.8.0-1046-azure";
pub(crate) const OLD: &str = "2.15.8-39-g2d32b59";
pub(crate) const NEW: &str = "2.17.0-24-gf517bc4";

/// The setting `lnet-interfaces` with these names.
pub(crate) fn listed(names: &[&str]) -> InterfaceRule {
    InterfaceRule::Listed(names.iter().map(|&name| name.to_owned()).collect())
}

/// Both interfaces of a node; that of the default route is loaded first in any order.
pub(crate) fn both_interfaces() -> InterfaceRule {
    listed(&["eth1", "eth0"])
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails.
    Error,
    /// The process dies before it.
    Kill,
}

/// The payload of a process's death.
pub(crate) struct Killed;

pub(crate) struct FakeNode {
    dir: tempfile::TempDir,
    lnet: Mutex<FakeLnet>,
    log: Mutex<Vec<String>>,
    fault: Mutex<Option<(usize, Fault)>>,
    /// Modules that the kernel refuses to remove.
    pub(crate) refused: Mutex<Vec<&'static str>>,
    /// The error of each fetch.
    pub(crate) no_package: Mutex<Option<SetupError>>,
    /// The retry policy of the last fetch.
    pub(crate) retry_policy: Mutex<Option<RetryPolicy>>,
    /// A module that cannot be loaded, the client that it is of, and the message of modprobe.
    pub(crate) not_loadable: Mutex<Option<(&'static str, &'static str, &'static str)>>,
    /// Called while node-setup waits.
    pub(crate) on_sleep: Mutex<Option<fn(&Self)>>,
}

impl fmt::Debug for FakeNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeNode").finish_non_exhaustive()
    }
}

impl FakeNode {
    /// An Ubuntu 24.04 node with one interface and no client.
    pub(crate) fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir_in(directory()).unwrap(),
            lnet: Mutex::default(),
            log: Mutex::default(),
            fault: Mutex::default(),
            refused: Mutex::default(),
            no_package: Mutex::default(),
            retry_policy: Mutex::default(),
            not_loadable: Mutex::default(),
            on_sleep: Mutex::default(),
        };
        node.write("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n");
        node.write("proc/sys/kernel/osrelease", KERNEL);
        node.write("proc/sys/kernel/arch", "x86_64\n");
        node.write("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        node.write("proc/1/ns/.keep", "");
        node.write("proc/self/ns/.keep", "");
        for pid in ["1", "self"] {
            std::os::unix::fs::symlink("net:[1]", node.path(&format!("proc/{pid}/ns/net"))).unwrap();
        }
        node.write("sys/module/.keep", "");
        node.write(
            "proc/net/route",
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0100E00A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0000E00A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0\n\
             eth1\t0000E10A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0\n",
        );
        node.write(
            "proc/net/fib_trie",
            "Main:\n  +-- 0.0.0.0/0 3 0 5\nLocal:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 10.224.0.4\n        /32 host LOCAL\n     \
             |-- 10.225.0.4\n        /32 host LOCAL\n",
        );
        node.interface("eth0");
        node.interface("eth1");
        node
    }

    fn interface(&self, name: &str) {
        for (file, text) in
            [("operstate", "up\n"), ("flags", "0x1003\n"), ("type", "1\n"), ("ifindex", "2\n"), ("iflink", "2\n")]
        {
            self.write(&format!("sys/class/net/{name}/{file}"), text);
        }
        self.write(&format!("sys/class/net/{name}/device/.keep"), "");
        let driver = self.path(&format!("sys/class/net/{name}/device/driver"));
        std::os::unix::fs::symlink("../../../../bus/vmbus/drivers/hv_netvsc", driver).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn host(&self) -> HostRoot {
        HostRoot::directory(self.dir.path())
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Unpacks a client for a kernel.
    pub(crate) fn unpack(&self, kernel: &str, version: &str) {
        self.write(&format!("var/lib/azurelustre-csi/{kernel}/{version}/ok.json"), "{}");
    }

    /// Installs a client in `/lib/modules` of the host.
    pub(crate) fn install_on_host(&self) {
        self.write(&format!("lib/modules/{KERNEL}/modules.dep"), "updates/kernel/fs/lustre/lustre.ko:\n");
    }

    /// Loads a complete client, as an earlier run did.
    pub(crate) fn load_client(&self, version: &str) {
        self.load_modules(
            &[
                "libcfs", "lnet", "ksocklnd", "obdclass", "ptlrpc", "fid", "fld", "lmv", "lov", "mdc", "osc", "lustre",
                "mgc",
            ],
            version,
        );
        self.write("sys/module/lnet/parameters/networks", "tcp(eth0)\n");
        self.start_lnet("eth0");
    }

    pub(crate) fn load_modules(&self, names: &[&str], version: &str) {
        for name in names {
            self.write(&format!("sys/module/{name}/version"), &version.replace('-', "_"));
            self.write(&format!("sys/module/{name}/refcnt"), "0\n");
            fs::create_dir_all(self.path(&format!("sys/module/{name}/holders"))).unwrap();
        }
    }

    pub(crate) fn start_lnet(&self, interface: &str) {
        let nis = vec![ni(interface)];
        self.lnet.lock().unwrap().nis.get_or_insert(nis);
    }

    pub(crate) fn mount(&self) {
        self.write("proc/1/mountinfo", "1 0 0:40 / /mnt/a rw - lustre 10.0.0.4@tcp:/lustrefs rw\n");
        self.write("sys/module/lustre/refcnt", "1\n");
    }

    /// Restarts the kernel; the disk stays.
    pub(crate) fn reboot(&self, kernel: &str) {
        fs::remove_dir_all(self.path("sys/module")).unwrap();
        self.write("sys/module/.keep", "");
        self.write("proc/1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        self.write("proc/sys/kernel/osrelease", kernel);
        *self.lnet.lock().unwrap() = FakeLnet::default();
    }

    pub(crate) fn client(&self) -> Option<String> {
        fs::read_to_string(self.path("sys/module/lustre/version")).ok().map(|text| text.trim().replace('_', "-"))
    }

    pub(crate) fn is_loaded(&self, module: &str) -> bool {
        self.path(&format!("sys/module/{module}")).is_dir()
    }

    /// Steps since the last call, progress left out.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    pub(crate) fn set_fault(&self, fault: Option<(usize, Fault)>) {
        self.log.lock().unwrap().clear();
        *self.fault.lock().unwrap() = fault;
    }

    /// Adds a step to the log; returns whether it fails.
    fn step(&self, step: String) -> bool {
        let number = {
            let mut log = self.log.lock().unwrap();
            log.push(step);
            log.len() - 1
        };
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some((at, Fault::Error)) => at == number,
            Some((at, Fault::Kill)) if at == number => std::panic::panic_any(Killed),
            _ => false,
        }
    }

    /// One run, with the default settings changed by `change`.
    pub(crate) fn run(&self, change: impl FnOnce(&mut SetupSettings)) -> Result<Ready, SetupError> {
        self.with(change, |setup| setup.run())
    }

    pub(crate) fn with<T>(
        &self,
        change: impl FnOnce(&mut SetupSettings),
        operation: impl FnOnce(NodeSetup<'_>) -> T,
    ) -> T {
        let mut settings = SetupSettings {
            versions: ClientVersions::default(),
            install: true,
            replace: ReplaceClient::Idle,
            interfaces: InterfaceRule::Auto,
            parameters: ModuleParameters::default(),
        };
        change(&mut settings);
        let (host, settings) = (&self.host(), &settings);
        let (tools, lnet, remover, packages, console, timer) = (self, self, self, self, self, self);
        operation(NodeSetup { host, tools, lnet, remover, packages, console, timer, settings })
    }
}

/// A directory in memory where there is one, since the trees are small and many.
fn directory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn ni(interface: &str) -> LocalNi {
    let last = if interface == "eth0" { [10, 224, 0, 4] } else { [10, 225, 0, 4] };
    LocalNi { nid: Ipv4Nid::tcp(last.into()), interface: Some(interface.to_owned()), up: Some(true) }
}
