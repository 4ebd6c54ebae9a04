//! What becomes of entries of which a tag was invalidated: absent at once, freed soon.

use std::time::Duration;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry, TagTicket, Tagging, Tags};
use cache_local::LocalConfig;

use crate::{Rig, SOON, eventually};

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

fn tags(rig: &Rig<u32>) -> &dyn Tags<u32> {
    CacheBackend::abilities(&*rig.backend).tags.unwrap()
}

/// Fills in entries that never expire: `live` without a tag, `dead` with one that is invalid then.
async fn with_dead(rig: &Rig<u32>, live: u32, dead: u32) {
    for number in 0..dead {
        let (key, tagging) = (format!("dead:{number}"), Tagging::new(&["tag"], None));
        assert!(tags(rig).set(&key, 0, ALWAYS, tagging).await.unwrap());
    }
    for number in 0..live {
        rig.cache.set(format!("live:{number}"), 1u32).await.unwrap();
    }
    tags(rig).invalidate(&["tag"]).await.unwrap();
}

async fn alive(rig: &Rig<u32>, live: u32) -> u32 {
    let mut alive = 0;
    for number in 0..live {
        let found = rig.cache.get(&format!("live:{number}")).await.unwrap();
        alive += found.unwrap_or_default();
    }
    alive
}

#[tokio::test]
async fn a_sweep_frees_entries_of_which_a_tag_was_invalidated() {
    let rig = Rig::new(LocalConfig::new().cleanup_interval(Duration::ZERO));
    with_dead(&rig, 100, 2_000).await;
    assert_eq!(rig.entries(), 2_100);
    assert_eq!(rig.backend.sweep(), 2_000);
    assert_eq!((rig.entries(), alive(&rig, 100).await), (100, 100));
    assert_eq!(rig.backend.sweep(), 0);
    // Once more, with entries in the slots that have become free.
    with_dead(&rig, 0, 500).await;
    assert_eq!(rig.backend.sweep(), 500);
}

#[tokio::test]
async fn the_background_thread_frees_entries_of_which_a_tag_was_invalidated() {
    let rig = Rig::new(LocalConfig::new().cleanup_interval(SOON));
    with_dead(&rig, 1, 2_000).await;
    eventually(|| rig.entries() == 1);
    // Once more, with entries in the slots that have become free.
    with_dead(&rig, 0, 500).await;
    eventually(|| rig.entries() == 1);
    assert_eq!(alive(&rig, 1).await, 1);
}

#[tokio::test]
async fn entries_of_which_a_tag_was_invalidated_are_evicted_before_all_others() {
    let config = LocalConfig::new().max_entries(100).shards(1);
    let rig = Rig::new(config.cleanup_interval(Duration::ZERO));
    with_dead(&rig, 50, 50).await;
    for number in 50..100 {
        rig.cache.set(format!("live:{number}"), 1u32).await.unwrap();
        assert!(rig.entries() <= 100);
    }
    assert_eq!(alive(&rig, 100).await, 100);
    assert_eq!(rig.cache.stats().backend.evicted_for_capacity, 0);
}

#[tokio::test]
async fn few_others_are_evicted_before_the_dead_entries_of_a_large_shard_are_found() {
    let config = LocalConfig::new().max_entries(1_000).shards(1);
    let rig = Rig::new(config.cleanup_interval(Duration::ZERO));
    for number in 0..500 {
        rig.cache.set(format!("live:{number}"), 1u32).await.unwrap();
    }
    with_dead(&rig, 0, 500).await;
    for number in 500..1_000 {
        rig.cache.set(format!("live:{number}"), 1u32).await.unwrap();
    }
    // Each write that evicts looks at 64 slots, and the dead ones are behind 500.
    let evicted = rig.cache.stats().backend.evicted_for_capacity;
    assert!(evicted <= 8, "{evicted}");
    assert_eq!(u64::from(alive(&rig, 1_000).await), 1_000 - evicted);
    assert_eq!(rig.backend.sweep(), evicted);
}

#[tokio::test]
async fn a_value_that_is_older_than_an_invalidation_leaves_nothing_behind() {
    let rig = Rig::new(LocalConfig::new().cleanup_interval(Duration::ZERO));
    let ticket = tags(&rig).ticket().await.unwrap();
    with_dead(&rig, 0, 1).await;
    assert_eq!(rig.backend.sweep(), 1);
    rig.cache.set("key", 1u32).await.unwrap();
    for _ in 0..2 {
        let tagging = Tagging::new(&["tag"], Some(&ticket));
        assert!(tags(&rig).set("key", 2, ALWAYS, tagging).await.unwrap());
        assert_eq!(rig.cache.get("key").await.unwrap(), None);
        assert_eq!((rig.entries(), rig.weight()), (0, 0));
    }
}

#[tokio::test]
async fn a_ticket_of_another_backend_is_none() {
    let other = Rig::new(LocalConfig::new());
    for _ in 0..5 {
        tags(&other).invalidate(&["tag"]).await.unwrap();
    }
    let foreign = tags(&other).ticket().await.unwrap();
    let cut = TagTicket::new(foreign.as_bytes()[..8].to_vec());
    for ticket in [foreign, cut] {
        let rig = Rig::new(LocalConfig::new());
        let set = async || {
            let tagging = Tagging::new(&["tag"], Some(&ticket));
            assert!(tags(&rig).set("key", 1, ALWAYS, tagging).await.unwrap());
            rig.cache.get("key").await.unwrap()
        };
        assert_eq!(set().await, Some(1));
        // The invalidations that the other backend has counted are none of this one.
        tags(&rig).invalidate(&["tag"]).await.unwrap();
        assert_eq!(rig.cache.get("key").await.unwrap(), None);
        // It is not known that the ticket was taken after this invalidation.
        assert_eq!(set().await, None);
    }
}
