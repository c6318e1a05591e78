//! The stub behind a real socket, for the adapter with its real HTTP client.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use azurelustre_csi::adapters::arm::wire::{Method, WireRequest};
use azurelustre_csi::adapters::simulator::SimulatedCloud;
use bytes::Bytes;
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

use super::ArmStub;
use crate::fakes::clock::ManualClock;

/// Everything is answered by the stub.
struct Anything;

impl Match for Anything {
    fn matches(&self, _: &Request) -> bool {
        true
    }
}

struct Front(Arc<OnceLock<Arc<ArmStub>>>);

impl Respond for Front {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let stub = self.0.get().unwrap();
        let request = translated(request);
        stub.note(&request);
        let answer = stub.answer(&request);
        let mut response = ResponseTemplate::new(answer.status);
        let mime = answer.headers.get("content-type").cloned().unwrap_or_default();
        for (name, value) in &answer.headers {
            response = response.append_header(name.as_str(), value.as_str());
        }
        response.set_body_raw(answer.body.to_vec(), &mime)
    }
}

/// The method of this name; what ARM does not know counts as DELETE.
pub(crate) fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        _ => Method::Delete,
    }
}

fn translated(request: &Request) -> WireRequest {
    let header = |(name, value): (&wiremock::http::HeaderName, &wiremock::http::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
    };
    WireRequest {
        method: method(request.method.as_str()),
        url: request.url.clone(),
        headers: request.headers.iter().map(header).collect(),
        body: Bytes::copy_from_slice(&request.body),
        time_limit: Duration::ZERO,
        size_limit: 0,
    }
}

/// A server in front of a simulated cloud, and the stub in it.
pub(crate) async fn serve(cloud: Arc<SimulatedCloud>, clock: Arc<ManualClock>) -> (MockServer, Arc<ArmStub>) {
    let server = MockServer::start().await;
    let stub = Arc::new(ArmStub::new(cloud, clock, &server.uri()));
    let slot = Arc::new(OnceLock::from(stub.clone()));
    Mock::given(Anything).respond_with(Front(slot)).mount(&server).await;
    (server, stub)
}
