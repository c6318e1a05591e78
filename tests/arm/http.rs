//! The real HTTP client against real sockets: resets, silence, half responses, links, sizes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use azurelustre_csi::adapters::arm::http::client::ReqwestClient;
use azurelustre_csi::adapters::arm::http::{HttpClient, HttpError, Method, Request, Response};
use bytes::Bytes;
use url::Url;

/// A server that does this with each connection.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/x?sig=secret-signature", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&serve));
    url
}

fn exchange(url: Url, time_limit: Duration, size_limit: usize) -> Result<Response, HttpError> {
    let body = Bytes::from_static(b"{}");
    let mut request = Request { body, time_limit, size_limit, ..Request::new(Method::PUT, url) };
    request.headers.insert("authorization", "Bearer secret-token".parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ReqwestClient::new().unwrap().send(request))
}

const LONG: Duration = Duration::from_secs(20);

fn read_head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        seen.push(byte[0]);
    }
}

#[test]
fn a_broken_connection_is_no_answer() {
    let closed = TcpListener::bind("127.0.0.1:0").map(|listener| listener.local_addr().unwrap()).unwrap();
    let nobody = Url::parse(&format!("http://{closed}/?sig=secret-signature")).unwrap();
    let at_once = server(|stream| drop(stream.shutdown(Shutdown::Both)));
    let after_reading = server(|mut stream| {
        read_head(&mut stream);
        drop(stream.shutdown(Shutdown::Both));
    });
    let half = server(|mut stream| {
        read_head(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"name\""));
    });
    for url in [nobody, at_once, after_reading, half] {
        let error = exchange(url, LONG, 1 << 20).unwrap_err();
        assert!(matches!(error, HttpError::Broken(_) | HttpError::NotConnected(_)), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn silence_ends_at_the_limit() {
    let silent = server(|stream| {
        // Held open until the client leaves.
        let mut stream = stream;
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let slow_body = server(|mut stream| {
        read_head(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"));
        drop(stream.read_to_end(&mut Vec::new()));
    });
    for url in [silent, slow_body] {
        let begun = Instant::now();
        let error = exchange(url, Duration::from_millis(200), 1 << 20).unwrap_err();
        assert!(matches!(error, HttpError::TimedOut(_)), "{error:?}");
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn an_endless_body_is_cut_off() {
    let endless = server(|mut stream| {
        read_head(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
        while stream.write_all(b"8\r\n{{{{{{{{\r\n").is_ok() {}
    });
    assert!(matches!(exchange(endless, LONG, 4096), Err(HttpError::TooLong(4096))));
}

#[test]
fn a_redirect_is_an_answer_and_not_followed() {
    let url = server(|mut stream| {
        read_head(&mut stream);
        let head = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
        drop(stream.write_all(head.as_bytes()));
    });
    assert_eq!(exchange(url, LONG, 4096).unwrap().status, 307);
}

#[test]
fn one_connection_serves_many_requests() {
    let (count, client) = (Arc::new(std::sync::atomic::AtomicUsize::new(0)), ReqwestClient::new().unwrap());
    let counted = count.clone();
    let url = server(move |mut stream| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::thread::spawn(move || {
            loop {
                read_head(&mut stream);
                if stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
                    return;
                }
            }
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..5 {
            let request = Request { time_limit: LONG, size_limit: 10, ..Request::new(Method::GET, url.clone()) };
            assert_eq!(client.send(request).await.unwrap().status, 204);
        }
    });
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1);
}
