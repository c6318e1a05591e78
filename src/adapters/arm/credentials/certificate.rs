//! Client certificates: assertions (JWT, RFC 7523) signed with the key of a PEM file; and the reading of token files.
//!
//! The JWT has six claims and is signed by the library that TLS links anyway, so that no OpenSSL is needed.
//! Source: <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::entra::unix_time;
use super::{Secret, TokenError};
use crate::adapters::arm::http::stack::random_uuid;
use crate::domain::text::quote;

/// Seconds that an assertion is valid.
const LIFETIME: u64 = 10 * 60;

/// Reads the PEM file and signs an assertion that `client_id` sends to `audience`.
pub(super) async fn assertion(path: &Path, client_id: &str, audience: &str) -> Result<Secret, TokenError> {
    let pem = read_file(path, "certificate file").await?;
    let (certificate, key) = read(&pem, path)?;
    let now = unix_time();
    let header = json!({
        "alg": "RS256",
        "typ": "JWT",
        "x5t": URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &certificate)),
    });
    let claims = json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": random_uuid().simple().to_string(),
        "nbf": now,
        "exp": now + LIFETIME,
    });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let mut assertion = format!("{header}.{claims}");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), assertion.as_bytes(), &mut signature)
        .map_err(|_| TokenError::unavailable("the assertion could not be signed"))?;
    assertion.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut assertion);
    Ok(Secret::new(assertion))
}

/// The RSA key, and of the certificates the one that is made for it.
fn read<'a>(pem: &'a [u8], path: &Path) -> Result<(CertificateDer<'a>, RsaKeyPair), TokenError> {
    let path = path.display().to_string();
    let refused = |what: &str| TokenError::refused(format!("the certificate file {} {what}", quote(&path)));
    let one_with_both = "the file must hold the certificate and its private key, both as PEM, such as `cat cert.pem key.pem` \
        writes";
    let contains = |text: &str| pem.windows(text.len()).any(|window| window == text.as_bytes());
    if !contains("-----BEGIN ") {
        return Err(refused("is not a PEM file; PKCS#12 (.pfx, .p12) is not read")
            .with_hint(format!("turn it into PEM: `openssl pkcs12 -in {path} -out {path}.pem -nodes`")));
    }
    if contains("ENCRYPTED") {
        return Err(refused("has an encrypted private key, which is not read").with_hint(format!(
            "decrypt it: `openssl pkey -in {path} -out {path}.key && openssl x509 -in {path} >> {path}.key`, and name {path}.key"
        )));
    }
    // The causes may quote lines of the key, so they are left out.
    let key = match PrivateKeyDer::from_pem_slice(pem) {
        Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        Ok(_) => return Err(refused("has a private key that is not RSA").with_hint("Entra takes RSA keys only")),
        Err(_) => return Err(refused("has no readable private key").with_hint(one_with_both)),
    };
    let key = key.map_err(|reason| {
        refused(&format!("has a private key that cannot be used ({reason})"))
            .with_hint("use an RSA key of 2048, 3072 or 4096 bits")
    })?;
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| refused("has a certificate that cannot be read"))?;
    if certificates.is_empty() {
        return Err(refused("has no certificate").with_hint(one_with_both));
    }
    // A certificate contains its public key in the encoding of the key pair.
    let public = key.public().as_ref();
    let own = certificates.into_iter().find(|der| der.windows(public.len()).any(|window| window == public));
    let own = own.ok_or_else(|| refused("has no certificate for its private key").with_hint(one_with_both))?;
    Ok((own, key))
}

/// Far above the size of any token and of any certificate with its key, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Reads a whole file of at most 64 KiB, off the async threads. `what` names it in errors, such as "token file".
pub(super) async fn read_file(path: &Path, what: &'static str) -> Result<Vec<u8>, TokenError> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&owned)).await;
    let about = |rest: &str| format!("the {what} {} {rest}", quote(&path.display().to_string()));
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(TokenError::refused(about("does not exist")).caused_by(error));
        }
        Ok(Err(error)) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(TokenError::refused(about("may not be read by this process")).caused_by(error));
        }
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory) => {
            return Err(TokenError::refused(about("is not a regular file")).caused_by(error));
        }
        Ok(Err(error)) => return Err(TokenError::unavailable(about("cannot be read")).caused_by(error)),
        Err(error) => return Err(TokenError::unavailable(about("was not read")).caused_by(error)),
    };
    if bytes.len() as u64 > LARGEST {
        return Err(TokenError::refused(about("is larger than 64 KiB")));
    }
    if bytes.trim_ascii().is_empty() {
        return Err(TokenError::refused(about("is empty")));
    }
    Ok(bytes)
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

/// Reads a file that holds one token.
pub(super) async fn read_token(path: &Path) -> Result<Secret, TokenError> {
    let hint = "the pod needs the label azure.workload.identity/use=true and a service account with the annotation \
        azure.workload.identity/client-id";
    let bytes = read_file(path, "token file").await.map_err(|error| error.with_hint(hint))?;
    let token = bytes.trim_ascii();
    match std::str::from_utf8(token) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(token)),
        _ => {
            let message = format!("the token file {} holds no token", quote(&path.display().to_string()));
            Err(TokenError::refused(message).with_hint(hint))
        }
    }
}
