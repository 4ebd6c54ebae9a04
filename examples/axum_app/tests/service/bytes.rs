//! Responses come back from the cache as they were, and what cannot is not held up.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use axum_app::response_cache::{MAX_BODY, Responses, serve};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{Full, Limited};
use tokio::sync::Notify;

use crate::Backend;
use crate::http::Http;

/// Serves handlers behind the layer.
async fn behind_the_layer(backend: &Backend, router: Router) -> (Http, Responses) {
    let responses = Responses::new(backend.cache().await);
    let layer = middleware::from_fn_with_state(responses.clone(), serve);
    (Http::serving(router.layer(layer)).await, responses)
}

fn fresh(body: impl IntoResponse) -> Response {
    ([("cache-control", "max-age=60")], body).into_response()
}

/// Repeated headers, between others, with bytes that are no text; a body of all bytes.
async fn odd() -> Response {
    let lines: [(&str, &[u8]); 8] = [
        ("cache-control", b"max-age=60"),
        ("link", b"<a.css>; rel=preload"),
        ("x-empty", b""),
        ("link", b"<b.css>; rel=preload"),
        ("vary", b"accept"),
        ("x-bytes", b"caf\xe9\xff"),
        ("vary", b"origin"),
        ("link", b"<a.css>; rel=preload"),
    ];
    let body: Vec<u8> = (0..=255).collect();
    let mut response = fresh(body);
    for (name, value) in &lines[1..] {
        let value = HeaderValue::from_bytes(value).expect("it is a value");
        response
            .headers_mut()
            .append(HeaderName::from_static(name), value);
    }
    response
}

/// Returns all lines in their order, without those that differ from one moment to the next.
fn lines(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let lines = headers
        .iter()
        .filter(|(name, _)| *name != "date" && *name != "age");
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    lines.map(line).collect()
}

#[tokio::test]
async fn what_is_kept_comes_back_byte_for_byte_and_line_for_line() {
    for backend in Backend::all() {
        let router = Router::new().route("/odd", get(odd));
        let (http, _) = behind_the_layer(&backend, router).await;
        let first = http.get("/odd").await;
        let second = http.get("/odd").await;
        assert_eq!((first.is_hit(), second.is_hit()), (false, true));
        assert_eq!(
            second.body,
            (0..=255).collect::<Vec<u8>>(),
            "{}",
            backend.name()
        );
        assert_eq!(lines(&second.headers), lines(&first.headers));
        let links: [&[u8]; 3] = [
            b"<a.css>; rel=preload",
            b"<b.css>; rel=preload",
            b"<a.css>; rel=preload",
        ];
        assert_eq!(second.lines("link"), links);
        assert_eq!(second.lines("vary").len(), 2);
        assert_eq!(second.lines("x-bytes"), [b"caf\xe9\xff"]);
        assert_eq!(second.lines("x-empty"), [b""]);
        let age = second.headers["age"]
            .to_str()
            .ok()
            .and_then(|age| age.parse().ok());
        assert!(age.is_some_and(|age: u64| age < 60), "{age:?}");
    }
}

#[tokio::test]
async fn a_body_is_kept_up_to_the_limit_and_passes_through_beyond_it() {
    async fn zeros(Path(length): Path<usize>) -> Response {
        fresh(vec![0; length])
    }
    for backend in Backend::all() {
        let router = Router::new().route("/zeros/{length}", get(zeros));
        let (http, _) = behind_the_layer(&backend, router).await;
        for (length, kept) in [(0, true), (MAX_BODY, true), (MAX_BODY + 1, false)] {
            let path = format!("/zeros/{length}");
            for hit in [false, kept] {
                let answer = http.get(&path).await;
                let name = backend.name();
                assert_eq!(
                    (answer.body.len(), answer.is_hit()),
                    (length, hit),
                    "{name}"
                );
            }
        }
    }
}

/// Serves bodies of two pieces, of which the second comes when it is let go.
fn in_two_pieces(go: Arc<Notify>) -> Router {
    let body = move || {
        let go = Arc::clone(&go);
        let pieces = stream::unfold((0, go), async |(number, go)| {
            match number {
                0 => {}
                1 => go.notified().await,
                _ => return None,
            }
            Some((Ok::<_, io::Error>("piece;"), (number + 1, go)))
        });
        Body::from_stream(pieces)
    };
    let (events, stated) = (body.clone(), body.clone());
    Router::new()
        .route("/stream", get(async move || fresh(body())))
        .route(
            "/events",
            get(async move || ([("content-type", "text/event-stream")], fresh(events()))),
        )
        .route(
            "/stated",
            get(async move || ([("content-length", "12")], fresh(stated()))),
        )
}

#[tokio::test]
async fn the_first_byte_of_a_stream_does_not_wait_for_the_last() {
    for backend in Backend::all() {
        let go = Arc::new(Notify::new());
        let (http, responses) = behind_the_layer(&backend, in_two_pieces(Arc::clone(&go))).await;
        for path in ["/stream", "/events", "/stated"].repeat(2) {
            let mut stream = http.start("GET", path, &[], "").await;
            let first = stream.piece().await.map(Result::ok);
            assert_eq!(first, Some(Some(Bytes::from("piece;"))), "{path}");
            go.notify_one();
            let second = stream.piece().await.map(Result::ok);
            assert_eq!(second, Some(Some(Bytes::from("piece;"))), "{path}");
            assert!(stream.piece().await.is_none(), "{}", backend.name());
        }
        assert_eq!((responses.stats().stored, responses.stats().hits), (0, 0));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_kept_and_does_not_look_whole() {
    let router = Router::new().route("/broken", get(async || fresh(broken())));
    let (http, responses) = behind_the_layer(&Backend::Local, router).await;
    for _ in 0..2 {
        // Nothing has been sent when it breaks, so there is not even a status.
        assert!(http.try_start("GET", "/broken", &[], "").await.is_err());
    }
    assert_eq!((responses.stats().stored, responses.stats().hits), (0, 0));
}

/// A body that says that it has six bytes, and fails before the first.
fn broken() -> Body {
    Body::new(Limited::new(Full::from("twelve bytes"), 6))
}

#[tokio::test]
async fn a_cache_that_fails_is_a_miss_and_is_counted() {
    for backend in Backend::shared() {
        let router = Router::new().route("/page", get(async || fresh("page")));
        let (http, responses) = behind_the_layer(&backend, router).await;
        backend.server().expect("it has one").kill();
        for _ in 0..3 {
            let answer = http.get("/page").await;
            assert_eq!((answer.status, answer.text()), (200, "page"));
        }
        let stats = responses.stats();
        assert_eq!((stats.faults, stats.stored), (3, 0), "{}", backend.name());
    }
}
