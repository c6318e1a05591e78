//! The system call of LNet's ioctls: the only file of the crate that may hold `unsafe`.
//!
//! nix has no ioctl whose structure carries its own length, and no other crate knows LNet's.

#![allow(unsafe_code, reason = "ioctl(2) takes an address; see the SAFETY comments")]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

use super::wire::{PEER_ID_LEN, PING_ADDRESS, Request};

/// Sends a request to LNet's device; the kernel's answer replaces the bytes of the request. The NIDs of a pinged peer are
/// dropped.
pub(super) fn exchange(device: &File, request: &mut Request) -> Result<(), Errno> {
    let mut peer_ids = vec![0_u8; request.peer_ids() as usize * PEER_ID_LEN];
    if !peer_ids.is_empty() {
        let address = (peer_ids.as_mut_ptr().expose_provenance() as u64).to_le_bytes();
        let field = request.bytes_mut().get_mut(PING_ADDRESS..PING_ADDRESS + address.len()).ok_or(Errno::EINVAL)?;
        field.copy_from_slice(&address);
    }
    #[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "c_ulong with glibc, c_int with musl")]
    let number = request.number as libc::Ioctl;
    let bytes = request.bytes_mut();
    // SAFETY: `device` is open for the whole call. The structure begins with its own length, which `wire` sets to that of
    // the bytes, and LNet copies that many bytes in and at most that many out; they are borrowed exclusively here. The
    // only address within any structure is that of a ping, set above to a buffer that lives until the call has returned
    // and holds as many ids as the structure declares. A device that is not LNet's does not know the numbers (type 'e') and
    // answers ENOTTY.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), number, bytes.as_mut_ptr()) };
    let result = Errno::result(answer).map(drop);
    drop(peer_ids);
    result
}
