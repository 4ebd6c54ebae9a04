//! What a Prometheus server reads of a cache.

use std::collections::BTreeSet;

use cache_core::Cache;
use cache_local::{LocalBackend, LocalConfig};
use cache_metrics::CacheMetrics;
use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;

/// Returns the samples of a text of the exporter.
fn samples(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect()
}

#[tokio::test]
async fn counts_and_gauges_are_those_of_a_snapshot() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let backend = LocalBackend::new(LocalConfig::new().max_entries(2)).unwrap();
    let cache: Cache<u32> = Cache::new(backend);
    for key in ["a", "b", "c"] {
        cache.set(key, 1u32).await.unwrap();
    }
    cache.get("c").await.unwrap();
    cache.get("nobody").await.unwrap();
    cache
        .get_or_insert_with("loaded", async || 2)
        .await
        .unwrap();
    let metrics = with_local_recorder(&recorder, || CacheMetrics::new("users"));
    // Twice: a counter is set, not added to.
    for _ in 0..2 {
        with_local_recorder(&recorder, || metrics.record(&cache.stats()));
    }
    let text = recorder.handle().render();
    let found = samples(&text);
    for expected in [
        r#"cache_requests_total{tier="all",result="hit",cache="users"} 1"#,
        r#"cache_requests_total{tier="all",result="miss",cache="users"} 2"#,
        r#"cache_writes_total{op="set",cache="users"} 4"#,
        r#"cache_evictions_total{tier="all",cause="capacity",cache="users"} 2"#,
        r#"cache_entries{tier="all",cache="users"} 2"#,
        r#"cache_loads_total{outcome="ok",cache="users"} 1"#,
        r#"cache_loads_pending{cache="users"} 0"#,
    ] {
        assert!(found.contains(expected), "{expected} is not in\n{text}");
    }
    // What there is not is left out, and everything is described.
    assert!(!text.contains("l1") && !text.contains("cache_backend"));
    assert!(text.contains("# HELP cache_requests_total Keys that were read."));
}

#[tokio::test]
async fn a_million_keys_add_no_series() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let cache: Cache<u32, _> = Cache::with_backend(LocalBackend::default());
    let metrics = CacheMetrics::new("users");
    let series = |number: u32| {
        with_local_recorder(&recorder, || metrics.record(&cache.stats()));
        let text = recorder.handle().render();
        assert!(text.contains(&format!(
            r#"cache_writes_total{{op="set",cache="users"}} {number}"#
        )));
        samples(&text).len()
    };
    let before = series(0);
    for number in 0..1_000_000u32 {
        cache.set(number.to_string(), number).await.unwrap();
    }
    assert_eq!(series(1_000_000), before);
}
