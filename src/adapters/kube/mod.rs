//! The Kubernetes adapter of the orchestrator port: removes the startup taints of the driver's node, writes events on claims.
//!
//! ```text
//!   KubeOrchestrator ──> taints, event, series (pure)
//!                   └──> api (requests, errors) ──> connection (address, token, TLS)
//! ```
//!
//! Few requests: one GET of the node at the start, and only on a node with a startup taint a GET of its `CSINode`
//! and a PATCH; a POST or a PATCH for each event. Nothing is listed or watched, so thousands of nodes cost the API server
//! next to nothing.

use async_trait::async_trait;
use k8s_openapi::jiff::Timestamp;

use crate::ports::orchestrator::{ClaimEvent, Orchestrator, OrchestratorError, OrchestratorErrorKind};

pub mod api;
pub mod connection;
pub mod event;
pub mod series;
pub mod taints;

use api::{ApiError, ApiErrorKind, ApiServer};
use event::Reporter;
use series::{SeriesTable, Write};
use taints::Removal;

/// How often a patch of the node is repeated at once because another one came first.
const CONFLICTS: usize = 5;

/// The orchestrator port over a Kubernetes API server.
#[derive(Debug)]
pub struct KubeOrchestrator {
    api: ApiServer,
    driver_name: String,
    /// The node's name in Kubernetes, where this process runs the Node service.
    node: Option<String>,
    reporter: Reporter,
    series: SeriesTable,
}

impl KubeOrchestrator {
    /// The orchestrator behind `api`. `driver_name` is the name under which kubelet registers the driver; `instance` distinguishes
    /// replicas in events (the pod's name).
    pub fn new(api: ApiServer, driver_name: &str, node: Option<&str>, instance: &str) -> Self {
        Self {
            api,
            driver_name: driver_name.to_owned(),
            node: node.map(str::to_owned),
            reporter: Reporter { component: driver_name.to_owned(), instance: instance.to_owned() },
            series: SeriesTable::default(),
        }
    }

    /// Removes the startup taints of `node`; repeats the patch at once where another change came first.
    async fn remove_taints(&self, node: &str) -> Result<(), TaintError> {
        let keys = taints::startup_taints(&self.driver_name);
        let mut refused: Option<(Removal, ApiError)> = None;
        for _ in 0..CONFLICTS {
            let present = self.api.node_taints(node).await?;
            let Some(removal) = Removal::of(&present, &keys) else { return Ok(()) };
            if let Some((earlier, error)) = refused.take() {
                // The taints are as they were when the patch was refused as invalid, so no test failed: it is a denial.
                if earlier == removal && error.kind == ApiErrorKind::Invalid {
                    return Err(TaintError::Denied(error));
                }
            } else if !self.api.has_driver(node, &self.driver_name).await? {
                return Err(TaintError::NotRegistered);
            }
            match self.api.patch_node(node, &removal.patch()).await {
                Ok(()) => return Ok(()),
                Err(error) if error.may_be_conflict() => refused = Some((removal, error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaintError::Contended)
    }

    async fn write(&self, event: &ClaimEvent) -> Result<(), ApiError> {
        let now = event::now();
        let write = self.series.plan(event, now);
        let written = self.send(event, &write, now).await;
        self.series.record(event, &write, written.as_ref().err().map(|error| error.kind));
        let expired = written.as_ref().is_err_and(|error| error.kind == ApiErrorKind::NotFound);
        match write {
            // The API server keeps events for an hour by default: an expired series begins again.
            Write::Update { .. } if expired => Box::pin(self.write(event)).await,
            _ => written,
        }
    }

    async fn send(&self, event: &ClaimEvent, write: &Write, now: Timestamp) -> Result<(), ApiError> {
        let namespace = event.namespace.as_str();
        match write {
            Write::Create { name } => {
                let created = self.api.create_event(namespace, &self.reporter.event(event, name, now)).await;
                // A name of ours that exists was created by an earlier request whose response was lost.
                created.or_else(|error| if error.kind == ApiErrorKind::Conflict { Ok(()) } else { Err(error) })
            }
            Write::Update { name, count } => {
                self.api.patch_event(namespace, name, &event::update(event, *count, now)).await
            }
        }
    }
}

#[async_trait]
impl Orchestrator for KubeOrchestrator {
    async fn remove_startup_taint(&self) -> Result<(), OrchestratorError> {
        let Some(node) = &self.node else { return Ok(()) };
        let removed = self.remove_taints(node).await;
        removed.map_err(|error| error.into_error(node, &self.driver_name))
    }

    async fn report(&self, event: &ClaimEvent) -> Result<(), OrchestratorError> {
        self.write(event).await.map_err(|error| {
            let ClaimEvent { namespace, claim, reason, .. } = event;
            let hint = "let the controller's service account create and patch events";
            error.into_error(format!("write event {reason} on claim {namespace}/{claim}"), hint)
        })
    }
}

/// Why the startup taints are still there.
#[derive(Debug)]
enum TaintError {
    /// kubelet has not registered the driver.
    NotRegistered,
    /// Others changed the node's taints each time.
    Contended,
    /// The same patch was refused twice on the same taints.
    Denied(ApiError),
    /// A request failed.
    Api(ApiError),
}

impl From<ApiError> for TaintError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl TaintError {
    fn into_error(self, node: &str, driver_name: &str) -> OrchestratorError {
        let operation = format!("remove the startup taints of node {node}");
        let hint = "let the node's service account get and patch nodes and get csinodes, or remove the taint with \
                    `kubectl taint`";
        let (kind, message) = match self {
            Self::Api(error) => return error.into_error(operation, hint),
            Self::Denied(error) => {
                return ApiError { kind: ApiErrorKind::Denied, ..error }.into_error(operation, hint);
            }
            Self::NotRegistered => (
                OrchestratorErrorKind::NotRegistered,
                format!("CSINode {node} does not list {driver_name} yet; node-driver-registrar and kubelet do that"),
            ),
            Self::Contended => {
                (OrchestratorErrorKind::Unavailable, "other changes of the node's taints came first".to_owned())
            }
        };
        OrchestratorError { kind, operation, message, source: None }
    }
}
