//! The tests' ARM stub as a process of its own, with TLS: Azure for a test cluster.
//!
//! It outlives every controller, so it counts what they leave behind. Besides ARM it is the token endpoint, and
//! below `/stub` it answers tests: `GET /stub/state` says which file systems there are, how many creations of each name
//! made one, and how many requests of each kind came; `POST /stub/settings` sets how long creations and deletions take.

#[path = "../../fakes/mod.rs"]
mod fakes;

mod control;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use azurelustre_csi::adapters::arm::http::{Request as ArmRequest, Response as ArmResponse};
use azurelustre_csi::adapters::clock::SystemClock;
use azurelustre_csi::adapters::simulator::{Simulator, World};
use azurelustre_csi::ports::clock::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use url::Url;

use self::control::Control;
use self::fakes::arm::{ArmStub, TOKEN};

/// What `main` may fail with.
type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Service {
    stub: ArmStub,
    control: Control,
    endpoint: Url,
}

impl Service {
    /// Simulated time is real time here: what the driver polls is not the simulator but a service.
    fn new(endpoint: Url) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let world = World { create_seconds: 2, delete_seconds: 2, ..World::default() };
        let simulator = Simulator::new(world, Arc::clone(&clock), &std::env::temp_dir());
        let stub = ArmStub::new(simulator.cloud(), clock, endpoint.as_str());
        Self { stub, control: Control::new(simulator.cloud()), endpoint }
    }

    fn answer(&self, request: &ArmRequest) -> ArmResponse {
        let path = request.url.path();
        if let Some(question) = path.strip_prefix("/stub/") {
            return self.control.answer(question, request, &self.stub.counts());
        }
        if path.ends_with("/oauth2/v2.0/token") {
            return control::json(200, &token());
        }
        self.stub.note(request);
        self.stub.respond(request)
    }
}

fn token() -> serde_json::Value {
    serde_json::json!({ "token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": TOKEN })
}

async fn translated(endpoint: &Url, request: Request<Incoming>) -> Result<ArmRequest, Failure> {
    let (head, body) = request.into_parts();
    let url = endpoint.join(&head.uri.to_string())?;
    Ok(ArmRequest {
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
        ..ArmRequest::new(head.method, url)
    })
}

fn respond(answer: ArmResponse) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body)).unwrap_or_default()
}

async fn handle(service: Arc<Service>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match translated(&service.endpoint, request).await {
        Ok(request) => respond(service.answer(&request)),
        Err(error) => respond(control::json(400, &serde_json::json!({ "error": error.to_string() }))),
    })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, certificate, key, name) = match arguments.as_slice() {
        [address, certificate, key] => (address, certificate, key, address),
        [address, certificate, key, name] => (address, certificate, key, name),
        _ => return Err("usage: arm-stub ADDRESS:PORT CERTIFICATE.pem KEY.pem [HOST-OF-LINKS]".into()),
    };
    let service = Arc::new(Service::new(Url::parse(&format!("https://{name}"))?));
    let address: SocketAddr = address.parse()?;
    let acceptor = tls::acceptor(certificate, key)?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, service) = (acceptor.clone(), Arc::clone(&service));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let serve = service_fn(move |request| handle(Arc::clone(&service), request));
            // A client that goes away is no matter of the stub's.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await);
        });
    }
}
