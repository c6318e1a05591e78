//! A fake node: files as the kernel writes them, modprobe and `delete_module` that keep Lustre's rules, LNet, and packages.
//!
//! Every effect is a step with a number, at which the process can be killed or the step can fail.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use azurelustre_csi::adapters::lnet::{Lnet, LnetError, LocalNi, Nid};
use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::host_state::HostState;
use azurelustre_csi::adapters::node_setup::interfaces::InterfaceRule;
use azurelustre_csi::adapters::node_setup::layout::{HostRoot, PrivateDir};
use azurelustre_csi::adapters::node_setup::load::Parameters;
use azurelustre_csi::adapters::node_setup::plan::Replace;
use azurelustre_csi::adapters::node_setup::ports::{Packages, PlannedStep, ProgressLog, RetryPolicy, Timer};
use azurelustre_csi::adapters::node_setup::remove::{RemoveError, RemoveModule};
use azurelustre_csi::adapters::node_setup::setup::{NodeSetup, Ready};
use azurelustre_csi::adapters::node_setup::tools::{HostTools, Invocation, Output, ToolError};
use azurelustre_csi::adapters::node_setup::version::{ClientVersion, ClientVersions};

pub(crate) const KERNEL: &str = "6.8.0-1046-azure";
pub(crate) const OLD: &str = "2.15.8-39-g2d32b59";
pub(crate) const NEW: &str = "2.17.0-24-gf517bc4";

/// Both interfaces of a node; that of the default route counts as the first, whatever the order.
pub(crate) static BOTH: LazyLock<InterfaceRule> =
    LazyLock::new(|| InterfaceRule::Listed(vec!["eth1".to_owned(), "eth0".to_owned()]));

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

/// LNet in the kernel; `None` is not started.
#[derive(Default)]
struct FakeLnet {
    nis: Option<Vec<LocalNi>>,
    configured: bool,
}

