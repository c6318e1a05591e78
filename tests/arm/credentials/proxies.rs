//! Proxies: the environment's for the authority, none for the instance metadata service and for this machine.
//!
//! The environment is a process's own, so these tests run their bodies in children of this test program.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use azurelustre_csi::adapters::arm::credentials::{Credential, IMDS, ManagedIdentity, TokenEndpoints};
use azurelustre_csi::adapters::arm::http::client::ReqwestClient;
use azurelustre_csi::adapters::arm::http::{HttpClient, Method, Request};

use super::world::*;
use crate::fakes::clock::ManualClock;

/// Runs one of the ignored tests below with every request proxied.
fn run(test: &str, proxy: &str) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", &format!("credentials::proxies::{test}")]);
    for name in ["NO_PROXY", "no_proxy"] {
        child.env_remove(name);
    }
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy);
    }
    let output = child.output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output_text.contains("running 1 test"), "{output_text}");
    output.status.success()
}

#[test]
fn neither_the_metadata_service_nor_this_machine_is_asked_by_a_proxy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(run("child_asks_stubs", &format!("http://{free}")));
}

#[tokio::test]
#[ignore = "run by a test above, in an environment of its own"]
async fn child_asks_stubs() {
    let world = World::hourly().await;
    assert_eq!(text(world.credential(managed(ManagedIdentity::System)).token().await), "token-1");
    assert_eq!(text(world.credential(with_secret("not-so-secret")).token().await), "token-2");
    // Nor Resource Manager, where somebody has it on this machine: a proxy would read the token.
    let mut request = Request::new(Method::GET, world.server.uri().parse().unwrap());
    request.headers.insert("authorization", "Bearer secret".parse().unwrap());
    assert_eq!(ReqwestClient::new().unwrap().send(request).await.unwrap().status, 200);
}

#[test]
fn the_authority_is_asked_by_the_environments_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(proxy.accept().unwrap().0).read_line(&mut line).unwrap();
        line
    });
    assert!(run("child_asks_the_authority", &format!("http://{address}")));
    assert_eq!(asked.join().unwrap().trim_end(), "CONNECT login.azurelustre.invalid:443 HTTP/1.1");
}

#[tokio::test]
#[ignore = "run by a test above, in an environment of its own"]
async fn child_asks_the_authority() {
    let endpoints = TokenEndpoints::parse("https://login.azurelustre.invalid/", Some(IMDS)).unwrap();
    let clock = Arc::<ManualClock>::default();
    let credential = Credential::new(with_secret("not-so-secret"), endpoints, SCOPE.to_owned(), stack(clock)).unwrap();
    credential.token().await.unwrap_err();
}
