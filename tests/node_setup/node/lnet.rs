//! LNet of the fake node.

use std::time::Duration;

use azurelustre_csi::adapters::lnet::{Ipv4Nid, Lnet, LnetError, LocalNi};

use super::{FakeNode, ni};

/// State of LNet in the kernel.
#[derive(Default)]
pub(super) struct FakeLnet {
    /// `None` where LNet is not started.
    pub(super) nis: Option<Vec<LocalNi>>,
    pub(super) configured: bool,
}

impl Lnet for FakeNode {
    fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        if !self.is_loaded("lnet") {
            return Err(LnetError::NoDevice { device: self.path("dev/lnet") });
        }
        self.lnet.lock().unwrap().nis.clone().ok_or(LnetError::NotStarted)
    }

    fn configure(&self) -> Result<(), LnetError> {
        if self.step("CONFIGURE".to_owned()) {
            return Err(LnetError::Denied);
        }
        let mut lnet = self.lnet.lock().unwrap();
        lnet.nis.get_or_insert_default();
        lnet.configured = true;
        Ok(())
    }

    fn unconfigure(&self) -> Result<(), LnetError> {
        if self.step("UNCONFIGURE".to_owned()) {
            return Err(LnetError::Denied);
        }
        let mut lnet = self.lnet.lock().unwrap();
        lnet.configured = false;
        if self.is_loaded("ptlrpc") {
            return Err(LnetError::Busy);
        }
        lnet.nis = None;
        Ok(())
    }

    fn add_local_ni(&self, _: u32, interface: &str) -> Result<(), LnetError> {
        let no_interface = LnetError::NoInterface { interface: interface.to_owned() };
        let failed = self.step(format!("ADD {interface}"));
        let mut lnet = self.lnet.lock().unwrap();
        if failed || !lnet.configured {
            return Err(no_interface);
        }
        lnet.nis.get_or_insert_default().push(ni(interface));
        Ok(())
    }

    fn del_local_ni(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.step(format!("DEL {nid}"));
        Ok(())
    }

    fn ping(&self, nid: Ipv4Nid, _: Duration) -> Result<(), LnetError> {
        if self.step(format!("PING {nid}")) { Err(LnetError::Unreachable { nid }) } else { Ok(()) }
    }

    fn set_health(&self, nid: Ipv4Nid) -> Result<(), LnetError> {
        self.step(format!("SET_HEALTH {nid}"));
        Ok(())
    }
}
