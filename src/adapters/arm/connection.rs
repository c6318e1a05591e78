//! [`Connector`] and [`Connection`]: from settings to a client of ARM, when the first request needs it.
//!
//! The hosts of an Azure Stack are read over the network, and a controller whose network is not up yet starts and reports
//! that in its responses instead of ending.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::client::Client;
use super::credentials::TokenError;
use super::environment::{self, CloudEndpoints, Environment};
use super::failure::ArmFailure;
use super::http_stack::HttpStack;
use super::transport::{TimeLimits, Tokens, Transport};
use super::writes::{Spawn, on_tokio};
use crate::ports::clock::Clock;

/// Makes the source of tokens for a cloud.
pub type TokenFactory = Box<dyn Fn(&CloudEndpoints) -> Result<Arc<dyn Tokens>, TokenError> + Send + Sync>;

/// What it takes to reach ARM.
pub struct Connector {
    /// Which cloud.
    pub environment: Environment,
    /// How requests are sent.
    pub http: Arc<HttpStack>,
    /// Where tokens come from.
    pub tokens: TokenFactory,
    /// The adapter's time.
    pub clock: Arc<dyn Clock>,
    /// Time limits of requests.
    pub limits: TimeLimits,
    /// Runs requests that change something.
    pub spawn: Spawn,
    connection: OnceCell<Connection>,
}

/// The way to ARM.
#[derive(Debug)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The cloud's hosts.
    pub endpoints: CloudEndpoints,
    /// The tokens.
    pub tokens: Arc<dyn Tokens>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("environment", &self.environment)
            .field("http", &self.http)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that has not connected yet, with the usual time limits, and with tasks of the tokio runtime.
    pub fn new(environment: Environment, http: Arc<HttpStack>, tokens: TokenFactory, clock: Arc<dyn Clock>) -> Self {
        Self {
            environment,
            http,
            tokens,
            clock,
            limits: TimeLimits::default(),
            spawn: on_tokio(),
            connection: OnceCell::new(),
        }
    }

    /// The connection; made by the first call that succeeds.
    pub async fn connection(&self) -> Result<&Connection, ArmFailure> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connection, ArmFailure> {
        let endpoints = match &self.environment {
            Environment::Known(endpoints) => endpoints.clone(),
            Environment::Discovered(resource_manager) => environment::discover(&self.http, resource_manager).await?,
        };
        let tokens = (self.tokens)(&endpoints).map_err(ArmFailure::Token)?;
        let http = Arc::clone(&self.http);
        let transport = Arc::new(Transport::new(http, endpoints.arm.clone(), Arc::clone(&tokens), self.limits));
        let client = Client::new(transport, Arc::clone(&self.clock), Arc::clone(&self.spawn));
        Ok(Connection { client, endpoints, tokens })
    }
}
