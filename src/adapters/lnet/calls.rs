//! LNet's calls: which requests in which order, and what an errno means.

use std::time::Duration;

use nix::errno::Errno;

use super::wire::{self, Request};
use super::{LnetError, LocalNi, Nid};

/// Most NIs that are listed; more than any node has, so that a list without an end ends.
const MOST_NIS: u32 = 1024;

/// Longest name of an interface in bytes (`IFNAMSIZ` without its end).
const LONGEST_INTERFACE: usize = 15;

/// The calls over a function that sends one request and receives the answer in its place.
pub(super) struct Calls<F>(pub(super) F);

impl<F: Fn(&mut Request) -> Result<(), Errno>> Calls<F> {
    /// `GET_NI` says whether LNet is started, `GET_NET` has interface and status of each NI.
    pub(super) fn local_nis(&self) -> Result<Vec<LocalNi>, LnetError> {
        let plain = self.list(wire::get_ni, |answer| LocalNi { nid: wire::ni(answer), interface: None, up: None })?;
        let detailed = self.list(wire::get_net, |answer| {
            let (nid, interface, up) = wire::net(answer);
            LocalNi { nid, interface, up }
        });
        // A client that answers the first alone still has its NIDs.
        let mut found = detailed.unwrap_or_default();
        for ni in plain {
            if !found.iter().any(|other| other.nid == ni.nid) {
                found.push(ni);
            }
        }
        Ok(found)
    }

    /// The answers to a request by index until ENOENT, without the loopback and without what has no IPv4 NID.
    fn list(
        &self,
        request: impl Fn(u32) -> Request,
        read: impl Fn(&Request) -> LocalNi,
    ) -> Result<Vec<LocalNi>, LnetError> {
        let mut nis: Vec<LocalNi> = Vec::new();
        for index in 0..MOST_NIS {
            let mut request = request(index);
            match (self.0)(&mut request) {
                Ok(()) => {}
                Err(Errno::ENOENT) => break,
                Err(errno) => return Err(failure(request.name, errno)),
            }
            let ni = read(&request);
            if !ni.nid.is_loopback_or_none() && !nis.iter().any(|other| other.nid == ni.nid) {
                nis.push(ni);
            }
        }
        Ok(nis)
    }

    pub(super) fn configure(&self) -> Result<(), LnetError> {
        self.send(wire::configure(), |_| None)
    }

    pub(super) fn unconfigure(&self) -> Result<(), LnetError> {
        self.send(wire::unconfigure(), |errno| (errno == Errno::EBUSY).then_some(LnetError::Busy))
    }

    pub(super) fn add_local_ni(&self, net: u32, interface: &str) -> Result<(), LnetError> {
        let no_interface = LnetError::NoInterface { interface: interface.to_owned() };
        let valid = (1..=LONGEST_INTERFACE).contains(&interface.len()) && !interface.contains('\0');
        if !valid {
            return Err(no_interface);
        }
        self.send(wire::add_local_ni(net, interface), |errno| match errno {
            Errno::EEXIST => Some(LnetError::Exists { what: interface.to_owned() }),
            Errno::ENETDOWN | Errno::ENODEV => Some(no_interface),
            _ => None,
        })
    }

    pub(super) fn del_local_ni(&self, nid: Nid) -> Result<(), LnetError> {
        self.send(wire::del_local_ni(nid), |errno| (errno == Errno::ENOENT).then_some(LnetError::NotFound { nid }))
    }

    pub(super) fn ping(&self, nid: Nid, limit: Duration) -> Result<(), LnetError> {
        self.send(wire::ping_peer(nid, limit), |errno| match errno {
            Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED | Errno::ETIMEDOUT | Errno::EIO => {
                Some(LnetError::Unreachable { nid })
            }
            _ => None,
        })
    }

    pub(super) fn set_health(&self, nid: Nid) -> Result<(), LnetError> {
        self.send(wire::set_health(nid), |errno| (errno == Errno::ENOENT).then_some(LnetError::NotFound { nid }))
    }

    /// One request without an answer; `meaning` is what an errno means to this call alone.
    fn send(&self, mut request: Request, meaning: impl FnOnce(Errno) -> Option<LnetError>) -> Result<(), LnetError> {
        let name = request.name;
        (self.0)(&mut request).map_err(|errno| meaning(errno).unwrap_or_else(|| failure(name, errno)))
    }
}

