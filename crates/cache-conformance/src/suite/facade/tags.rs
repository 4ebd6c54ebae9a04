//! Tags as the facade gives and ends them.

use std::convert::Infallible;
use std::sync::Arc;

use cache_core::{
    Cache, CacheBackend, Error, ErrorKind, Hit, Loaded, MAX_TAG_BYTES, MAX_TAGS, Result, SetOptions,
};

use super::errors::assert_invalid;
use super::{assert_held, value};
use crate::probe::{LONG, Probe, ok, text};
use crate::{Fixture, Skipped, TestValue};

/// Returns a cache over a backend that keeps tags.
async fn tagging<F: Fixture>(fixture: &F) -> Result<Cache<F::Value>, Skipped> {
    let probe = Probe::fresh(fixture).await;
    let has_tags = probe.backend().abilities().tags.is_some();
    has_tags.then(|| probe.cache()).ok_or(Skipped::TAGS)
}

async fn set_tagged<V: TestValue>(cache: &Cache<V>, key: &str, tags: &[&str]) {
    let options = SetOptions::new().tags(tags);
    let written = ok(
        "set_with",
        cache.set_with(key, V::from_text("value"), options),
    )
    .await;
    assert!(written, "a write with tags takes place (key {key:?})");
}

/// Asserts which keys have a value, of those that were written.
async fn assert_left<V: TestValue>(
    cache: &Cache<V>,
    written: &[&str],
    left: &[&str],
    promise: &str,
) {
    for key in written {
        let expected = left.contains(key).then_some("value");
        let seen = value(cache, key).await;
        assert_eq!(seen.as_deref(), expected, "{promise} (key {key:?})");
    }
}

/// Loads a value with tags.
async fn load_tagged<V: TestValue>(cache: &Cache<V>, key: &str, tags: &[&str]) {
    let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let load = async move |_| Ok::<_, Infallible>(Loaded::value(V::from_text("value")).tags(tags));
    let loaded = cache.entry(key).or_load(load).await;
    let loaded = loaded.expect("nothing fails").map(text);
    assert_eq!(loaded.as_deref(), Some("value"), "a load with tags");
}

/// `delete_by_tag` and `expire_by_tag` end all entries of a tag, written or loaded, and no others.
pub async fn a_tag_ends_all_its_entries_and_no_others<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let keys = ["a", "b", "both", "loaded", "plain"];
    for verb in ["delete_by_tag", "expire_by_tag"] {
        let cache = tagging(fixture).await?;
        set_tagged(&cache, "a", &["a"]).await;
        set_tagged(&cache, "b", &["b"]).await;
        set_tagged(&cache, "both", &["b", "a"]).await;
        load_tagged(&cache, "loaded", &["a"]).await;
        ok("set", cache.set("plain", F::Value::from_text("value"))).await;
        assert_left(&cache, &keys, &keys, "before any tag ends").await;
        for tag in ["no such tag", "plain"] {
            ok(verb, end(&cache, verb, tag)).await;
            assert_left(&cache, &keys, &keys, "a tag that no entry has").await;
        }
        ok(verb, end(&cache, verb, "a")).await;
        assert_left(&cache, &keys, &["b", "plain"], verb).await;
        set_tagged(&cache, "a", &["a"]).await;
        assert_left(&cache, &["a"], &["a"], "what is written afterwards stays").await;
    }
    Ok(())
}

async fn end<V: TestValue>(cache: &Cache<V>, verb: &str, tag: &str) -> Result<()> {
    match verb {
        "delete_by_tag" => cache.delete_by_tag(tag).await,
        _ => cache.expire_by_tag(tag).await,
    }
}

/// Values that are kept beyond their end outlive `expire_by_tag` and not `delete_by_tag`.
pub async fn a_kept_value_outlives_expire_by_tag_alone<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::fresh(fixture).await;
    probe.backend().abilities().tags.ok_or(Skipped::TAGS)?;
    let cache: Cache<F::Value> = Cache::builder(Arc::clone(probe.backend()))
        .default_ttl(LONG)
        .keep_stale(LONG)
        .build()
        .expect("good options");
    load_tagged(&cache, "key", &["tag"]).await;
    for (verb, kept) in [("expire_by_tag", true), ("delete_by_tag", false)] {
        ok(verb, end(&cache, verb, "tag")).await;
        assert_eq!(value(&cache, "key").await, None, "{verb} ends the value");
        let hit = ok("get_entry", cache.get_entry("key")).await;
        let is_stale = hit.as_ref().map(Hit::is_stale);
        assert_eq!(is_stale, kept.then_some(true), "what {verb} leaves");
    }
    Ok(())
}

/// The same name in two namespaces is two tags.
pub async fn tags_of_two_namespaces_never_meet<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let root = tagging(fixture).await?;
    let shop = root.namespace("shop").expect("a valid name");
    let inner = shop.namespace("shop").expect("a valid name");
    let caches = [root, shop, inner];
    for (number, ended) in caches.iter().enumerate() {
        for cache in &caches {
            set_tagged(cache, "key", &["tag", "@shop:tag"]).await;
        }
        ok("delete_by_tag", ended.delete_by_tag("tag")).await;
        for (at, cache) in caches.iter().enumerate() {
            let left: &[&str] = if at == number { &[] } else { &["key"] };
            let promise = format!("what cache {number} ends of cache {at}");
            assert_left(cache, &["key"], left, &promise).await;
        }
    }
    Ok(())
}

