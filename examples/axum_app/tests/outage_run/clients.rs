//! The clients.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Request, header};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// The time from one request of a client to its next. It is paced, and does not ask again at once: a
/// thousand that do would only measure how long the queue is for the processors that this machine has.
const PACE: Duration = Duration::from_millis(2500);

/// Where a client gives up. It is far past what is asked of the program.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the server of the caches is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Up,
    Down,
}

/// What a request has come to.
pub(crate) struct Answer {
    /// Whether the server was away when it began or when it ended.
    pub(crate) phase: Phase,
    pub(crate) took: Duration,
    pub(crate) status: Result<u16, String>,
}

/// All clients.
pub(crate) struct Crowd {
    clients: Vec<Client>,
    down: AtomicBool,
    ended: watch::Sender<bool>,
}

struct Client {
    id: usize,
    base: String,
    /// With one connection of its own.
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    /// Its own end of that connection.
    address: SocketAddr,
    cookie: String,
}

impl Crowd {
    /// Opens a connection for each, by which it logs in.
    pub(crate) async fn connect(base: &str, count: usize) -> Self {
        let clients = stream::iter(0..count).map(|id| Client::connect(id, base));
        Self {
            clients: clients.buffer_unordered(50).collect().await,
            down: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.down.store(phase == Phase::Down, Ordering::SeqCst);
    }

    /// Lets nobody ask again.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Lets all ask until [`end`](Self::end).
    pub(crate) async fn run(&self) -> Vec<Answer> {
        // Evenly over the time from one request to the next.
        let gap = PACE / u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        let mut first = Instant::now();
        let clients = self.clients.iter().map(|client| {
            first += gap;
            self.ask(client, first)
        });
        join_all(clients).await.into_iter().flatten().collect()
    }

    async fn ask(&self, client: &Client, first: Instant) -> Vec<Answer> {
        let (mut answers, mut next, mut step) = (Vec::new(), first, client.id);
        let mut ended = self.ended.subscribe();
        while timeout_at(next, ended.wait_for(|ended| *ended))
            .await
            .is_err()
        {
            let (began_down, began) = (self.is_down(), Instant::now());
            let status = client.step(step).await;
            let down = began_down || self.is_down();
            answers.push(Answer {
                phase: if down { Phase::Down } else { Phase::Up },
                took: began.elapsed(),
                status,
            });
            // After a slow answer it waits for its full pace again, as people do.
            next = began.max(next) + PACE;
            step += 1;
        }
        answers
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }
}

impl Client {
    async fn connect(id: usize, base: &str) -> Self {
        let mut client = Self {
            id,
            base: base.to_owned(),
            http: legacy::Client::builder(TokioExecutor::new())
                // It is one connection, and a request that it fails is a failure.
                .pool_idle_timeout(None)
                .retry_canceled_requests(false)
                .build_http(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            cookie: String::new(),
        };
        let user = format!(r#"{{"user": {}}}"#, id % 3 + 1);
        let login = client.send("POST", "/login", &user).await;
        let (status, headers, address) = login.expect("it answers");
        assert_eq!(status, 200, "a login");
        client.address = address;
        let cookie = headers[header::SET_COOKIE].to_str().expect("it is text");
        cookie
            .split(';')
            .next()
            .unwrap_or_default()
            .clone_into(&mut client.cookie);
        client
    }

    /// Sends one of the requests of a day: three quarters read, and some end what others read.
    async fn step(&self, step: usize) -> Result<u16, String> {
        let (user, team) = (step % 3 + 1, step % 2 + 7);
        let own = 100 + self.id % 20;
        let (method, path, body) = match step % 40 {
            0 => (
                "PUT",
                format!("/users/{own}"),
                format!(r#"{{"name": "User {own}", "team": 8}}"#),
            ),
            1 => (
                "PUT",
                "/users/1".to_owned(),
                r#"{"name": "Alice", "team": 7}"#.to_owned(),
            ),
            2 => (
                "POST",
                "/teams/7/rename".to_owned(),
                r#"{"name": "Red"}"#.to_owned(),
            ),
            3 => ("DELETE", format!("/users/{user}/cache"), String::new()),
            4..=7 => ("GET", format!("/teams/{team}"), String::new()),
            8..=15 => ("GET", "/me".to_owned(), String::new()),
            16..=19 => ("GET", "/".to_owned(), String::new()),
            20..=23 => ("GET", "/report".to_owned(), String::new()),
            _ => ("GET", format!("/users/{user}"), String::new()),
        };
        let (status, _, address) = self.send(method, &path, &body).await?;
        if address == self.address {
            Ok(status)
        } else {
            Err("the connection was closed, and another one opened".to_owned())
        }
    }

    /// Returns the status, the headers and the address of this end of the connection.
    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, HeaderMap, SocketAddr), String> {
        let mut request = Request::builder().method(method);
        request = request.uri(format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        // Only where it is looked at: what is for one visitor is not kept for all.
        if path == "/me" {
            request = request.header(header::COOKIE, &self.cookie);
        }
        let request = request.body(Full::from(body.to_owned()));
        let request = request.expect("it is a request");
        let answer = async {
            let answer = self.http.request(request).await;
            let (parts, body) = answer
                .map_err(|error| format!("{path}: {error:?}"))?
                .into_parts();
            let body = body.collect().await;
            body.map_err(|error| format!("{path}: {error:?}"))?;
            let info = parts.extensions.get::<HttpInfo>();
            let address = info.expect("the connector tells").local_addr();
            Ok((parts.status.as_u16(), parts.headers, address))
        };
        let answer = timeout(PATIENCE, answer).await;
        answer.map_err(|_| format!("{path}: no answer"))?
    }
}