/// What an errno means to any call.
fn failure(call: &'static str, errno: Errno) -> LnetError {
    match errno {
        Errno::EACCES | Errno::EPERM => LnetError::Denied,
        Errno::ENETDOWN => LnetError::NotStarted,
        _ => LnetError::Errno { call, errno: errno as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::lnet::TCP;

    fn nid(last: u8) -> Nid {
        Nid::tcp([10, 0, 2, last].into())
    }

    /// A kernel whose list calls answer from these tables, and ENOENT beyond.
    fn listing(
        nids: &'static [u64],
        nets: Result<&'static [(u64, &'static str, u32)], Errno>,
    ) -> Calls<impl Fn(&mut Request) -> Result<(), Errno>> {
        Calls(move |request: &mut Request| {
            let bytes = request.bytes_mut();
            if bytes.len() == 128 {
                let index = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
                let nid = nids.get(index as usize).ok_or(Errno::ENOENT)?;
                bytes[8..16].copy_from_slice(&nid.to_le_bytes());
            } else {
                let index = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
                let (nid, interface, status) = nets?.get(index as usize).ok_or(Errno::ENOENT)?;
                bytes[16..24].copy_from_slice(&nid.to_le_bytes());
                bytes[180..180 + interface.len()].copy_from_slice(interface.as_bytes());
                bytes[308..312].copy_from_slice(&status.to_le_bytes());
            }
            Ok(())
        })
    }

    #[test]
    fn nis_are_listed_with_interface_and_status_and_without_the_loopback() {
        const LO: u64 = 9 << 48;
        const A: u64 = 0x0002_0000_0a00_020f;
        const B: u64 = 0x0002_0000_0a00_0210;
        let ni = |nid, interface: Option<&str>, up| LocalNi { nid, interface: interface.map(str::to_owned), up };
        let nets: &[_] = &[(0, "", 0x15aa_c0de), (A, "eth0", 0x15aa_c0de), (B, "eth1", 0xdead_face)];
        let found = listing(&[LO, A, B], Ok(nets)).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(15), Some("eth0"), Some(true)), ni(nid(16), Some("eth1"), Some(false))]));
        // What only one of the two calls knows is listed too.
        let found = listing(&[LO, A, B], Ok(&[(B, "", 7)])).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(16), None, None), ni(nid(15), None, None)]));
        let found = listing(&[A], Err(Errno::EINVAL)).local_nis();
        assert_eq!(found, Ok(vec![ni(nid(15), None, None)]));
        assert_eq!(listing(&[LO], Ok(&[])).local_nis(), Ok(Vec::new()));
    }

    #[test]
    fn a_list_without_an_end_ends() {
        let endless = Calls(|request: &mut Request| {
            request.bytes_mut()[8..24].fill(7);
            Ok(())
        });
        assert_eq!(endless.local_nis().unwrap().len(), 1);
    }

    #[test]
    fn every_errno_that_the_kernel_was_seen_to_answer_has_a_meaning() {
        let interface = || "eth9".to_owned();
        let (nid, limit) = (nid(15), Duration::from_secs(10));
        let failing = |errno| Calls(move |_: &mut Request| Err(errno));
        let other = |call, errno: Errno| Err(LnetError::Errno { call, errno: errno as i32 });
        assert_eq!(failing(Errno::ENETDOWN).local_nis(), Err(LnetError::NotStarted));
        assert_eq!(failing(Errno::EACCES).local_nis(), Err(LnetError::Denied));
        assert_eq!(failing(Errno::EACCES).set_health(nid), Err(LnetError::Denied));
        assert_eq!(failing(Errno::EBUSY).unconfigure(), Err(LnetError::Busy));
        assert_eq!(failing(Errno::EEXIST).add_local_ni(TCP, "eth9"), Err(LnetError::Exists { what: interface() }));
        let missing = Err(LnetError::NoInterface { interface: interface() });
        assert_eq!(failing(Errno::ENETDOWN).add_local_ni(TCP, "eth9"), missing);
        assert_eq!(failing(Errno::EINVAL).add_local_ni(TCP, "eth9"), other("ADD_LOCAL_NI", Errno::EINVAL));
        assert_eq!(failing(Errno::ENOENT).del_local_ni(nid), Err(LnetError::NotFound { nid }));
        for silent in [Errno::EHOSTUNREACH, Errno::ECONNREFUSED, Errno::EIO] {
            assert_eq!(failing(silent).ping(nid, limit), Err(LnetError::Unreachable { nid }));
        }
        assert_eq!(failing(Errno::EPROTO).ping(nid, limit), other("PING_PEER", Errno::EPROTO));
        assert_eq!(failing(Errno::ENOMEM).configure(), other("CONFIGURE", Errno::ENOMEM));
    }

    #[test]
    fn a_name_that_no_interface_has_is_not_sent() {
        let never = Calls(|_: &mut Request| panic!("nothing may be sent"));
        for name in ["", "sixteen-letters-", "et\0h"] {
            let missing = LnetError::NoInterface { interface: name.to_owned() };
            assert_eq!(never.add_local_ni(TCP, name), Err(missing), "{name:?}");
        }
    }
}
