//! Which time to live a write gets.

use std::time::Duration;

use cache_core::{SetOptions, Ttl};

use super::assert_held;
use crate::probe::{Probe, ok};
use crate::{Fixture, TestValue};

/// The default time to live of these tests, in seconds.
const DEFAULT: u64 = 600;

/// Every write that names no time to live takes the default one.
pub async fn every_plain_write_takes_the_default_time_to_live<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache_with(DEFAULT);
    let v = || F::Value::from_text("value");
    ok("set", cache.set("set", v())).await;
    let written = ok("set_nx", cache.set_nx("set_nx", v())).await;
    assert!(written, "set_nx writes an absent key");
    let replaced = ok("get_and_set", cache.get_and_set("get_and_set", v())).await;
    assert_eq!(replaced, None, "get_and_set replaces nothing");
    ok("mset", cache.mset([("mset", v()), ("mset too", v())])).await;
    let options = SetOptions::new().if_absent();
    ok("set_with", cache.set_with("set_with", v(), options)).await;
    for key in [
        "set",
        "set_nx",
        "get_and_set",
        "mset",
        "mset too",
        "set_with",
    ] {
        let expected = ("value", Some(DEFAULT));
        assert_held(&cache, key, expected, "the default time to live").await;
    }
}

/// A plain write over an entry drops the expiry that the entry had, for the default.
pub async fn a_plain_write_replaces_an_expiry_by_the_default<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let v = |text: &str| F::Value::from_text(text);
    for (default, expected) in [(Ttl::NEVER, None), (Ttl::from(DEFAULT), Some(DEFAULT))] {
        let cache = probe.cache_with(default);
        for key in ["set", "get_and_set", "mset"] {
            ok("set_ex", cache.set_ex(key, v("old"), 5_000)).await;
        }
        ok("set", cache.set("set", v("new"))).await;
        ok("get_and_set", cache.get_and_set("get_and_set", v("new"))).await;
        ok("mset", cache.mset([("mset", v("new"))])).await;
        for key in ["set", "get_and_set", "mset"] {
            let promise = "a plain write drops the old expiry";
            assert_held(&cache, key, ("new", expected), promise).await;
        }
    }
}

/// A time to live that a write names counts, whatever the default.
pub async fn a_time_of_its_own_overrides_the_default<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let v = || F::Value::from_text("value");
    for default in [Ttl::NEVER, Ttl::from(DEFAULT)] {
        let cache = probe.cache_with(default);
        ok("set_ex", cache.set_ex("set_ex", v(), 50)).await;
        let options = SetOptions::new().ttl(Duration::from_secs(50));
        ok("set_with", cache.set_with("set_with", v(), options)).await;
        for key in ["set_ex", "set_with"] {
            let promise = "a time of its own overrides the default";
            assert_held(&cache, key, ("value", Some(50)), promise).await;
        }
    }
}

/// `Ttl::NEVER` is a time of its own.
pub async fn never_overrides_the_default<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache_with(DEFAULT);
    let v = || F::Value::from_text("value");
    let options = SetOptions::new().ttl(Ttl::NEVER);
    ok("set_with", cache.set_with("set_with", v(), options)).await;
    ok("set_ex", cache.set_ex("set_ex", v(), Ttl::NEVER)).await;
    for key in ["set_with", "set_ex"] {
        assert_held(&cache, key, ("value", None), "never overrides the default").await;
    }
}

/// `Duration::MAX` stands for "never", in writes, in `expire` and as a default.
pub async fn the_longest_duration_is_never<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache_with(DEFAULT);
    let v = || F::Value::from_text("value");
    let options = SetOptions::new().ttl(Duration::MAX);
    ok("set_with", cache.set_with("set_with", v(), options)).await;
    ok("set_ex", cache.set_ex("set_ex", v(), Duration::MAX)).await;
    ok("set", cache.set("expire", v())).await;
    let changed = ok("expire", cache.expire("expire", Duration::MAX)).await;
    assert!(changed, "expire with Duration::MAX removes the expiry");
    let forever = probe.cache_with(Duration::MAX);
    ok("set", forever.set("default", v())).await;
    for key in ["set_with", "set_ex", "expire", "default"] {
        assert_held(&cache, key, ("value", None), "Duration::MAX is never").await;
    }
}

/// A view has a default of its own, and so have the namespaces that are made of it.
pub async fn a_view_has_a_default_of_its_own<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let view = cache.clone().with_default_ttl(DEFAULT);
    let below = view.namespace("below").expect("the suite uses valid names");
    let promise = "the default of a view";
    for (cache, expected) in [
        (&view, Some(DEFAULT)),
        (&below, Some(DEFAULT)),
        (&cache, None),
    ] {
        ok("set", cache.set("key", F::Value::from_text("value"))).await;
        assert_held(cache, "key", ("value", expected), promise).await;
    }
}
