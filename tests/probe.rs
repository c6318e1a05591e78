//! `probe`, the exec probe of pods, against a driver that is ready, one that is not, one that says nothing, and none.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used)] // a test that cannot go on fails by panicking

use std::path::Path;
use std::process::Command;

use azurelustre_csi::adapters::csi::proto::identity_server::{Identity, IdentityServer};
use azurelustre_csi::adapters::csi::proto::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    ProbeRequest, ProbeResponse,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// A driver of which only Probe matters; `None` never answers.
#[derive(Clone, Copy)]
struct Driver(Option<Result<Option<bool>, &'static str>>);

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Err(Status::unimplemented("not asked"))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        let Some(answer) = self.0 else { return std::future::pending().await };
        answer.map(|ready| Response::new(ProbeResponse { ready })).map_err(Status::failed_precondition)
    }
}

impl Driver {
    /// Serves while the test runs.
    fn serve(self, socket: &Path) {
        let listener = UnixListenerStream::new(tokio::net::UnixListener::bind(socket).unwrap());
        let server = tonic::transport::Server::builder().add_service(IdentityServer::new(self));
        tokio::spawn(server.serve_with_incoming(listener));
    }
}

/// What `probe` ends with and prints; the endpoint is given as a flag or in the driver's variable.
async fn probe(socket: &Path, by_variable: bool) -> (Option<i32>, String) {
    let endpoint = format!("unix://{}", socket.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_azurelustre-csi"));
    command.env_clear().args(["probe", "--timeout", "1"]);
    if by_variable {
        command.env("AZURELUSTRE_CSI_ENDPOINT", endpoint)
    } else {
        command.args(["--endpoint", &endpoint])
    };
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let reported = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(reported).unwrap())
}

#[tokio::test]
async fn the_exit_code_and_one_line_say_what_the_driver_answers() {
    for (driver, code, line) in [
        (Driver(Some(Ok(Some(true)))), 0, "ready"),
        // CSI: not set means ready.
        (Driver(Some(Ok(None))), 0, "ready"),
        (Driver(Some(Ok(Some(false)))), 1, "the driver is not ready"),
        (Driver(Some(Err("broken"))), 1, "Probe answered FailedPrecondition: broken"),
        (Driver(None), 1, "no answer within 1 s"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("csi.sock");
        driver.serve(&socket);
        for by_variable in [false, true] {
            let (exit, reported) = probe(&socket, by_variable).await;
            assert_eq!(exit, Some(code), "{reported}");
            assert!(reported.lines().next().unwrap().ends_with(line), "{reported}");
        }
    }
}

#[tokio::test]
async fn a_socket_without_a_driver_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, reported) = probe(&folder.path().join("csi.sock"), true).await;
    assert_eq!(exit, Some(1), "{reported}");
    assert!(
        reported.contains("csi.sock: No such file or directory") && reported.contains("hint: check that it runs"),
        "{reported}"
    );
}
