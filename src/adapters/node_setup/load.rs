//! Loading of kernel modules by modprobe(8) of the host, with their parameters.
//!
//! `-C /dev/null` ignores modprobe.d of the host, whose `install` and `options` lines would count even with `-d`. A module
//! that is loaded already makes modprobe succeed regardless of its version and parameters, so sysfs is read afterwards.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::error::SetupError;
use super::layout::{HostRoot, unpacked_dir};
use super::modules::LoadedModules;
use super::plan::ModuleSource;
use super::ports::PlannedStep;
use super::tool_failures::of_modprobe;
use super::tools::{HostTools, Invocation, ToolError};

/// Parameters of modules that settings may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModuleParameters {
    /// `ptlrpcd_per_cpt_max` of ptlrpc (`lustre/ptlrpc/ptlrpcd.c`); the client's default where absent.
    pub ptlrpcd_per_cpt_max: Option<u32>,
    /// `credits` of ksocklnd (`lnet/klnds/socklnd/socklnd_modparams.c`); the client's default (256) where absent.
    pub ksocklnd_credits: Option<u32>,
}

/// Loads modules on one node.
#[derive(Debug, Clone, Copy)]
pub struct ModuleLoader<'a> {
    /// Programs of the host.
    pub tools: &'a dyn HostTools,
    /// Root of the host.
    pub host: &'a HostRoot,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// Value of lnet's parameter `networks`; without one, empty, LNet takes the first interface that is up.
    pub networks: &'a str,
    /// Parameters of other modules.
    pub parameters: ModuleParameters,
}

/// How long modprobe may take. `lustre` starts LNet, which takes a second or two.
const LIMIT: Duration = Duration::from_mins(2);

impl ModuleParameters {
    /// Module, name and value of each parameter that the settings give.
    fn given(self) -> impl Iterator<Item = (&'static str, &'static str, u32)> {
        let all = [
            ("ptlrpc", "ptlrpcd_per_cpt_max", self.ptlrpcd_per_cpt_max),
            ("ksocklnd", "credits", self.ksocklnd_credits),
        ];
        all.into_iter().filter_map(|(module, name, value)| Some((module, name, value?)))
    }

    /// A warning for each parameter that a loaded module has with another value, since it is read at load only.
    pub fn not_in_effect(self, host: &HostRoot) -> Vec<String> {
        let differs = |(module, name, wanted): (&str, &str, u32)| {
            let found = host.read_text(format!("/sys/module/{module}/parameters/{name}"))?;
            let message =
                format!("{module} was loaded with {name}={found}; {name}={wanted} counts from the next reboot on");
            (found != wanted.to_string()).then_some(message)
        };
        self.given().filter_map(differs).collect()
    }
}

