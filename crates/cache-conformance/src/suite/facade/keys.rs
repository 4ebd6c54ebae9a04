//! Keys, namespaces and what covers them.

use cache_core::{Cache, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES};
use futures_util::future::join_all;

use super::value;
use crate::probe::{Probe, ok};
use crate::suite::values::HOSTILE_KEYS;
use crate::{Fixture, Skipped, TestValue};

/// Keys that a careless join of namespace and key would carry into another namespace.
const JOINED: [&str; 8] = [
    "a:key",
    ":key",
    "@a:key",
    "@@a:key",
    "@a:@b:key",
    "@a",
    "@@",
    "@:",
];

/// The root and some namespaces, with the text that stands for each.
fn spaces<V: TestValue>(root: &Cache<V>) -> Vec<(String, Cache<V>)> {
    let mut spaces = vec![("root".to_owned(), root.clone())];
    for path in ["a", "a/b", "b", "b/a", "A", "ab", "a.b", "a/a"] {
        let cache = path.split('/').fold(root.clone(), |cache, name| {
            cache.namespace(name).expect("the suite uses valid names")
        });
        spaces.push((path.to_owned(), cache));
    }
    spaces
}

/// No key reaches another key or namespace, whatever characters it holds.
pub async fn hostile_keys_and_namespaces_never_meet<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let spaces = spaces(&probe.cache());
    let keys = || HOSTILE_KEYS.iter().chain(&JOINED);
    for (path, cache) in &spaces {
        for key in keys() {
            assert_eq!(
                value(cache, key).await,
                None,
                "{key:?} in {path:?} is absent"
            );
            let new = F::Value::from_text(&format!("{path} {key}"));
            ok("set", cache.set(key, new)).await;
        }
    }
    for (path, cache) in &spaces {
        for key in keys() {
            let seen = value(cache, key).await;
            assert_eq!(seen, Some(format!("{path} {key}")), "{key:?} in {path:?}");
        }
        if probe.can_scan() {
            let mut expected: Vec<&str> = keys().copied().collect();
            expected.sort_unstable();
            let listed = ok("keys", cache.keys()).await;
            assert_eq!(listed, expected, "the keys of {path:?}");
        }
    }
}

/// `keys` are sorted and each is there once, however often it was written.
pub async fn keys_are_sorted_and_without_duplicates<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let cache = probe.cache();
    let mut expected: Vec<String> = (0..700).map(|number| format!("key {number}")).collect();
    for key in expected.iter().rev().chain(expected.iter().step_by(3)) {
        ok("set", cache.set(key, F::Value::from_text("value"))).await;
    }
    expected.sort_unstable();
    let keys = ok("keys", cache.keys()).await;
    assert_eq!(keys, expected, "all keys, sorted, each once");
    Ok(())
}

/// `keys_with_prefix` takes the prefix literally.
pub async fn a_prefix_is_taken_literally<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    for (path, cache) in spaces(&probe.cache()) {
        let value = || F::Value::from_text("value");
        let set = |key| ok("set", cache.set(key, value()));
        join_all(HOSTILE_KEYS.map(set)).await;
        let prefixes = HOSTILE_KEYS.iter().chain(&["", "k", "[a", "no such *"]);
        let list = |prefix| ok("keys_with_prefix", cache.keys_with_prefix(prefix));
        let listed = join_all(prefixes.clone().map(list)).await;
        for (prefix, listed) in prefixes.zip(listed) {
            let mut expected: Vec<&str> = HOSTILE_KEYS.to_vec();
            expected.retain(|key| key.starts_with(prefix));
            expected.sort_unstable();
            assert_eq!(
                listed, expected,
                "keys of {path:?} that start with {prefix:?}"
            );
        }
    }
    Ok(())
}

/// `clear` counts what it deletes, in its own namespace alone.
pub async fn clear_counts_exactly_and_touches_its_own_namespace_only<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let spaces = spaces(&probe.cache());
    for (path, cache) in &spaces {
        for key in JOINED {
            let new = F::Value::from_text(&format!("{path} {key}"));
            ok("set", cache.set(key, new)).await;
        }
    }
    for (number, (path, cache)) in spaces.iter().enumerate() {
        let cleared = ok("clear", cache.clear()).await;
        assert_eq!(
            cleared,
            JOINED.len() as u64,
            "clear of {path:?} counts exactly"
        );
        for (at, (other, cache)) in spaces.iter().enumerate() {
            let left = ok("keys", cache.keys()).await.len();
            let expected = if at <= number { 0 } else { JOINED.len() };
            assert_eq!(left, expected, "clear of {path:?} and {other:?}");
        }
        assert_eq!(ok("clear", cache.clear()).await, 0, "{path:?} is empty now");
    }
    Ok(())
}

/// Keys and names of namespaces are taken up to their limits.
pub async fn the_longest_key_and_namespace_are_taken<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let name = "n".repeat(MAX_NAMESPACE_BYTES);
    let root = probe.cache();
    let deep = root.namespace(&name).expect("64 bytes are allowed");
    let deep = deep.namespace(&name).expect("64 bytes are allowed");
    let key = "@".repeat(MAX_KEY_BYTES);
    for (cache, text) in [(&root, "root"), (&deep, "deep")] {
        ok("set", cache.set(&key, F::Value::from_text(text))).await;
    }
    for (cache, text) in [(&root, "root"), (&deep, "deep")] {
        let seen = value(cache, &key).await;
        assert_eq!(seen.as_deref(), Some(text), "the longest key");
        assert!(ok("delete", cache.delete(&key)).await, "the longest key");
    }
}
