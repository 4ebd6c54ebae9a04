//! Bad input: typed errors, and nothing done.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    Cache, Error, ErrorKind, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, MAX_TTL, Result, SetOptions, Ttl,
};

use super::{assert_held, value};
use crate::probe::{LONG, Probe, ok};
use crate::{Fixture, Skipped, TestValue};

/// Asserts that a call was refused for one of its arguments.
pub(super) fn assert_invalid<T>(result: Result<T>, call: &str, argument: &str) {
    let error = result.err();
    let kind = error.as_ref().map(Error::kind);
    assert!(
        matches!(kind, Some(ErrorKind::InvalidInput { field, .. }) if field == argument),
        "{call} refuses its {argument}, was {kind:?}"
    );
    let named = error.as_ref().and_then(Error::operation);
    let expected = (argument != "namespace").then_some(call);
    assert_eq!(named, expected, "the error names the operation");
}

/// Every verb refuses an empty key and one that is too long.
pub async fn a_bad_key_is_invalid_input_for_every_verb<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = || F::Value::from_text("value");
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    for key in ["", &long] {
        assert_invalid(cache.get(key).await, "get", "key");
        assert_invalid(cache.set(key, v()).await, "set", "key");
        assert_invalid(cache.set_ex(key, v(), 1).await, "set_ex", "key");
        assert_invalid(cache.set_nx(key, v()).await, "set_nx", "key");
        let options = SetOptions::new();
        assert_invalid(cache.set_with(key, v(), options).await, "set_with", "key");
        assert_invalid(cache.get_and_set(key, v()).await, "get_and_set", "key");
        assert_invalid(cache.delete(key).await, "delete", "key");
        assert_invalid(cache.exists(key).await, "exists", "key");
        assert_invalid(cache.ttl(key).await, "ttl", "key");
        assert_invalid(cache.expiry(key).await, "expiry", "key");
        assert_invalid(cache.expire(key, 1).await, "expire", "key");
        assert_invalid(cache.expire(key, 0).await, "expire", "key");
        assert_invalid(cache.persist(key).await, "persist", "key");
    }
}

/// A bulk call with one bad key among its keys does nothing at all.
pub async fn a_bad_key_among_many_changes_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = |text: &str| F::Value::from_text(text);
    ok("set", cache.set("old", v("old"))).await;
    let pairs = [("new", v("new")), ("old", v("new")), ("", v("new"))];
    assert_invalid(cache.mset(pairs).await, "mset", "key");
    assert_invalid(cache.mdelete(&["old", ""]).await, "mdelete", "key");
    assert_invalid(cache.mget(&["old", ""]).await, "mget", "key");
    assert_eq!(value(&cache, "new").await, None, "nothing was written");
    assert_held(&cache, "old", ("old", None), "nothing was changed").await;
}

/// Zero, negative and over-long times to live are refused, and nothing is written.
pub async fn a_bad_time_to_live_is_invalid_input<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    let v = || F::Value::from_text("new");
    ok("set", cache.set("key", F::Value::from_text("old"))).await;
    let too_long = Ttl::from(MAX_TTL + Duration::from_millis(1));
    let zero = Ttl::from(Duration::ZERO);
    for ttl in [
        Ttl::from(0),
        Ttl::from(-1),
        zero,
        too_long,
        Ttl::from(u64::MAX),
    ] {
        assert_invalid(cache.set_ex("key", v(), ttl).await, "set_ex", "ttl");
        let options = SetOptions::new().ttl(ttl);
        assert_invalid(cache.set_with("key", v(), options).await, "set_with", "ttl");
    }
    assert_invalid(cache.expire("key", too_long).await, "expire", "ttl");
    assert_held(&cache, "key", ("old", None), "nothing was changed").await;
    ok("set_ex", cache.set_ex("key", v(), MAX_TTL)).await;
    let seconds = Some(MAX_TTL.as_secs());
    assert_held(&cache, "key", ("new", seconds), "the longest time is taken").await;
}

/// A default that is out of range fails the writes that use it and no others.
pub async fn a_bad_default_is_refused_by_the_builder<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let builder = || Cache::<F::Value>::builder(Arc::clone(probe.backend()));
    for ttl in [Ttl::from(0), Ttl::from(-1), Ttl::from(MAX_TTL + LONG)] {
        let refused = builder().default_ttl(ttl).build();
        let kind = refused.as_ref().err().map(Error::kind);
        let is_named =
            matches!(kind, Some(ErrorKind::InvalidInput { field, .. }) if field == "default_ttl");
        assert!(is_named, "the builder refuses {ttl:?}, was {kind:?}");
    }
}

/// The names of namespaces are short and plain.
pub async fn a_bad_namespace_is_invalid_input<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache: Cache<F::Value> = probe.cache();
    let long = "n".repeat(MAX_NAMESPACE_BYTES + 1);
    for name in [
        "", &long, "a:b", "a@b", "@", "a b", "*", "{a}", "é", "a/b", "\0",
    ] {
        assert_invalid(cache.namespace(name), "namespace", "namespace");
    }
}

/// A value that can never fit is `TooLarge` in every verb that writes.
pub async fn a_value_that_never_fits_is_too_large<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let (backend, large) = fixture.oversized().await.ok_or(Skipped::OVERSIZED)?;
    let cache = Probe::of(fixture, backend).cache();
    ok("set", cache.set("key", F::Value::from_text("old"))).await;
    let errors = [
        cache.set("key", large.clone()).await.err(),
        cache.set_ex("key", large.clone(), 100).await.err(),
        cache.set_nx("absent", large.clone()).await.err(),
        cache.get_and_set("key", large.clone()).await.err(),
        cache.mset([("key", large)]).await.err(),
    ];
    for error in errors {
        let kind = error.as_ref().map(Error::kind);
        let too_large = matches!(kind, Some(ErrorKind::TooLarge { .. }));
        assert!(
            too_large,
            "a value that never fits is TooLarge, was {kind:?}"
        );
    }
    assert_held(&cache, "key", ("old", None), "the old value stays").await;
    Ok(())
}
