//! Startup taints: which requests remove them, and what keeps them.

use std::sync::atomic::{AtomicUsize, Ordering};

use azurelustre_csi::ports::orchestrator::OrchestratorErrorKind;
use serde_json::{Value, json};

use crate::fakes::kube::{DRIVER, NODE, status};
use crate::world::Cluster;

const GET_NODE: &str = "GET /api/v1/nodes/aks-lustre-12345678-vmss000000";
const PATCH_NODE: &str = "PATCH /api/v1/nodes/aks-lustre-12345678-vmss000000";
const GET_CSI_NODE: &str = "GET /apis/storage.k8s.io/v1/csinodes/aks-lustre-12345678-vmss000000?resourceVersion=0";
const SCALER: &str = "startup-taint.cluster-autoscaler.kubernetes.io/azurelustre-agent-not-ready";

fn taint(key: &str) -> Value {
    json!({"key": key, "effect": "NoSchedule"})
}

fn own() -> Value {
    taint("azurelustre.csi.azure.com/agent-not-ready")
}

#[tokio::test]
async fn a_node_without_startup_taints_costs_one_request() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![taint("sku")];
    cluster.remove().await.unwrap();
    assert_eq!(cluster.stub.requests(), [GET_NODE]);
}

#[tokio::test]
async fn both_forms_are_removed_by_one_patch_that_tests_them() {
    let cluster = Cluster::start().await;
    let timed = json!({"key": SCALER, "value": "x", "effect": "NoExecute", "timeAdded": "2026-11-25T10:00:00Z"});
    cluster.stub.state().taints = vec![own(), taint("sku"), timed.clone()];
    cluster.remove().await.unwrap();
    assert_eq!(cluster.stub.requests(), [GET_NODE, GET_CSI_NODE, PATCH_NODE]);
    let patch = cluster.stub.state().seen[2].clone();
    assert_eq!(patch.content_type, "application/json-patch+json");
    assert_eq!(
        patch.body,
        json!([
            {"op": "test", "path": "/spec/taints/0", "value": own()},
            {"op": "test", "path": "/spec/taints/2", "value": timed},
            {"op": "remove", "path": "/spec/taints/2"},
            {"op": "remove", "path": "/spec/taints/0"},
        ])
    );
    assert_eq!(cluster.stub.state().taints, [taint("sku")]);
}

#[tokio::test]
async fn every_request_carries_the_token_and_names_the_driver() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    cluster.remove().await.unwrap();
    for seen in &cluster.stub.state().seen {
        assert_eq!(seen.authorization, format!("Bearer {}", crate::world::TOKEN));
        assert_eq!(seen.user_agent, "azurelustre-csi/test");
    }
}

#[tokio::test]
async fn until_the_driver_is_registered_the_taint_stays_and_the_error_says_why() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    cluster.stub.state().registered = false;
    let error = cluster.remove().await.unwrap_err();
    assert_eq!(error.kind, OrchestratorErrorKind::NotRegistered);
    assert!(error.to_string().contains(&format!("CSINode {NODE} does not list {DRIVER}")), "{error}");
    // kubelet creates the CSINode with its first driver.
    cluster.fail(|_, request| (request == GET_CSI_NODE).then(|| status(404, "NotFound", "csinodes not found")));
    assert_eq!(cluster.remove().await.unwrap_err().kind, OrchestratorErrorKind::NotRegistered);
    assert_eq!(cluster.stub.state().taints, [own()]);
}

#[tokio::test]
async fn a_change_that_came_first_is_met_with_a_new_patch() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    let times = AtomicUsize::new(0);
    cluster.stub.state().meanwhile = Some(Box::new(move |taints| {
        // Twice another controller puts a taint in front between our GET and our PATCH.
        if times.fetch_add(1, Ordering::Relaxed) < 2 {
            taints.insert(0, taint("node.kubernetes.io/network-unavailable"));
        }
    }));
    cluster.remove().await.unwrap();
    assert_eq!(cluster.stub.state().taints, vec![taint("node.kubernetes.io/network-unavailable"); 2]);
    // Registration is asked once.
    let asked = cluster.stub.requests().iter().filter(|request| *request == GET_CSI_NODE).count();
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn changes_that_always_come_first_end_the_try_as_one_to_repeat() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    cluster.stub.state().meanwhile = Some(Box::new(|taints| taints.insert(0, taint("other"))));
    let error = cluster.remove().await.unwrap_err();
    assert_eq!(error.kind, OrchestratorErrorKind::Unavailable, "{error}");
    assert!(cluster.stub.requests().len() < 20, "{:?}", cluster.stub.requests());
}

