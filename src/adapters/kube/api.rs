//! [`ApiServer`]: the requests to the Kubernetes API that this driver sends, and [`ApiError`]: what a failed one means.
//!
//! Source: <https://kubernetes.io/docs/reference/kubernetes-api/>, `Node`, `CSINode` and `Event`.

use k8s_openapi::api::core::v1::{Event, Node};
use k8s_openapi::api::storage::v1::CSINode;
use kube::Resource;
use kube::core::params::{GetParams, Patch, PatchParams, PostParams};
use kube::core::request::{Error as RequestError, Request};
use kube::core::response::Status;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connection::Connection;
use crate::ports::orchestrator::{OrchestratorError, OrchestratorErrorKind};

/// Longest part of a response's text that is repeated in an error, in bytes.
const TEXT_MAX: usize = 800;
/// Longest name of an object (RFC 1123 subdomain), in bytes.
pub(super) const NAME_MAX: usize = 253;
/// Content type of a JSON patch (RFC 6902).
const JSON_PATCH: &str = "application/json-patch+json";

/// What a failed request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// 409: another change came first, or an object of this name exists.
    Conflict,
    /// 422, 400 and other 4xx: the request as it is cannot be carried out. A JSON patch whose test fails is a 422 too, and
    /// so is what a `ValidatingAdmissionPolicy` denies without a reason of its own.
    Invalid,
    /// 404, or a namespace that is being deleted.
    NotFound,
    /// 401, 403: no credentials, no permission, or an admission webhook that denies.
    Denied,
    /// No response, 429, 5xx, or something that is not an API server's response.
    Unavailable,
}

/// A failed request.
#[derive(Debug)]
pub struct ApiError {
    /// What it means.
    pub kind: ApiErrorKind,
    /// The server's text, or why there is no response. Never holds a credential.
    pub message: String,
}

impl ApiError {
    fn new(kind: ApiErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the state of the object, not the request, may be the reason.
    pub(super) fn may_be_conflict(&self) -> bool {
        matches!(self.kind, ApiErrorKind::Conflict | ApiErrorKind::Invalid)
    }

    /// The error of the port. `hint` says what to do about a missing permission.
    pub(super) fn into_error(self, operation: String, hint: &str) -> OrchestratorError {
        let (kind, message) = match self.kind {
            ApiErrorKind::Denied => {
                (OrchestratorErrorKind::Denied, format!("the API server denies it: {}; {hint}", self.message))
            }
            ApiErrorKind::Invalid | ApiErrorKind::NotFound => {
                (OrchestratorErrorKind::Refused, format!("the API server refuses it: {}", self.message))
            }
            ApiErrorKind::Unavailable | ApiErrorKind::Conflict => (OrchestratorErrorKind::Unavailable, self.message),
        };
        OrchestratorError { kind, operation, message, source: None }
    }
}

/// The part of a Node that counts here. Taints are kept as the server wrote them, fields of newer versions included.
#[derive(Debug, Deserialize)]
struct TaintedNode {
    #[serde(default)]
    spec: TaintedSpec,
}

#[derive(Debug, Default, Deserialize)]
struct TaintedSpec {
    taints: Option<Vec<Value>>,
}

/// A Kubernetes API server.
#[derive(Debug)]
pub struct ApiServer(Connection);

impl ApiServer {
    /// The API server at the other end of `connection`.
    pub fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// The taints of a node, as the server wrote them.
    pub(super) async fn node_taints(&self, node: &str) -> Result<Vec<Value>, ApiError> {
        let request = objects::<Node>(None)?.get(object_name(node)?, &GetParams::default());
        let TaintedNode { spec } = self.read(request).await?;
        Ok(spec.taints.unwrap_or_default())
    }

