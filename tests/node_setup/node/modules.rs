//! modprobe and `delete_module` of the fake node, with the rules of Lustre's modules.

use std::fs;
use std::path::PathBuf;

use azurelustre_csi::adapters::node_setup::remove::ModuleRemover;
use azurelustre_csi::adapters::node_setup::tools::{HostTools, Invocation, Output, ToolError};

use super::{FakeNode, KERNEL, OLD};

impl HostTools for FakeNode {
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

impl FakeNode {
    /// Loads a module as modprobe does; the error is its message.
    fn modprobe(&self, args: &[String]) -> Result<(), String> {
        let module = args.iter().skip_while(|arg| *arg != "/dev/null").nth(1).unwrap().as_str();
        let parameter = args.last().filter(|last| *last != module);
        let private = args.iter().find_map(|arg| arg.strip_suffix("/root")?.rsplit('/').next().map(str::to_owned));
        let version = match private {
            Some(version) if PathBuf::from(&args[1]).parent().unwrap().join("ok.json").is_file() => version,
            None if self.path(&format!("lib/modules/{KERNEL}/modules.dep")).is_file() => OLD.to_owned(),
            _ => return Err(format!("modprobe: FATAL: Module {module} not found in directory")),
        };
        if let Some((name, of, message)) = *self.not_loadable.lock().unwrap()
            && name == module
            && of == version
        {
            return Err(message.to_owned());
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

impl ModuleRemover for FakeNode {
    fn remove(&self, module: &'static str) -> Result<(), String> {
        let mounts = fs::read_to_string(self.path("proc/1/mountinfo")).unwrap();
        assert!(!mounts.contains(" lustre "), "{module} is removed below a mount");
        let busy = || "Resource temporarily unavailable".to_owned();
        if self.step(format!("remove {module}")) || self.refused.lock().unwrap().contains(&module) {
            return Err(busy());
        }
        if !self.is_loaded(module) {
            return Ok(());
        }
        // A running LNet holds a reference: ptlrpc's is released with ptlrpc, CONFIGURE's by UNCONFIGURE.
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
