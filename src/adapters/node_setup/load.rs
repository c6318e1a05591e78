//! Loading kernel modules by modprobe(8) of the host.
//!
//! `-C /dev/null` ignores modprobe.d of the host, whose `install` and `options` lines would count even with `-d`. A module
//! that is loaded already makes modprobe succeed whatever its version or parameters, so sysfs is read afterwards.

use std::time::Duration;

use super::error::SetupError;
use super::layout::{HostRoot, PrivateDir};
use super::modules::LoadedModules;
use super::plan::Source;
use super::ports::PlannedStep;
use super::tool_failures::of_modprobe;
use super::tools::{HostTools, Invocation, ToolError};

/// Parameters of modules that settings may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters {
    /// `ptlrpcd_per_cpt_max` of ptlrpc; the client's default where absent.
    pub ptlrpcd_per_cpt_max: Option<u32>,
    /// `credits` of ksocklnd; the client's default (256) where absent.
    pub ksocklnd_credits: Option<u32>,
}

/// How modules are loaded on one node.
#[derive(Debug, Clone, Copy)]
pub struct Loader<'a> {
    /// Programs of the host.
    pub tools: &'a dyn HostTools,
    /// Root of the host.
    pub host: &'a HostRoot,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// Value of lnet's parameter `networks`; without one, empty, LNet takes the first interface that is up.
    pub networks: &'a str,
    /// Parameters of other modules.
    pub parameters: Parameters,
}

/// How long modprobe may take. `lustre` starts LNet, which takes a second or two.
const LIMIT: Duration = Duration::from_mins(2);

impl Parameters {
    /// Parameters that loaded modules have otherwise, since they are read at load only; one line each.
    pub fn not_in_effect(&self, host: &HostRoot) -> Vec<String> {
        let wanted = [
            ("ptlrpc", "ptlrpcd_per_cpt_max", self.ptlrpcd_per_cpt_max),
            ("ksocklnd", "credits", self.ksocklnd_credits),
        ];
        let differs = |(module, name, wanted): (&str, &str, Option<u32>)| {
            let found = std::fs::read_to_string(host.at(format!("/sys/module/{module}/parameters/{name}"))).ok()?;
            let (found, wanted) = (found.trim(), wanted?);
            let message =
                format!("{module} was loaded with {name}={found}; {name}={wanted} counts from the next reboot on");
            (found != wanted.to_string()).then_some(message)
        };
        wanted.into_iter().filter_map(differs).collect()
    }
}

