//! Requests and answers of LNet's ioctls as bytes.
//!
//! Every structure begins with its length and a version, both `u32`; all numbers are little-endian, as on every machine
//! that Azure offers; bytes that are not named are 0. Sources: `struct libcfs_ioctl_data` (128 bytes, version 1.10) of
//! `libcfs_ioctl.h`; `lnet_ioctl_config_data` with its bulk, `lnet_ioctl_config_ni` with the tunables of the socket LND,
//! `lnet_ioctl_ping_data` and `lnet_ioctl_reset_health_cfg` of `lnet-dlc.h` (version 1.11).
//!
//! `IOC_LIBCFS_GET_LOCAL_NI` is absent on purpose: its length differs between versions, and too long a request makes the
//! kernel read beyond its structure.

use std::time::Duration;

use super::{Ipv4Nid, LocalNi};

/// Version of [`DATA_LEN`] requests.
const DATA_VERSION: u32 = 0x0001_000a;
/// Version of all other requests.
const CONFIG_VERSION: u32 = 0x0001_000b;

/// `struct libcfs_ioctl_data`.
const DATA_LEN: usize = 128;
/// `struct lnet_ioctl_config_data` with its bulk: interface, status and tunables.
const NET_LEN: usize = 828;
/// `struct lnet_ioctl_config_ni` with the tunables that 2.15 to 2.17 share.
const NI_LEN: usize = 808;
/// `struct lnet_ioctl_ping_data`.
const PING_LEN: usize = 56;
/// `struct lnet_ioctl_reset_health_cfg`.
const HEALTH_LEN: usize = 24;

/// Sizes that the kernel's macros put into the numbers: of a pointer, and of `struct lnet_ioctl_config_data`.
const SIZE_LONG: u32 = 8;
const SIZE_CONFIG: u32 = 184;

const GET_NI: u32 = iowr(50, SIZE_LONG);
const UNCONFIGURE: u32 = iowr(56, SIZE_LONG);
const CONFIGURE: u32 = iowr(59, SIZE_LONG);
const PING_PEER: u32 = iowr(62, SIZE_LONG);
const GET_NET: u32 = iowr(86, SIZE_CONFIG);
const ADD_LOCAL_NI: u32 = iowr(95, SIZE_CONFIG);
const DEL_LOCAL_NI: u32 = iowr(96, SIZE_CONFIG);
const SET_HEALHV: u32 = iowr(102, SIZE_CONFIG);

/// `_IOWR('e', nr, size)`: `asm-generic/ioctl.h`.
const fn iowr(nr: u32, size: u32) -> u32 {
    (3 << 30) | (size << 16) | ((b'e' as u32) << 8) | nr
}

// The numbers that kernels of 2.15.8 and 2.17.0 were seen to answer.
const _: () = {
    assert!(GET_NI == 0xc008_6532 && UNCONFIGURE == 0xc008_6538 && CONFIGURE == 0xc008_653b);
    assert!(PING_PEER == 0xc008_653e && GET_NET == 0xc0b8_6556 && ADD_LOCAL_NI == 0xc0b8_655f);
    assert!(DEL_LOCAL_NI == 0xc0b8_6560 && SET_HEALHV == 0xc0b8_6566);
    assert!(cfg!(target_endian = "little") && size_of::<usize>() == 8);
};

/// Bytes of one `struct lnet_process_id`: NID, process id, padding. The kernel writes one for each NID of a peer that
/// answers a ping.
pub(super) const PEER_ID_LEN: usize = 16;
/// Offset of the address of the peer's ids in a ping.
pub(super) const PING_ADDRESS: usize = 40;
/// NIDs of the peer that the buffer of a ping holds, at least 1; the kernel writes no more than that.
pub(super) const PEER_IDS: u32 = 16;

/// One call: its number and its structure, which the kernel overwrites with the answer. Made by this module alone, so the
/// length in the header is that of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Name of the ioctl without the prefix `IOC_LIBCFS_`.
    pub(super) name: &'static str,
    pub(super) number: u32,
    bytes: Vec<u8>,
    /// How many peer ids the kernel may write to an address that the call has to supply at [`PING_ADDRESS`].
    peer_ids: u32,
}

impl Request {
    fn new(name: &'static str, number: u32, len: usize, version: u32) -> Self {
        let mut request = Self { name, number, bytes: vec![0; len], peer_ids: 0 };
        let in_header = u32::try_from(len).unwrap_or_default();
        request.set(0, &in_header.to_le_bytes());
        request.set(4, &version.to_le_bytes());
        request
    }

    /// A `struct libcfs_ioctl_data`.
    fn libcfs_data(name: &'static str, number: u32) -> Self {
        Self::new(name, number, DATA_LEN, DATA_VERSION)
    }

