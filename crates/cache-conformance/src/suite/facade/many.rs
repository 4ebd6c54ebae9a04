//! Many keys at once, as the facade writes and walks through them.

use std::collections::BTreeMap;

use cache_core::{CacheBackend, SetOptions};
use futures_util::TryStreamExt;

use super::errors::assert_invalid;
use super::{assert_held, value};
use crate::probe::{Probe, ok, text};
use crate::{Fixture, Skipped, TestValue};

fn pairs<V: TestValue>(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, V)> {
    let pair = |(key, value): &(&'static str, &str)| (*key, V::from_text(value));
    pairs.iter().map(pair).collect()
}

/// `mset_with` gives all pairs its time to live, and of a repeated key the last one stays.
pub async fn mset_with_gives_a_time_to_live<F: Fixture>(fixture: &F) {
    let cache = Probe::fresh(fixture).await.cache();
    ok("set", cache.set("old", F::Value::from_text("v"))).await;
    let entries = pairs::<F::Value>(&[("new", "a"), ("old", "b"), ("new", "c")]);
    let options = SetOptions::new().ttl(60);
    let written = ok("mset_with", cache.mset_with(entries, options)).await;
    assert_eq!(written, 2, "a repeated key counts once");
    let promise = "mset_with gives its time to live";
    assert_held(&cache, "new", ("c", Some(60)), promise).await;
    assert_held(&cache, "old", ("b", Some(60)), promise).await;
}

/// `mset_with` writes the pairs for which its condition holds, and counts them.
pub async fn mset_with_counts_what_its_condition_lets_through<F: Fixture>(fixture: &F) {
    let cache = Probe::fresh(fixture).await.cache();
    ok("set", cache.set("old", F::Value::from_text("v"))).await;
    let entries = || pairs::<F::Value>(&[("new", "a"), ("old", "b"), ("new", "c")]);
    let absent = SetOptions::new().if_absent();
    let written = ok("mset_with", cache.mset_with(entries(), absent)).await;
    assert_eq!(written, 1, "one key was absent");
    assert_held(&cache, "new", ("c", None), "the last pair of a key").await;
    assert_held(&cache, "old", ("v", None), "a present key stays").await;
    let present = SetOptions::new().if_present().ttl(60);
    let written = ok("mset_with", cache.mset_with(entries(), present)).await;
    assert_eq!(written, 2, "both keys are present");
    assert_held(&cache, "old", ("b", Some(60)), "a present key is written").await;
}

/// `mset_with` gives all pairs its tags.
pub async fn mset_with_gives_tags<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    probe.backend().abilities().tags.ok_or(Skipped::TAGS)?;
    let cache = probe.cache();
    let entries = pairs::<F::Value>(&[("a", "1"), ("b", "2")]);
    let options = SetOptions::new().tags(&["team", "page"]);
    assert_eq!(ok("mset_with", cache.mset_with(entries, options)).await, 2);
    ok("set", cache.set("c", F::Value::from_text("3"))).await;
    ok("delete_by_tag", cache.delete_by_tag("page")).await;
    for (key, expected) in [("a", None), ("b", None), ("c", Some("3"))] {
        let found = value(&cache, key).await;
        assert_eq!(found.as_deref(), expected, "mset_with gives its tags");
    }
    Ok(())
}

/// `mset_with` writes nothing if one of its arguments is bad.
pub async fn mset_with_checks_all_before_it_writes<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    ok("set", cache.set("old", F::Value::from_text("v"))).await;
    let (_, version) = probe.versioned("old").await;
    let version = version.expect("a present key has a version");
    let entries = || pairs::<F::Value>(&[("new", "a"), ("old", "b")]);
    let of_one = SetOptions::new().if_version(&version);
    assert_invalid(
        cache.mset_with(entries(), of_one).await,
        "mset_with",
        "version",
    );
    let bad = SetOptions::new().if_present().ttl(0);
    assert_invalid(cache.mset_with(entries(), bad).await, "mset_with", "ttl");
    let bad = pairs::<F::Value>(&[("old", "b"), ("", "c")]);
    let present = SetOptions::new().if_present();
    assert_invalid(cache.mset_with(bad, present).await, "mset_with", "key");
    assert_eq!(value(&cache, "new").await, None, "nothing was written");
    assert_held(&cache, "old", ("v", None), "nothing was changed").await;
}

/// `scan_entries` returns the entries of its prefix and namespace, each with its value.
pub async fn scan_entries_returns_keys_with_their_values<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let (cache, inner) = (probe.cache(), probe.cache().namespace("inner"));
    let inner = inner.expect("a good name");
    let mut expected = BTreeMap::new();
    for number in 0..700 {
        expected.insert(format!("user:{number}*"), number.to_string());
    }
    let entries = expected
        .iter()
        .map(|(key, value)| (key, F::Value::from_text(value)));
    for cache in [&cache, &inner] {
        ok("mset", cache.mset(entries.clone())).await;
    }
    ok("set", cache.set("users", F::Value::from_text("other"))).await;
    let found: Vec<(String, F::Value)> =
        ok("scan_entries", inner.scan_entries("user:").try_collect()).await;
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect();
    assert_eq!(
        found, expected,
        "scan_entries returns keys with their values"
    );
    Ok(())
}

/// `retain` deletes the entries of its namespace that are refused, and no others.
pub async fn retain_deletes_what_is_refused_in_its_namespace_alone<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let (cache, inner) = (probe.cache(), probe.cache().namespace("inner"));
    let inner = inner.expect("a good name");
    let value = |number: u32| F::Value::from_text(&number.to_string());
    let entries = |count| (0..count).map(move |number| (format!("user:{number}*"), value(number)));
    ok("mset", cache.mset(entries(10))).await;
    ok("mset", inner.mset(entries(700))).await;
    let mut asked = BTreeMap::new();
    let keep = |key: &str, value: &F::Value| {
        asked.insert(key.to_string(), text(value.clone()));
        !text(value.clone()).ends_with('7')
    };
    let promise = "retain deletes what is refused";
    assert_eq!(ok("retain", inner.retain(keep)).await, 70, "{promise}");
    let all = entries(700).map(|(key, value)| (key, text(value)));
    assert!(
        asked.into_iter().eq(all.collect::<BTreeMap<_, _>>()),
        "retain asks about each entry"
    );
    let left = ok("keys", inner.keys()).await;
    assert_eq!(left.len(), 630, "{promise}");
    assert!(!left.iter().any(|key| key.ends_with("7*")), "{promise}");
    assert_eq!(
        ok("keys", cache.keys()).await.len(),
        10,
        "{promise} in its namespace alone"
    );
    Ok(())
}
