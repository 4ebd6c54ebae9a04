//! What a careless cache of responses gives to the wrong visitor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use axum::{Extension, Router, middleware};
use axum_app::response_cache::{CacheFor, Responses, serve};

use crate::Backend;
use crate::http::Http;

/// Says to all that it may be kept.
const FRESH: (header::HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=60");

type Calls = Arc<AtomicU64>;

/// Tells a handler's calls apart in what it answers.
fn call(calls: &Calls) -> String {
    format!("call {}", calls.fetch_add(1, Ordering::Relaxed) + 1)
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).map(|value| value.to_str());
    value.map_or("nobody", |value| value.expect("it is text"))
}

async fn authorization(headers: HeaderMap) -> impl IntoResponse {
    ([FRESH], value(&headers, "authorization").to_owned())
}

async fn cookie(headers: HeaderMap) -> impl IntoResponse {
    ([FRESH], value(&headers, "cookie").to_owned())
}

async fn set_cookie(State(calls): State<Calls>) -> impl IntoResponse {
    ([FRESH, (header::SET_COOKIE, "session=1")], call(&calls))
}

async fn marked_set_cookie(State(calls): State<Calls>) -> impl IntoResponse {
    let marker = Extension(CacheFor(Duration::from_secs(60)));
    (marker, [(header::SET_COOKIE, "session=1")], call(&calls))
}

async fn private(State(calls): State<Calls>) -> impl IntoResponse {
    let lines = [FRESH, (header::CACHE_CONTROL, "Private")];
    (axum::response::AppendHeaders(lines), call(&calls))
}

async fn host(headers: HeaderMap) -> impl IntoResponse {
    ([FRESH], value(&headers, "host").to_owned())
}

async fn language(State(calls): State<Calls>, headers: HeaderMap) -> impl IntoResponse {
    let language = value(&headers, "accept-language");
    let body = format!("{language}: {}", call(&calls));
    ([FRESH, (header::VARY, "Accept-Language")], body)
}

async fn unpredictable(State(calls): State<Calls>) -> impl IntoResponse {
    ([FRESH, (header::VARY, "*")], call(&calls))
}

async fn counted(State(calls): State<Calls>) -> impl IntoResponse {
    ([FRESH], call(&calls))
}

async fn silent(State(calls): State<Calls>) -> String {
    call(&calls)
}

async fn failing(State(calls): State<Calls>) -> impl IntoResponse {
    (axum::http::StatusCode::NOT_FOUND, [FRESH], call(&calls))
}

async fn url(uri: Uri) -> impl IntoResponse {
    ([FRESH], uri.to_string())
}

/// Serves the handlers behind the layer.
async fn probes(backend: &Backend) -> Http {
    let responses = Responses::new(backend.cache().await);
    let layer = middleware::from_fn_with_state(responses, serve);
    // Two handlers that both see "/page".
    let nested = |name: &'static str| {
        let page = get(async move || ([FRESH], name));
        Router::new().route("/page", page).layer(layer.clone())
    };
    let router = Router::new()
        .route("/authorization", get(authorization))
        .route("/cookie", get(cookie))
        .route("/set-cookie", get(set_cookie))
        .route("/marked-set-cookie", get(marked_set_cookie))
        .route("/private", get(private))
        .route("/host", get(host))
        .route("/language", get(language))
        .route("/unpredictable", get(unpredictable))
        .route("/counted", any(counted))
        .route("/silent", get(silent))
        .route("/failing", get(failing))
        .route("/url", get(url))
        .layer(layer.clone())
        .nest("/one", nested("one"))
        .nest("/two", nested("two"))
        .with_state(Calls::default());
    Http::serving(router).await
}

