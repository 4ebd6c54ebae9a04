//! Read and write in one step: `update`, `take`, `get_ex` and writes over a version.

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, Clock, ErrorKind, ManualClock, SetOptions, Ttl};
use cache_local::{LocalBackend, LocalConfig};
use futures_util::FutureExt;
use tokio::task::JoinSet;

fn cache() -> (Cache<u64>, ManualClock) {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new().clock(clock.clone());
    let backend = LocalBackend::new(config).unwrap();
    let cache = Cache::builder(backend).clock(clock).default_ttl(60);
    (cache.build().expect("good options"), hand)
}

fn one_more(count: Option<&u64>) -> u64 {
    count.unwrap_or(&0) + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_thousand_concurrent_updates_count_eight_thousand() {
    let (cache, _) = cache();
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let cache = cache.clone();
        tasks.spawn(async move {
            for _ in 0..125 {
                cache.update("count", one_more).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(cache.get("count").await.unwrap(), Some(8_000));
}

#[tokio::test]
async fn an_update_keeps_the_time_that_an_entry_has_left_and_gives_a_new_one_the_default() {
    let (cache, hand) = cache();
    let first = cache.update("key", one_more).await.unwrap();
    assert_eq!((first.old, first.new), (None, Some(1)));
    assert_eq!(cache.ttl("key").await.unwrap(), Some(60));
    for count in 2..=59 {
        hand.advance(Duration::from_secs(1));
        let next = cache.update("key", one_more).await.unwrap();
        assert_eq!((next.old, next.new), (Some(count - 1), Some(count)));
    }
    assert_eq!(cache.ttl("key").await.unwrap(), Some(2));
    hand.advance(Duration::from_secs(2));
    let after = cache.update("key", one_more).await.unwrap();
    assert_eq!((after.old, after.new), (None, Some(1)));
}

#[tokio::test]
async fn an_update_with_options_gives_its_own_time_and_tags() {
    let (cache, _) = cache();
    let old = SetOptions::new().ttl(5).tags(&["old"]);
    cache.set_with("key", 1u64, old).await.unwrap();
    let new = SetOptions::new().ttl(500).tags(&["new"]);
    cache.update_with("key", new, one_more).await.unwrap();
    assert_eq!(cache.ttl("key").await.unwrap(), Some(500));
    cache.delete_by_tag("old").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), Some(2));
    cache.delete_by_tag("new").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn an_update_keeps_the_tags_of_an_entry_in_a_namespace_too() {
    let (cache, _) = cache();
    let cache = cache.namespace("users").unwrap();
    let team = SetOptions::new().tags(&["team:7"]);
    cache.set_with("key", 1u64, team).await.unwrap();
    cache.update("key", one_more).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), Some(2));
    cache.delete_by_tag("team:7").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn an_update_to_nothing_removes_the_key_and_of_nothing_to_nothing_does_nothing() {
    let (cache, _) = cache();
    cache.set("key", 7u64).await.unwrap();
    let removed = cache.update("key", |_| None).await.unwrap();
    assert_eq!((removed.old, removed.new), (Some(7), None));
    let nothing = cache.update("key", |_| None).await.unwrap();
    assert_eq!((nothing.old, nothing.new), (None, None));
    let stats = cache.stats();
    assert_eq!((stats.sets, stats.deletes), (1, 1));
}

#[tokio::test]
async fn an_update_has_a_condition_of_its_own_and_takes_no_other() {
    let (cache, _) = cache();
    let present = SetOptions::new().if_present();
    let refused = cache.update_with("key", present, one_more).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("condition is given to an update"), "{text}");
}

#[tokio::test]
async fn an_update_that_loses_every_race_is_a_conflict() {
    let (cache, _) = cache();
    let other = cache.clone();
    let mut calls = 0u64;
    let update = cache.update("key", |count| {
        calls += 1;
        // Somebody writes between the read and the write, each time.
        let written = other.set("key", calls).now_or_never();
        written.unwrap().unwrap();
        one_more(count)
    });
    let error = update.await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Conflict);
    assert_eq!(error.operation(), Some("update"));
    assert_eq!((calls, cache.get("key").await.unwrap()), (128, Some(128)));
}

