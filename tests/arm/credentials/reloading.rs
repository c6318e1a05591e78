//! Credentials that follow the settings that they come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use azurelustre_csi::adapters::arm::credentials::{
    CredentialKind, CredentialSource, ManagedIdentity, ReloadingCredential, Secret, TokenEndpoints, TokenError,
    TokenErrorKind,
};
use azurelustre_csi::adapters::arm::token::TokenProvider;
use wiremock::Request;

use super::world::*;

/// A file whose whole text is the secret, or `identity …`.
#[derive(Debug)]
struct Settings(PathBuf);

impl CredentialSource for Settings {
    fn file(&self) -> &Path {
        &self.0
    }

    fn read(&self) -> Result<CredentialKind, TokenError> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        match text.strip_prefix("identity ") {
            _ if text.starts_with("broken") => Err(TokenError::new(TokenErrorKind::Refused, "broken")),
            Some(id) => Ok(managed(ManagedIdentity::ClientId(id.to_owned()))),
            None => Ok(with_secret(&text)),
        }
    }
}

struct Reloading {
    world: World,
    directory: tempfile::TempDir,
    credential: ReloadingCredential,
}

impl Reloading {
    /// Settings with this secret, at an issuer that takes only `good-secret` and every identity.
    async fn with(secret: &str) -> Self {
        let world = World::answering(|request: &Request| {
            let sent = String::from_utf8_lossy(&request.body).into_owned() + request.url.query().unwrap_or_default();
            match () {
                () if sent.contains("client_secret=good-secret") => token(1, 3600),
                () if sent.contains("client_id=i2") => token(2, 3600),
                () => refusal(401, "invalid_client", "AADSTS7000222: The provided client secret keys are expired."),
            }
        })
        .await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("azure.json");
        std::fs::write(&path, secret).unwrap();
        let source: Arc<dyn CredentialSource> = Arc::new(Settings(path));
        let uri = world.server.uri();
        let endpoints = TokenEndpoints::parse(&uri, Some(&uri)).unwrap();
        let kind = source.read().unwrap();
        let credential =
            ReloadingCredential::new(kind, endpoints, SCOPE.to_owned(), stack(world.clock.clone()), source).unwrap();
        Self { world, directory, credential }
    }

    /// Replaces the file, as an editor and a volume of Kubernetes do.
    fn write(&self, text: &str) {
        let (new, path) = (self.directory.path().join("new"), self.directory.path().join("azure.json"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }
}

#[tokio::test]
async fn an_expired_secret_that_was_replaced_is_used_without_a_restart() {
    let reloading = Reloading::with("old-secret").await;
    let error = reloading.credential.token().await.unwrap_err();
    assert!(error.message.contains("AADSTS7000222") && error.hint.unwrap().contains("without a restart"));
    reloading.write("good-secret");
    assert_eq!(text(reloading.credential.token().await), "token-1");
}

/// The same text length and time of change: the refusal alone makes the settings be read again.
#[tokio::test]
async fn refused_credentials_are_read_again_whatever_the_files_times_say() {
    let reloading = Reloading::with("olds-secret").await;
    reloading.credential.token().await.unwrap_err();
    let path = reloading.directory.path().join("azure.json");
    let times = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "good-secret").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    assert_eq!(text(reloading.credential.token().await), "token-1");
}

/// Another identity counts at once, though the old one's token is good for an hour.
#[tokio::test]
async fn a_changed_file_is_read_again_while_the_old_token_is_good() {
    let reloading = Reloading::with("good-secret").await;
    assert_eq!(text(reloading.credential.token().await), "token-1");
    reloading.write("identity i2");
    assert_eq!(text(reloading.credential.token().await), "token-2");
    assert_eq!(text(reloading.credential.token().await), "token-2");
    assert_eq!(reloading.world.count().await, 2);
}

/// What cannot be read, or is not there, or says the same, changes nothing.
#[tokio::test]
async fn unusable_settings_leave_the_credential_in_use() {
    let reloading = Reloading::with("good-secret").await;
    assert_eq!(text(reloading.credential.token().await), "token-1");
    for other in ["broken", "msi", "good-secret"] {
        reloading.write(other);
        assert_eq!(text(reloading.credential.token().await), "token-1", "{other}");
    }
    std::fs::remove_file(reloading.directory.path().join("azure.json")).unwrap();
    assert_eq!(text(reloading.credential.token().await), "token-1");
    assert_eq!(reloading.world.count().await, 1);
}

/// ARM's 401 makes the settings be read again too.
#[tokio::test]
async fn a_token_that_arm_rejects_makes_the_settings_be_read_again() {
    let reloading = Reloading::with("good-secret").await;
    let token: Secret = reloading.credential.token().await.unwrap();
    let path = reloading.directory.path().join("azure.json");
    let times = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "identity i2").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    reloading.credential.reject(&token);
    assert_eq!(text(reloading.credential.token().await), "token-2");
}
