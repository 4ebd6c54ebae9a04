//! Health, counters and names.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::{ConnectionState, RedisStore};
use cache_testbed::{Flavor, Server};

use crate::{config, connect};

#[tokio::test]
async fn a_healthy_server_answers_and_its_operations_are_counted() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    assert_eq!(store.state(), ConnectionState::Connected);
    assert!(store.ping().await.unwrap() < Duration::from_millis(500));
    let always = BackendWrite::new(Expiry::Never, Condition::Always);
    store
        .set("key", Bytes::from("value"), always)
        .await
        .unwrap();
    store.get("key").await.unwrap();
    store.get_many(&["key", "none"]).await.unwrap();

    let stats = store.wire_stats();
    assert_eq!(store.stats().wire, Some(stats));
    assert_eq!(stats.operations, 4);
    assert_eq!(stats.bytes_received, 10);
    // Keys, and the value that was set.
    assert_eq!(stats.bytes_sent, (3 + 5) + 3 + (3 + 4));
    assert_eq!(
        (stats.timeouts, stats.unavailable, stats.other_errors),
        (0, 0, 0)
    );
    assert_eq!((stats.retries, stats.reconnects), (0, 0));
}

#[tokio::test]
async fn connections_have_the_name_they_are_given_also_after_a_reconnection() {
    let server = Server::builder(Flavor::Redis7).start();
    let config = config(&server).client_name("shop-web").pool_size(2);
    let store = RedisStore::connect(config).await.unwrap();
    let names = || {
        let clients = server.command(&["CLIENT", "LIST"]).text();
        clients.matches(" name=shop-web ").count()
    };
    assert_eq!(names(), 2);
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    for _ in 0..200 {
        if names() == 2 && store.wire_stats().reconnects == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} names, {:?}", names(), store.wire_stats());
}

#[tokio::test]
async fn debug_output_shows_the_namespace_and_the_state_alone() {
    let server = Server::builder(Flavor::Redis7).password("hunter2").start();
    let store = connect(&server).await;
    let shown = format!("{store:?}");
    assert_eq!(
        shown,
        "RedisStore { namespace: Some(\"cache\"), state: Connected, .. }"
    );
}
