//! Requests byte by byte, as kernel modules of 2.15.8 and 2.17.0 accepted them.

use super::*;

/// 10.0.2.15@tcp.
const NID: [u8; 8] = [0x0f, 0x02, 0x00, 0x0a, 0x00, 0x00, 0x02, 0x00];

/// The bytes that are not 0, in runs: offset and bytes.
fn runs(mut request: Request) -> Vec<(usize, Vec<u8>)> {
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    for (offset, byte) in request.bytes_mut().iter().copied().enumerate().filter(|(_, byte)| *byte != 0) {
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() == offset => run.push(byte),
            _ => runs.push((offset, vec![byte])),
        }
    }
    runs
}

fn run(offset: usize, bytes: &[u8]) -> (usize, Vec<u8>) {
    (offset, bytes.to_vec())
}

fn nid() -> Ipv4Nid {
    Ipv4Nid::tcp([10, 0, 2, 15].into())
}

#[test]
fn a_nid_is_network_and_address_in_host_order() {
    assert_eq!(nid().to_bits().to_le_bytes(), NID);
}

#[test]
fn every_request_has_its_number_length_and_version() {
    for (mut request, number, len, version) in [
        (get_ni(0), 0xc008_6532, 128, [0x0a, 0, 1, 0]),
        (get_net(0), 0xc0b8_6556, 828, [0x0b, 0, 1, 0]),
        (ping_peer(nid(), Duration::ZERO), 0xc008_653e, 56, [0x0b, 0, 1, 0]),
        (configure(), 0xc008_653b, 128, [0x0a, 0, 1, 0]),
        (add_local_ni(2 << 16, "eth0"), 0xc0b8_655f, 808, [0x0b, 0, 1, 0]),
        (del_local_ni(nid()), 0xc0b8_6560, 808, [0x0b, 0, 1, 0]),
        (set_health(nid()), 0xc0b8_6566, 24, [0x0b, 0, 1, 0]),
        (unconfigure(), 0xc008_6538, 128, [0x0a, 0, 1, 0]),
    ] {
        let name = request.name;
        assert_eq!((request.number, request.bytes_mut().len()), (number, len), "{name}");
        assert_eq!(request.bytes_mut()[..4], u32::try_from(len).unwrap().to_le_bytes(), "{name}");
        assert_eq!(request.bytes_mut()[4..8], version, "{name}");
        assert_eq!(request.peer_ids() > 0, name == "PING_PEER", "only a ping has an address in it: {name}");
    }
}

#[test]
fn every_value_is_at_its_offset_and_all_else_is_zero() {
    let data = [run(0, &[128]), run(4, &[0x0a]), run(6, &[1])];
    let with = |head: &[(usize, Vec<u8>)], tail: &[(usize, Vec<u8>)]| [head, tail].concat();
    assert_eq!(runs(get_ni(3)), with(&data, &[run(28, &[3])]));
    assert_eq!(runs(configure()), with(&data, &[run(24, &[1])]));
    assert_eq!(runs(unconfigure()), data);
    let net = [run(0, &[0x3c, 0x03]), run(4, &[0x0b]), run(6, &[1])];
    assert_eq!(runs(get_net(0x0102)), with(&net, &[run(12, &[2, 1])]));
    let ni = [run(0, &[0x28, 0x03]), run(4, &[0x0b]), run(6, &[1])];
    assert_eq!(runs(add_local_ni(2 << 16, "eth0")), with(&ni, &[run(14, &[2]), run(16, b"eth0")]));
    let own = [run(8, &[0x0f, 0x02]), run(11, &[0x0a]), run(14, &[0x02])];
    assert_eq!(runs(del_local_ni(nid())), with(&ni, &own));
    let health = [run(0, &[24]), run(4, &[0x0b]), run(6, &[1]), run(14, &[0xe8, 0x03, 0x0f, 0x02])];
    assert_eq!(runs(set_health(nid())), with(&health, &[run(19, &[0x0a]), run(22, &[0x02])]));
}

#[test]
fn a_ping_asks_any_process_at_any_source_within_its_limit() {
    let mut request = ping_peer(nid(), Duration::from_secs(10));
    let bytes = request.bytes_mut();
    assert_eq!(bytes[8..12], 10_000_u32.to_le_bytes());
    assert_eq!(bytes[12..16], PEER_IDS.to_le_bytes());
    assert_eq!(bytes[24..32], NID);
    assert_eq!(bytes[32..36], [0xff; 4]);
    assert_eq!((&bytes[16..24], &bytes[36..48]), (&[0; 8][..], &[0; 12][..]), "the address is filled in by the call");
    assert_eq!(bytes[48..56], [0xff; 8]);
    assert_eq!(ping_peer(nid(), Duration::ZERO).bytes_mut()[8..12], [1, 0, 0, 0]);
    assert_eq!(ping_peer(nid(), Duration::MAX).bytes_mut()[8..12], [0xff; 4]);
}

#[test]
fn answers_are_read_from_their_offsets() {
    let mut answer = get_ni(0);
    answer.bytes_mut()[8..16].copy_from_slice(&NID);
    assert_eq!(ni_of_get_ni(&answer).nid, nid());
    for (status, up) in
        [([0xde, 0xc0, 0xaa, 0x15], Some(true)), ([0xce, 0xfa, 0xad, 0xde], Some(false)), ([7; 4], None)]
    {
        let mut answer = get_net(0);
        answer.bytes_mut()[16..24].copy_from_slice(&NID);
        answer.bytes_mut()[180..185].copy_from_slice(b"eth0\0");
        answer.bytes_mut()[308..312].copy_from_slice(&status);
        assert_eq!(ni_of_get_net(&answer), LocalNi { nid: nid(), interface: Some("eth0".to_owned()), up });
        answer.bytes_mut()[180..308].fill(b'x');
        assert_eq!(ni_of_get_net(&answer).interface.unwrap().len(), 16, "a name without an end is cut");
        answer.bytes_mut()[180..308].fill(0);
        assert_eq!(ni_of_get_net(&answer).interface, None);
    }
}
