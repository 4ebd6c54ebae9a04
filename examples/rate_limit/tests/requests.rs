//! Requests over HTTP, within and beyond the limit.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use buildscale_cache::prelude::*;
use buildscale_cache::{Clock, ErrorKind, LocalBackend, LocalConfig, ManualClock};
use cache_conformance::{Fault, FaultyBackend};
use cache_testbed::{Flavor, Server};
use rate_limit::{RateLimit, limited};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

const MINUTE: Duration = Duration::from_secs(60);
const ALICE: &str = "127.0.0.1:0";
const BOB: &str = "127.0.0.2:0";

/// Starts a service that allows three requests a minute, and returns its address.
async fn start(cache: &Cache<String>) -> SocketAddr {
    let routes = Router::new().route("/", get(async || "Hello\n"));
    let app = limited(routes, RateLimit::new(cache, 3, MINUTE));
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, service).await });
    address
}

/// A cache in memory whose time the test moves.
fn local() -> (Cache<String>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let backend = LocalBackend::new(LocalConfig::new().clock(clock));
    (Cache::new(backend.expect("the options are right")), hand)
}

/// What a service has answered.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Asserts the status and the headers of the limit.
    fn assert(&self, status: u16, remaining: &str, reset: &str) {
        assert_eq!(self.status, status);
        assert_eq!(self.header("ratelimit-limit"), Some("3"));
        assert_eq!(self.header("ratelimit-remaining"), Some(remaining));
        assert_eq!(self.header("ratelimit-reset"), Some(reset));
        let retry_after = (status == 429).then_some(reset);
        assert_eq!(self.header("retry-after"), retry_after);
        let body = if status == 429 { "" } else { "Hello\n" };
        assert_eq!(self.body, body);
    }
}

/// Asks for `/` from an address.
async fn ask(service: SocketAddr, from: &str) -> Answer {
    let socket = TcpSocket::new_v4().expect("there are sockets");
    let from = from.parse().expect("it is an address");
    socket.bind(from).expect("the address is of this machine");
    let mut stream = socket.connect(service).await.expect("it listens");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut text = String::new();
    let answer = stream.read_to_string(&mut text);
    answer.await.expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_lowercase(), value.to_owned())
    };
    Answer {
        status: status
            .and_then(|status| status.parse().ok())
            .expect("a status"),
        headers: lines.map(header).collect(),
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn three_requests_are_allowed_and_the_fourth_is_told_when_to_come_back() {
    let (cache, hand) = local();
    let service = start(&cache).await;
    ask(service, ALICE).await.assert(200, "2", "60");
    hand.advance(Duration::from_millis(10_500));
    ask(service, ALICE).await.assert(200, "1", "50");
    ask(service, ALICE).await.assert(200, "0", "50");
    for _ in 0..3 {
        ask(service, ALICE).await.assert(429, "0", "50");
    }
    hand.advance(Duration::from_millis(49_499));
    ask(service, ALICE).await.assert(429, "0", "1");
    hand.advance(Duration::from_millis(1));
    ask(service, ALICE).await.assert(200, "2", "60");
}

#[tokio::test]
async fn each_client_has_a_limit_of_its_own() {
    let (cache, hand) = local();
    let service = start(&cache).await;
    for remaining in ["2", "1", "0"] {
        ask(service, ALICE).await.assert(200, remaining, "60");
    }
    hand.advance(Duration::from_secs(30));
    ask(service, BOB).await.assert(200, "2", "60");
    ask(service, ALICE).await.assert(429, "0", "30");
}

#[tokio::test]
async fn a_cleared_cache_lets_nobody_in() {
    let (cache, _) = local();
    let service = start(&cache).await;
    for remaining in ["2", "1", "0"] {
        ask(service, ALICE).await.assert(200, remaining, "60");
    }
    cache.clear().await.expect("it is in memory");
    ask(service, ALICE).await.assert(429, "0", "60");
}

#[tokio::test]
async fn requests_are_served_while_they_cannot_be_counted() {
    let faulty = Arc::new(FaultyBackend::new(LocalBackend::default()));
    let cache: Cache<String> = Cache::new(Arc::clone(&faulty));
    let service = start(&cache).await;
    faulty.every(1, Fault::Fail(ErrorKind::Unavailable));
    for _ in 0..10 {
        let answer = ask(service, ALICE).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "Hello\n"));
        assert_eq!(answer.header("ratelimit-limit"), None);
    }
}

#[tokio::test]
async fn two_processes_count_together_on_redis() {
    let redis = Server::builder(Flavor::Redis7).start();
    let mut services = Vec::new();
    for _ in 0..2 {
        let cache = Cache::new_redis(&redis.url(), CacheConfig::default()).await;
        services.push(start(&cache.expect("the server is there")).await);
    }
    let mut statuses = Vec::new();
    for service in services.iter().cycle().take(6) {
        statuses.push(ask(*service, ALICE).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
}