#[tokio::test]
async fn conflicts_without_a_change_of_the_taints_are_repeated_and_no_denial() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    let conflict = || status(409, "Conflict", "Operation cannot be fulfilled on nodes: the object has been modified");
    let times = AtomicUsize::new(0);
    cluster.fail(move |_, request| (request == PATCH_NODE && times.fetch_add(1, Ordering::Relaxed) < 3).then(conflict));
    cluster.remove().await.unwrap();
    assert_eq!(cluster.stub.state().taints, Vec::<Value>::new());
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    cluster.fail(move |_, request| (request == PATCH_NODE).then(conflict));
    assert_eq!(cluster.remove().await.unwrap_err().kind, OrchestratorErrorKind::Unavailable);
}

#[tokio::test]
async fn a_taint_that_another_client_removed_first_is_done() {
    let cluster = Cluster::start().await;
    cluster.stub.state().taints = vec![own()];
    cluster.stub.state().meanwhile = Some(Box::new(Vec::clear));
    cluster.remove().await.unwrap();
}

#[tokio::test]
async fn denials_are_distinguished_from_conflicts_and_keep_the_policys_text() {
    let policy =
        "nodes \"n\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no node edits";
    let webhook = "admission webhook \"validation.gatekeeper.sh\" denied the request: [azurepolicy] not allowed";
    let rbac =
        "nodes \"n\" is forbidden: User \"system:serviceaccount:kube-system:csi-azurelustre-node-sa\" cannot patch";
    let all =
        [(422, "Invalid", policy), (403, "Forbidden", webhook), (403, "Forbidden", rbac), (400, "BadRequest", policy)];
    for (code, reason, text) in all {
        let cluster = Cluster::start().await;
        cluster.stub.state().taints = vec![own()];
        let answer = status(code, reason, text);
        cluster.fail(move |_, request| (request == PATCH_NODE).then(|| answer.clone()));
        let error = cluster.remove().await.unwrap_err();
        assert_eq!(error.kind, OrchestratorErrorKind::Denied, "{code} {error}");
        assert!(error.to_string().contains(text) && error.to_string().contains("kubectl taint"), "{error}");
        let patches = cluster.stub.requests().iter().filter(|request| *request == PATCH_NODE).count();
        assert_eq!(patches, 1, "a denial is not repeated at once");
    }
}

#[tokio::test]
async fn failures_by_their_meaning() {
    use OrchestratorErrorKind::{Denied, Refused, Unavailable};
    let html = json!("<html>bad gateway</html>");
    let cases = [
        (status(401, "Unauthorized", "Unauthorized"), Denied),
        (status(403, "Forbidden", "no"), Denied),
        (status(404, "NotFound", "nodes not found"), Refused),
        (status(429, "TooManyRequests", "slow down"), Unavailable),
        (status(500, "InternalError", "etcd"), Unavailable),
        (status(503, "ServiceUnavailable", "apiserver is shutting down"), Unavailable),
        ((502, html.clone()), Unavailable),
        ((200, html), Unavailable),
    ];
    for ((code, body), kind) in cases {
        let cluster = Cluster::start().await;
        cluster.fail(move |_, _| Some((code, body.clone())));
        let error = cluster.remove().await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {error}");
        assert!(error.to_string().starts_with(&format!("remove the startup taints of node {NODE}: ")), "{error}");
        assert_eq!(cluster.stub.requests(), [GET_NODE], "no request is repeated here");
    }
}

#[tokio::test]
async fn what_is_no_name_of_a_node_reaches_no_path() {
    for name in ["", "../secrets", "a/b", "Node", "n?x=y", "n%2e", "-n", "n.", &"n".repeat(254)] {
        let cluster = Cluster::of_node(name).await;
        let error = cluster.remove().await.unwrap_err();
        assert_eq!(error.kind, OrchestratorErrorKind::Refused, "{name}: {error}");
        assert_eq!(cluster.stub.requests(), Vec::<String>::new(), "{name}");
    }
}
