//! Assertions signed with the key of a certificate.
//!
//! Why by hand: a JWT of six claims, signed by the library that TLS brings anyway, needs no OpenSSL.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::answer::unix_time;
use super::error::TokenError;
use super::secret::Secret;
use super::{file, http};
use crate::domain::error::quote;

/// Seconds that an assertion is good for.
const LIFETIME: u64 = 10 * 60;

/// Reads the PEM file and signs an assertion that `client_id` sends to `audience`.
pub(super) async fn assertion(path: &Path, client_id: &str, audience: &str) -> Result<Secret, TokenError> {
    let pem = file::read(path, "certificate file").await?;
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
        "jti": http::random_id()?,
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
        return Err(refused("is no PEM file; PKCS#12 (.pfx, .p12) is not read")
            .with_hint(format!("turn it into PEM: `openssl pkcs12 -in {path} -out {path}.pem -nodes`")));
    }
    if contains("ENCRYPTED") {
        return Err(refused("has an encrypted private key, which is not read").with_hint(format!(
            "decrypt it: `openssl pkey -in {path} -out {path}.key && openssl x509 -in {path} >> {path}.key`, and name {path}.key"
        )));
    }
    // A key's own text must not come out with an error, so the causes, which may quote lines, are left out.
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
    // A certificate contains its public key in the very encoding that the key pair gives.
    let public = key.public().as_ref();
    let own = certificates.into_iter().find(|der| der.windows(public.len()).any(|window| window == public));
    let own = own.ok_or_else(|| refused("has no certificate for its private key").with_hint(one_with_both))?;
    Ok((own, key))
}
