//! [`ReloadingCredential`]: a credential that follows the settings that it comes from.
//!
//! Secrets expire and are replaced, identities are exchanged, while the driver runs. So the settings are read again when
//! their file has changed, when the issuer refuses what they say, and when ARM does not accept the token; what is unusable
//! then changes nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Credential, CredentialKind, Endpoints, Secret, TokenError, TokenErrorKind};
use crate::adapters::arm::transport::Tokens;
use crate::ports::clock::Clock;

/// The settings that a credential comes from.
pub trait CredentialSource: Send + Sync + std::fmt::Debug {
    /// The file that holds them.
    fn file(&self) -> &Path;

    /// Reads them again. It may block.
    fn read(&self) -> Result<CredentialKind, TokenError>;
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// A credential that is made anew when its settings say something else.
#[derive(Debug)]
pub struct ReloadingCredential {
    source: Arc<dyn CredentialSource>,
    endpoints: Endpoints,
    scope: String,
    clock: Arc<dyn Clock>,
    current: Mutex<Arc<Credential>>,
    /// The file's version when it was last read; `None` if it was not there.
    read: Mutex<Option<Version>>,
    /// ARM has not accepted a token: whatever the file's version, the settings are read again.
    rejected: AtomicBool,
}

impl ReloadingCredential {
    /// A credential of this kind until `source` says something else. Fails as [`Credential::new`] does.
    pub fn new(
        kind: CredentialKind,
        endpoints: Endpoints,
        scope: String,
        clock: Arc<dyn Clock>,
        source: Arc<dyn CredentialSource>,
    ) -> Result<Self, TokenError> {
        let first = Credential::new(kind, endpoints.clone(), scope.clone(), Arc::clone(&clock))?;
        let (current, read, rejected) = (Mutex::new(Arc::new(first)), Mutex::new(None), AtomicBool::new(false));
        Ok(Self { source, endpoints, scope, clock, current, read, rejected })
    }

    fn current(&self) -> Arc<Credential> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file is another one than was read last.
    async fn has_changed(&self) -> bool {
        let source = Arc::clone(&self.source);
        let version = tokio::task::spawn_blocking(move || version(source.file())).await.ok().flatten();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that is away is being replaced: what is known stays in use.
        let changed = version.is_some() && *read != version;
        if changed {
            *read = version;
        }
        changed
    }

    /// Reads the settings again; returns whether they give another credential than before.
    async fn reload(&self) -> bool {
        let source = Arc::clone(&self.source);
        let read = tokio::task::spawn_blocking(move || source.read()).await;
        let made = match read {
            Ok(Ok(kind)) if kind == *self.current().kind() => return false,
            Ok(Ok(kind)) => Credential::new(kind, self.endpoints.clone(), self.scope.clone(), Arc::clone(&self.clock)),
            Ok(Err(error)) => Err(error),
            // The runtime is shutting down.
            Err(_) => return false,
        };
        let file = self.source.file().display();
        match made {
            Ok(credential) => {
                tracing::info!(%file, credential = credential.kind().name(), "the credentials for Azure were read again");
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(credential);
                true
            }
            Err(error) => {
                tracing::warn!(%file, %error, "the credentials for Azure cannot be read again; the old ones stay in use");
                false
            }
        }
    }
}

#[async_trait]
impl Tokens for ReloadingCredential {
    async fn token(&self) -> Result<Secret, TokenError> {
        let rejected = self.rejected.swap(false, Ordering::AcqRel);
        if self.has_changed().await || rejected {
            self.reload().await;
        }
        match self.current().token().await {
            Err(error) if error.kind == TokenErrorKind::Refused => {
                if self.reload().await {
                    self.current().token().await
                } else {
                    Err(error)
                }
            }
            other => other,
        }
    }

    fn reject(&self, token: &Secret) {
        self.rejected.store(true, Ordering::Release);
        self.current().reject(token);
    }
}

fn version(file: &Path) -> Option<Version> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some(Version { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}
