//! [`Connection`]: HTTP requests to the API server with the pod's service account.
//!
//! The client is reqwest, which the ARM adapter links anyway: kube's own client was measured at 2.9 MB of binary and 2 MiB of
//! idle memory. It is not the ARM adapter's HTTP stack: it trusts the cluster's certificate authority alone, uses no proxy and
//! has other limits; they would share only the loop that reads a body. Token and certificate authority are read for each
//! request, since kubelet replaces both files (a token about every hour).
//!
//! Files and variables: <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::domain::problem::Problem;

/// Where kubelet mounts a pod's service account.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Longest time for a request, and for connecting alone.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: a little more than the least time between two events of a claim.
const IDLE_LIMIT: Duration = Duration::from_secs(70);
/// Longest response that is read, in bytes. A Node with all its images is some 100 KiB.
const BODY_LIMIT: usize = 4 << 20;

/// A connection to an API server. Creating one reads and sends nothing.
#[derive(Debug)]
pub struct Connection {
    /// `https://host:port`, without a path.
    base: String,
    service_account: PathBuf,
    user_agent: String,
    client: Mutex<Option<ClientOfAuthority>>,
}

/// A client and the certificate authority that it trusts.
#[derive(Debug)]
struct ClientOfAuthority {
    authority: Vec<u8>,
    client: reqwest::Client,
}

impl Connection {
    /// To the server at `base` with the files `token` and, for https, `ca.crt` of the directory `service_account`.
    /// `user_agent` is shown in the server's audit log, and its part before `/` in `managedFields`.
    pub fn new(base: impl Into<String>, service_account: impl Into<PathBuf>, user_agent: impl Into<String>) -> Self {
        let (base, user_agent) = (base.into(), user_agent.into());
        Self { base, service_account: service_account.into(), user_agent, client: Mutex::default() }
    }

    /// From within a pod: `host` and `port` are the variables `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, which
    /// kubelet gives every container.
    pub fn in_cluster(host: &str, port: &str, user_agent: impl Into<String>) -> Self {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Self::new(format!("https://{host}:{port}"), SERVICE_ACCOUNT_DIR, user_agent)
    }

    /// Sends a request whose URI is a path; returns the response's status code and body, or why there is none.
    pub(super) async fn send(&self, request: http::Request<Vec<u8>>) -> Result<(u16, Vec<u8>), String> {
        let (client, token) = (self.client().await?, self.token().await?);
        let (parts, body) = request.into_parts();
        // kube writes `?` also where there is no query, and `?&` before one.
        let path = parts.uri.to_string().replace("?&", "?");
        let request = client.request(parts.method, format!("{}{}", self.base, path.trim_end_matches('?')));
        let request = request.headers(parts.headers).bearer_auth(token).body(body);
        let mut response = request.send().await.map_err(no_response)?;
        let code = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_response)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err("the API server's response is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok((code, body))
    }

    async fn token(&self) -> Result<String, String> {
        let token = self.file("token").await?;
        // The header takes no other bytes, and an error about them could show the token.
        let token = token.trim_ascii();
        match std::str::from_utf8(token) {
            Ok(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(token.to_owned()),
            _ => Err(format!("{} holds no token", self.service_account.join("token").display())),
        }
    }

    /// The client; a new one if the certificate authority was replaced.
    async fn client(&self) -> Result<reqwest::Client, String> {
        let authority = if self.base.starts_with("https:") { self.file("ca.crt").await? } else { Vec::new() };
        let mut slot = self.client.lock().await;
        if let Some(ClientOfAuthority { authority: trusted, client }) = &*slot
            && *trusted == authority
        {
            return Ok(client.clone());
        }
        let client = self.new_client(&authority)?;
        *slot = Some(ClientOfAuthority { authority, client: client.clone() });
        Ok(client)
    }

    fn new_client(&self, authority: &[u8]) -> Result<reqwest::Client, String> {
        let unusable = |error: reqwest::Error| {
            let file = self.service_account.join("ca.crt");
            format!("{} is not a certificate authority in PEM: {}", file.display(), Problem::from_error(&error))
        };
        let certificates = reqwest::Certificate::from_pem_bundle(authority).map_err(unusable)?;
        let mut builder = reqwest::Client::builder()
            .use_rustls_tls()
            .tls_built_in_root_certs(false)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_LIMIT)
            .user_agent(&self.user_agent);
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map_err(unusable)
    }

    async fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.service_account.join(name);
        let hint = "mount the service account's token (automountServiceAccountToken)";
        let read = tokio::fs::read(&path).await;
        read.map_err(|error| format!("cannot read {}: {error}; {hint}", path.display()))
    }
}

fn no_response(error: reqwest::Error) -> String {
    format!("no response of the API server: {}", Problem::from_error(&error.without_url()))
}
