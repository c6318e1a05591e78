//! From settings to clients, when the first request needs them.
//!
//! Why late: the hosts of an Azure Stack are asked for over the network, and a controller whose network is not up yet
//! should start and say so in its answers instead of ending.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::client::Client;
use super::credentials::TokenError;
use super::environment::{self, Endpoints, Environment};
use super::failure::ArmFailure;
use super::transport::{TimeLimits, Tokens, Transport};
use super::wire::Wire;
use super::writes::{Spawn, on_tokio};
use crate::ports::clock::Clock;

/// Makes the source of tokens for a cloud.
pub type TokenFactory = Box<dyn Fn(&Endpoints) -> Result<Arc<dyn Tokens>, TokenError> + Send + Sync>;

/// What it takes to reach ARM.
pub struct Connector {
    /// Which cloud.
    pub environment: Environment,
    /// How requests travel.
    pub wire: Arc<dyn Wire>,
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
    /// The clients.
    pub client: Client,
    /// What they all go through.
    pub transport: Arc<Transport>,
    /// The cloud's hosts.
    pub endpoints: Endpoints,
    /// The tokens.
    pub tokens: Arc<dyn Tokens>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("environment", &self.environment)
            .field("wire", &self.wire)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector that has not connected yet, with the usual time limits, and with tasks of the tokio runtime.
    pub fn new(environment: Environment, wire: Arc<dyn Wire>, tokens: TokenFactory, clock: Arc<dyn Clock>) -> Self {
        Self {
            environment,
            wire,
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
            Environment::Discovered(resource_manager) => environment::discover(&self.wire, resource_manager).await?,
        };
        let tokens = (self.tokens)(&endpoints).map_err(ArmFailure::Token)?;
        let (wire, clock) = (Arc::clone(&self.wire), Arc::clone(&self.clock));
        let transport =
            Arc::new(Transport::new(wire, endpoints.arm.clone(), Arc::clone(&tokens), Arc::clone(&clock), self.limits));
        let client = Client::new(Arc::clone(&transport), clock);
        Ok(Connection { client, transport, endpoints, tokens })
    }
}
