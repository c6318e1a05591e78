//! The service account's files: read for each request, never shown, and missed with a hint.

use azurelustre_csi::adapters::kube::KubeOrchestrator;
use azurelustre_csi::adapters::kube::api::ApiServer;
use azurelustre_csi::adapters::kube::connection::Connection;
use azurelustre_csi::ports::orchestrator::{Orchestrator, OrchestratorError, OrchestratorErrorKind};

use crate::fakes::kube::{DRIVER, NODE};
use crate::world::{Cluster, TOKEN};

async fn failure(connection: Connection) -> OrchestratorError {
    let orchestrator = KubeOrchestrator::new(ApiServer::new(connection), DRIVER, Some(NODE), "pod-1");
    let error = orchestrator.remove_startup_taint().await.unwrap_err();
    assert_eq!(error.kind, OrchestratorErrorKind::Unavailable, "{error}");
    assert!(!format!("{error} {error:?} {orchestrator:?}").contains(TOKEN));
    error
}

#[tokio::test]
async fn a_token_that_kubelet_replaced_is_used_for_the_next_request() {
    let cluster = Cluster::start().await;
    cluster.remove().await.unwrap();
    std::fs::write(cluster.files.path().join("token"), "token-2\n").unwrap();
    cluster.remove().await.unwrap();
    let used: Vec<String> = cluster.stub.state().seen.iter().map(|seen| seen.authorization.clone()).collect();
    assert_eq!(used, [format!("Bearer {TOKEN}"), "Bearer token-2".to_owned()]);
}

#[tokio::test]
async fn missing_files_are_named_with_what_to_do() {
    let cluster = Cluster::start().await;
    std::fs::remove_file(cluster.files.path().join("token")).unwrap();
    let error = cluster.remove().await.unwrap_err();
    assert_eq!(error.kind, OrchestratorErrorKind::Unavailable);
    for part in ["token: No such file", "automountServiceAccountToken"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(cluster.stub.requests(), Vec::<String>::new());
    let files = tempfile::tempdir().unwrap();
    let error = failure(Connection::new("https://127.0.0.1:1", files.path(), "test")).await;
    assert!(error.to_string().contains("ca.crt: No such file"), "{error}");
}

#[tokio::test]
async fn files_that_hold_something_else_are_named_and_not_shown() {
    let cluster = Cluster::start().await;
    for content in
        [String::new(), "\n".to_owned(), format!("{TOKEN}\u{1}"), format!("{TOKEN} {TOKEN}"), format!("{TOKEN}é")]
    {
        std::fs::write(cluster.files.path().join("token"), &content).unwrap();
        let error = cluster.remove().await.unwrap_err();
        assert!(error.to_string().contains("token holds no token"), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("token"), TOKEN).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(files.path().join("ca.crt"), broken).unwrap();
    let error = failure(Connection::new("https://127.0.0.1:1", files.path(), "test")).await;
    assert!(error.to_string().contains("ca.crt is not a certificate authority in PEM"), "{error}");
}

#[tokio::test]
async fn an_unreachable_api_server_is_retried_and_the_error_has_no_token() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("token"), TOKEN).unwrap();
    let error = failure(Connection::new("http://127.0.0.1:1", files.path(), "test")).await;
    assert!(error.to_string().contains("Connection refused"), "{error}");
}