    /// Whether kubelet registered a driver on a node. Read from the server's cache (`resourceVersion=0`), since the driver
    /// polls it.
    pub(super) async fn has_driver(&self, node: &str, driver_name: &str) -> Result<bool, ApiError> {
        let request = objects::<CSINode>(None)?.get(object_name(node)?, &GetParams::any());
        match self.read::<CSINode>(request).await {
            Ok(found) => Ok(found.spec.drivers.iter().any(|driver| driver.name == driver_name)),
            // kubelet creates the object with its first driver.
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes a node by a JSON patch.
    pub(super) async fn patch_node(&self, node: &str, patch: &Value) -> Result<(), ApiError> {
        let request = objects::<Node>(None)?.patch(object_name(node)?, &PatchParams::default(), &Patch::Merge(patch));
        // kube's own type of a JSON patch would bring two more crates.
        let typed = request.map(|mut request| {
            request.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(JSON_PATCH));
            request
        });
        self.send(typed).await.map(drop)
    }

    /// Creates an event.
    pub(super) async fn create_event(&self, namespace: &str, event: &Event) -> Result<(), ApiError> {
        let body = serde_json::to_vec(event).map_err(|error| invalid(&error))?;
        let request = objects::<Event>(Some(namespace))?.create(&PostParams::default(), body);
        self.send(request).await.map(drop)
    }

    /// Changes an event by a merge patch.
    pub(super) async fn patch_event(&self, namespace: &str, name: &str, patch: &Value) -> Result<(), ApiError> {
        let params = PatchParams::default();
        self.send(objects::<Event>(Some(namespace))?.patch(object_name(name)?, &params, &Patch::Merge(patch)))
            .await
            .map(drop)
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, RequestError>,
    ) -> Result<T, ApiError> {
        let body = self.send(request).await?;
        serde_json::from_slice(&body)
            .map_err(|error| unavailable(format!("this is not an API server's response: {error}")))
    }

    async fn send(&self, request: Result<http::Request<Vec<u8>>, RequestError>) -> Result<Vec<u8>, ApiError> {
        let (code, body) = self.0.send(request.map_err(|error| invalid(&error))?).await.map_err(unavailable)?;
        if (200..300).contains(&code) {
            return Ok(body);
        }
        // What is not a Status was written by something in between, such as a proxy.
        let status = serde_json::from_slice::<Status>(&body).ok();
        let text =
            status.as_ref().map_or_else(|| String::from_utf8_lossy(&body), |status| status.message.as_str().into());
        Err(ApiError::new(kind(code, status.as_ref()), format!("{} (HTTP {code})", one_line(&text))))
    }
}

/// Requests about objects of a kind.
fn objects<K: Resource<DynamicType = ()>>(namespace: Option<&str>) -> Result<Request, ApiError> {
    let namespace = namespace.map(object_name).transpose()?;
    Ok(Request::new(K::url_path(&(), namespace)))
}

fn unavailable(message: String) -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, message)
}

fn invalid(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(ApiErrorKind::Invalid, error.to_string())
}

/// A name as a segment of a path, if it is one that Kubernetes gives (RFC 1123: a-z, 0-9, `-`, `.`).
fn object_name(name: &str) -> Result<&str, ApiError> {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let valid = bytes.len() <= NAME_MAX
        && bytes.iter().all(|byte| alphanumeric(byte) || b"-.".contains(byte))
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric);
    let refusal = || format!("`{}` is not a valid name of a Kubernetes object", name.escape_debug());
    if valid { Ok(name) } else { Err(ApiError::new(ApiErrorKind::Invalid, refusal())) }
}

fn kind(code: u16, status: Option<&Status>) -> ApiErrorKind {
    let causes = status.and_then(|status| status.details.as_ref()).map_or(&[][..], |details| &details.causes);
    let terminating = causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
    match code {
        404 => ApiErrorKind::NotFound,
        403 if terminating => ApiErrorKind::NotFound,
        401 | 403 => ApiErrorKind::Denied,
        409 => ApiErrorKind::Conflict,
        400..=499 if code != 408 && code != 429 => ApiErrorKind::Invalid,
        _ => ApiErrorKind::Unavailable,
    }
}

/// A text in one line, not too long.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.floor_char_boundary(TEXT_MAX);
    if end < line.len() { format!("{}…", &line[..end]) } else { line }
}
