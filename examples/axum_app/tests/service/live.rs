//! What the program tells of itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::Backend;
use crate::http::Coming;
use crate::program::{Program, until};

/// Returns the next event; the pieces of a body need not be those of the stream.
async fn event(stream: &mut Coming) -> Value {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let piece = stream.piece().await.expect("it goes on");
        let piece = piece.expect("the connection holds");
        text.push_str(std::str::from_utf8(&piece).expect("it is text"));
    }
    let data = text.strip_prefix("data: ").expect("it is an event");
    serde_json::from_str(data).expect("it is JSON")
}

fn sample_of<'a>(sample: &'a Value, name: &str) -> &'a Value {
    let caches = sample["caches"].as_array().expect("it has caches");
    let cache = caches.iter().find(|cache| cache["name"] == name);
    cache.expect("it is one of them")
}

#[tokio::test]
async fn events_tell_what_the_caches_do() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        let mut stream = program.start_events().await;
        event(&mut stream).await;
        for _ in 0..4 {
            program.get("/users/1").await;
        }
        let sample = until("sample of these requests", async || {
            let sample = event(&mut stream).await;
            (sample_of(&sample, "users")["loads"] == 1).then_some(sample)
        })
        .await;
        let users = sample_of(&sample, "users");
        assert_eq!((&users["hits"], &users["misses"]), (&json!(3), &json!(1)));
        assert_eq!(sample["database_reads"], 1);
        let (entries, permit, by_tier) = match &backend {
            Backend::Local => (json!(1), Value::Null, [Value::Null, Value::Null]),
            Backend::Redis(_) => (Value::Null, Value::Null, [Value::Null, Value::Null]),
            Backend::Tiered(_) => (json!(1), json!("held"), [json!(2), json!(1)]),
        };
        assert_eq!(users["entries"], entries, "{}", backend.name());
        assert_eq!(users["permit"], permit);
        assert_eq!(
            [&users["memory_hits"], &users["store_hits"]],
            [&by_tier[0], &by_tier[1]]
        );
        let behind = users["behind_ms"].as_f64();
        assert_eq!(behind.is_some(), matches!(backend, Backend::Tiered(_)));
        assert!(behind.is_none_or(|behind| behind < 1000.0), "{behind:?}");

        let stats = program.get("/live/stats").await;
        assert_eq!(sample_of(&stats.json(), "users")["loads"], 1);
    }
}

#[tokio::test]
async fn the_page_is_one_file_that_asks_nobody_else() {
    let program = Program::start(&Backend::Local);
    let page = program.get("/live").await;
    assert_eq!(page.lines("content-type"), [b"text/html; charset=utf-8"]);
    let text = page.text();
    assert!(text.contains("new EventSource(\"live/events\")"));
    for elsewhere in ["http:", "https:", "src=", "href=", "@import"] {
        assert!(!text.contains(elsewhere), "{elsewhere}");
    }
}

/// Returns the names that follow a word in a script.
fn after<'a>(script: &'a str, word: &str) -> BTreeSet<&'a str> {
    let rests = script.split(word).skip(1);
    let names = rests.map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    });
    names.collect()
}

fn fields(value: &Value) -> BTreeSet<&str> {
    let fields = value.as_object().expect("it is an object").keys();
    fields.map(String::as_str).collect()
}

#[tokio::test]
async fn the_page_shows_every_number_that_an_event_has_and_no_other() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        let mut stream = program.start_events().await;
        let sample = event(&mut stream).await;
        let page = program.get("/live").await;
        let (body, script) = page.text().split_once("<script>").expect("it has one");
        assert_eq!(after(script, "sample."), fields(&sample));
        let cache = fields(&sample["caches"][0]);
        assert_eq!(after(script, "cache."), cache, "{}", backend.name());
        // How many were stored is seen in the card of their cache.
        let (names, _) = script
            .split_once("} = sample.responses")
            .expect("it reads them");
        let (_, names) = names.rsplit_once('{').expect("it names them");
        let mut shown: BTreeSet<_> = names.split(',').map(str::trim).collect();
        assert!(shown.insert("stored"));
        assert_eq!(shown, fields(&sample["responses"]));
        // Where a number goes has a place.
        for set in script.split("set(\".").skip(1) {
            let (place, _) = set.split_once('"').expect("it is a string");
            let found = body.contains(&format!("class=\"{place}\""));
            assert!(found, "{place}");
        }
    }
}

#[tokio::test]
async fn metrics_name_each_cache_and_count_what_it_did() {
    for backend in Backend::all() {
        let program = Program::start(&backend);
        for path in ["/users/1", "/users/1", "/", "/", "/report"] {
            program.get(path).await;
        }
        program.get_with("/", &[("cookie", "theme=dark")]).await;
        let requests = "cache_requests_total{tier=\"all\",result=";
        for (series, expected) in [
            (format!("{requests}\"hit\",cache=\"users\"}}"), 1),
            (format!("{requests}\"miss\",cache=\"users\"}}"), 1),
            (
                "cache_loads_total{outcome=\"ok\",cache=\"users\"}".to_owned(),
                1,
            ),
            (
                "response_cache_requests_total{result=\"hit\"}".to_owned(),
                1,
            ),
            (
                "response_cache_requests_total{result=\"miss\"}".to_owned(),
                2,
            ),
            (
                "response_cache_requests_total{result=\"bypass\"}".to_owned(),
                1,
            ),
            ("response_cache_stored_total".to_owned(), 2),
            ("response_cache_faults_total".to_owned(), 0),
            ("database_reads_total".to_owned(), 2),
        ] {
            let name = backend.name();
            assert_eq!(
                program.metric(&series).await,
                expected,
                "{series} on {name}"
            );
        }
    }
}