impl Loader<'_> {
    /// Loads these modules in their order.
    pub fn load(&self, source: &Source, modules: &[&'static str]) -> Result<(), SetupError> {
        self.order(modules).into_iter().try_for_each(|module| self.load_one(source, module))
    }

    /// The modules in their order, each with the parameters that it gets, for the log.
    pub fn described(&self, modules: &[&'static str]) -> String {
        let described =
            |module: &str| std::iter::once(module.to_owned()).chain(self.parameters_of(module)).collect::<Vec<_>>();
        self.order(modules).into_iter().map(|module| described(module).join(" ")).collect::<Vec<_>>().join(", ")
    }

    /// The same as steps for people.
    pub fn planned(&self, source: &Source, modules: &[&'static str], reason: &str) -> Vec<PlannedStep> {
        let step = |module| {
            let command = self.modprobe(source, module).command_line();
            PlannedStep::new(format!("load module {module}"), command, reason)
        };
        self.order(modules).into_iter().map(step).collect()
    }

    /// `lustre` pulls ptlrpc, so ptlrpc's parameter can only be given right before.
    fn order(&self, modules: &[&'static str]) -> Vec<&'static str> {
        let with_parameter = |module| self.parameters.ptlrpcd_per_cpt_max.is_some() && module == "lustre";
        let names = |&module| with_parameter(module).then_some("ptlrpc").into_iter().chain([module]);
        modules.iter().flat_map(names).collect()
    }

    fn modprobe(&self, source: &Source, module: &'static str) -> Invocation {
        let mut args: Vec<std::ffi::OsString> = Vec::new();
        if let Source::Private(version) = source {
            let root = PrivateDir::unpacked(self.kernel, version).join("root");
            args.extend(["-d".into(), self.host.path_in_host(root).into_os_string()]);
        }
        args.extend(["-S", self.kernel, "-C", "/dev/null", module].map(Into::into));
        args.extend(self.parameters_of(module).into_iter().map(Into::into));
        Invocation::new("modprobe", args).within(LIMIT)
    }

    fn parameters_of(&self, module: &str) -> Vec<String> {
        let optional = |name: &str, value: Option<u32>| value.map(|value| format!("{name}={value}"));
        match module {
            "lnet" if self.networks.is_empty() => Vec::new(),
            "lnet" => vec![format!("networks={}", self.networks)],
            // lnetctl and udev of the host then leave the ip rules alone.
            "ksocklnd" => std::iter::once("skip_mr_route_setup=1".to_owned())
                .chain(optional("credits", self.parameters.ksocklnd_credits))
                .collect(),
            "ptlrpc" => optional("ptlrpcd_per_cpt_max", self.parameters.ptlrpcd_per_cpt_max).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn load_one(&self, source: &Source, module: &'static str) -> Result<(), SetupError> {
        let run = self.modprobe(source, module);
        let output = self.tools.run(&run).map_err(|error| not_run(module, &error))?;
        if !output.ok() {
            let dir = match source {
                Source::Private(version) => PrivateDir::unpacked(self.kernel, version),
                Source::Host => format!("/lib/modules/{}", self.kernel).into(),
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

fn not_run(module: &str, error: &ToolError) -> SetupError {
    let what = format!("cannot load module {module}");
    match error {
        ToolError::Missing { .. } => {
            SetupError::needs_human(what, error.to_string(), "Use a node image with modprobe (package kmod).")
        }
        ToolError::TimedOut { .. } => SetupError::try_again(
            what,
            error.to_string(),
            "Read the kernel's log (dmesg); reboot the node if it happens again.",
        ),
        ToolError::Failed { .. } => SetupError::try_again(
            what,
            error.to_string(),
            "Run the container privileged, with the root of the host mounted at /host.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::node_setup::tools::Output;
    use crate::adapters::node_setup::version::ClientVersion;

    #[derive(Debug)]
    struct NoTools;
    impl HostTools for NoTools {
        fn run(&self, _: &Invocation) -> Result<Output, ToolError> {
            Err(ToolError::Missing { program: "modprobe" })
        }
    }

    fn commands(host: &HostRoot, source: &Source, parameters: Parameters) -> Vec<String> {
        let loader = Loader { tools: &NoTools, host, kernel: "K", networks: "tcp(eth0)", parameters };
        let steps = loader.planned(source, &super::super::modules::LOAD_ORDER, "it is needed");
        steps.into_iter().map(|step| step.command).collect()
    }

    #[test]
    fn modules_are_loaded_in_order_with_their_parameters_and_without_the_hosts_configuration() {
        let root = "/var/lib/azurelustre-csi/K/2.17.0-24-gf517bc4/root";
        let private = Source::Private(ClientVersion::parse("2.17.0-24-gf517bc4").unwrap());
        let expected = |parameters: [&str; 8]| {
            let all = super::super::modules::LOAD_ORDER.iter().zip(parameters);
            all.map(|(module, more)| format!("modprobe -d {root} -S K -C /dev/null {module}{more}")).collect::<Vec<_>>()
        };
        let host = HostRoot::mounted_at("/host");
        assert_eq!(
            commands(&host, &private, Parameters::default()),
            expected([" 'networks=tcp(eth0)'", " skip_mr_route_setup=1", "", "", "", "", "", ""])
        );
        let all = Parameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: Some(2560) };
        let with_parameters = commands(&host, &private, all);
        assert!(with_parameters[1].ends_with("ksocklnd skip_mr_route_setup=1 credits=2560"));
        assert!(
            with_parameters[2].ends_with("ptlrpc ptlrpcd_per_cpt_max=32") && with_parameters[3].ends_with(" lustre")
        );
        let of_host = commands(&HostRoot::directory("/d"), &Source::Host, Parameters::default());
        assert_eq!(of_host[2], "modprobe -S K -C /dev/null lustre");
        let below = commands(&HostRoot::directory("/d"), &private, Parameters::default());
        assert_eq!(below[2], format!("modprobe -d /d{root} -S K -C /dev/null lustre"));
    }

    #[test]
    fn the_log_names_the_parameters_that_are_set() {
        let host = HostRoot::mounted_at("/host");
        let parameters = Parameters { ptlrpcd_per_cpt_max: Some(32), ksocklnd_credits: None };
        let loader = Loader { tools: &NoTools, host: &host, kernel: "K", networks: "tcp(eth0)", parameters };
        assert_eq!(
            loader.described(&["lnet", "ksocklnd", "lustre"]),
            "lnet networks=tcp(eth0), ksocklnd skip_mr_route_setup=1, ptlrpc ptlrpcd_per_cpt_max=32, lustre"
        );
    }

    #[test]
    fn a_host_without_modprobe_needs_a_human() {
        let host = HostRoot::mounted_at("/host");
        let loader =
            Loader { tools: &NoTools, host: &host, kernel: "K", networks: "", parameters: Parameters::default() };
        assert_eq!(loader.load(&Source::Host, &["lnet"]).unwrap_err().exit.code(), 3);
    }
}
