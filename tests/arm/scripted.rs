//! An HTTP client with scripted responses, and the adapter over it.

use std::str::FromStr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use azurelustre_csi::adapters::arm::cloud::ArmCloud;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Request, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::fakes::arm::faults::adapter;
use crate::fakes::clock::ManualClock;
use crate::stack::ENDPOINT;

/// Returns these responses one by one, the last one again and again.
#[derive(Debug)]
pub(crate) struct Script {
    responses: Mutex<Vec<Response>>,
    pub(crate) requests: Mutex<Vec<Request>>,
}

impl Script {
    pub(crate) fn new(responses: Vec<Response>) -> Arc<Self> {
        Arc::new(Self { responses: Mutex::new(responses), requests: Mutex::default() })
    }
}

#[async_trait]
impl HttpClient for Script {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.requests.lock().unwrap().push(request);
        let mut responses = self.responses.lock().unwrap();
        Ok(if responses.len() > 1 { responses.remove(0) } else { responses[0].clone() })
    }
}

pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap()));
    Response { status: StatusCode::from_u16(status).unwrap(), headers: headers.collect(), body: body.into() }
}

/// A response of ARM itself.
pub(crate) fn json_response(status: u16, body: &Value) -> Response {
    response(status, &[ARMS], serde_json::to_vec(body).unwrap())
}

/// The header that only ARM's responses have.
pub(crate) const ARMS: (&str, &str) = ("x-ms-request-id", "fc25df65-617f-46db-bb53-993f38c788d9");

/// The adapter and the clock that it runs on, over a script.
pub(crate) fn scripted(responses: Vec<Response>) -> (ArmCloud, Arc<ManualClock>, Arc<Script>) {
    let (script, clock) = (Script::new(responses), Arc::new(ManualClock::default()));
    (adapter(script.clone(), ENDPOINT, clock.clone()), clock, script)
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Response {
    json_response(status, &json!({ "error": { "code": code, "message": message } }))
}

/// A client whose connections all break.
#[derive(Debug)]
pub(crate) struct Down;

#[async_trait]
impl HttpClient for Down {
    async fn send(&self, _: Request) -> Result<Response, HttpError> {
        Err(HttpError::broken(std::io::Error::from_raw_os_error(104)))
    }
}
