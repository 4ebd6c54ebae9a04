//! Updates of one key by many tasks and clients.

use std::time::Duration;

use cache_core::{Cache, EncodedBackend, MsgPackCodec, SetOptions};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};
use tokio::task::JoinSet;

use crate::connect;

/// Counts to 8,000 with 64 tasks over two clients, which know nothing of each other.
async fn count(url: &str) -> Option<u64> {
    let mut tasks = JoinSet::new();
    let mut caches = Vec::new();
    for _ in 0..2 {
        let config = RedisConfig::from_url(url).expect("the URL is right");
        let config = config.command_timeout(Duration::from_secs(10));
        let store = RedisStore::connect(config)
            .await
            .expect("the server is there");
        caches.push(Cache::<u64>::new(EncodedBackend::new(
            store,
            MsgPackCodec::new(),
        )));
    }
    for task in 0..64 {
        let cache = caches[task % 2].clone();
        tasks.spawn(async move {
            for _ in 0..125 {
                let more = |count: Option<&u64>| count.unwrap_or(&0) + 1;
                cache
                    .update("count", more)
                    .await
                    .expect("others let it win");
            }
        });
    }
    tasks.join_all().await;
    caches[0].get("count").await.expect("the server is healthy")
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_thousand_concurrent_updates_count_eight_thousand() {
    let server = Server::builder(Flavor::Redis7).start();
    assert_eq!(count(&server.url()).await, Some(8_000));
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    assert_eq!(count(&cluster.url()).await, Some(8_000));
}

#[tokio::test]
async fn updates_one_after_the_other_do_not_move_the_end_of_a_window() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let cache: Cache<u64> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    let window = SetOptions::new().ttl(Duration::from_secs(100)).keep_ttl();
    cache.set_ex("window", 0u64, 100).await.unwrap();
    let before = cache.expiry("window").await.unwrap().unwrap();
    let begin = std::time::Instant::now();
    for _ in 0..500 {
        let more = |count: Option<&u64>| count.unwrap_or(&0) + 1;
        cache.update_with("window", window, more).await.unwrap();
    }
    let after = cache.expiry("window").await.unwrap().unwrap();
    let (before, after) = (before.remaining().unwrap(), after.remaining().unwrap());
    // The server counts whole milliseconds, and looks at its clock before the answer is here.
    let passed = begin.elapsed() + Duration::from_millis(200);
    assert!(
        after < before && before - after <= passed,
        "{before:?} {after:?}"
    );
    assert_eq!(cache.get("window").await.unwrap(), Some(500));
}