pub(crate) struct Node {
    dir: tempfile::TempDir,
    lnet: Mutex<FakeLnet>,
    log: Mutex<Vec<String>>,
    fault: Mutex<Option<(usize, Fault)>>,
    /// Modules that the kernel refuses to remove.
    pub(crate) refused: Mutex<Vec<&'static str>>,
    /// Why no package can be had.
    pub(crate) no_package: Mutex<Option<SetupError>>,
    /// How patient the last fetch was to be.
    pub(crate) patience: Mutex<Option<RetryPolicy>>,
    /// Modules that cannot be loaded from a client, and what modprobe says.
    pub(crate) not_loadable: Mutex<Option<(&'static str, &'static str, &'static str)>>,
    /// What happens while node-setup waits.
    pub(crate) on_pause: Mutex<Option<fn(&Self)>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

impl Node {
    /// An Ubuntu 24.04 node with one interface and no client.
    pub(crate) fn new() -> Self {
        let node = Self {
            dir: tempfile::tempdir_in(directory()).unwrap(),
            lnet: Mutex::default(),
            log: Mutex::default(),
            fault: Mutex::default(),
            refused: Mutex::default(),
            no_package: Mutex::default(),
            patience: Mutex::default(),
            not_loadable: Mutex::default(),
            on_pause: Mutex::default(),
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

    /// A client that is unpacked for a kernel.
    pub(crate) fn unpack(&self, kernel: &str, version: &str) {
        self.write(&format!("var/lib/azurelustre-csi/{kernel}/{version}/ok.json"), "{}");
    }

    /// A client that the host has of its own.
    pub(crate) fn install_on_host(&self) {
        self.write(&format!("lib/modules/{KERNEL}/modules.dep"), "updates/kernel/fs/lustre/lustre.ko:\n");
    }

    /// Loads a whole client, as an earlier run did.
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

    /// The kernel starts anew; the disk stays.
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

    /// Notes a step; whether it fails.
    fn step(&self, what: String) -> bool {
        let number = {
            let mut log = self.log.lock().unwrap();
            log.push(what);
            log.len() - 1
        };
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some((at, Fault::Error)) => at == number,
            Some((at, Fault::Kill)) if at == number => std::panic::panic_any(Killed),
            _ => false,
        }
    }

    /// One run with these settings.
    pub(crate) fn run(&self, change: impl FnOnce(&mut NodeSetup<'_>)) -> Result<Ready, SetupError> {
        self.with(change, |setup| setup.run())
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut NodeSetup<'_>), act: impl FnOnce(NodeSetup<'_>) -> T) -> T {
        let (host, versions) = (self.host(), ClientVersions::default());
        let mut setup = NodeSetup {
            host: &host,
            tools: self,
            lnet: self,
            remover: self,
            packages: self,
            console: self,
            timer: self,
            versions: &versions,
            install: true,
            replace: Replace::Idle,
            interfaces: &InterfaceRule::Auto,
            parameters: Parameters::default(),
        };
        change(&mut setup);
        act(setup)
    }

    fn modprobe(&self, args: &[String]) -> Result<(), String> {
        let module = args.iter().skip_while(|arg| *arg != "/dev/null").nth(1).unwrap().as_str();
        let parameter = args.last().filter(|last| *last != module);
        let private = args.iter().find_map(|arg| arg.strip_suffix("/root")?.rsplit('/').next().map(str::to_owned));
        let version = match private {
            Some(version) if PathBuf::from(&args[1]).parent().unwrap().join("ok.json").is_file() => version,
            None if self.path(&format!("lib/modules/{KERNEL}/modules.dep")).is_file() => OLD.to_owned(),
            _ => return Err(format!("modprobe: FATAL: Module {module} not found in directory")),
        };
        if let Some((name, of, says)) = *self.not_loadable.lock().unwrap()
            && name == module
            && of == version
        {
            return Err(says.to_owned());
        }
        if self.is_loaded(module) {
            return Ok(());
        }
        match module {
            "lnet" => {
                self.load_modules(&["libcfs", "lnet"], &version);
                let networks = parameter.map_or("(null)", |parameter| parameter.strip_prefix("networks=").unwrap());
                self.write("sys/module/lnet/parameters/networks", networks);
            }
            "ksocklnd" => self.load_modules(&["ksocklnd"], &version),
            "lustre" => self.load_lustre(&version)?,
            other => self.load_modules(&[other], &version),
        }
        Ok(())
    }

    /// `lustre` pulls ptlrpc, which starts LNet by its parameter; a start that fails leaves the lower half loaded.
    fn load_lustre(&self, version: &str) -> Result<(), String> {
        let failed = |why: &str| Err(format!("modprobe: ERROR: could not insert 'lustre': {why}"));
        let lnet = fs::read_to_string(self.path("sys/module/lnet/version")).unwrap();
        if !self.is_loaded("ksocklnd") || lnet.replace('_', "-") != version {
            return failed("Invalid argument");
        }
        self.load_modules(&["obdclass"], version);
        let networks = fs::read_to_string(self.path("sys/module/lnet/parameters/networks")).unwrap();
        let interface = networks.trim().trim_start_matches("tcp(").trim_end_matches(')').to_owned();
        let interface = if interface == "(null)" { "eth0" } else { &interface };
        if !self.path(&format!("sys/class/net/{interface}")).exists() && self.lnet.lock().unwrap().nis.is_none() {
            return failed("Network is down");
        }
        self.start_lnet(interface);
        self.load_modules(&["ptlrpc", "fid", "fld", "lmv", "lov", "mdc", "osc", "lustre"], version);
        Ok(())
    }
}

/// In memory where that is there: the trees are small and many.
fn directory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn ni(interface: &str) -> LocalNi {
    let last = if interface == "eth0" { [10, 224, 0, 4] } else { [10, 225, 0, 4] };
    LocalNi { nid: Nid::tcp(last.into()), interface: Some(interface.to_owned()), up: Some(true) }
}

impl HostTools for Node {
    fn run(&self, run: &Invocation) -> Result<Output, ToolError> {
        assert_eq!(run.program, "modprobe", "node-setup runs no other program itself");
        let args: Vec<String> = run.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let module = args.iter().skip_while(|arg| *arg != "/dev/null").skip(1).cloned().collect::<Vec<_>>().join(" ");
        if self.step(format!("modprobe {module}")) {
            return Ok(Output {
                code: 1,
                stdout: Vec::new(),
                stderr: "modprobe: ERROR: could not insert: Cannot allocate memory".to_owned(),
            });
        }
        Ok(match self.modprobe(&args) {
            Ok(()) => Output::default(),
            Err(stderr) => Output { code: 1, stdout: Vec::new(), stderr },
        })
    }
}

impl RemoveModule for Node {
    fn remove(&self, module: &'static str) -> Result<(), RemoveError> {
        let mounts = fs::read_to_string(self.path("proc/1/mountinfo")).unwrap();
        assert!(!mounts.contains(" lustre "), "{module} is removed below a mount");
        let busy = || RemoveError::Refused("Resource temporarily unavailable".to_owned());
        if self.step(format!("remove {module}")) || self.refused.lock().unwrap().contains(&module) {
            return Err(busy());
        }
        if !self.is_loaded(module) {
            return Err(RemoveError::NotLoaded);
        }
        // LNet holds itself while it runs: ptlrpc's reference goes with ptlrpc, CONFIGURE's with UNCONFIGURE.
        if ["ksocklnd", "lnet", "libcfs"].contains(&module) && self.lnet.lock().unwrap().configured {
            return Err(busy());
        }
        if module == "ptlrpc" && !self.lnet.lock().unwrap().configured {
            self.lnet.lock().unwrap().nis = None;
        }
        fs::remove_dir_all(self.path(&format!("sys/module/{module}"))).unwrap();
        Ok(())
    }
}

impl Lnet for Node {
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        if !self.is_loaded("lnet") {
            return Err(LnetError::NoDevice { device: self.path("dev/lnet") });
        }
        self.lnet.lock().unwrap().nis.clone().ok_or(LnetError::NotStarted)
    }

    fn configure(&self) -> Result<(), LnetError> {
        if self.step("CONFIGURE".to_owned()) {
            return Err(LnetError::Denied);
        }
        let mut lnet = self.lnet.lock().unwrap();
        lnet.nis.get_or_insert_default();
        lnet.configured = true;
        Ok(())
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        if self.step("UNCONFIGURE".to_owned()) {
            return Err(LnetError::Denied);
        }
        let mut lnet = self.lnet.lock().unwrap();
        lnet.configured = false;
        if self.is_loaded("ptlrpc") {
            return Err(LnetError::Busy);
        }
        lnet.nis = None;
        Ok(())
    }

    fn add_local_ni(&self, _: u32, interface: &str) -> Result<(), LnetError> {
        let no_interface = LnetError::NoInterface { interface: interface.to_owned() };
        let failed = self.step(format!("ADD {interface}"));
        let mut lnet = self.lnet.lock().unwrap();
        if failed || !lnet.configured {
            return Err(no_interface);
        }
        lnet.nis.get_or_insert_default().push(ni(interface));
        Ok(())
    }

    fn del_local_ni(&self, nid: Nid) -> Result<(), LnetError> {
        self.step(format!("DEL {nid}"));
        Ok(())
    }

    fn ping(&self, nid: Nid, _: Duration) -> Result<(), LnetError> {
        if self.step(format!("PING {nid}")) { Err(LnetError::Unreachable { nid }) } else { Ok(()) }
    }

    fn set_health(&self, nid: Nid) -> Result<(), LnetError> {
        self.step(format!("SET_HEALTH {nid}"));
        Ok(())
    }
}

impl Packages for Node {
    fn ensure(&self, facts: &HostState, version: &ClientVersion, patience: RetryPolicy) -> Result<(), SetupError> {
        *self.patience.lock().unwrap() = Some(patience);
        let failed = self.step(format!("fetch {version}"));
        let unreachable =
            || SetupError::try_again("cannot fetch", "Could not resolve 'packages.microsoft.com'", "Allow it.");
        if let Some(error) = self.no_package.lock().unwrap().clone().or_else(|| failed.then(unreachable)) {
            return Err(error);
        }
        self.unpack(&facts.kernel, version.as_str());
        Ok(())
    }

    fn is_complete(&self, kernel: &str, version: &ClientVersion) -> bool {
        let record = self.host().at(PrivateDir::unpacked(kernel, version)).join("ok.json");
        fs::read_to_string(record).is_ok_and(|text| text == "{}")
    }

    fn planned(&self, _: &HostState, version: &ClientVersion) -> Vec<PlannedStep> {
        vec![PlannedStep::new(format!("fetch client {version}"), "apt-get", "it is not unpacked")]
    }

    fn prune(&self, kernel: &str, keep: Option<&ClientVersion>) {
        let keep = keep.map(|version| self.host().at(PrivateDir::unpacked(kernel, version)));
        self.step(format!("prune but {}", keep.is_some()));
    }
}

impl ProgressLog for Node {
    fn progress(&self, _: &str) {}
}

impl Timer for Node {
    fn sleep(&self, _: Duration) {
        if let Some(act) = *self.on_pause.lock().unwrap() {
            act(self);
        }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn random_fraction(&self) -> f64 {
        0.0
    }
}
