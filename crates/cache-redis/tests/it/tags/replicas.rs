//! Where the versions of tags are read if values are read from replicas.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::RedisConfig;
use cache_testbed::{Cluster, Flavor};

use super::{TEAM, patient, put, value};

#[tokio::test]
async fn versions_are_read_where_values_are() {
    let cluster = Cluster::start(Flavor::Redis7);
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let store = patient(config.read_from_replicas(true)).await;
    put(&store, "a", "v", &[TEAM]).await;
    let start = Instant::now();
    while value(&store, "a").await.is_none() {
        assert!(start.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let asked = |role: &str| -> u64 {
        let nodes = cluster.nodes().iter();
        let of_the_role = nodes.filter(|node| node.info("role") == role);
        of_the_role.map(|node| node.calls("mget")).sum()
    };
    for node in cluster.nodes() {
        node.reset_stats();
    }
    value(&store, "a").await;
    // One for the value, and one for the version.
    assert_eq!((asked("slave"), asked("master")), (2, 0));
    // What decides about a change comes from the master.
    let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
    assert!(!store.set("a", Bytes::new(), if_absent).await.unwrap());
    assert_eq!((asked("slave"), asked("master")), (2, 1));
}