#[tokio::test]
async fn an_outage_is_an_error_of_each_verb_and_no_miss() {
    let backend = Arc::new(FaultyBackend::new(LocalBackend::<u64>::default()));
    let cache: Cache<u64> = Cache::new(Arc::clone(&backend));
    cache.set("key", 1u64).await.unwrap();
    backend.every(1, Fault::Fail(ErrorKind::Unavailable));
    let errors = [
        cache.update("key", one_more).await.unwrap_err(),
        cache.take("key").await.unwrap_err(),
        cache.get_ex("key", 5).await.unwrap_err(),
        cache.get_versioned("key").await.unwrap_err(),
    ];
    let operations = errors.map(|error| error.operation().unwrap());
    let expected = ["update", "take", "get_ex", "get_versioned"];
    assert_eq!(operations, expected);
    backend.every(1, Fault::Yield);
    assert_eq!(cache.get("key").await.unwrap(), Some(1));
}

#[tokio::test]
async fn get_ex_extends_removes_and_ends_a_time_to_live() {
    let (cache, hand) = cache();
    cache.set_ex("key", 7u64, 10).await.unwrap();
    hand.advance(Duration::from_secs(9));
    assert_eq!(cache.get_ex("key", 10).await.unwrap(), Some(7));
    hand.advance(Duration::from_secs(9));
    assert_eq!(cache.get_ex("key", Ttl::NEVER).await.unwrap(), Some(7));
    assert_eq!(cache.ttl("key").await.unwrap(), None);
    assert_eq!(cache.get_ex("key", 0).await.unwrap(), Some(7));
    assert!(!cache.exists("key").await.unwrap());
    assert_eq!(cache.get_ex("key", 10).await.unwrap(), None);
}

#[tokio::test]
async fn a_value_is_taken_once_and_counts_as_read_and_as_deleted() {
    let (cache, _) = cache();
    cache.set("key", 7u64).await.unwrap();
    assert_eq!(cache.take("key").await.unwrap(), Some(7));
    assert_eq!(cache.take("key").await.unwrap(), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.deletes), (1, 1, 1));
}

#[cfg(feature = "json")]
#[tokio::test]
async fn what_cannot_be_read_is_replaced_by_an_update() {
    use cache_core::{BackendWrite, CacheBackend, Condition, EncodedBackend, Expiry, JsonCodec};

    let store = Arc::new(LocalBackend::default());
    let cache: Cache<u64> = Cache::new(EncodedBackend::new(Arc::clone(&store), JsonCodec::new()));
    let always = BackendWrite::new(Expiry::Never, Condition::Always);
    store.set("key", "no number".into(), always).await.unwrap();
    let updated = cache.update("key", one_more).await.unwrap();
    assert_eq!((updated.old, updated.new), (None, Some(1)));
    assert_eq!(cache.get("key").await.unwrap(), Some(1));
}

#[tokio::test]
async fn nothing_that_is_shown_of_a_version_or_an_update_is_a_value() {
    let (cache, _) = cache();
    cache.set("key", 4_711u64).await.unwrap();
    let (value, version) = cache.get_versioned("key").await.unwrap();
    assert_eq!(value, Some(4_711));
    let bytes = cache_core::Version::from_bytes("4711");
    let updated = cache.update("key", |_| 4_711u64).await.unwrap();
    let shown = format!("{version:?} {bytes:?} {updated:?}");
    assert!(!shown.contains("4711"), "{shown}");
}

#[tokio::test]
async fn retain_leaves_what_was_written_while_it_asked() {
    let (cache, _) = cache();
    cache.mset(vec![("a", 1_u64), ("b", 2)]).await.unwrap();
    let writer = cache.clone();
    let deleted = cache.retain(move |_, _| {
        writer.set("b", 3_u64).now_or_never().unwrap().unwrap();
        false
    });
    assert_eq!(deleted.await.unwrap(), 1);
    assert_eq!(cache.get("a").await.unwrap(), None);
    assert_eq!(cache.get("b").await.unwrap(), Some(3));
    assert_eq!(cache.stats().deletes, 1);
}
