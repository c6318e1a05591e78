//! NID of an IPv4 address in LNet, such as `10.0.2.15@tcp`, as LNet's ioctls take it.

use std::fmt;
use std::net::Ipv4Addr;

/// The network `tcp` (`tcp0`), which AMLFS is served in: type 2 (socket LND), number 0.
pub const TCP: u32 = 2 << 16;

/// Type number of the loopback LND, whose only NID is `0@lo`.
const LOOPBACK: u32 = 9;

/// An IPv4 address in one LNet network (`lnet_nid_t`, `lnet/include/uapi/linux/lnet/lnet-types.h`): network in the upper 32
/// bits, address in host byte order in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ipv4Nid(u64);

impl Ipv4Nid {
    /// An address in a network such as [`TCP`].
    pub const fn new(net: u32, address: Ipv4Addr) -> Self {
        Self(((net as u64) << 32) | address.to_bits() as u64)
    }

    /// An address in the network `tcp`.
    pub const fn tcp(address: Ipv4Addr) -> Self {
        Self::new(TCP, address)
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn to_bits(self) -> u64 {
        self.0
    }

    /// The network: type of the LND in the upper 16 bits, number in the lower.
    pub const fn net(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The IPv4 address.
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 & 0xffff_ffff) as u32)
    }

    /// Whether it is `0@lo`, or nothing: LNet reports 0 for an NI that this form cannot hold, such as one of IPv6.
    pub(super) const fn is_loopback_or_none(self) -> bool {
        self.0 == 0 || self.net() >> 16 == LOOPBACK
    }
}

impl fmt::Display for Ipv4Nid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, number) = (self.net() >> 16, self.net() & 0xffff);
        // Names of the LNDs, `lnet/include/uapi/linux/lnet/nidstr.h`.
        let name = match kind {
            2 => "tcp",
            5 => "o2ib",
            9 => "lo",
            13 => "gni",
            15 => "kfi",
            _ => return write!(f, "{}@<{kind}:{number}>", self.address()),
        };
        match (kind, number) {
            (LOOPBACK, _) => write!(f, "{}@lo", self.address().to_bits()),
            (_, 0) => write!(f, "{}@{name}", self.address()),
            _ => write!(f, "{}@{name}{number}", self.address()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nids_are_written_as_lustre_writes_them() {
        let nid = |net, address: [u8; 4]| Ipv4Nid::new(net, address.into()).to_string();
        assert_eq!(nid(TCP, [10, 0, 2, 15]), "10.0.2.15@tcp");
        assert_eq!(nid(TCP | 1, [10, 0, 2, 15]), "10.0.2.15@tcp1");
        assert_eq!(nid(5 << 16, [10, 0, 0, 1]), "10.0.0.1@o2ib");
        assert_eq!(nid(9 << 16, [0, 0, 0, 0]), "0@lo");
        assert_eq!(nid((77 << 16) | 3, [1, 2, 3, 4]), "1.2.3.4@<77:3>");
    }

    #[test]
    fn a_nid_is_split_into_network_and_address() {
        let nid = Ipv4Nid::new(TCP | 7, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((nid.net(), nid.address()), (TCP | 7, Ipv4Addr::new(10, 0, 2, 15)));
        assert!(!nid.is_loopback_or_none() && Ipv4Nid::from_bits(0).is_loopback_or_none());
        assert!(Ipv4Nid::new(9 << 16, Ipv4Addr::UNSPECIFIED).is_loopback_or_none());
    }
}
