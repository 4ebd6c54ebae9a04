//! A client that sends exactly what it is told.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// How long anything may take, whatever fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub(crate) struct Http {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A response as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A response of which the body is still to come.
pub(crate) struct Coming {
    status: u16,
    headers: HeaderMap,
    body: Body,
}

impl Http {
    /// Talks to "http://host:port".
    pub(crate) fn to(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Serves a router on a free port, and talks to it.
    pub(crate) async fn serving(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(axum::serve(listener, router).into_future());
        Self::to(&format!("http://{address}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// Sends a body of JSON, if it is not empty.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let coming = self.start(method, path, headers, body).await;
        let body = timeout(LIMIT, coming.body.collect()).await;
        let body = body.expect("it ends in time").expect("it ends well");
        Answer {
            status: coming.status,
            headers: coming.headers,
            body: body.to_bytes(),
        }
    }

    /// Returns as soon as the headers are there.
    pub(crate) async fn start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Coming {
        let coming = self.try_start(method, path, headers, body).await;
        coming.expect("it answers")
    }

    pub(crate) async fn try_start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Coming, hyper_util::client::legacy::Error> {
        let mut request = Request::builder().method(method);
        request = request.uri(format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::from(body.to_owned());
        let request = request.body(body).expect("it is a request");
        let response = timeout(LIMIT, self.client.request(request)).await;
        let (parts, body) = response.expect("it answers in time")?.into_parts();
        Ok(Coming {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: Body::new(body),
        })
    }
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }

    /// Returns the lines of a header.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        let lines = self.headers.get_all(name).iter();
        lines.map(|line| line.as_bytes()).collect()
    }

    /// Returns whether a cache has answered.
    pub(crate) fn is_hit(&self) -> bool {
        self.headers.contains_key("age")
    }
}

impl Coming {
    /// Returns the next piece of the body, `None` at its end, or that it broke.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let frame = timeout(LIMIT, self.body.frame()).await;
        let frame = frame.expect("it comes in time")?;
        Some(frame.map(|frame| frame.into_data().expect("there are no trailers")))
    }
}