#[tokio::test]
async fn what_was_made_for_credentials_is_for_them_alone() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        for (path, name) in [("/authorization", "authorization"), ("/cookie", "cookie")] {
            for visitor in ["alice", "bob", "alice"] {
                let answer = http.get_with(path, &[(name, visitor)]).await;
                assert_eq!((answer.text(), answer.is_hit()), (visitor, false));
            }
            for hit in [false, true] {
                let answer = http.get(path).await;
                assert_eq!((answer.text(), answer.is_hit()), ("nobody", hit), "{name}");
            }
            // Nor do they get what was made for nobody.
            let answer = http.get_with(path, &[(name, "carol")]).await;
            assert_eq!((answer.text(), answer.is_hit()), ("carol", false));
        }
    }
}

#[tokio::test]
async fn what_sets_a_cookie_or_says_that_it_is_private_is_not_kept() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        let paths = ["/set-cookie", "/marked-set-cookie", "/private"];
        for (number, path) in (1..).zip(paths.repeat(2)) {
            let answer = http.get(path).await;
            assert_eq!(answer.text(), format!("call {number}"), "{path}");
            assert!(!answer.is_hit());
        }
    }
}

#[tokio::test]
async fn each_host_and_each_url_has_pages_of_its_own() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        for (name, hit) in [("a.test", false), ("b.test", false), ("a.test", true)] {
            let answer = http.get_with("/host", &[("host", name)]).await;
            assert_eq!(
                (answer.text(), answer.is_hit()),
                (name, hit),
                "{}",
                backend.name()
            );
        }
        for path in ["/url?a=1", "/url?a=2", "/url?a=1&b", "/url?", "/url"] {
            assert_eq!(http.get(path).await.text(), path);
        }
        assert!(http.get("/url?a=2").await.is_hit());
        for name in ["one", "two", "one"] {
            assert_eq!(http.get(&format!("/{name}/page")).await.text(), name);
        }
    }
}

#[tokio::test]
async fn each_value_of_a_header_that_counts_has_a_page_of_its_own() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        let language = async |lines: &[(&str, &str)]| {
            let answer = http.get_with("/language", lines).await;
            (answer.text().to_owned(), answer.is_hit())
        };
        let (german, english) = (("accept-language", "de"), ("accept-language", "en"));
        for hit in [false, true] {
            assert_eq!(language(&[german]).await, ("de: call 1".to_owned(), hit));
            assert_eq!(language(&[english]).await, ("en: call 2".to_owned(), hit));
            assert_eq!(language(&[]).await, ("nobody: call 3".to_owned(), hit));
            assert_eq!(language(&[("accept-language", "")]).await.0, ": call 4");
            assert_eq!(language(&[german, english]).await.0, "de: call 5");
        }
        for _ in 0..2 {
            assert!(
                !http.get("/unpredictable").await.is_hit(),
                "{}",
                backend.name()
            );
        }
    }
}

#[tokio::test]
async fn every_request_that_is_no_plain_get_reaches_its_handler() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        assert_eq!(http.get("/counted").await.text(), "call 1");
        for (number, method) in (2..).zip(["POST", "POST", "PUT", "DELETE", "OPTIONS"]) {
            let answer = http.send(method, "/counted", &[], "").await;
            assert_eq!(answer.text(), format!("call {number}"), "{method}");
        }
        let again = http.get("/counted").await;
        assert_eq!((again.text(), again.is_hit()), ("call 1", true));
        let asked = http.send("GET", "/counted", &[], "a body").await;
        assert_eq!((asked.text(), asked.is_hit()), ("call 7", false));
        let part = http.get_with("/counted", &[("range", "bytes=0-3")]).await;
        assert_eq!(
            (part.text(), part.is_hit()),
            ("call 8", false),
            "{}",
            backend.name()
        );
    }
}

#[tokio::test]
async fn what_does_not_say_that_it_is_fresh_or_has_failed_is_not_kept() {
    for backend in Backend::all() {
        let http = probes(&backend).await;
        for (number, path) in (1..).zip(["/silent", "/silent", "/failing", "/failing"]) {
            let answer = http.get(path).await;
            assert_eq!(answer.text(), format!("call {number}"), "{path}");
            assert!(!answer.is_hit());
        }
    }
}
