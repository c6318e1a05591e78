//! A stub of the Kubernetes API server, over HTTP: one Node, its `CSINode`, and events. It records every request.
//!
//! It behaves as the real one does where the driver depends on it: a JSON patch whose test fails is a 422 with this text, an
//! event that exists is a 409, an update of one that expired is a 404.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use azurelustre_csi::adapters::kube::connection::Connection;
use serde_json::{Value, json};
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

/// The node of the stub.
pub(crate) const NODE: &str = "aks-lustre-12345678-vmss000000";
/// The driver that kubelet registers there.
pub(crate) const DRIVER: &str = "azurelustre.csi.azure.com";

/// A request that the server received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) authorization: String,
    pub(crate) user_agent: String,
    pub(crate) body: Value,
}

/// Chooses a response in place of the server's own, from each request and its number from 0.
pub(crate) type Fault = Box<dyn Fn(usize, &Seen) -> Option<(u16, Value)> + Send + Sync>;

/// A change of the node's taints by another client.
pub(crate) type Meanwhile = Box<dyn FnMut(&mut Vec<Value>) + Send>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) taints: Vec<Value>,
    pub(crate) registered: bool,
    /// Events by namespace and name.
    pub(crate) events: BTreeMap<(String, String), Value>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) fault: Option<Fault>,
    /// A change by another client after each GET of the node.
    pub(crate) meanwhile: Option<Meanwhile>,
}

/// The server. Dropping it ends it.
pub(crate) struct ApiStub {
    server: MockServer,
    state: Arc<Mutex<State>>,
}

struct AnyRequest;

impl Match for AnyRequest {
    fn matches(&self, _: &Request) -> bool {
        true
    }
}

struct Responder(Arc<Mutex<State>>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let seen = seen(request);
        let number = state.seen.len();
        state.seen.push(seen.clone());
        let fault = state.fault.as_ref().and_then(|fault| fault(number, &seen));
        let (code, body) = fault.unwrap_or_else(|| state.answer(&seen));
        ResponseTemplate::new(code).set_body_json(body)
    }
}

fn seen(request: &Request) -> Seen {
    let header = |name: &str| request.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let query = request.url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Seen {
        method: request.method.to_string(),
        path: format!("{}{query}", request.url.path()),
        content_type: header("content-type"),
        authorization: header("authorization"),
        user_agent: header("user-agent"),
        body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
    }
}

/// A failure as the API server writes it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    (code, body)
}

fn absent(what: &str) -> (u16, Value) {
    status(404, "NotFound", &format!("{what} not found"))
}

impl State {
    fn answer(&mut self, request: &Seen) -> (u16, Value) {
        let path = request.path.split('?').next().unwrap();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["api", "v1", "nodes", name]) if *name == NODE => {
                let node = self.node();
                if let Some(mut meanwhile) = self.meanwhile.take() {
                    meanwhile(&mut self.taints);
                    self.meanwhile = Some(meanwhile);
                }
                (200, node)
            }
            ("PATCH", ["api", "v1", "nodes", name]) if *name == NODE => self.patch(request),
            ("GET", ["apis", "storage.k8s.io", "v1", "csinodes", name]) if *name == NODE => self.csi_node(),
            ("POST", ["api", "v1", "namespaces", namespace, "events"]) => self.create(namespace, &request.body),
            ("PATCH", ["api", "v1", "namespaces", namespace, "events", name]) => {
                assert_eq!(request.content_type, "application/merge-patch+json");
                let key = ((*namespace).to_owned(), (*name).to_owned());
                let Some(event) = self.events.get_mut(&key) else { return absent(&format!("events \"{name}\"")) };
                for (field, value) in request.body.as_object().unwrap() {
                    event[field] = value.clone();
                }
                (200, event.clone())
            }
            _ => absent(path),
        }
    }

    fn node(&self) -> Value {
        let mut spec = json!({"podCIDR": "10.244.0.0/24", "providerID": "azure:///x"});
        // An empty list is left out, as the real server does.
        if !self.taints.is_empty() {
            spec["taints"] = json!(self.taints);
        }
        json!({
            "kind": "Node", "apiVersion": "v1", "metadata": {"name": NODE, "resourceVersion": "7"},
            "spec": spec, "status": {"images": [{"names": ["registry/image"], "sizeBytes": 1}]},
        })
    }

    fn csi_node(&self) -> (u16, Value) {
        let other = json!({"name": "disk.csi.azure.com", "nodeID": NODE, "topologyKeys": null});
        let ours = json!({"name": DRIVER, "nodeID": NODE, "topologyKeys": null});
        let drivers = if self.registered { json!([other, ours]) } else { json!([other]) };
        (
            200,
            json!({"kind": "CSINode", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": NODE}, "spec": {"drivers": drivers}}),
        )
    }

    /// RFC 6902, as far as tests and removals at `/spec/taints/N` go; all of it or nothing.
    fn patch(&mut self, request: &Seen) -> (u16, Value) {
        assert_eq!(request.content_type, "application/json-patch+json");
        let mut taints = self.taints.clone();
        for step in request.body.as_array().unwrap() {
            let index: usize = step["path"].as_str().unwrap().strip_prefix("/spec/taints/").unwrap().parse().unwrap();
            let applies = match step["op"].as_str().unwrap() {
                "test" => taints.get(index) == Some(&step["value"]),
                "remove" => {
                    index < taints.len() && {
                        taints.remove(index);
                        true
                    }
                }
                _ => false,
            };
            if !applies {
                return status(422, "Invalid", "the server rejected our request due to an error in our request");
            }
        }
        self.taints = taints;
        (200, self.node())
    }

    fn create(&mut self, namespace: &str, event: &Value) -> (u16, Value) {
        // Rules of the real server's validation that a wrong body would break.
        assert_eq!(event["metadata"]["namespace"], json!(namespace));
        assert_eq!(event["involvedObject"]["namespace"], json!(namespace));
        assert!(event["message"].as_str().unwrap().len() <= 1024);
        let name = event["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (namespace.to_owned(), name.clone());
        if self.events.contains_key(&key) {
            return status(409, "AlreadyExists", &format!("events \"{name}\" already exists"));
        }
        self.events.insert(key, event.clone());
        (201, event.clone())
    }
}

impl ApiStub {
    /// A server whose node has no taints and lists the driver.
    pub(crate) async fn start() -> Self {
        let server = MockServer::start().await;
        let state = Arc::new(Mutex::new(State { registered: true, ..State::default() }));
        Mock::given(AnyRequest).respond_with(Responder(state.clone())).mount(&server).await;
        Self { server, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A connection to it, with this token in a service account's directory.
    pub(crate) fn connection(&self, files: &Path, token: &str) -> Connection {
        std::fs::write(files.join("token"), token).unwrap();
        Connection::new(self.server.uri(), files, "azurelustre-csi/test")
    }

    /// Methods and paths of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    /// Events with kind, namespace, claim, reason, text and count, in the order of their names, which grow.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.state().events.values().cloned().collect()
    }
}
