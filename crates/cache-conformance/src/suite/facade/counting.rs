//! Counters as the facade names and counts them.

use std::collections::BTreeSet;

use cache_core::{
    Cache, CacheBackend, ErrorKind, Expiry, MAX_COUNT, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, MAX_TTL,
    Result, Window,
};

use super::errors::assert_invalid;
use crate::probe::{Probe, ok};
use crate::suite::concurrency::race;
use crate::{Fixture, Skipped, TestValue};

const TASKS: usize = 64;
const ADDS: usize = 125;

/// Returns a cache over a backend that has counters.
async fn counting<F: Fixture>(fixture: &F) -> Result<Cache<F::Value>, Skipped> {
    let probe = Probe::fresh(fixture).await;
    let has_counters = probe.backend().abilities().counters.is_some();
    has_counters.then(|| probe.cache()).ok_or(Skipped::COUNTERS)
}

/// 8,000 calls of 64 tasks count 8,000, each a number of its own.
pub async fn eight_thousand_concurrent_adds_count_eight_thousand<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let requests = counting(fixture).await?.counters("requests");
    let counts = race(TASKS, |_| {
        let requests = requests.clone();
        async move {
            let mut counts = Vec::new();
            while counts.len() < ADDS {
                match requests.add("10.0.0.7", 1, 3_600).await {
                    Ok(count) => counts.push(count.value),
                    // Others were faster too often: nothing was counted.
                    Err(error) if *error.kind() == ErrorKind::Conflict => {}
                    Err(error) => panic!("add failed on a healthy backend: {error}"),
                }
            }
            counts
        }
    });
    let returned: BTreeSet<i64> = counts.await.into_iter().flatten().collect();
    assert_eq!(returned, (1..=8_000).collect());
    let count = ok("get", requests.get("10.0.0.7")).await;
    assert_eq!(count.map(|count| count.value), Some(8_000));
    Ok(())
}

/// One key counts apart in two groups and in two namespaces; whatever characters it holds.
pub async fn groups_and_namespaces_count_apart<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = counting(fixture).await?;
    let space = cache.namespace("space").expect("the name is valid");
    let groups = [
        cache.counters("a"),
        cache.counters("b"),
        space.counters("a"),
        space.counters("b"),
    ];
    for key in ["key", "@key", "@a:key", "a:key", "@_counter:@a:key"] {
        for (group, number) in groups.iter().zip(1..) {
            let count = ok("add", group.add(key, number, Window::ENDLESS)).await;
            assert_eq!((count.value, count.expiry), (number, Expiry::Never));
        }
    }
    for key in ["key", "@key", "@a:key", "a:key", "@_counter:@a:key"] {
        for (group, number) in groups.iter().zip(1..) {
            let count = ok("get", group.get(key)).await;
            assert_eq!(count.map(|count| count.value), Some(number), "{key:?}");
        }
        assert!(ok("reset", groups[0].reset(key)).await);
        let other = ok("get", groups[1].get(key)).await;
        assert_eq!(other.map(|count| count.value), Some(2), "{key:?}");
    }
    Ok(())
}

/// A rate limit does not vanish when somebody clears the cache, and `keys` does not list it.
pub async fn counters_outlive_a_clear<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let cache = counting(fixture).await?;
    let requests = cache.counters("requests");
    ok("add", requests.add("key", 3, 3_600)).await;
    ok("set", cache.set("key", F::Value::from_text("value"))).await;
    if cache.backend().capabilities().scan {
        assert_eq!(ok("keys", cache.keys()).await, ["key"]);
        assert_eq!(ok("clear", cache.clear()).await, 1);
    }
    ok("delete", cache.delete("key")).await;
    let count = ok("add", requests.add("key", 1, 3_600)).await;
    assert_eq!(count.value, 4);
    Ok(())
}

/// A bad key, group or window is refused with the limit, and nothing is counted.
pub async fn a_bad_key_group_or_window_is_invalid_input<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let cache = counting(fixture).await?;
    let requests = cache.counters("requests");
    let long = "x".repeat(MAX_KEY_BYTES + 1);
    for key in ["", &long] {
        assert_invalid(requests.add(key, 1, 60).await, "counter add", "key");
        assert_invalid(requests.get(key).await, "counter get", "key");
        assert_invalid(requests.reset(key).await, "counter reset", "key");
    }
    let long = "x".repeat(MAX_NAMESPACE_BYTES + 1);
    for name in ["", "a:b", "a b", "ä", "@a", &long] {
        let group = cache.counters(name);
        assert_invalid(group.add("key", 1, 60).await, "counter add", "group");
        assert_invalid(group.get("key").await, "counter get", "group");
        assert_invalid(group.reset("key").await, "counter reset", "group");
    }
    let windows = [
        Window::from(0),
        Window::from(-1),
        Window::from(MAX_TTL.as_secs() + 1),
    ];
    for window in windows {
        let added = requests.add("key", 1, window).await;
        assert_invalid(added, "counter add", "window");
    }
    let added = requests.add("key", MAX_COUNT + 1, 60).await;
    assert_invalid(added, "counter add", "by");
    assert_eq!(ok("get", requests.get("key")).await, None);
    let reserved = cache.namespace("_counter").map(drop);
    assert_invalid(reserved, "namespace", "namespace");
    Ok(())
}

/// Without counters their verbs are [`Unsupported`](ErrorKind::Unsupported), and all others work.
pub async fn a_backend_without_counters_refuses_them<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    if probe.backend().abilities().counters.is_some() {
        return;
    }
    let cache = probe.cache();
    let requests = cache.counters("requests");
    let refused = [
        requests.add("key", 1, 60).await.map(drop),
        requests.get("key").await.map(drop),
        requests.reset("key").await.map(drop),
    ];
    for refused in refused {
        let error = refused.expect_err("there are no counters");
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
    }
    ok("set", cache.set("key", F::Value::from_text("value"))).await;
}
