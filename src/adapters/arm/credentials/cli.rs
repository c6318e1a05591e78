//! Tokens of the account that is signed in to the Azure CLI (`az account get-access-token`), for use at a terminal.
//! <https://learn.microsoft.com/cli/azure/account#az-account-get-access-token>

use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::TokenError;
use super::entra::{Issued, token_response};
use crate::adapters::arm::text::redacted;
use crate::domain::text::quote;

/// Time limit of one run: the CLI starts slowly.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Runs `az account get-access-token` once.
pub(super) async fn exchange(program: &Path, tenant_id: Option<&str>, scope: &str) -> Result<Issued, TokenError> {
    let mut command = Command::new(program);
    command.args(["account", "get-access-token", "-o", "json", "--scope", scope]);
    if let Some(tenant_id) = tenant_id {
        command.args(["--tenant", tenant_id]);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let name = quote(&program.display().to_string());
    let ran = tokio::time::timeout(TIME_LIMIT, command.output()).await;
    let output = match ran {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            return Err(TokenError::refused(format!("the Azure CLI {name} cannot be run"))
                .with_hint("install the Azure CLI, or use another credential")
                .caused_by(error));
        }
        Ok(Err(error)) => {
            return Err(TokenError::unavailable(format!("the Azure CLI {name} was not run")).caused_by(error));
        }
        Err(_) => {
            let message = format!("the Azure CLI {name} took longer than {} s", TIME_LIMIT.as_secs());
            return Err(TokenError::unavailable(message));
        }
    };
    if output.status.success() {
        return token_response(&output.stdout, &format!("the Azure CLI {name}"))
            .map_err(|error| if error.hint.is_some() { error } else { error.with_hint("use version 2.54 or newer") });
    }
    let stderr = redacted(&String::from_utf8_lossy(&output.stderr), &[]);
    Err(TokenError::refused(format!("the Azure CLI {name} ended with {}: {stderr}", output.status)).with_hint(
        tenant_id.map_or("sign in: `az login`".to_owned(), |id| format!("sign in: `az login --tenant {id}`")),
    ))
}
