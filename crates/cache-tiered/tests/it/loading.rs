//! Loads of caches that were built one by one over the same tiers.

use std::sync::Arc;

use cache_core::Cache;
use cache_tiered::{TieredBackend, TieredConfig};
use tokio::sync::oneshot;

use super::{BOUND, Fleet, local, some};

/// Deletes a key by one cache while another loads it, and returns what the two find afterwards.
async fn found_after(loads: Cache<String>, deletes: Cache<String>) -> [Option<String>; 2] {
    let (begun, has_begun) = oneshot::channel();
    let (go, may_go) = oneshot::channel::<()>();
    let loading = tokio::spawn({
        let loads = loads.clone();
        async move {
            let load = async || {
                begun.send(()).expect("it is waited for");
                may_go.await.expect("it is let go");
                "old".to_owned()
            };
            loads.get_or_insert_with("key", load).await
        }
    });
    has_begun.await.expect("it is loaded");
    deletes.delete("key").await.expect("the store answers");
    go.send(()).expect("it waits");
    let loaded = loading.await.expect("no panic").expect("no error");
    assert_eq!(loaded, "old");
    let key = "key";
    [loads.get(key).await, deletes.get(key).await].map(|found| found.expect("the store answers"))
}

#[tokio::test(start_paused = true)]
async fn what_one_cache_deletes_another_over_the_same_tiers_does_not_bring_back() {
    let fleet = Fleet::new();
    let node = fleet.node().await;
    let cache = || Cache::new(Arc::clone(&node.tiered));
    assert_eq!(found_after(cache(), cache()).await, [None, None]);
    node.set("key", "new").await;
    assert_eq!(node.get("key").await, some("new"));
}

#[tokio::test(start_paused = true)]
async fn what_a_cache_over_the_second_tier_deletes_a_load_of_the_tiers_does_not_bring_back() {
    let fleet = Fleet::new();
    let store = Arc::clone(&fleet.store);
    let config = TieredConfig::without_bus(BOUND).clock(fleet.clock.clone());
    let tiers = || TieredBackend::new(local(&fleet.clock), Arc::clone(&store), config.clone());
    let cache = || Cache::new(tiers().expect("the options are right"));
    let of_store = || Cache::new(Arc::clone(&store));
    assert_eq!(found_after(cache(), of_store()).await, [None, None]);
    assert_eq!(found_after(of_store(), cache()).await, [None, None]);
    assert_eq!(found_after(cache(), cache()).await, [None, None]);
}
