//! From settings to the ARM adapter: what the settings name as text becomes the adapter's own types, all mistakes at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::task::TaskTracker;
use url::Url;

use crate::adapters::arm::cloud::ArmCloud;
use crate::adapters::arm::connection::{Connector, TokenFactory};
use crate::adapters::arm::credentials::{
    CredentialKind, CredentialSource, IMDS, ReloadingCredential, TokenEndpoints, TokenError, TokenErrorKind,
};
use crate::adapters::arm::environment::{self, CloudChoice, CloudEndpoints, Environment};
use crate::adapters::arm::http::HttpWire;
use crate::adapters::arm::http_stack::HttpStack;
use crate::adapters::arm::settings::{AzureSettings, CloudSource};
use crate::adapters::arm::transport::Tokens;
use crate::app::settings::CloudSettings;
use crate::domain::problem::Problem;
use crate::ports::clock::Clock;

/// The cloud that the settings describe. Nothing is asked of it yet. Every problem found is in the error.
/// Requests that change something are run by `tasks`.
pub(super) fn cloud(
    cloud: &CloudSettings,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
) -> Result<ArmCloud, Vec<Problem>> {
    let (Some(settings), Some(file)) = (&cloud.azure, &cloud.source) else {
        return Err(vec![Problem::new("the cloud settings say nothing about Azure")]);
    };
    let mut problems = Vec::new();
    let environment = choice(settings).environment().map_err(|rule| {
        let hint = "correct `cloud` and `resourceManagerEndpoint` in the cloud settings, or the AZURE_* variables";
        problems.push(Problem::new(format!("cloud settings: {rule}")).with_hint(hint));
    });
    let imds = settings.identity_endpoint.as_deref().unwrap_or(IMDS);
    let imds = Url::parse(imds).map_err(|error| {
        let problem = Problem::new(format!("AZURE_POD_IDENTITY_AUTHORITY_HOST: no address ({error})"));
        problems.push(problem.with_hint("unset it, or give the address of the instance metadata service"));
    });
    let http =
        HttpWire::new().map(|wire| Arc::new(HttpStack::new(Arc::new(wire), Arc::clone(clock)))).map_err(|error| {
            let problem = Problem::new(error.to_string());
            problems.push(problem.with_hint("mount the system's certificates, or name them by SSL_CERT_FILE"));
        });
    let source =
        Arc::new(FromFile { file: file.clone(), started_with: settings.clone(), warned: AtomicBool::new(false) });
    let tokens = match (imds, &http) {
        (Ok(imds), Ok(http)) => Ok(factory(source, imds, Arc::clone(http))),
        _ => Err(()),
    };
    // Made once for its errors: placeholders, ids that are not valid, addresses that are not safe. Hosts that are not known
    // yet, or wrong, keep no error about the rest back.
    let known = match &environment {
        Ok(Environment::Known(endpoints)) => Some(endpoints.clone()),
        _ => usual_endpoints(),
    };
    if let (Ok(tokens), Some(endpoints)) = (&tokens, &known)
        && let Err(error) = tokens(endpoints)
    {
        problems.push(unusable(&error));
    }
    let (Ok(environment), Ok(tokens), Ok(http), true) = (environment, tokens, http, problems.is_empty()) else {
        return Err(problems);
    };
    let mut connector = Connector::new(environment, http, tokens, Arc::clone(clock));
    let tasks = tasks.clone();
    connector.spawn = Arc::new(move |task| drop(tasks.spawn(task)));
    let network = settings.network_subscription_id.clone();
    Ok(ArmCloud::new(connector, Arc::clone(clock), settings.subscription_id.clone(), network))
}

/// The hosts of public Azure.
fn usual_endpoints() -> Option<CloudEndpoints> {
    match CloudChoice::default().environment() {
        Ok(Environment::Known(endpoints)) => Some(endpoints),
        _ => None,
    }
}

fn choice(settings: &AzureSettings) -> CloudChoice {
    CloudChoice {
        name: settings.cloud.clone(),
        resource_manager: settings.resource_manager.clone(),
        authority_host: settings.authority_host.clone(),
        environment_file: settings.environment_file.clone(),
    }
}

fn unusable(error: &TokenError) -> Problem {
    let problem = Problem::new(format!("credentials for Azure: {error}"));
    problem
        .with_hint(error.hint.clone().unwrap_or_else(|| "correct the cloud settings or the AZURE_* variables".into()))
}

fn factory(source: Arc<FromFile>, imds: Url, http: Arc<HttpStack>) -> TokenFactory {
    Box::new(move |endpoints: &CloudEndpoints| {
        let authority = environment::endpoint(endpoints.authority.as_str())
            .map_err(|rule| TokenError::new(TokenErrorKind::Refused, rule))?;
        let at = TokenEndpoints { authority, imds: imds.clone() };
        let first = source.started_with.auth.clone();
        let (source, http) = (Arc::clone(&source) as Arc<dyn CredentialSource>, Arc::clone(&http));
        let credential = ReloadingCredential::new(first, at, endpoints.scope(), http, source)?;
        Ok(Arc::new(credential) as Arc<dyn Tokens>)
    })
}

/// The cloud settings, read again for their credentials.
#[derive(Debug)]
struct FromFile {
    file: CloudSource,
    started_with: AzureSettings,
    /// Whether it was said that the rest of them has changed too.
    warned: AtomicBool,
}

impl CredentialSource for FromFile {
    fn file(&self) -> &Path {
        self.file.path()
    }

    fn read(&self) -> Result<CredentialKind, TokenError> {
        let read = self.file.read().map_err(|problems| {
            let messages: Vec<String> = problems.iter().map(Problem::to_string).collect();
            TokenError::new(TokenErrorKind::Refused, messages.join("; "))
        })?;
        let rest = AzureSettings { auth: self.started_with.auth.clone(), ..read.clone() };
        if rest != self.started_with && !self.warned.swap(true, Ordering::AcqRel) {
            let file = self.file.path().display();
            tracing::warn!(
                %file,
                "subscription or cloud of the cloud settings have changed: restart the driver; only credentials are read again"
            );
        }
        Ok(read.auth)
    }
}
