//! ARM's REST interface in front of the simulator's cloud: what the ARM adapter talks to in tests.
//!
//! Why in front of the simulator: the adapter and the simulator are held to the same laws, and a stub with a mind of its own
//! would let the two drift apart. Here is only ARM's wire form, as it was recorded: paths, statuses, headers, bodies, pages,
//! operations, tokens and the buckets that requests are counted in.

mod buckets;
pub(crate) use self::buckets::Buckets;
pub(crate) mod faults;
mod resource;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azurelustre_csi::adapters::arm::http::{Method, Request, Response, StatusCode};
use azurelustre_csi::adapters::simulator::SimulatedCloud;
use azurelustre_csi::domain::capacity::Tib;
use azurelustre_csi::domain::filesystem::{Observed, ProvisioningState};
use azurelustre_csi::domain::names::{FilesystemId, FilesystemName, NetworkName, ResourceGroup, SubnetId};
use azurelustre_csi::ports::clock::Clock;
use azurelustre_csi::ports::cloud::{Cloud, CloudError, SubnetCapacityRequest};
use bytes::Bytes;
use futures_lite::future::block_on;
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

/// The subscription that the stub knows.
pub(crate) const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";
/// The token that it accepts.
pub(crate) const TOKEN: &str = "the-only-token";
/// Subnets of every virtual network, where any exist.
const SUBNETS: [&str; 3] = ["aks-subnet", "subnet", "other"];

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Get,
    Put,
    Delete,
    List,
    Skus,
    Size,
    Usages,
    Operation,
    Unknown,
}

/// One request as the stub got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) kind: Kind,
    pub(crate) request: Request,
    pub(crate) at: Duration,
}

/// The stub.
#[derive(Debug)]
pub(crate) struct ArmStub {
    cloud: Arc<SimulatedCloud>,
    clock: Arc<dyn Clock>,
    /// How ARM is addressed, without a slash at the end; links that it gives out begin so.
    pub(crate) endpoint: String,
    operations: Mutex<BTreeMap<String, FilesystemId>>,
    received: Mutex<Vec<Received>>,
    /// Entries of lists, by name, state and number of tags.
    written: Mutex<BTreeMap<(String, String, usize), String>>,
    /// Requests that ARM counts; `None` does not count.
    pub(crate) buckets: Option<Buckets>,
    /// Most file systems on one page of a list.
    pub(crate) page_size: usize,
}

impl ArmStub {
    pub(crate) fn new(cloud: Arc<SimulatedCloud>, clock: Arc<dyn Clock>, endpoint: &str) -> Self {
        Self {
            cloud,
            clock,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            operations: Mutex::default(),
            received: Mutex::default(),
            written: Mutex::default(),
            buckets: None,
            page_size: 500,
        }
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many requests of each kind there were.
    pub(crate) fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for received in self.received.lock().unwrap().iter() {
            *counts.entry(received.kind).or_default() += 1;
        }
        counts
    }

    /// Notes a request that will not be answered by [`ArmStub::respond`].
    pub(crate) fn note(&self, request: &Request) -> Kind {
        let kind = kind(request);
        self.received.lock().unwrap().push(Received { kind, request: request.clone(), at: self.clock.now() });
        kind
    }

