//! Connectivity to servers: a TCP connection to the port of LNet, opened and closed.
//!
//! mount(2) of a server that cannot be reached fails only after minutes and cannot be cancelled. A connection that opens
//! does not prove that Lustre serves there, only that the network lets it through.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::report::AddressReport;
use crate::adapters::kernel::client_state::BlockingCalls;
use crate::domain::mount_source::{Host, Nid};

/// Connections that are opened at a time.
const PARALLEL: usize = 32;

/// Time limit of one connection in production.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Connects to every address at this TCP port, many at a time, each for at most `limit`; the results are in their order.
pub(super) fn check(nids: &[Nid], port: u16, limit: Duration) -> Vec<AddressReport> {
    let rounds = u32::try_from(nids.len().div_ceil(PARALLEL)).unwrap_or(u32::MAX);
    // One limit for each round, and one more for names that must be resolved.
    let total = limit.saturating_mul(rounds.saturating_add(1));
    let indexed: Vec<(usize, Nid)> = nids.iter().cloned().enumerate().collect();
    let (results, incomplete) = BlockingCalls::new(total).stream(move |results| {
        for round in indexed.chunks(PARALLEL) {
            std::thread::scope(|scope| {
                for (index, nid) in round {
                    let run = move || drop(results.send((*index, check_one(nid, port, limit))));
                    if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, run) {
                        let unknown = address_report(nid, None, format!("no thread could be started: {error}"));
                        drop(results.send((*index, unknown)));
                    }
                }
            });
        }
    });
    let why = incomplete.map_or_else(|| "the check panicked".to_owned(), |_| format!("no answer within {total:?}"));
    let mut reports: Vec<_> = nids.iter().map(|nid| address_report(nid, None, why.clone())).collect();
    for (index, result) in results {
        if let Some(report) = reports.get_mut(index) {
            *report = result;
        }
    }
    reports
}

fn address_report(nid: &Nid, reachable: Option<bool>, detail: String) -> AddressReport {
    AddressReport { nid: nid.to_string(), reachable, detail: Some(detail) }
}

/// Connects to one address. Blocks: for the limit, and for as long as the resolver takes to find a name.
fn check_one(nid: &Nid, port: u16, limit: Duration) -> AddressReport {
    if !nid.network.starts_with("tcp") {
        return address_report(nid, None, format!("{} is not a TCP network", nid.network));
    }
    match connect(&nid.host, port, limit) {
        Ok(()) => AddressReport { nid: nid.to_string(), reachable: Some(true), detail: None },
        Err(why) => address_report(nid, Some(false), why),
    }
}

fn connect(host: &Host, port: u16, limit: Duration) -> Result<(), String> {
    let address: SocketAddr = match host {
        Host::V4(address) => (*address, port).into(),
        Host::V6(address) => (*address, port).into(),
        Host::Name(name) => {
            let addresses = (name.as_str(), port).to_socket_addrs();
            let mut addresses = addresses.map_err(|error| format!("the name cannot be resolved: {error}"))?;
            addresses.next().ok_or("the name has no address")?
        }
    };
    match TcpStream::connect_timeout(&address, limit) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(format!("no answer from {address} within {limit:?}"))
        }
        Err(error) => Err(format!("{address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::domain::mount_source::MgsAddress;

    fn nids(text: &str) -> Vec<Nid> {
        MgsAddress::parse(text).unwrap().servers().concat()
    }

    /// A port of this machine that is closed, and a listener.
    fn ports() -> (u16, TcpListener) {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        (closed, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn check_all(text: &str, port: u16) -> Vec<AddressReport> {
        check(&nids(text), port, Duration::from_secs(5))
    }

    #[test]
    fn a_listening_server_is_reachable_and_a_closed_port_is_not() {
        let (closed, listener) = ports();
        let reports = check_all("127.0.0.1,10.0.0.9@o2ib,localhost", listener.local_addr().unwrap().port());
        assert_eq!((reports[0].reachable, &reports[0].detail), (Some(true), &None));
        assert_eq!((reports[1].reachable, reports[1].detail.as_deref()), (None, Some("o2ib is not a TCP network")));
        assert_eq!(reports[2].nid, "localhost@tcp");
        let refused = check_all("127.0.0.1", closed).remove(0);
        assert_eq!(refused.reachable, Some(false));
        assert!(refused.detail.unwrap().contains(&format!("127.0.0.1:{closed}")));
    }

    #[test]
    fn more_addresses_than_run_in_parallel_are_all_reported_in_order() {
        let (_, listener) = ports();
        let many: Vec<String> = (1..=70).map(|last| format!("127.0.0.{last}")).collect();
        let reports = check_all(&many.join(":"), listener.local_addr().unwrap().port());
        let reachable: Vec<Option<bool>> = reports.iter().map(|report| report.reachable).collect();
        assert_eq!(reachable, [&[Some(true)][..], &[Some(false); 69]].concat());
        assert!(reports.iter().zip(&many).all(|(report, address)| report.nid == format!("{address}@tcp")));
    }

    /// A listener whose queue is full answers no further connection, as an address behind a firewall does.
    #[tokio::test]
    async fn silence_ends_at_the_limit() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, limit) = (listener.local_addr().unwrap(), Duration::from_millis(200));
        let held: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, limit)).collect();
        let started = std::time::Instant::now();
        let report = check_one(&nids("127.0.0.1")[0], address.port(), limit);
        assert_eq!(report.reachable, Some(false), "the queue is full: {held:?}");
        let why = report.detail.unwrap();
        assert!(why.contains("within 200ms") && started.elapsed() < Duration::from_secs(5), "{why}");
    }
}