/// Names and numbers of tags have limits; beyond these nothing is written and nothing ends.
///
/// This holds on backends without tags, too.
pub async fn a_bad_tag_is_invalid_input_and_nothing_is_written<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let cache = probe.cache();
    ok("set", cache.set("old", F::Value::from_text("old"))).await;
    let long = "t".repeat(MAX_TAG_BYTES + 1);
    let many: Vec<String> = (0..=MAX_TAGS).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (longest, most) = (MAX_TAG_BYTES.to_string(), MAX_TAGS.to_string());
    let bad: [(&[&str], _, &str); 4] = [
        (&[""], "tag", "1 byte"),
        (&["good", &long], "tag", &longest),
        (&["good", ""], "tag", "1 byte"),
        (&many, "tags", &most),
    ];
    for (tags, field, limit) in bad {
        for key in ["old", "new"] {
            let options = SetOptions::new().tags(tags);
            let new = F::Value::from_text("new");
            let result = cache.set_with(key, new, options).await;
            assert_limit(&result, limit);
            assert_invalid(result, "set_with", field);
        }
    }
    for (tag, limit) in [("", "1 byte"), (&long, &longest)] {
        for verb in ["delete_by_tag", "expire_by_tag"] {
            let result = end(&cache, verb, tag).await;
            assert_limit(&result, limit);
            assert_invalid(result, verb, "tag");
        }
    }
    assert_eq!(value(&cache, "new").await, None, "nothing was written");
    assert_held(&cache, "old", ("old", None), "nothing was changed").await;
}

/// Asserts that a call failed with an error that names a limit.
fn assert_limit<T>(result: &Result<T>, limit: &str) {
    let message = result.as_ref().err().map(ToString::to_string);
    let names_it = message.as_ref().is_some_and(|text| text.contains(limit));
    assert!(
        names_it,
        "the error names the limit of {limit}: {message:?}"
    );
}

/// Tags are taken up to their limits, and a repeated one counts once.
pub async fn the_longest_and_the_most_tags_are_taken<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let cache = tagging(fixture).await?;
    let long = "@".repeat(MAX_TAG_BYTES);
    let mut tags: Vec<String> = (1..MAX_TAGS).map(|number| number.to_string()).collect();
    tags.push(long.clone());
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let repeated = [&tags[..], &tags].concat();
    for tag in ["1", &long] {
        set_tagged(&cache, "key", &repeated).await;
        assert_left(&cache, &["key"], &["key"], "the most tags").await;
        ok("delete_by_tag", cache.delete_by_tag(tag)).await;
        assert_left(&cache, &["key"], &[], "any of its tags ends an entry").await;
    }
    Ok(())
}

/// A value whose tag is deleted while it is loaded is served, and not stored.
pub async fn a_value_whose_tag_is_deleted_during_the_load_is_not_stored<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let cache = tagging(fixture).await?;
    for verb in ["delete_by_tag", "expire_by_tag"] {
        let within = cache.clone();
        let load = async move |_| {
            ok(verb, end(&within, verb, "tag")).await;
            Ok::<_, Infallible>(Loaded::value(F::Value::from_text("old")).tags(["tag"]))
        };
        let loaded = cache.entry("key").or_load(load).await;
        let loaded = loaded.expect("nothing fails").map(text);
        assert_eq!(loaded.as_deref(), Some("old"), "{verb}: it is served");
        assert_eq!(value(&cache, "key").await, None, "{verb}: it is not stored");
    }
    load_tagged(&cache, "key", &["tag"]).await;
    assert_left(&cache, &["key"], &["key"], "the next load is stored").await;
    Ok(())
}

/// A backend without tags refuses what has to do with them, writes nothing, and does all else.
pub async fn a_backend_without_tags_refuses_them_and_does_all_else<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    if probe.backend().abilities().tags.is_some() {
        return;
    }
    let cache = probe.cache();
    let v = || F::Value::from_text("value");
    let options = SetOptions::new().tags(&["tag"]);
    let refused = [
        cache.set_with("key", v(), options).await.err(),
        cache.delete_by_tag("tag").await.err(),
        cache.expire_by_tag("tag").await.err(),
    ];
    let tagged = Loaded::value(v()).tags(["tag"]);
    let load = async move |_| Ok::<_, Infallible>(tagged);
    let loaded = cache.entry("key").or_load(load).await;
    let failed = loaded.err().and_then(|error| error.cache().cloned());
    for error in refused.into_iter().chain([failed]) {
        let kind = error.as_ref().map(Error::kind);
        let unsupported = matches!(kind, Some(ErrorKind::Unsupported { .. }));
        assert!(unsupported, "tags are Unsupported, was {kind:?}");
    }
    assert_eq!(value(&cache, "key").await, None, "nothing was written");
    let none = SetOptions::new().tags(&[]);
    ok("set_with", cache.set_with("written", v(), none)).await;
    load_tagged(&cache, "loaded", &[]).await;
    let keys = ["written", "loaded"];
    assert_left(&cache, &keys, &keys, "all else works").await;
}
