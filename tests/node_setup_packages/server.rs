//! An HTTP server for one directory, with injected failures.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// An injected failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Every response has this status.
    Status(u16),
    /// Connections are closed without a response.
    Reset,
    /// Files with this extension lack their second half.
    Truncated(&'static str),
    /// Files with this extension have another last byte.
    Altered(&'static str),
    /// Files with this extension are absent.
    Absent(&'static str),
}

#[derive(Debug, Default)]
struct State {
    failure: Option<Failure>,
    requests: Vec<String>,
}

/// When it is dropped, it closes connections without a response, but still listens.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let (dir, of_thread) = (dir.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, state) = (dir.clone(), Arc::clone(&of_thread));
                // The client may close the connection before it has read the response.
                std::thread::spawn(move || drop(respond(&stream, &dir, &state)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The failure of all requests from now on; `None` for none.
    pub(crate) fn fail(&self, failure: Option<Failure>) {
        self.state.lock().unwrap().failure = failure;
    }

    /// Paths of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.fail(Some(Failure::Reset));
    }
}

fn respond(mut stream: &TcpStream, dir: &Path, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    // A request to a proxy has a whole URL (RFC 9112, section 3.2.2).
    let path = target.strip_prefix("http://").map_or(target, |rest| rest.split_once('/').map_or("", |(_, path)| path));
    let path = path.trim_start_matches('/').replace("%2b", "+");
    let failure = {
        let mut state = state.lock().unwrap();
        state.requests.push(path.clone());
        state.failure
    };
    let (status, body) = match failure {
        Some(Failure::Reset) => return Ok(()),
        Some(Failure::Status(status)) => (status, Vec::new()),
        other => file(&dir.join(&path), &path, other),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} Response\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}

fn file(file: &PathBuf, path: &str, failure: Option<Failure>) -> (u16, Vec<u8>) {
    let Ok(mut body) = std::fs::read(file) else { return (404, Vec::new()) };
    match failure {
        Some(Failure::Truncated(end)) if path.ends_with(end) => body.truncate(body.len() / 2),
        Some(Failure::Altered(end)) if path.ends_with(end) => {
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
        }
        Some(Failure::Absent(end)) if path.ends_with(end) => return (404, Vec::new()),
        _ => {}
    }
    (200, body)
}
