//! Entries that live for as long as somebody reads them.

use std::convert::Infallible;
use std::time::Duration;

use cache_core::{Cache, SetOptions, Ttl};

use super::assert_held;
use crate::probe::{Probe, ok};
use crate::{Fixture, TestValue};

/// The time to idle, and remaining times that are above and below nine tenths of it.
const IDLE: Duration = Duration::from_secs(600);
const YOUNG: Duration = Duration::from_secs(570);
const OLD: Duration = Duration::from_secs(150);

fn idle<F: Fixture>(probe: &Probe<'_, F>, time: Duration) -> Cache<F::Value> {
    let builder = Cache::builder(probe.backend().clone()).time_to_idle(time);
    builder.build().expect("the options are right")
}

async fn store<V: TestValue>(cache: &Cache<V>, key: &str, ttl: impl Into<Ttl>) {
    ok("set_ex", cache.set_ex(key, V::from_text("value"), ttl)).await;
}

/// Asserts how much time an entry has left, by a cache whose reads leave it as it is.
async fn assert_left<F: Fixture>(probe: &Probe<'_, F>, key: &str, left: Duration, promise: &str) {
    let expected = ("value", Some(left.as_secs()));
    assert_held(&probe.cache(), key, expected, promise).await;
}

/// Each verb that reads gives an entry its whole time again.
pub async fn a_read_gives_an_entry_its_time_again<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = idle(&probe, IDLE);
    let value = || F::Value::from_text("another value");
    for key in ["get", "get_entry", "mget", "get_or_insert_with", "or_load"] {
        store(&cache, key, OLD).await;
    }
    ok("get", cache.get("get")).await;
    let hit = ok("get_entry", cache.get_entry("get_entry")).await;
    let left = hit.and_then(|hit| hit.expiry.remaining());
    assert!(
        left > Some(OLD),
        "get_entry tells the time that it gives: {left:?}"
    );
    ok("mget", cache.mget(&["mget", "absent"])).await;
    let load = async || value();
    ok(
        "get_or_insert_with",
        cache.get_or_insert_with("get_or_insert_with", load),
    )
    .await;
    let another = || F::Value::from_text("another value");
    let load = async move |_| Ok::<_, Infallible>(Some(another()));
    let loaded = cache.entry("or_load").or_load(load).await;
    assert!(
        loaded.is_ok_and(|found| found.is_some()),
        "or_load finds the value"
    );
    for key in ["get", "get_entry", "mget", "get_or_insert_with", "or_load"] {
        let promise = "a read gives an entry its time to idle again";
        assert_left(&probe, key, IDLE, promise).await;
    }
}

/// A write that names no time to live takes the time to idle, and a loaded value does too.
pub async fn a_write_takes_the_time_to_idle<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = idle(&probe, IDLE);
    let value = || F::Value::from_text("value");
    ok("set", cache.set("set", value())).await;
    let load = async || value();
    ok(
        "get_or_insert_with",
        cache.get_or_insert_with("loaded", load),
    )
    .await;
    for key in ["set", "loaded"] {
        let promise = "a write takes the time to idle";
        assert_left(&probe, key, IDLE, promise).await;
    }
}

/// Calls that are no reads, and reads of an entry that has most of its time left, change no expiry.
pub async fn an_expiry_stays_that_no_read_has_to_change<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = idle(&probe, IDLE);
    store(&cache, "unread", OLD).await;
    ok("exists", cache.exists("unread")).await;
    ok("ttl", cache.ttl("unread")).await;
    if probe.can_scan() {
        ok("keys", cache.keys()).await;
    }
    let promise = "what is no read lengthens no life";
    assert_left(&probe, "unread", OLD, promise).await;

    let (longer, never) = (IDLE * 2, SetOptions::new().ttl(Ttl::NEVER));
    store(&cache, "young", YOUNG).await;
    store(&cache, "longer", longer).await;
    let value = F::Value::from_text("value");
    ok("set_with", cache.set_with("forever", value, never)).await;
    for key in ["young", "longer", "forever"] {
        ok("get", cache.get(key)).await;
    }
    let promise = "a read leaves the expiry of what has most of its time left";
    assert_left(&probe, "young", YOUNG, promise).await;
    assert_left(&probe, "longer", longer, promise).await;
    let left = ok("ttl", cache.ttl("forever")).await;
    assert_eq!(left, None, "{promise}");
}

/// An entry expires when nobody has read it for the time to idle, and not before.
pub async fn an_entry_expires_when_nobody_reads_it<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = idle(&probe, probe.short());
    let value = F::Value::from_text("value");
    ok("set", cache.set("key", value)).await;
    let promise = "an entry that is read stays";
    assert!(ok("get", cache.get("key")).await.is_some(), "{promise}");
    probe.outlive(probe.short()).await;
    let promise = "an entry that nobody reads expires";
    assert!(ok("get", cache.get("key")).await.is_none(), "{promise}");
    assert!(!ok("exists", cache.exists("key")).await, "{promise}");
}
