//! What tests ask and set, below `/stub`.

use std::collections::BTreeMap;
use std::sync::Arc;

use azurelustre_csi::adapters::arm::http::{Method, Request, Response, StatusCode};
use azurelustre_csi::adapters::simulator::SimulatedCloud;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::fakes::arm::Kind;

/// An answer in JSON.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Response {
        status: StatusCode::from_u16(status).unwrap_or_default(),
        headers: headers.into_iter().collect(),
        body: Bytes::from(body.to_string()),
    }
}

/// The cloud behind the stub, for tests.
pub(crate) struct Control {
    cloud: Arc<SimulatedCloud>,
}

impl Control {
    pub(crate) fn new(cloud: Arc<SimulatedCloud>) -> Self {
        Self { cloud }
    }

    pub(crate) fn answer(&self, question: &str, request: &Request, counts: &BTreeMap<Kind, usize>) -> Response {
        match (&request.method, question) {
            (&Method::GET, "state") => json(200, &self.state(counts)),
            (&Method::POST, "settings") => self.set(&request.body),
            _ => json(404, &json!({ "error": "GET state or POST settings" })),
        }
    }

    fn state(&self, counts: &BTreeMap<Kind, usize>) -> Value {
        let all = self.cloud.filesystems();
        let states: BTreeMap<_, _> =
            all.iter().map(|(id, found)| (id.name.to_string(), found.state.as_str())).collect();
        let requests: BTreeMap<_, _> = counts.iter().map(|(kind, count)| (format!("{kind:?}"), count)).collect();
        json!({ "filesystems": states, "creations": self.cloud.accepted_creations(), "requests": requests })
    }

    fn set(&self, body: &Bytes) -> Response {
        let settings: Value = serde_json::from_slice(body).unwrap_or_default();
        let seconds = |name: &str| settings.get(name).and_then(Value::as_u64);
        self.cloud.edit_world(|world| {
            world.create_seconds = seconds("createSeconds").unwrap_or(world.create_seconds);
            world.delete_seconds = seconds("deleteSeconds").unwrap_or(world.delete_seconds);
        });
        json(200, &json!({}))
    }
}
