//! The facade over the backend: what a user of [`Cache`] sees.
//!
//! The facade adds to the contract: defaults, limits, namespaces and counters. These tests show
//! that they come out right on this backend.

pub mod counting;
pub mod defaults;
pub mod errors;
pub mod idle;
pub mod keys;
pub mod locks;
pub mod many;
pub mod stats;
pub mod tags;
pub mod times;

use cache_core::{Cache, Expiry};

use crate::TestValue;
use crate::probe::{ok, text};

/// Returns the value that `key` has in a cache.
async fn value<V: TestValue>(cache: &Cache<V>, key: &str) -> Option<String> {
    ok("get", cache.get(key)).await.map(text)
}

/// Asserts that a cache holds a value, with a remaining time that rounds to `seconds`.
async fn assert_held<V: TestValue>(
    cache: &Cache<V>,
    key: &str,
    expected: (&str, Option<u64>),
    promise: &str,
) {
    let (expected, seconds) = expected;
    let seen = value(cache, key).await;
    assert_eq!(
        seen.as_deref(),
        Some(expected),
        "{promise} (value of {key:?})"
    );
    let left = ok("expiry", cache.expiry(key)).await;
    let ttl = ok("ttl", cache.ttl(key)).await;
    let Some(seconds) = seconds else {
        assert_eq!(left, Some(Expiry::Never), "{promise} (expiry of {key:?})");
        assert_eq!(ttl, None, "{promise} (ttl of {key:?})");
        return;
    };
    // Where time really passes, a few seconds may have.
    let close = |ttl: u64| ttl <= seconds && ttl + 10 >= seconds;
    assert!(
        ttl.is_some_and(close),
        "{promise} (ttl of {key:?} was {ttl:?})"
    );
}
