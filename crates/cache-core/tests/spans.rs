//! Loads run in spans, hits in none. Alone in its program, as what is logged is the whole program's.
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
    /// Returns the spans that have ended since the last call.
    fn closed(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
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
