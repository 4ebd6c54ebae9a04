//! Keeps whole responses to anonymous GETs, for as long as they say of themselves.
//!
//! ```
//! use axum::response::IntoResponse;
//! use axum::routing::get;
//! use axum::{Router, middleware};
//! use buildscale_cache::prelude::*;
//! use axum_app::response_cache::{Responses, serve};
//!
//! async fn menu() -> impl IntoResponse {
//!     ([("cache-control", "public, max-age=60")], "soup")
//! }
//!
//! let responses = Responses::new(Cache::new_local(CacheConfig::default()));
//! let app: Router = Router::new()
//!     .route("/menu", get(menu))
//!     .layer(middleware::from_fn_with_state(responses, serve));
//! ```
//!
//! Sharing a response with the wrong visitor is the worst that a cache can do, so what is not known to
//! be for everybody passes through, untouched and unbuffered:
//!
//! - Requests other than GET, and those with `Authorization`, `Cookie`, `Range` or a body.
//! - Responses other than 200; those with `Set-Cookie`, with `Vary: *`, or that say `private`,
//!   `no-store` or `no-cache`; event streams; bodies that are large or of unknown length.
//! - Responses that do not say for how long they are good: by `s-maxage` or `max-age`, or by
//!   [`CacheFor`] from a handler.
//!
//! A response is found again by all that the handler may have looked at: the URL as it was sent, `Host`,
//! and the headers that `Vary` names. A handler that reads another header (`X-Forwarded-Host`!) has to
//! name it there. A cache that fails or is slow is a miss, which is counted, and never an error.
//!
//! Time alone ends a stored response: use it for what may be as old as it says. Put compression outside
//! of this layer, and on the local backend bear in mind that whoever asks can make up URLs.
//!
//! # Towards a whole HTTP cache
//!
//! RFC 9111 has much more: validators and 304, `Expires` and heuristics, HEAD and Range from what is
//! stored, `stale-while-revalidate`, requests that wait for one another, and directives of requests. That
//! is a crate of its own. The seam is [`policy`]: two functions that say of which request an answer may
//! be looked for, and of which response a copy may be kept and for how long. All else here is plumbing.

mod key;
pub mod policy;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header, response};
use axum::middleware::Next;
use axum::response::Response;
use buildscale_cache::{Cache, Error, SetOptions};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use self::key::Key;

/// The largest body that is stored.
pub const MAX_BODY: usize = 1 << 20;

/// How long a request waits for the cache, before and after its handler.
const PATIENCE: Duration = Duration::from_millis(250);

/// Put in the extensions of a response, it says for how long it may be served to everybody.
///
/// It stands for a `Cache-Control: max-age` that clients do not see; what forbids to store a response
/// still does.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "it is this one number")]
pub struct CacheFor(pub Duration);

/// What is stored under a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stored {
    /// The response to a request of this key.
    Response(StoredResponse),
    /// The responses of this URL depend on these headers of the request: each is stored under a key of
    /// its own. One entry with all of them would lose some when two are added at the same time.
    Varies(Vec<String>),
}

/// A response with the status 200.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoredResponse {
    /// Lines, not a map: some headers come more than once.
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    /// Seconds since 1970. No freshness hangs on it, only the header `Age`: a clock that is wrong makes
    /// no response live longer.
    stored_at: u64,
    /// How old it was then.
    age: u64,
}

/// The cache of responses, with what it counts.
#[derive(Debug, Clone)]
pub struct Responses(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cache: Cache<Stored>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    bypassed: AtomicU64,
    stored: AtomicU64,
    faults: AtomicU64,
}

/// What has become of requests so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResponseStats {
    /// Answered by the cache.
    pub hits: u64,
    /// Looked for and not found.
    pub misses: u64,
    /// Not looked for, because they may not be answered by the cache.
    pub bypassed: u64,
    /// Responses that were stored.
    pub stored: u64,
    /// Reads and writes of the cache that failed or took too long.
    pub faults: u64,
}

/// The layer, for `axum::middleware::from_fn_with_state`.
pub async fn serve(State(responses): State<Responses>, request: Request, next: Next) -> Response {
    let counts = &responses.0.counts;
    let shared = policy::may_be_answered(&request);
    let Some(key) = shared.then(|| Key::of(&request)).flatten() else {
        count(&counts.bypassed);
        return next.run(request).await;
    };
    match responses.find(&key, request.headers()).await {
        Ok(Some(stored)) => {
            count(&counts.hits);
            return stored.into_response();
        }
        Ok(None) => count(&counts.misses),
        Err(Fault) => {
            // It would not take the response either, and this request has waited enough.
            count(&counts.faults);
            return next.run(request).await;
        }
    }
    let asked = request.headers().clone();
    let response = next.run(request).await;
    responses.keep(&key, &asked, response).await
}

