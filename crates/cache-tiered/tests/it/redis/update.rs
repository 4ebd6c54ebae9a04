//! Updates of one key by the caches of several processes, each with a memory of its own.

use std::sync::Arc;

use cache_core::{Cache, Layer};
use cache_testbed::{Flavor, Server};
use tokio::task::JoinSet;

use crate::redis::connect;

fn one_more(count: Option<&String>) -> String {
    let count = count.map_or(0, |count| count.parse::<u64>().expect("a number"));
    (count + 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_thousand_concurrent_updates_over_two_memories_count_eight_thousand() {
    let server = Server::builder(Flavor::Redis7).start();
    let caches = [connect(&server).await, connect(&server).await];
    let caches = caches.map(Cache::<String>::new);
    let mut tasks = JoinSet::new();
    for task in 0..64 {
        let cache = caches[task % 2].clone();
        tasks.spawn(async move {
            for _ in 0..125 {
                cache.update("count", one_more).await.unwrap();
                // What memory keeps must not be what the next update starts from.
                cache.get("count").await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let (count, _) = caches[0].get_versioned("count").await.unwrap();
    assert_eq!(count.as_deref(), Some("8000"));
}

#[tokio::test]
async fn an_update_asks_the_truth_and_a_hit_in_memory_has_no_version() {
    let server = Server::builder(Flavor::Redis7).start();
    let (ours, theirs) = (connect(&server).await, connect(&server).await);
    let cache: Cache<String> = Cache::new(Arc::clone(&ours));
    cache.set("key", "1").await.unwrap();
    for layer in [Layer::Store, Layer::Memory] {
        let hit = cache.get_entry("key").await.unwrap().unwrap();
        assert_eq!(
            (hit.layer, hit.version.is_some()),
            (layer, layer == Layer::Store)
        );
    }
    // Before any news can have come.
    let other: Cache<String> = Cache::new(theirs);
    other.set("key", "10").await.unwrap();
    let (found, _) = cache.get_versioned("key").await.unwrap();
    assert_eq!(found.as_deref(), Some("10"));
    assert_eq!(cache.get("key").await.unwrap(), found, "nothing goes back");
    let updated = cache.update("key", one_more).await.unwrap();
    assert_eq!(updated.old.as_deref(), Some("10"));
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("11"));
    assert_eq!(cache.take("key").await.unwrap().as_deref(), Some("11"));
    assert_eq!(cache.get("key").await.unwrap(), None);
}
