//! The CSI front end: the gRPC services that Kubernetes' sidecars and kubelet call, over the driving ports.
//!
//! CSI's types stay in this folder. An RPC is converted, passed to a port, and its result converted back; no rule about
//! volumes is decided here, and no use-case or other adapter is named.
//!
//! ```text
//!   kubelet, sidecars
//!        │ gRPC (csi.v1, in `proto`)
//!   identity · controller · node       one short method an RPC
//!        │ every RPC goes through `call`: span, deadline, panics, tasks that outlive a lost connection, one log line
//!        │ `convert`: messages <-> domain        `status`: Failure -> gRPC status
//!        ▼
//!   ports::inbound   (ReadinessProbe · Provisioning · Publishing)
//! ```
//!
//! Serve [`Identity`], [`Controller`] and [`Node`] with tonic's [`IdentityServer`], [`ControllerServer`] and
//! [`NodeServer`].

mod call;
pub mod client;
mod controller;
mod convert;
mod identity;
mod node;
pub mod proto;
mod running_calls;
mod status;

pub use controller::Controller;
pub use identity::{Identity, IdentityInfo};
pub use node::{Node, NodeInfo};
pub use proto::controller_server::ControllerServer;
pub use proto::identity_server::IdentityServer;
pub use proto::node_server::NodeServer;
pub use running_calls::RunningCalls;