    /// Answers as ARM would. The request is not noted.
    pub(crate) fn respond(&self, request: &Request) -> Response {
        if let Some(wait) = self.buckets.as_ref().and_then(|buckets| buckets.refuse(&request.method, self.clock.now()))
        {
            let mut response = failed(429, "SubscriptionRequestsThrottled", "Number of requests exceeded the limit.");
            response.headers.insert("retry-after", value(wait.to_string()));
            return response;
        }
        let authorized = request.headers.get("authorization").is_some_and(|given| *given == *format!("Bearer {TOKEN}"));
        if !authorized {
            return failed(401, "InvalidAuthenticationToken", "The access token is invalid.");
        }
        if !request.url.query_pairs().any(|(key, value)| key == "api-version" && value == "2024-03-01") {
            return failed(400, "InvalidApiVersionParameter", "The api-version is invalid.");
        }
        let path = request.url.path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (kind(request), parts.as_slice()) {
            (_, [_, subscription, ..]) if *subscription != SUBSCRIPTION => {
                failed(404, "SubscriptionNotFound", &format!("The subscription '{subscription}' could not be found."))
            }
            (Kind::Skus, _) => self.skus(request),
            (Kind::Size, _) => self.size(&request.body),
            (Kind::Usages, [_, _, _, group, _, _, _, vnet, _]) => self.usages(group, vnet),
            (Kind::Operation, [.., operation]) => self.operation(operation),
            (Kind::List, [_, _, _, group, ..]) => self.list(request, group),
            (kind @ (Kind::Get | Kind::Put | Kind::Delete), [_, _, _, group, _, _, _, name]) => {
                let (Ok(resource_group), Ok(name)) = (ResourceGroup::parse(group), FilesystemName::parse(name)) else {
                    return failed(400, "InvalidResourceName", "The name is invalid.");
                };
                let id = FilesystemId { resource_group, name };
                match kind {
                    Kind::Get => self.get(&id),
                    Kind::Put => self.put(&id, &request.body),
                    _ => self.delete(&id),
                }
            }
            _ => failed(404, "InvalidResourceType", "The resource type could not be found."),
        }
    }

    fn get(&self, id: &FilesystemId) -> Response {
        match self.observe(id) {
            Observed::Present(found) => answered(200, &resource::shown(id, &found)),
            Observed::Absent => self.absent(id),
        }
    }

