//! Several caches over one pool.

use cache_core::{Cache, EncodedBackend, JsonCodec, MsgPackCodec};
use cache_testbed::{Flavor, Server};
use serde::{Deserialize, Serialize};

use crate::connect;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

#[tokio::test]
async fn typed_caches_share_the_connections_and_nothing_else() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let sessions = store.partition("sessions").unwrap();
    let users = store.partition("users").unwrap();
    let users: Cache<User> = Cache::new(EncodedBackend::new(users, JsonCodec::new()));
    let sessions = EncodedBackend::new(sessions, MsgPackCodec::new());
    let sessions: Cache<u64> = Cache::new(sessions).with_default_ttl(1800);

    let alice = User {
        name: "Alice".to_owned(),
    };
    users.set("1", alice.clone()).await.unwrap();
    sessions.set("1", 7_u64).await.unwrap();
    assert_eq!(users.get("1").await.unwrap(), Some(alice));
    assert_eq!(sessions.get("1").await.unwrap(), Some(7));
    assert_eq!(users.ttl("1").await.unwrap(), None);
    assert_eq!(sessions.ttl("1").await.unwrap(), Some(1800));
    assert_eq!(sessions.clear().await.unwrap(), 1);
    assert_eq!(users.keys().await.unwrap(), ["1"]);

    let clients = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
    let of_the_store = clients
        .lines()
        .filter(|line| line.contains(" cmd=") && line.contains("addr=127.0.0.1"));
    assert_eq!(of_the_store.count(), 1, "{clients}");
    assert_eq!(store.wire_stats().reconnects, 0);
}

#[tokio::test]
async fn a_partition_needs_a_name_that_is_one() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    for name in ["", "a:b", "a*", "{a}", "a b", &"x".repeat(65)] {
        assert!(store.partition(name).is_err(), "{name:?}");
    }
}