impl Responses {
    /// Makes a cache of responses of a cache of bytes.
    #[must_use]
    pub fn new(cache: Cache<Stored>) -> Self {
        let counts = Counts::default();
        Self(Arc::new(Inner { cache, counts }))
    }

    /// Returns what has become of requests so far.
    #[must_use]
    pub fn stats(&self) -> ResponseStats {
        let counts = &self.0.counts;
        ResponseStats {
            hits: counts.hits.load(Ordering::Relaxed),
            misses: counts.misses.load(Ordering::Relaxed),
            bypassed: counts.bypassed.load(Ordering::Relaxed),
            stored: counts.stored.load(Ordering::Relaxed),
            faults: counts.faults.load(Ordering::Relaxed),
        }
    }

    async fn find(&self, key: &Key, asked: &HeaderMap) -> Result<Option<StoredResponse>, Fault> {
        let cache = &self.0.cache;
        patiently(async {
            let names = match cache.get(key.url()).await? {
                Some(Stored::Varies(names)) => names,
                Some(Stored::Response(response)) => return Ok(Some(response)),
                None => return Ok(None),
            };
            let Some(variant) = key.variant(&names, asked) else {
                return Ok(None);
            };
            match cache.get(variant).await? {
                Some(Stored::Response(response)) => Ok(Some(response)),
                Some(Stored::Varies(_)) | None => Ok(None),
            }
        })
        .await
    }

    /// Stores a copy of a response if that may be, and returns it as it was.
    async fn keep(&self, key: &Key, asked: &HeaderMap, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let (Some(keeping), true) = (policy::keeping(&parts), is_small(&parts.headers, &body))
        else {
            return Response::from_parts(parts, body);
        };
        let body = match to_bytes(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) => {
                // Without the cache the client would see it end early too.
                let broken = stream::once(ready(Err::<Bytes, _>(error)));
                return Response::from_parts(parts, Body::from_stream(broken));
            }
        };
        let stored = StoredResponse::new(&parts, body.clone(), keeping.age);
        match self.store(key, asked, stored, &keeping).await {
            Ok(true) => count(&self.0.counts.stored),
            Ok(false) => {}
            Err(Fault) => count(&self.0.counts.faults),
        }
        Response::from_parts(parts, Body::from(body))
    }

    async fn store(
        &self,
        key: &Key,
        asked: &HeaderMap,
        response: StoredResponse,
        keeping: &policy::Keeping,
    ) -> Result<bool, Fault> {
        let cache = &self.0.cache;
        let options = SetOptions::new().ttl(keeping.lifetime);
        let response = Stored::Response(response);
        patiently(async {
            if keeping.vary.is_empty() {
                return cache.set_with(key.url(), response, options).await;
            }
            let Some(variant) = key.variant(&keeping.vary, asked) else {
                return Ok(false);
            };
            cache.set_with(variant, response, options).await?;
            let names = Stored::Varies(keeping.vary.clone());
            cache.set_with(key.url(), names, options).await
        })
        .await
    }
}

impl StoredResponse {
    fn new(parts: &response::Parts, body: Bytes, age: Duration) -> Self {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (name.as_str().to_owned(), value)
        };
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| **name != header::AGE);
        Self {
            headers: headers.map(line).collect(),
            body,
            stored_at: now(),
            age: age.as_secs(),
        }
    }

    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            // They were headers when they were stored, so neither of these fails.
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_maybe_shared(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        let age = self.age + now().saturating_sub(self.stored_at);
        headers.insert(header::AGE, HeaderValue::from(age));
        response
    }
}

/// The cache has failed, or took too long.
struct Fault;

async fn patiently<T>(
    operation: impl Future<Output = Result<T, Error>> + Send,
) -> Result<T, Fault> {
    match timeout(PATIENCE, operation).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(_) => Err(Fault),
    }
}

/// Returns whether a body is known to be of a length that may be held in memory. A stream is not: its
/// first byte must not wait for its last.
fn is_small(headers: &HeaderMap, body: &Body) -> bool {
    let Some(length) = body.size_hint().exact() else {
        return false;
    };
    let stated = headers.get(header::CONTENT_LENGTH);
    let agrees = stated.is_none_or(|stated| stated.as_bytes() == length.to_string().as_bytes());
    agrees && length <= MAX_BODY as u64
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