    fn absent(&self, id: &FilesystemId) -> Response {
        let (group, name) = (id.resource_group.as_str(), id.name.as_str());
        if self
            .cloud
            .world(|world| world.resource_groups.clone())
            .is_some_and(|groups| !groups.iter().any(|known| known.eq_ignore_ascii_case(group)))
        {
            return failed(404, "ResourceGroupNotFound", &format!("Resource group '{group}' could not be found."));
        }
        let message = format!(
            "The Resource 'Microsoft.StorageCache/amlFilesystems/{name}' under resource group '{group}' was not found. \
             For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        failed(404, "ResourceNotFound", &message)
    }

    fn put(&self, id: &FilesystemId, body: &Bytes) -> Response {
        let Some(spec) = resource::spec(id, body) else {
            return failed(400, "InvalidRequestContent", "The request content was invalid.");
        };
        let there = self.observe(id) != Observed::Absent;
        if let Err(error) = block_on(self.cloud.begin_create(&spec)) {
            return refused(&error);
        }
        let Observed::Present(found) = self.observe(id) else { return failed(500, "InternalServerError", "Gone.") };
        let mut answer = answered(if there { 200 } else { 201 }, &resource::shown(id, &found));
        let url = self.operation_url(id);
        answer.headers.insert("azure-asyncoperation", value(url));
        answer
    }

    fn delete(&self, id: &FilesystemId) -> Response {
        let there = self.observe(id) != Observed::Absent;
        if let Err(error) = block_on(self.cloud.begin_delete(id)) {
            return refused(&error);
        }
        if !there {
            return bare(204);
        }
        let mut answer = bare(202);
        let url = self.operation_url(id);
        answer.headers.insert("location", value(format!("{url}&monitor=true")));
        answer.headers.insert("azure-asyncoperation", value(url));
        answer
    }

    fn operation_url(&self, id: &FilesystemId) -> String {
        let mut operations = self.operations.lock().unwrap();
        let operation = format!("operation-{}", operations.len());
        operations.insert(operation.clone(), id.clone());
        let base = format!("{}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.StorageCache", self.endpoint);
        format!("{base}/locations/eastus/ascOperations/{operation}?api-version=2024-03-01&t=1&c=MII&s=signature&h=hash")
    }

    fn operation(&self, operation: &str) -> Response {
        let Some(id) = self.operations.lock().unwrap().get(operation).cloned() else {
            return failed(404, "NotFound", "The operation was not found.");
        };
        let mut status =
            json!({ "startTime": "2026-04-01T14:41:23.74873+00:00", "status": "InProgress", "name": operation });
        match self.observe(&id) {
            Observed::Present(found) if found.state == ProvisioningState::Failed => {
                let reason = found.failure.unwrap_or_default();
                let (code, message) = reason.split_once(": ").unwrap_or(("AscInternalError", &reason));
                status["status"] = json!("Failed");
                status["error"] = json!({ "code": code, "message": message });
            }
            Observed::Present(found) if found.state == ProvisioningState::Succeeded => {
                status["status"] = json!("Succeeded");
            }
            Observed::Present(_) => {}
            Observed::Absent => status["status"] = json!("Succeeded"),
        }
        answered(200, &status)
    }

    fn list(&self, request: &Request, group: &str) -> Response {
        let page = page_of(request);
        let here = |id: &FilesystemId| id.resource_group.as_str().eq_ignore_ascii_case(group);
        let all: Vec<_> = self.cloud.filesystems().into_iter().filter(|(id, _)| here(id)).collect();
        let shown = all.iter().skip(page * self.page_size).take(self.page_size);
        let mut written = self.written.lock().unwrap();
        // Written once for each state: a thousand file systems in hundreds of lists are slow to write in a test build.
        let entries = shown.map(|(id, found)| {
            let key = (id.name.to_string(), found.state.as_str().to_owned(), found.tags.len());
            written.entry(key).or_insert_with(|| resource::shown(id, found).to_string()).clone()
        });
        let entries = entries.collect::<Vec<_>>().join(",");
        let more = (page + 1) * self.page_size < all.len();
        let link = self.page(request, &[], more.then_some(page + 1))["nextLink"].to_string();
        let mut response = answered(200, &Value::Null);
        response.body = Bytes::from(format!("{{\"value\":[{entries}],\"nextLink\":{link}}}"));
        response
    }

    fn skus(&self, request: &Request) -> Response {
        let page = self.cloud.sku_page(page_of(request));
        let locations = self.cloud.world(|world| world.locations.clone());
        let entries: Vec<Value> = page.entries.iter().map(|entry| resource::sku(entry, &locations)).collect();
        answered(200, &self.page(request, &entries, page.next))
    }

    fn page(&self, request: &Request, value: &[Value], next: Option<usize>) -> Value {
        let path = request.url.path();
        let link = next.map(|next| format!("{}{path}?api-version=2024-03-01&$skiptoken={next}", self.endpoint));
        json!({ "value": value, "nextLink": link })
    }

    fn size(&self, body: &Bytes) -> Response {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let request = SubnetCapacityRequest {
            subnet: subnet("rg", "vnet", SUBNETS[0]).unwrap(),
            sku_name: asked.pointer("/sku/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            capacity: Tib(asked.get("storageCapacityTiB").and_then(Value::as_f64).unwrap_or(0.0) as u32),
        };
        match self.needed(&request) {
            Ok(size) => answered(200, &json!({ "filesystemSubnetSize": size })),
            Err(error) => refused(&error),
        }
    }

    fn needed(&self, request: &SubnetCapacityRequest) -> Result<u64, CloudError> {
        let known = self.cloud.world(|world| world.any_subnet_exists);
        self.cloud.edit_world(|world| world.any_subnet_exists = true);
        let subnet_capacity = block_on(self.cloud.subnet_capacity(request));
        self.cloud.edit_world(|world| world.any_subnet_exists = known);
        subnet_capacity.map(|subnet_capacity| subnet_capacity.required)
    }

    fn usages(&self, group: &str, vnet: &str) -> Response {
        let entries = SUBNETS.iter().filter_map(|name| {
            let subnet = subnet(group, vnet, name)?;
            let request =
                SubnetCapacityRequest { subnet, sku_name: "AMLFS-Durable-Premium-500".to_owned(), capacity: Tib(4) };
            let free = block_on(self.cloud.subnet_capacity(&request)).ok()?.available;
            Some(usage(&group.to_uppercase(), vnet, &name.to_uppercase(), free as f64 + 5.0, 5.0))
        });
        let gateway = usage(group, vnet, "GatewaySubnet", -1.0, -1.0);
        answered(200, &json!({ "value": std::iter::once(gateway).chain(entries).collect::<Vec<_>>() }))
    }

    fn observe(&self, id: &FilesystemId) -> Observed {
        block_on(self.cloud.observe(id)).unwrap()
    }
}

fn subnet(group: &str, vnet: &str, name: &str) -> Option<SubnetId> {
    Some(SubnetId {
        resource_group: ResourceGroup::parse(group).ok()?,
        vnet: NetworkName::parse(vnet).ok()?,
        subnet: NetworkName::parse(name).ok()?,
    })
}

fn usage(group: &str, vnet: &str, subnet: &str, limit: f64, used: f64) -> Value {
    let networks = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Network");
    json!({
        "currentValue": used,
        "id": format!("{networks}/virtualNetworks/{vnet}/subnets/{subnet}"),
        "limit": limit,
        "name": { "localizedValue": "Subnet size and usage", "value": "SubnetSpace" },
        "unit": "Count",
    })
}

/// What a request is for, by method and path.
pub(crate) fn kind(request: &Request) -> Kind {
    let path = request.url.path().to_ascii_lowercase();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (&request.method, parts.as_slice()) {
        (&Method::GET, [.., "skus"]) => Kind::Skus,
        (&Method::POST, [.., "getrequiredamlfssubnetssize"]) => Kind::Size,
        (&Method::GET, [.., "virtualnetworks", _, "usages"]) => Kind::Usages,
        (&Method::GET, [.., "ascoperations", _]) => Kind::Operation,
        (&Method::GET, [.., "amlfilesystems"]) => Kind::List,
        (&Method::GET, [.., "amlfilesystems", _]) => Kind::Get,
        (&Method::PUT, [.., "amlfilesystems", _]) => Kind::Put,
        (&Method::DELETE, [.., "amlfilesystems", _]) => Kind::Delete,
        _ => Kind::Unknown,
    }
}

fn page_of(request: &Request) -> usize {
    let token = request.url.query_pairs().find(|(key, _)| key == "$skiptoken");
    token.and_then(|(_, page)| page.parse().ok()).unwrap_or(0)
}

fn refused(error: &CloudError) -> Response {
    use azurelustre_csi::ports::cloud::CloudErrorKind as Of;
    let status = match error.kind {
        Of::Invalid => 400,
        Of::Unauthenticated => 401,
        Of::Denied => 403,
        Of::NotFound => 404,
        Of::QuotaExceeded | Of::Busy => 409,
        Of::Throttled => 429,
        Of::Unavailable | Of::Unreadable => 500,
    };
    let (code, message) = error.message.split_once(": ").unwrap_or(("Unknown", &error.message));
    failed(status, code, message)
}

/// A response with ARM's error envelope.
pub(crate) fn failed(status: u16, code: &str, message: &str) -> Response {
    answered(status, &json!({ "error": { "code": code, "message": message } }))
}

fn answered(status: u16, body: &Value) -> Response {
    let mut response = bare(status);
    response.headers.insert("content-type", value("application/json; charset=utf-8"));
    response.body = Bytes::from(serde_json::to_vec(body).unwrap());
    response
}

fn bare(status: u16) -> Response {
    let headers = [("x-ms-request-id", value("fc25df65-617f-46db-bb53-993f38c788d9"))];
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.map(|(name, value)| (HeaderName::from_static(name), value)).into_iter().collect(),
        body: Bytes::new(),
    }
}

fn value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap()
}