    /// One of the structures of `lnet-dlc.h`.
    fn dlc(name: &'static str, number: u32, len: usize) -> Self {
        Self::new(name, number, len, CONFIG_VERSION)
    }

    /// The structure; its length stays.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// How many peer ids the kernel may write; 0 for all calls but a ping.
    pub(super) fn peer_ids(&self) -> u32 {
        self.peer_ids
    }

    /// Writes a field.
    fn set(&mut self, offset: usize, value: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(offset).zip(value) {
            *to = *from;
        }
    }

    /// Reads a field.
    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.bytes.get(offset..offset + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn nid(&self, offset: usize) -> Ipv4Nid {
        Ipv4Nid::from_bits(u64::from_le_bytes(self.get(offset)))
    }
}

/// Requests the NID with this index, from 0; ENOENT is the end of the list, ENETDOWN means that LNet is not started.
pub(super) fn get_ni(index: u32) -> Request {
    let mut request = Request::libcfs_data("GET_NI", GET_NI);
    request.set(28, &index.to_le_bytes());
    request
}

/// The NI in the kernel's answer to [`get_ni`], of which only the NID is known.
pub(super) fn ni_of_get_ni(answer: &Request) -> LocalNi {
    LocalNi { nid: answer.nid(8), interface: None, up: None }
}

/// Requests NID, interface and status of the NI with this index, from 0; ENOENT is the end of the list.
pub(super) fn get_net(index: u32) -> Request {
    let mut request = Request::dlc("GET_NET", GET_NET, NET_LEN);
    request.set(12, &index.to_le_bytes());
    request
}

/// The NI in the kernel's answer to [`get_net`].
pub(super) fn ni_of_get_net(answer: &Request) -> LocalNi {
    /// Longest name of an interface, with its end (`IFNAMSIZ`).
    const IFNAMSIZ: usize = 16;
    /// `LNET_NI_STATUS_UP` and `LNET_NI_STATUS_DOWN` of `lnet-types.h`.
    const UP: u32 = 0x15aa_c0de;
    const DOWN: u32 = 0xdead_face;
    let name: [u8; IFNAMSIZ] = answer.get(180);
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let up = match u32::from_le_bytes(answer.get(308)) {
        UP => Some(true),
        DOWN => Some(false),
        _ => None,
    };
    LocalNi { nid: answer.nid(16), interface: Some(name).filter(|name| !name.is_empty()), up }
}

/// A ping that waits for the reply up to `limit`, which is rounded to milliseconds, at least 1.
pub(super) fn ping_peer(nid: Ipv4Nid, limit: Duration) -> Request {
    /// `LNET_PID_ANY` and `LNET_NID_ANY`.
    const ANY_PID: u32 = u32::MAX;
    const ANY_NID: u64 = u64::MAX;
    let mut request = Request::dlc("PING_PEER", PING_PEER, PING_LEN);
    let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
    request.set(8, &limit.to_le_bytes());
    request.set(12, &PEER_IDS.to_le_bytes());
    request.set(24, &nid.to_bits().to_le_bytes());
    request.set(32, &ANY_PID.to_le_bytes());
    request.set(48, &ANY_NID.to_le_bytes());
    request.peer_ids = PEER_IDS;
    request
}

/// Starts LNet without an NI if it is stopped, and takes a reference on it.
pub(super) fn configure() -> Request {
    let mut request = Request::libcfs_data("CONFIGURE", CONFIGURE);
    request.set(24, &1_u32.to_le_bytes());
    request
}

/// Gives back the reference of [`configure`].
pub(super) fn unconfigure() -> Request {
    Request::libcfs_data("UNCONFIGURE", UNCONFIGURE)
}

/// Adds an interface to a network. The name must be a valid one: at most 15 bytes, none of them 0.
pub(super) fn add_local_ni(net: u32, interface: &str) -> Request {
    let mut request = Request::dlc("ADD_LOCAL_NI", ADD_LOCAL_NI, NI_LEN);
    request.set(8, &(u64::from(net) << 32).to_le_bytes());
    request.set(16, interface.as_bytes());
    request
}

/// Removes an NI.
pub(super) fn del_local_ni(nid: Ipv4Nid) -> Request {
    let mut request = Request::dlc("DEL_LOCAL_NI", DEL_LOCAL_NI, NI_LEN);
    request.set(8, &nid.to_bits().to_le_bytes());
    request
}

/// Sets the health of an NI to its maximum (`LNET_MAX_HEALTH_VALUE`).
pub(super) fn set_health(nid: Ipv4Nid) -> Request {
    const MAXIMUM: i16 = 1000;
    let mut request = Request::dlc("SET_HEALHV", SET_HEALHV, HEALTH_LEN);
    request.set(14, &MAXIMUM.to_le_bytes());
    request.set(16, &nid.to_bits().to_le_bytes());
    request
}

#[cfg(test)]
mod tests;
