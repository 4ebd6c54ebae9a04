//! The counters of the facade.

use cache_core::{Cache, CacheStats, SetOptions};

use crate::probe::{Probe, ok};
use crate::{Fixture, TestValue};

/// Asserts hits, misses, sets and deletes.
fn assert_counts<V: TestValue>(cache: &Cache<V>, expected: [u64; 4], after: &str) {
    let CacheStats {
        hits,
        misses,
        sets,
        deletes,
        ..
    } = cache.stats();
    assert_eq!(
        [hits, misses, sets, deletes],
        expected,
        "hits, misses, sets and deletes after {after}"
    );
}

/// Each verb counts what it did.
pub async fn hits_misses_sets_and_deletes_are_counted<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = || F::Value::from_text("value");
    assert_counts(&cache, [0, 0, 0, 0], "nothing");
    assert_eq!(cache.stats().hit_rate(), None, "no read, no rate");
    ok("set", cache.set("a", v())).await;
    ok("set_ex", cache.set_ex("b", v(), 100)).await;
    ok("set_nx", cache.set_nx("c", v())).await;
    ok("get_and_set", cache.get_and_set("a", v())).await;
    ok("mset", cache.mset([("d", v()), ("e", v())])).await;
    assert_counts(&cache, [0, 0, 6, 0], "six writes");
    ok("get", cache.get("a")).await;
    ok("get", cache.get("x")).await;
    ok("mget", cache.mget(&["a", "x", "b", "a"])).await;
    assert_counts(&cache, [4, 2, 6, 0], "six reads");
    ok("delete", cache.delete("a")).await;
    ok("delete", cache.delete("a")).await;
    ok("mdelete", cache.mdelete(&["b", "x", "b"])).await;
    ok("expire", cache.expire("c", 0)).await;
    assert_counts(
        &cache,
        [4, 2, 6, 3],
        "three deletes of entries that were there",
    );
    if probe.can_scan() {
        ok("clear", cache.clear()).await;
        assert_counts(&cache, [4, 2, 6, 5], "clear of the two that are left");
    }
}

/// Reading an expired key is a miss.
pub async fn an_expired_key_is_a_miss<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let value = F::Value::from_text("value");
    ok("set_ex", cache.set_ex("key", value, probe.short())).await;
    probe.outlive(probe.short()).await;
    ok("get", cache.get("key")).await;
    ok("mget", cache.mget(&["key"])).await;
    assert_counts(&cache, [0, 2, 1, 0], "two reads of an expired key");
    assert_eq!(cache.stats().hit_rate(), Some(0.0), "misses alone");
}

/// Clones and namespaces count together.
pub async fn clones_and_namespaces_share_the_counters<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let part = cache.namespace("part").expect("a valid name");
    ok("set", part.set("key", F::Value::from_text("value"))).await;
    ok("get", part.clone().get("key")).await;
    ok("get", cache.get("key")).await;
    for cache in [&cache, &part] {
        assert_counts(cache, [1, 1, 1, 0], "one write and two reads");
    }
}

/// A write that does not take place is no set, and a question is no read.
pub async fn refused_writes_and_questions_are_not_counted<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = || F::Value::from_text("value");
    ok("set", cache.set("key", v())).await;
    ok("set_nx", cache.set_nx("key", v())).await;
    let if_present = SetOptions::new().if_present();
    ok("set_with", cache.set_with("x", v(), if_present)).await;
    let refused = cache.set("", v()).await;
    assert!(refused.is_err(), "an empty key is refused");
    ok("exists", cache.exists("key")).await;
    ok("ttl", cache.ttl("key")).await;
    ok("expiry", cache.expiry("x")).await;
    assert_counts(&cache, [0, 0, 1, 0], "one write");
}
