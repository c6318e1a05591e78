//! From settings to the orchestrator: a Kubernetes API server where one is known, else the log.
//!
//! No fault here keeps the driver from creating and mounting; it is logged once.

use std::sync::Arc;

use crate::adapters::log::LogOrchestrator;
use crate::app::settings::Settings;
use crate::ports::orchestrator::Orchestrator;

/// What it means to have no orchestrator.
const WITHOUT: &str = "events on claims go to the log, startup taints stay on the node";

/// The orchestrator, and whether it can remove startup taints.
pub(super) fn orchestrator(settings: &Settings) -> (Arc<dyn Orchestrator>, bool) {
    let removes_taint = settings.mode.node_id().is_some() && settings.values.remove_not_ready_taint;
    let needed = settings.mode.has_controller() || removes_taint;
    let kubernetes = if needed { kubernetes(settings) } else { None };
    match kubernetes {
        Some(orchestrator) => (orchestrator, removes_taint),
        None => (Arc::new(LogOrchestrator), false),
    }
}

#[cfg(feature = "kube")]
fn kubernetes(settings: &Settings) -> Option<Arc<dyn Orchestrator>> {
    use crate::adapters::kube::KubeOrchestrator;
    use crate::adapters::kube::api::ApiServer;
    use crate::adapters::kube::connection::Connection;
    use crate::app::version::DRIVER_VERSION;

    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let address = variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT"));
    let Some((host, port)) = address else {
        tracing::info!("not running in Kubernetes: {WITHOUT}");
        return None;
    };
    let instance =
        variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "azurelustre-csi".to_owned());
    let connection = Connection::in_cluster(&host, &port, format!("azurelustre-csi/{DRIVER_VERSION}"));
    let (api, node) = (ApiServer::new(connection), settings.mode.node_id());
    Some(Arc::new(KubeOrchestrator::new(api, &settings.values.driver_name, node, &instance)))
}

#[cfg(not(feature = "kube"))]
fn kubernetes(_: &Settings) -> Option<Arc<dyn Orchestrator>> {
    tracing::info!("this build does not talk to Kubernetes: {WITHOUT}");
    None
}
