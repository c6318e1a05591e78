//! CSI's Identity service: `GetPluginInfo`, `GetPluginCapabilities`, `Probe` (CSI specification, "Identity Service RPC").

use std::sync::Arc;

use tonic::Request;

use super::call::{Call, Reply};
use super::proto::identity_server;
use super::proto::plugin_capability::{self, Service, service};
use super::proto::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    PluginCapability, ProbeRequest, ProbeResponse,
};
use crate::ports::inbound::ReadinessProbe;

/// The response of `GetPluginInfo`, and whether there is a Controller service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityInfo {
    /// Name by which a `StorageClass` or PersistentVolume refers to it.
    pub driver_name: String,
    /// Version of this build.
    pub vendor_version: String,
    /// Whether this process serves the Controller service.
    pub controller: bool,
}

/// The Identity service.
#[derive(Debug)]
pub struct Identity {
    info: IdentityInfo,
    ready: Arc<dyn ReadinessProbe>,
}

impl Identity {
    /// A service that responds with `info`, and with `ready` to each Probe.
    pub fn new(info: IdentityInfo, ready: Arc<dyn ReadinessProbe>) -> Self {
        Self { info, ready }
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        let controller = Service { r#type: service::Type::ControllerService.into() };
        let controller = PluginCapability { r#type: Some(plugin_capability::Type::Service(controller)) };
        self.info.controller.then_some(controller).into_iter().collect()
    }
}

#[tonic::async_trait]
impl identity_server::Identity for Identity {
    async fn get_plugin_info(&self, _: Request<GetPluginInfoRequest>) -> Reply<GetPluginInfoResponse> {
        let IdentityInfo { driver_name, vendor_version, .. } = &self.info;
        let answer = async {
            let (name, vendor_version) = (driver_name.clone(), vendor_version.clone());
            Ok(GetPluginInfoResponse { name, vendor_version, ..Default::default() })
        };
        Call::without_volume("GetPluginInfo").in_place(answer).await
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Reply<GetPluginCapabilitiesResponse> {
        let answer = async { Ok(GetPluginCapabilitiesResponse { capabilities: self.capabilities() }) };
        Call::without_volume("GetPluginCapabilities").in_place(answer).await
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Reply<ProbeResponse> {
        let answer = async { Ok(ProbeResponse { ready: Some(self.ready.is_ready().await) }) };
        Call::without_volume("Probe").in_place(answer).await
    }
}
