//! From settings to the ARM adapter. All problems of the settings are reported at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::task::TaskTracker;

use crate::adapters::arm::cloud::ArmCloud;
use crate::adapters::arm::connection::{Connector, TokenFactory};
use crate::adapters::arm::credentials::{
    CredentialKind, CredentialSource, ReloadingCredential, TokenEndpoints, TokenError, TokenProvider,
};
use crate::adapters::arm::environment::{CloudEndpoints, CloudSelection, Environment};
use crate::adapters::arm::http::client::ReqwestClient;
use crate::adapters::arm::http::stack::HttpStack;
use crate::adapters::arm::settings::{AzureSettings, CloudSource};
use crate::adapters::arm::urls::Subscriptions;
use crate::app::settings::CloudSettings;
use crate::domain::problem::{Problem, Problems};
use crate::ports::clock::Clock;

/// The ARM adapter for these settings, without sending a request. Fails with all problems. PUT and DELETE are run by
/// `tasks`.
pub(super) fn cloud(
    cloud: &CloudSettings,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
) -> Result<ArmCloud, Vec<Problem>> {
    let (Some(settings), Some(source)) = (&cloud.azure, &cloud.source) else {
        return Err(vec![Problem::new("the cloud settings say nothing about Azure")]);
    };
    let mut problems = Problems::default();
    let environment = problems.note(settings.cloud.environment().map_err(|rule| {
        Problem::new(format!("cloud settings: {rule}"))
            .with_hint("correct `cloud` and `resourceManagerEndpoint` in the cloud settings, or the AZURE_* variables")
    }));
    let http = problems.note(ReqwestClient::new().map_err(|error| {
        Problem::new(error.to_string()).with_hint("mount the system's certificates, or name them by SSL_CERT_FILE")
    }));
    let tokens = http.map(|client| {
        let http = Arc::new(HttpStack::new(Arc::new(client), Arc::clone(clock)));
        let source = SettingsFile { source: source.clone(), initial: settings.clone(), warned: AtomicBool::new(false) };
        (token_factory(Arc::new(source), Arc::clone(&http)), http)
    });
    // Made once for its errors: placeholders, ids that are not valid, URLs that are not safe. Endpoints that are not known
    // yet, or wrong, do not hide the other problems.
    let known = match &environment {
        Some(Environment::Known(endpoints)) => Some(endpoints.clone()),
        _ => public_azure(),
    };
    if let (Some((tokens, _)), Some(endpoints)) = (&tokens, &known) {
        problems.note(tokens(endpoints).map_err(|error| unusable(&error)));
    }
    let (environment, (tokens, http)) = problems.into_result(environment.zip(tokens)).map_err(Problems::into_vec)?;
    let subscriptions = Subscriptions::new(settings.subscription_id.clone(), settings.network_subscription_id.clone());
    let mut connector = Connector::new(environment, http, tokens, subscriptions);
    let tasks = tasks.clone();
    connector.spawn = Arc::new(move |task| drop(tasks.spawn(task)));
    Ok(ArmCloud::new(connector))
}

/// The endpoints of public Azure.
fn public_azure() -> Option<CloudEndpoints> {
    match CloudSelection::default().environment() {
        Ok(Environment::Known(endpoints)) => Some(endpoints),
        _ => None,
    }
}

fn unusable(error: &TokenError) -> Problem {
    let hint = error.hint.clone().unwrap_or_else(|| "correct the cloud settings or the AZURE_* variables".into());
    Problem::new(format!("credentials for Azure: {error}")).with_hint(hint)
}

fn token_factory(source: Arc<SettingsFile>, http: Arc<HttpStack>) -> TokenFactory {
    Box::new(move |endpoints: &CloudEndpoints| {
        let AzureSettings { identity_endpoint, credential, .. } = &source.initial;
        let token_endpoints = TokenEndpoints::parse(endpoints.authority.as_str(), identity_endpoint.as_deref())?;
        let initial = credential.clone();
        let (source, http) = (Arc::clone(&source) as Arc<dyn CredentialSource>, Arc::clone(&http));
        let credential = ReloadingCredential::new(initial, token_endpoints, endpoints.scope(), http, source)?;
        Ok(Arc::new(credential) as Arc<dyn TokenProvider>)
    })
}

/// The cloud settings, read again for their credential.
#[derive(Debug)]
struct SettingsFile {
    source: CloudSource,
    initial: AzureSettings,
    /// Whether a warning about a change of the other settings was logged.
    warned: AtomicBool,
}

impl CredentialSource for SettingsFile {
    fn file(&self) -> &Path {
        self.source.path()
    }

    fn read(&self) -> Result<CredentialKind, TokenError> {
        let read = self.source.read().map_err(|problems| {
            let messages: Vec<String> = problems.iter().map(Problem::to_string).collect();
            TokenError::refused(messages.join("; "))
        })?;
        let others = AzureSettings { credential: self.initial.credential.clone(), ..read.clone() };
        if others != self.initial && !self.warned.swap(true, Ordering::AcqRel) {
            let file = self.file().display();
            tracing::warn!(
                %file,
                "subscription or cloud of the cloud settings have changed: restart the driver; only credentials are read again"
            );
        }
        Ok(read.credential)
    }
}
