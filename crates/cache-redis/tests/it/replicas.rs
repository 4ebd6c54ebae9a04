//! Reads from the replicas of a cluster.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{CacheBackend, Expiry};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

/// How many values the nodes of one role were asked for.
fn asked(cluster: &Cluster, role: &str, command: &str) -> u64 {
    let nodes = cluster.nodes().iter();
    let of_the_role = nodes.filter(|node| node.info("role") == role);
    of_the_role.map(|node| node.calls(command)).sum()
}

#[tokio::test]
async fn values_are_read_from_replicas_when_asked_and_written_to_masters() {
    let cluster = Cluster::start(Flavor::Redis7);
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let store = RedisStore::connect(config.read_from_replicas(true))
        .await
        .unwrap();
    let keys: Vec<String> = (0..100).map(|i| format!("key {i}")).collect();
    let pairs = keys
        .iter()
        .map(|key| (key.as_str(), Bytes::from(key.clone())));
    store
        .set_many(pairs.collect(), Expiry::Never)
        .await
        .unwrap();
    let held = || -> i64 {
        let size = |node: &Server| node.command(&["DBSIZE"]).integer();
        cluster.nodes().iter().map(size).sum()
    };
    let start = Instant::now();
    while held() < 200 {
        assert!(start.elapsed() < Duration::from_secs(5), "{}", held());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    for key in &keys {
        assert_eq!(
            store.get(key).await.unwrap(),
            Some(Bytes::from(key.clone()))
        );
    }
    let of = |role, command| asked(&cluster, role, command);
    assert_eq!((of("slave", "mget"), of("master", "mget")), (100, 0));
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = store.get_many(&all).await.unwrap();
    assert_eq!(found.iter().flatten().count(), 100);
    assert!(of("slave", "mget") > 100);
    assert_eq!(of("master", "mget"), 0);
    // What decides about promotion comes from the master.
    store.get_entry("key 1").await.unwrap();
    store.get_entries(&["key 2"]).await.unwrap();
    assert_eq!((of("slave", "get"), of("master", "get")), (0, 1));
    assert_eq!((of("slave", "pttl"), of("master", "pttl")), (0, 2));
    assert!(of("master", "mget") > 0);
}
