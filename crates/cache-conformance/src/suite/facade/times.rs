//! Expiry as the facade reports and changes it.

use std::time::Duration;

use cache_core::{Expiry, SetOptions};

use super::{assert_held, value};
use crate::probe::{LONG, Probe, ok};
use crate::{Fixture, Skipped, TestValue};

/// `ttl` reports whole seconds, rounded to the nearest, half a second up.
pub async fn ttl_rounds_to_whole_seconds_as_redis_does<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    if !probe.exact() {
        return Err(Skipped::EXACT_TIME);
    }
    let cache = probe.cache();
    for millis in [
        1, 499, 500, 501, 999, 1_000, 1_499, 1_500, 59_999, 86_400_499,
    ] {
        let ttl = Duration::from_millis(millis);
        let value = F::Value::from_text("value");
        ok("set_ex", cache.set_ex("key", value, ttl)).await;
        let seconds = ok("ttl", cache.ttl("key")).await;
        assert_eq!(seconds, Some((millis + 500) / 1_000), "ttl of {millis} ms");
        let left = ok("expiry", cache.expiry("key")).await;
        probe.assert_left(left, Expiry::After(ttl), "expiry does not round");
    }
    Ok(())
}

/// A time to live below one millisecond is one millisecond.
pub async fn less_than_a_millisecond_is_rounded_up_to_one<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let tick = Duration::from_millis(1);
    let new = F::Value::from_text("value");
    ok("set_ex", cache.set_ex("key", new, Duration::from_nanos(1))).await;
    if probe.exact() {
        let left = ok("expiry", cache.expiry("key")).await;
        probe.assert_left(left, Expiry::After(tick), "1 ns is rounded up to 1 ms");
    }
    probe.outlive(tick).await;
    assert_eq!(
        value(&cache, "key").await,
        None,
        "1 ms is no more than that"
    );
}

/// `expire` replaces the expiry and not the value.
pub async fn expire_sets_a_new_time_and_tells_whether_the_key_was_there<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let changed = ok("expire", cache.expire("key", 100)).await;
    assert!(!changed, "expire of an absent key returns false");
    ok("set", cache.set("key", F::Value::from_text("value"))).await;
    for seconds in [100, 5_000, 50] {
        let changed = ok("expire", cache.expire("key", seconds)).await;
        assert!(changed, "expire of a present key returns true");
        assert_held(
            &cache,
            "key",
            ("value", Some(seconds)),
            "expire sets the time",
        )
        .await;
    }
}

/// `expire` with nothing left deletes, and tells whether there was anything to delete.
pub async fn expire_with_zero_or_less_deletes<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    for seconds in [0, -1, i64::MIN] {
        ok("set", cache.set("key", F::Value::from_text("value"))).await;
        let found = ok("expire", cache.expire("key", seconds)).await;
        assert!(found, "expire with {seconds} finds the key");
        assert_eq!(
            value(&cache, "key").await,
            None,
            "expire with {seconds} deletes"
        );
        let found = ok("expire", cache.expire("key", seconds)).await;
        assert!(
            !found,
            "expire with {seconds} of an absent key returns false"
        );
    }
    ok("set", cache.set("key", F::Value::from_text("value"))).await;
    let found = ok("expire", cache.expire("key", Duration::ZERO)).await;
    assert!(found, "expire with a Duration of zero finds the key");
    assert_eq!(value(&cache, "key").await, None, "and deletes it");
}

/// `persist` returns `true` where there was an expiry, and only then.
pub async fn persist_is_true_once<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let absent = ok("persist", cache.persist("key")).await;
    assert!(!absent, "persist of an absent key returns false");
    ok(
        "set_ex",
        cache.set_ex("key", F::Value::from_text("value"), 100),
    )
    .await;
    for expected in [true, false, false] {
        let persisted = ok("persist", cache.persist("key")).await;
        assert_eq!(persisted, expected, "persist is true once");
        assert_held(&cache, "key", ("value", None), "persist removes the expiry").await;
    }
}

