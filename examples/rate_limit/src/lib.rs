//! A rate limit: so many requests of one client in a window of time.
//!
//! Every answer says where the client stands, in the three headers of
//! draft-ietf-httpapi-ratelimit-headers-06, which most clients know: `RateLimit-Limit` and
//! `RateLimit-Remaining` in requests, `RateLimit-Reset` in seconds. From draft 07 on they are one field,
//! `RateLimit`; what draft 10 says is `RateLimit: "default";r=99;t=60`. A refusal has the status 429 and
//! `Retry-After` (RFC 9110), which is as long as `RateLimit-Reset`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use buildscale_cache::{Cache, Count, CounterGroup};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// How many requests a client may make.
#[derive(Debug, Clone)]
pub struct RateLimit {
    limit: u32,
    window: Duration,
    requests: CounterGroup<String>,
}

impl RateLimit {
    /// Allows each client `limit` requests in a `window`, which begins with the first of them.
    ///
    /// Requests are counted where the cache is: on Redis, all processes count together.
    #[must_use]
    pub fn new(cache: &Cache<String>, limit: u32, window: Duration) -> Self {
        Self {
            limit,
            window,
            requests: cache.counters("requests"),
        }
    }

    /// Says in the headers of an answer where the client stands.
    fn tell(&self, count: Count, response: &mut Response) {
        let left = i64::from(self.limit).saturating_sub(count.value).max(0);
        let headers = response.headers_mut();
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, left.into());
        headers.insert(RESET, seconds_left(count));
    }
}

/// Puts the limit in front of all routes so far.
///
/// The router is to be served by `into_make_service_with_connect_info::<SocketAddr>()`, as the limit goes by
/// the address of the client. Behind a proxy that is the address of the proxy: take the client's from the
/// header that **your** proxy sets, and from no other, as clients can send all of them.
pub fn limited(routes: Router, limit: RateLimit) -> Router {
    routes.layer(from_fn_with_state(limit, count))
}

async fn count(
    State(limit): State<RateLimit>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let counted = limit.requests.add(client_of(client.ip()), 1, limit.window);
    let count = match counted.await {
        Ok(count) => count,
        // A limit protects the service; it should not take it down together with the store.
        Err(error) => {
            eprintln!("requests are not counted: {error}");
            return next.run(request).await;
        }
    };
    let mut response = if count.value <= i64::from(limit.limit) {
        next.run(request).await
    } else {
        let retry_after = [(RETRY_AFTER, seconds_left(count))];
        (StatusCode::TOO_MANY_REQUESTS, retry_after).into_response()
    };
    limit.tell(count, &mut response);
    response
}

/// Returns what stands for a client: its address, of IPv6 the 64 bits that are given to one customer.
fn client_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Returns the seconds until the window ends, rounded up: who comes back then is let in.
fn seconds_left(count: Count) -> HeaderValue {
    let left = count.remaining().unwrap_or_default();
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    seconds.into()
}

#[cfg(test)]
mod tests {
    use super::client_of;

    #[test]
    fn a_client_is_an_address_or_the_network_of_one_customer() {
        let cases = [
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ];
        for (address, client) in cases {
            let address = address.parse().expect("it is an address");
            assert_eq!(client_of(address), client);
        }
    }
}
