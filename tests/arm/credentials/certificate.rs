//! Assertions made with a certificate, and files of which none can be made.
//!
//! The keys in `fixtures` were made for these tests with the openssl command and protect nothing.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use azurelustre_csi::adapters::arm::credentials::{CredentialKind, Secret, TokenError, TokenErrorKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::world::*;

/// The certificate's SHA-1 thumbprint, as `openssl x509 -fingerprint -sha1` gives it.
const THUMBPRINT: [u8; 20] = [
    0xD6, 0xE9, 0x86, 0x47, 0xE9, 0xE1, 0x0F, 0xBC, 0x72, 0x05, 0xD8, 0xF1, 0x0F, 0x4B, 0x06, 0xCA, 0x73, 0x12, 0x0F,
    0x19,
];

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/arm/fixtures").join(name)
}

fn certificate(path: PathBuf) -> CredentialKind {
    CredentialKind::ClientCertificate {
        tenant_id: TENANT.to_owned(),
        client_id: CLIENT.to_owned(),
        path,
        password: Some(Secret::new("test")),
    }
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn the_assertion_is_signed_by_the_key_and_names_the_certificate() {
    let pem = std::fs::read(fixture("test-key-pkcs8.pem")).unwrap();
    let key = RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap().secret_pkcs8_der()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    let mut ids = Vec::new();
    for file in ["test-key-pkcs8.pem", "test-key-pkcs1-after-chain.pem"] {
        let world = World::hourly().await;
        assert_eq!(text(world.credential(certificate(fixture(file))).token().await), "token-1");
        let [request] = world.requests().await.try_into().unwrap();
        let mut fields = form(&request);
        let (name, assertion) = fields.pop().unwrap();
        let others = [
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("scope", SCOPE),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ];
        assert_eq!(fields, others.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(name, "client_assertion");

        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(decoded(header), json!({"alg": "RS256", "typ": "JWT", "x5t": URL_SAFE_NO_PAD.encode(THUMBPRINT)}));
        let mut claims = decoded(claims);
        let mut taken = |name: &str| claims.as_object_mut().unwrap().remove(name).unwrap();
        let (from, until) = (taken("nbf").as_u64().unwrap(), taken("exp").as_u64().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((now - 30..=now).contains(&from) && until == from + 600);
        ids.push(taken("jti").as_str().unwrap().to_owned());
        let audience = format!("{}/{TENANT}/oauth2/v2.0/token", world.server.uri());
        assert_eq!(claims, json!({"aud": audience, "iss": CLIENT, "sub": CLIENT}));
    }
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

async fn refusal_of(path: PathBuf) -> TokenError {
    let world = World::hourly().await;
    let error = world.credential(certificate(path.clone())).token().await.unwrap_err();
    assert_eq!((error.kind, world.count().await), (TokenErrorKind::Refused, 0), "{error}");
    assert!(error.message.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn files_of_other_kinds_are_refused_with_what_is_wrong() {
    for (file, expected) in [
        ("test-key.pfx", "PKCS#12 (.pfx, .p12) is not read"),
        ("test-key-encrypted-pkcs8.pem", "encrypted private key"),
        ("test-key-encrypted-pkcs1.pem", "encrypted private key"),
        ("test-key-elliptic.pem", "private key that cannot be used"),
        ("test-key-of-other-certificate.pem", "no certificate for its private key"),
        ("test-certificate-without-key.pem", "no readable private key"),
        ("absent.pem", "does not exist"),
    ] {
        let error = refusal_of(fixture(file)).await;
        assert!(error.message.contains(expected), "{error}");
        assert!(error.hint.is_some() || expected == "does not exist");
    }
}

/// Runs the openssl command of a hint, with the password of the test keys, where openssl is there.
fn run(hint: &str) -> bool {
    let command = hint.split('`').nth(1).unwrap();
    let command = command.replace("pkcs12 ", "pkcs12 -passin pass:test ").replace("pkey ", "pkey -passin pass:test ");
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("openssl is not there; nothing was run");
        return false;
    }
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

#[tokio::test]
async fn the_command_of_a_hint_makes_a_file_that_is_taken() {
    for (file, made) in
        [("test-key.pfx", "pem"), ("test-key-encrypted-pkcs8.pem", "key"), ("test-key-encrypted-pkcs1.pem", "key")]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        std::fs::copy(fixture(file), &path).unwrap();
        if run(&refusal_of(path.clone()).await.hint.unwrap()) {
            let made = PathBuf::from(format!("{}.{made}", path.display()));
            assert_eq!(text(World::hourly().await.credential(certificate(made)).token().await), "token-1");
        }
    }
}
