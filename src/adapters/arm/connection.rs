//! [`Connector`] and [`Connection`]: from settings to a client of ARM, made when the first request needs it.
//!
//! The endpoints of an Azure Stack are read over the network: a controller whose network is not up yet starts and reports
//! that in its responses instead of ending.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::client::Client;
use super::environment::{self, CloudEndpoints, Environment};
use super::error::ArmError;
use super::http::stack::HttpStack;
use super::pipeline::Pipeline;
use super::token::{TokenError, TokenProvider};
use super::urls::{Subscriptions, Urls};
use super::writes::{Spawn, on_tokio};

/// Makes the token provider for a cloud.
pub type TokenFactory = Box<dyn Fn(&CloudEndpoints) -> Result<Arc<dyn TokenProvider>, TokenError> + Send + Sync>;

/// What is needed to connect to ARM.
pub struct Connector {
    environment: Environment,
    pub(super) http: Arc<HttpStack>,
    tokens: TokenFactory,
    subscriptions: Subscriptions,
    /// Runs PUT and DELETE; by default on the tokio runtime.
    pub spawn: Spawn,
    connection: OnceCell<Connection>,
}

/// A connection to ARM.
#[derive(Debug)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The cloud's endpoints.
    pub endpoints: CloudEndpoints,
    /// The token provider.
    pub tokens: Arc<dyn TokenProvider>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (environment, http) = (&self.environment, &self.http);
        f.debug_struct("Connector").field("environment", environment).field("http", http).finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that has not connected yet.
    pub fn new(
        environment: Environment,
        http: Arc<HttpStack>,
        tokens: TokenFactory,
        subscriptions: Subscriptions,
    ) -> Self {
        Self { environment, http, tokens, subscriptions, spawn: on_tokio(), connection: OnceCell::new() }
    }

    /// The connection; made by the first call that succeeds.
    pub async fn connection(&self) -> Result<&Connection, ArmError> {
        self.connection.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connection, ArmError> {
        let endpoints = match &self.environment {
            Environment::Known(endpoints) => endpoints.clone(),
            Environment::Discovered(resource_manager) => environment::discover(&self.http, resource_manager).await?,
        };
        let tokens = (self.tokens)(&endpoints).map_err(ArmError::Token)?;
        let pipeline = Pipeline::new(Arc::clone(&self.http), endpoints.arm.clone(), Arc::clone(&tokens));
        let urls = Urls { arm: endpoints.arm.clone(), subscriptions: self.subscriptions.clone() };
        Ok(Connection { client: Client::new(pipeline, urls, Arc::clone(&self.spawn)), endpoints, tokens })
    }
}
