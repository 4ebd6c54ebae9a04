//! What the tiers count, as a user of the facade sees it.

use std::sync::Arc;

use cache_core::{Cache, CacheBackend, Permit};

use super::{BOUND, Fleet, settle, some};

#[tokio::test(start_paused = true)]
async fn hits_are_told_by_tier() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let cache: Cache<String> = Cache::new(Arc::clone(&node.tiered));
    cache.set("key", "value").await.unwrap();
    for _ in 0..4 {
        assert_eq!(cache.get("key").await.unwrap(), some("value"));
    }
    cache.get("absent").await.unwrap();
    let stats = cache.stats();
    assert_eq!(stats.hits_by_tier(), Some((3, 1)));
    assert_eq!((stats.hits, stats.misses), (4, 1));
    let tiers = stats.backend.tiers.unwrap();
    assert_eq!((tiers.l2_misses, tiers.promotions), (1, 1));
    assert_eq!(tiers.l1_entries, Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_state_of_the_lease_and_the_age_of_the_last_news_are_told() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let stats = node.stats();
    assert_eq!(stats.permit, Permit::Held);
    assert!(stats.behind.is_some_and(|behind| behind < BOUND / 4));
    let without = cache_tiered::TieredConfig::without_bus(BOUND);
    let stats = fleet.node_with(without).await.stats();
    assert_eq!((stats.permit, stats.behind), (Permit::Unneeded, None));
}

#[tokio::test(start_paused = true)]
async fn messages_and_flushes_are_counted() {
    let fleet = Fleet::new();
    let (one, other) = (fleet.node().await, fleet.node().await);
    one.set("a", "1").await;
    one.tiered.delete_many(&["a", "b"]).await.unwrap();
    settle().await;
    assert_eq!(other.stats().messages, 3);
    assert_eq!(other.stats().flushes, 1, "when it began to listen");
}

#[tokio::test(start_paused = true)]
async fn debug_output_shows_no_keys_and_no_values() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    node.set("secret key", "secret value").await;
    node.get("secret key").await;
    let shown = format!("{:?} {:?}", node.tiered, node.stats());
    assert!(!shown.contains("secret"), "{shown}");
}