/// An expired key is absent for every verb that reads.
pub async fn an_expired_key_is_absent_for_every_read<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    ok(
        "set_ex",
        cache.set_ex("key", F::Value::from_text("value"), probe.short()),
    )
    .await;
    probe.outlive(probe.short()).await;
    assert_eq!(value(&cache, "key").await, None, "get");
    assert!(!ok("exists", cache.exists("key")).await, "exists");
    assert_eq!(ok("ttl", cache.ttl("key")).await, None, "ttl");
    assert_eq!(ok("expiry", cache.expiry("key")).await, None, "expiry");
    assert_eq!(ok("mget", cache.mget(&["key"])).await, [None], "mget");
    if probe.can_scan() {
        let keys = ok("keys", cache.keys()).await;
        assert!(keys.is_empty(), "keys, were {keys:?}");
        let keys = ok("keys_with_prefix", cache.keys_with_prefix("k")).await;
        assert!(keys.is_empty(), "keys_with_prefix, were {keys:?}");
        assert_eq!(ok("clear", cache.clear()).await, 0, "clear");
    }
}

/// An expired key is absent for every verb that writes.
pub async fn an_expired_key_is_absent_for_every_write<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = |text: &str| F::Value::from_text(text);
    let written = ["set_nx", "set_with", "get_and_set"];
    let changed = ["delete", "expire", "expire 0", "persist", "mdelete"];
    let keys = || written.iter().chain(&changed);
    for key in keys() {
        ok("set_ex", cache.set_ex(key, v("old"), probe.short())).await;
    }
    probe.outlive(probe.short()).await;
    let written = ok("set_nx", cache.set_nx("set_nx", v("new"))).await;
    assert!(written, "set_nx");
    let if_present = SetOptions::new().if_present();
    let written = ok("set_with", cache.set_with("set_with", v("new"), if_present)).await;
    assert!(!written, "set_with if present");
    let replaced = ok("get_and_set", cache.get_and_set("get_and_set", v("new"))).await;
    assert_eq!(replaced, None, "get_and_set");
    assert!(!ok("delete", cache.delete("delete")).await, "delete");
    assert!(!ok("expire", cache.expire("expire", 100)).await, "expire");
    let found = ok("expire", cache.expire("expire 0", 0)).await;
    assert!(!found, "expire with zero");
    assert!(!ok("persist", cache.persist("persist")).await, "persist");
    let deleted = ok("mdelete", cache.mdelete(&["mdelete"])).await;
    assert_eq!(deleted, 0, "mdelete");
    for key in keys() {
        let expected = ["set_nx", "get_and_set"].contains(key).then_some("new");
        let seen = value(&cache, key).await;
        assert_eq!(seen.as_deref(), expected, "what {key} has left");
    }
}

/// An absent key and a key without expiry have no `ttl`; `expiry` tells them apart.
pub async fn an_absent_key_and_one_without_expiry_have_no_ttl<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    ok("set", cache.set("forever", F::Value::from_text("value"))).await;
    ok(
        "set_ex",
        cache.set_ex("for long", F::Value::from_text("value"), LONG),
    )
    .await;
    let ttls = [("nobody", false), ("forever", false), ("for long", true)];
    for (key, expected) in ttls {
        let ttl = ok("ttl", cache.ttl(key)).await;
        assert_eq!(ttl.is_some(), expected, "ttl of {key:?} was {ttl:?}");
    }
    assert_eq!(
        ok("expiry", cache.expiry("nobody")).await,
        None,
        "an absent key"
    );
    let forever = ok("expiry", cache.expiry("forever")).await;
    assert_eq!(forever, Some(Expiry::Never), "a key without expiry");
    assert!(!ok("exists", cache.exists("nobody")).await, "an absent key");
    assert!(
        ok("exists", cache.exists("forever")).await,
        "a key without expiry"
    );
}
