//! The stub behind a real socket, for the adapter with its real HTTP client.

use std::sync::{Arc, OnceLock};

use azurelustre_csi::adapters::arm::http::Request as ArmRequest;
use azurelustre_csi::adapters::simulator::SimulatedCloud;
use bytes::Bytes;
use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

use super::ArmStub;
use crate::fakes::clock::ManualClock;

/// Every request goes to the stub.
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
        let answer = stub.respond(&request);
        let mut response = ResponseTemplate::new(answer.status);
        let mime = answer.header("content-type").unwrap_or_default().into_owned();
        for (name, value) in &answer.headers {
            response = response.append_header(name, value);
        }
        response.set_body_raw(answer.body.to_vec(), &mime)
    }
}

fn translated(request: &Request) -> ArmRequest {
    ArmRequest {
        headers: request.headers.clone(),
        body: Bytes::copy_from_slice(&request.body),
        ..ArmRequest::new(request.method.clone(), request.url.clone())
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
