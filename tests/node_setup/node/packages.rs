//! Packages, progress and timer of the fake node.

use std::fs;
use std::time::Duration;

use azurelustre_csi::adapters::node_setup::error::SetupError;
use azurelustre_csi::adapters::node_setup::host_state::HostState;
use azurelustre_csi::adapters::node_setup::layout::unpacked_dir;
use azurelustre_csi::adapters::node_setup::ports::{Packages, PlannedStep, ProgressLog, RetryPolicy, Timer};
use azurelustre_csi::adapters::node_setup::version::ClientVersion;

use super::FakeNode;

impl Packages for FakeNode {
    fn ensure(&self, host: &HostState, version: &ClientVersion, retry: RetryPolicy) -> Result<(), SetupError> {
        *self.retry_policy.lock().unwrap() = Some(retry);
        let failed = self.step(format!("fetch {version}"));
        let unreachable =
            || SetupError::try_again("cannot fetch", "Could not resolve 'packages.microsoft.com'", "Allow it.");
        if let Some(error) = self.no_package.lock().unwrap().clone().or_else(|| failed.then(unreachable)) {
            return Err(error);
        }
        self.unpack(&host.kernel, version.as_str());
        Ok(())
    }

    fn is_complete(&self, kernel: &str, version: &ClientVersion) -> bool {
        let record = self.host().at(unpacked_dir(kernel, version)).join("ok.json");
        fs::read_to_string(record).is_ok_and(|text| text == "{}")
    }

    fn planned(&self, _: &HostState, version: &ClientVersion) -> Vec<PlannedStep> {
        vec![PlannedStep::new(format!("fetch client {version}"), "apt-get", "it is not unpacked")]
    }

    fn prune(&self, _: &str, loaded: Option<&ClientVersion>) {
        self.step(format!("prune {}", if loaded.is_some() { "all but the loaded client" } else { "nothing" }));
    }
}

impl ProgressLog for FakeNode {
    fn progress(&self, _: &str) {}
}

impl Timer for FakeNode {
    fn sleep(&self, _: Duration) {
        if let Some(on_sleep) = *self.on_sleep.lock().unwrap() {
            on_sleep(self);
        }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn random_fraction(&self) -> f64 {
        0.0
    }
}
