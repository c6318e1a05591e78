//! Connectivity to servers: a TCP connection to LNet's port, opened and closed.
//!
//! mount(2) of a server that cannot be reached fails only after minutes and cannot be cancelled. A connection that opens
//! does not prove that Lustre serves there, only that the network lets it through.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::adapters::kernel::client_state::BlockingCalls;
use crate::adapters::lnet::ACCEPTOR_PORT;
use crate::domain::mount_source::{Host, Nid};

/// Connections that are tried at a time.
const AT_ONCE: usize = 32;

/// How connections are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// TCP port.
    pub port: u16,
    /// How long to wait for one address.
    pub limit: Duration,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { port: ACCEPTOR_PORT, limit: Duration::from_secs(2) }
    }
}

/// Whether a server can be reached at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A connection opened.
    Reached,
    /// None did, for this reason.
    Failed(String),
    /// It was not tried or did not end, for this reason.
    Unknown(String),
}

/// Tries every address, many at a time, and answers in their order.
pub(super) fn all(nids: Vec<Nid>, attempt: Attempt) -> Vec<(Nid, Reach)> {
    let rounds = u32::try_from(nids.len().div_ceil(AT_ONCE)).unwrap_or(u32::MAX);
    // One limit for each round, and one more for names that must be resolved.
    let limit = attempt.limit.saturating_mul(rounds.saturating_add(1));
    let tried: Vec<(usize, Nid)> = nids.iter().cloned().enumerate().collect();
    let (results, incomplete) = BlockingCalls::new(limit).stream(move |results| {
        for round in tried.chunks(AT_ONCE) {
            std::thread::scope(|scope| {
                for (index, nid) in round {
                    let run = move || drop(results.send((*index, one(nid, attempt))));
                    if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, run) {
                        let unknown = Reach::Unknown(format!("no thread could be started: {error}"));
                        drop(results.send((*index, unknown)));
                    }
                }
            });
        }
    });
    let why = incomplete.map_or_else(|| "the attempt panicked".to_owned(), |_| format!("no answer within {limit:?}"));
    let mut answers: Vec<(Nid, Reach)> = nids.into_iter().map(|nid| (nid, Reach::Unknown(why.clone()))).collect();
    for (index, reach) in results {
        if let Some(answer) = answers.get_mut(index) {
            answer.1 = reach;
        }
    }
    answers
}

/// Tries one address. Blocks: for the limit, and for as long as the resolver takes to find a name.
fn one(nid: &Nid, attempt: Attempt) -> Reach {
    if !nid.network.starts_with("tcp") {
        return Reach::Unknown(format!("{} is not a TCP network", nid.network));
    }
    let addresses: io::Result<Vec<SocketAddr>> = match &nid.host {
        Host::V4(address) => Ok(vec![(*address, attempt.port).into()]),
        Host::V6(address) => Ok(vec![(*address, attempt.port).into()]),
        Host::Name(name) => (name.as_str(), attempt.port).to_socket_addrs().map(Iterator::collect),
    };
    match addresses.map(|addresses| addresses.into_iter().next()) {
        Ok(Some(address)) => match TcpStream::connect_timeout(&address, attempt.limit) {
            Ok(_) => Reach::Reached,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Reach::Failed(format!("no answer from {address} within {:?}", attempt.limit))
            }
            Err(error) => Reach::Failed(format!("{address}: {error}")),
        },
        Ok(None) => Reach::Failed("the name has no address".to_owned()),
        Err(error) => Reach::Failed(format!("the name cannot be resolved: {error}")),
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

    /// A port of this machine at which nobody listens, and one at which somebody does.
    fn ports() -> (u16, TcpListener) {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        (closed, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn at(port: u16) -> Attempt {
        Attempt { port, limit: Duration::from_secs(5) }
    }

    #[test]
    fn a_listening_server_is_reached_and_a_closed_port_is_not() {
        let (closed, listener) = ports();
        let open = listener.local_addr().unwrap().port();
        let answers = all(nids("127.0.0.1,10.0.0.9@o2ib,localhost"), at(open));
        assert_eq!(answers[0].1, Reach::Reached);
        assert_eq!(answers[1].1, Reach::Unknown("o2ib is not a TCP network".to_owned()));
        assert_eq!(answers[2].0.to_string(), "localhost@tcp");
        let Reach::Failed(why) = &all(nids("127.0.0.1"), at(closed))[0].1 else { panic!("refused") };
        assert!(why.contains(&format!("127.0.0.1:{closed}")), "{why}");
    }

    #[test]
    fn more_addresses_than_go_at_once_are_all_answered_in_order() {
        let (_, listener) = ports();
        let many: Vec<String> = (1..=70).map(|last| format!("127.0.0.{last}")).collect();
        let answers = all(nids(&many.join(":")), at(listener.local_addr().unwrap().port()));
        let reached: Vec<bool> = answers.iter().map(|(_, reach)| *reach == Reach::Reached).collect();
        assert!(reached[0] && !reached[1..].contains(&true) && reached.len() == 70, "{reached:?}");
        assert!(answers.iter().zip(&many).all(|((nid, _), asked)| nid.to_string() == format!("{asked}@tcp")));
        assert!(answers.iter().all(|(_, reach)| !matches!(reach, Reach::Unknown(_))), "{answers:?}");
    }

    /// A listener whose queue is full answers no further connection, as an address behind a firewall does.
    #[tokio::test]
    async fn silence_ends_at_the_limit() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let attempt = Attempt { port: listener.local_addr().unwrap().port(), limit: Duration::from_millis(200) };
        let held: Vec<_> =
            (0..4).map(|_| TcpStream::connect_timeout(&listener.local_addr().unwrap(), attempt.limit)).collect();
        let started = std::time::Instant::now();
        let Reach::Failed(why) = one(&nids("127.0.0.1")[0], attempt) else { panic!("the queue is full: {held:?}") };
        assert!(why.contains("within 200ms") && started.elapsed() < Duration::from_secs(5), "{why}");
    }
}