impl ModuleLoader<'_> {
    /// Loads these modules in their order.
    pub fn load(&self, source: &ModuleSource, modules: &[&'static str]) -> Result<(), SetupError> {
        self.with_dependency(modules).try_for_each(|module| self.load_one(source, module))
    }

    /// The modules in their order, each with the parameters that it gets, for the log.
    pub fn describe(&self, modules: &[&'static str]) -> String {
        let with_parameters = |module: &str| [vec![module.to_owned()], self.parameters_of(module)].concat().join(" ");
        self.with_dependency(modules).map(with_parameters).collect::<Vec<_>>().join(", ")
    }

    /// The steps of [`Self::load`], for `--dry-run`.
    pub fn planned(&self, source: &ModuleSource, modules: &[&'static str], reason: &str) -> Vec<PlannedStep> {
        let step = |module| {
            let command = self.modprobe(source, module).command_line();
            PlannedStep::new(format!("load module {module}"), command, reason)
        };
        self.with_dependency(modules).map(step).collect()
    }

    /// The modules, with ptlrpc before `lustre` if it gets a parameter: `lustre` loads ptlrpc without one.
    fn with_dependency(&self, modules: &[&'static str]) -> impl Iterator<Item = &'static str> {
        let ptlrpc = self.parameters.ptlrpcd_per_cpt_max.map(|_| "ptlrpc");
        let with_dependency = move |&module| ptlrpc.filter(|_| module == "lustre").into_iter().chain([module]);
        modules.iter().flat_map(with_dependency)
    }

    fn modprobe(&self, source: &ModuleSource, module: &'static str) -> Invocation {
        let mut args: Vec<OsString> = Vec::new();
        if let ModuleSource::Unpacked(version) = source {
            let root = unpacked_dir(self.kernel, version).join("root");
            args.extend(["-d".into(), self.host.path_in_host(root).into_os_string()]);
        }
        args.extend(["-S", self.kernel, "-C", "/dev/null", module].map(Into::into));
        args.extend(self.parameters_of(module).into_iter().map(Into::into));
        Invocation::new("modprobe", args).within(LIMIT)
    }

    fn parameters_of(&self, module: &str) -> Vec<String> {
        let fixed = match module {
            "lnet" if !self.networks.is_empty() => Some(format!("networks={}", self.networks)),
            // lnetctl and udev of the host then leave the ip rules alone (`lustre/scripts/ksocklnd-config`).
            "ksocklnd" => Some("skip_mr_route_setup=1".to_owned()),
            _ => None,
        };
        let given = self.parameters.given().filter(|(of, ..)| *of == module);
        fixed.into_iter().chain(given.map(|(_, name, value)| format!("{name}={value}"))).collect()
    }

    fn load_one(&self, source: &ModuleSource, module: &'static str) -> Result<(), SetupError> {
        let run = self.modprobe(source, module);
        let output = self.tools.run(&run).map_err(|error| modprobe_not_run(module, &error))?;
        if !output.ok() {
            let dir = match source {
                ModuleSource::Unpacked(version) => unpacked_dir(self.kernel, version),
                ModuleSource::Host => PathBuf::from(format!("/lib/modules/{}", self.kernel)),
            };
            return Err(of_modprobe(module, &output.stderr, output.code, &dir));
        }
        if LoadedModules::read(self.host).has(module) {
            return Ok(());
        }
        Err(SetupError::try_again(
            format!("cannot load module {module}"),
            format!("modprobe succeeded, yet /sys/module/{module} is absent"),
            "Mount the root of the host with its /sys, and read the kernel's log (dmesg).",
        ))
    }
}

fn modprobe_not_run(module: &str, error: &ToolError) -> SetupError {
    let (what, why) = (format!("cannot load module {module}"), error.to_string());
    match error {
        ToolError::Missing { .. } => {
            SetupError::needs_human(what, why, "Use a node image with modprobe (package kmod).")
        }
        ToolError::TimedOut { .. } => {
            SetupError::try_again(what, why, "Read the kernel's log (dmesg); reboot the node if it happens again.")
        }
        ToolError::Failed { .. } => SetupError::try_again(
            what,
            why,
            "Run the container privileged, with the root of the host mounted at /host.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::node_setup::modules::LOAD_ORDER;
    use crate::adapters::node_setup::tools::Output;
    use crate::adapters::node_setup::version::ClientVersion;

    #[derive(Debug)]
    struct NoTools;
    impl HostTools for NoTools {
        fn run(&self, _: &Invocation) -> Result<Output, ToolError> {
            Err(ToolError::Missing { program: "modprobe" })
        }
    }

    fn commands(host: &HostRoot, source: &ModuleSource, parameters: ModuleParameters) -> Vec<String> {
        let loader = ModuleLoader { tools: &NoTools, host, kernel: "K", networks: "tcp(eth0)", parameters };
        let steps = loader.planned(source, &LOAD_ORDER, "it is needed");
        steps.into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn modprobe_gets_the_parameters_and_ignores_modprobe_d_of_the_host() {
        let root = "/var/lib/azurelustre-csi/K/2.17.0-24-gf517bc4/root";
        let private = ModuleSource::Unpacked(ClientVersion::parse("2.17.0-24-gf517bc4").unwrap());
        let expected = |parameters: [&str; 8]| {
            let all = LOAD_ORDER.iter().zip(parameters);
            all.map(|(module, more)| format!("modprobe -d {root} -S K -C /dev/null {module}{more}")).collect::<Vec<_>>()
        };
        let host = HostRoot::mounted_at("/host");
        assert_eq!(
            commands(&host, &private, ModuleParameters::default()),
            expected([" 'networks=tcp(eth0)'", " skip_mr_route_setup=1", "", "", "", "", "", ""])
        );
        let all = ModuleParameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: Some(2560) };
        let with_parameters = commands(&host, &private, all);
        assert!(with_parameters[1].ends_with("ksocklnd skip_mr_route_setup=1 credits=2560"));
        assert!(
            with_parameters[2].ends_with("ptlrpc ptlrpcd_per_cpt_max=32") && with_parameters[3].ends_with(" lustre")
        );
        let of_host = commands(&HostRoot::directory("/d"), &ModuleSource::Host, ModuleParameters::default());
        assert_eq!(of_host[2], "modprobe -S K -C /dev/null lustre");
        let below = commands(&HostRoot::directory("/d"), &private, ModuleParameters::default());
        assert_eq!(below[2], format!("modprobe -d /d{root} -S K -C /dev/null lustre"));
    }

    #[test]
    fn the_log_names_the_parameters_that_are_set() {
        let host = HostRoot::mounted_at("/host");
        let parameters = ModuleParameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: None };
        let loader = ModuleLoader { tools: &NoTools, host: &host, kernel: "K", networks: "tcp(eth0)", parameters };
        assert_eq!(
            loader.describe(&["lnet", "ksocklnd", "lustre"]),
            "lnet networks=tcp(eth0), ksocklnd skip_mr_route_setup=1, ptlrpc ptlrpcd_per_cpt_max=32, lustre"
        );
    }

    #[test]
    fn a_host_without_modprobe_needs_a_human() {
        let host = HostRoot::mounted_at("/host");
        let loader = ModuleLoader {
            tools: &NoTools,
            host: &host,
            kernel: "K",
            networks: "",
            parameters: ModuleParameters::default(),
        };
        assert_eq!(loader.load(&ModuleSource::Host, &["lnet"]).unwrap_err().exit.code(), 3);
    }
}
