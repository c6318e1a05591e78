//! The Azure CLI, played by a script.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use azurelustre_csi::adapters::arm::credentials::{CredentialKind, TokenError, TokenErrorKind};

use super::world::*;

/// A folder with a script that is called `az`.
pub(crate) struct Script(tempfile::TempDir);

impl Script {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("az")
    }
}

pub(crate) fn script(body: &str) -> Script {
    let script = Script(tempfile::tempdir().unwrap());
    // Written by another process: a file that a thread of ours still has open for writing cannot be run, and every
    // process that another test starts meanwhile would keep it open.
    let mut shell = std::process::Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(script.path())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success());
    assert_eq!(std::fs::metadata(script.path()).unwrap().permissions().mode() & 0o111, 0o111);
    script
}

async fn asked(script: &Script, tenant_id: Option<&str>) -> Result<String, TokenError> {
    let kind = CredentialKind::AzureCli { tenant_id: tenant_id.map(str::to_owned), program: script.path() };
    let world = World::hourly().await;
    let token = world.credential(kind).token().await;
    assert_eq!(world.count().await, 0);
    token.map(|token| token.reveal().to_owned())
}

#[tokio::test]
async fn it_is_asked_for_the_scope_and_the_tenant() {
    let az = script(
        r#"echo "$@" > "$0.args"; echo '{"accessToken":"cli-token","expiresOn":"2030-01-01 00:00:00.000000","expires_on":1893456000,"tokenType":"Bearer"}'"#,
    );
    for (tenant, more) in [(None, String::new()), (Some(TENANT), format!(" --tenant {TENANT}"))] {
        assert_eq!(asked(&az, tenant).await.unwrap(), "cli-token");
        let args = std::fs::read_to_string(format!("{}.args", az.path().display())).unwrap();
        assert_eq!(args.trim(), format!("account get-access-token -o json --scope {SCOPE}{more}"));
    }
}

#[tokio::test]
async fn its_error_output_is_reported() {
    let signed_out = script("echo 'ERROR: Please run az login to setup account.' >&2; exit 1");
    let error = asked(&signed_out, Some(TENANT)).await.unwrap_err();
    assert_eq!(error.kind, TokenErrorKind::Refused);
    assert!(error.message.ends_with("exit status: 1: ERROR: Please run az login to setup account."), "{error}");
    assert_eq!(error.hint.unwrap(), format!("sign in: `az login --tenant {TENANT}`"));

    let old = script(r#"echo '{"accessToken":"cli-token","expiresOn":"2030-01-01 00:00:00.000000"}'"#);
    let error = asked(&old, None).await.unwrap_err();
    assert_eq!(error.kind, TokenErrorKind::Unreadable);
    assert!(error.hint.unwrap().contains("2.54"));

    let absent = script("");
    std::fs::remove_file(absent.path()).unwrap();
    let error = asked(&absent, None).await.unwrap_err();
    assert_eq!(error.kind, TokenErrorKind::Refused);
    assert!(error.message.contains("cannot be run") && error.hint.is_some(), "{error}");
}
