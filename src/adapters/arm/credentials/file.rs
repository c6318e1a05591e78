//! Files with secrets, read off the async threads and only up to a limit.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::error::TokenError;
use super::secret::Secret;
use crate::domain::error::quote;

/// No token and no certificate with its key comes near it.
const LARGEST: u64 = 64 * 1024;

/// Reads a whole file of at most 64 KiB. `what` names it in errors, such as "token file".
pub(super) async fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TokenError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&owned)).await;
    let told = |rest: &str| format!("the {what} {} {rest}", quote(&path.display().to_string()));
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(TokenError::refused(told("does not exist")).with_source(error));
        }
        Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(TokenError::refused(told("may not be read by this process")).with_source(error));
        }
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory) => {
            return Err(TokenError::refused(told("is no file")).with_source(error));
        }
        Ok(Err(error)) => return Err(TokenError::unavailable(told("cannot be read")).with_source(error)),
        Err(error) => return Err(TokenError::unavailable(told("was not read")).with_source(error)),
    };
    if bytes.len() as u64 > LARGEST {
        return Err(TokenError::refused(told("is larger than 64 KiB")));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(TokenError::refused(told("is empty")));
    }
    Ok(bytes)
}

/// Reads a file that holds one token.
pub(super) async fn read_token(path: &Path) -> Result<Secret, TokenError> {
    let hint = "the pod needs the label azure.workload.identity/use=true and a service account with the annotation \
        azure.workload.identity/client-id";
    let bytes = read(path, "token file").await.map_err(|error| error.with_hint(hint))?;
    let token = bytes.trim_ascii();
    match std::str::from_utf8(token) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(token)),
        _ => {
            let message = format!("the token file {} holds no token", quote(&path.display().to_string()));
            Err(TokenError::refused(message).with_hint(hint))
        }
    }
}

fn read_now(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a named pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
