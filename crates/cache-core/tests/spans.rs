//! What is logged: loads run in spans, hits in none, and a value that does not come back is reported once. These tests
//! have a program of their own: the first takes what the whole program logs, and nothing else may cause what the
//! second waits for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::{Arc, Mutex};

use cache_core::{Cache, LoadOptions};
use cache_local::LocalBackend;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// What is written to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Returns what was written since the last call.
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap()
    }

    /// Returns the spans that have ended since the last call.
    fn closed(&self) -> Vec<String> {
        let text = self.take();
        let spans = text.lines().filter_map(|line| line.split(": close").next());
        let name = |line: &str| {
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .join(" ")
        };
        spans.map(name).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_load_has_a_span_that_tells_why_and_no_hit_has_one() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || writer.clone());
    subscriber.init();

    let cache: Cache<u64> = Cache::new(LocalBackend::default());
    cache
        .get_or_insert_with("secret", async || 1)
        .await
        .unwrap();
    assert_eq!(log.closed(), ["load{reason=Miss keys=1}"]);
    for _ in 0..3 {
        cache
            .get_or_insert_with("secret", async || 1)
            .await
            .unwrap();
        cache.get("secret").await.unwrap();
        cache.set("secret", 2_u64).await.unwrap();
    }
    assert_eq!(log.closed(), [""; 0]);
    let load = cache
        .entry("secret")
        .refresh(async |_| Ok::<_, io::Error>(3));
    load.await.unwrap();
    assert_eq!(log.closed(), ["load{reason=Refresh keys=1}"]);
    let many = cache.get_many_or_load(&["secret", "a", "b"], async |keys: Vec<String>| {
        Ok::<_, io::Error>(keys.into_iter().map(|key| (key, 4)))
    });
    many.await.unwrap();
    assert_eq!(log.closed(), ["load{reason=Miss keys=2}"]);
    // One that fails has a span too.
    let options = LoadOptions::new();
    let failed = cache
        .entry("c")
        .options(options)
        .or_load(async |_| Err::<u64, _>(io::Error::other("secret")));
    failed.await.unwrap_err();
    assert_eq!(log.closed(), ["load{reason=Miss keys=1}"]);
}

/// A type that serde keeps in a buffer, which knows no keys that are numbers.
#[cfg(feature = "json")]
#[derive(Clone, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Counts {
        of: std::collections::BTreeMap<u32, u32>,
    },
    Plain,
}

#[cfg(feature = "json")]
#[tokio::test]
async fn the_first_value_that_does_not_come_back_is_logged_without_the_value() {
    use cache_core::{BackendWrite, CacheBackend, Condition, EncodedBackend, Expiry, JsonCodec};

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let store = LocalBackend::default();
    let backend = EncodedBackend::new(store, JsonCodec::new()).with_strict(false);
    let counts = Tagged::Counts {
        of: [(271_828, 314_159)].into(),
    };
    for value in [Tagged::Plain, counts.clone(), counts.clone(), counts] {
        let always = BackendWrite::new(Expiry::Never, Condition::Always);
        backend.set("secret", value, always).await.unwrap();
        // What is found here has the next write looked at.
        let _: Option<Tagged> = backend.get("secret").await.unwrap();
    }
    drop(guard);
    let text = log.take();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("WARN"), "{text}");
    let name = std::any::type_name::<Tagged>();
    assert!(
        text.contains(&format!("{name} does not come back")),
        "{text}"
    );
    for secret in ["271828", "314159", "secret"] {
        assert!(!text.contains(secret), "{text}");
    }
}
