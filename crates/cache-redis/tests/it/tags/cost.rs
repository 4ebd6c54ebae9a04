//! What tags cost, and to whom, and where their versions are in a cluster.

use cache_core::{BackendWrite, CacheBackend, Condition, Cursor, Expiry, Scope, Tagging};
use cache_redis::RedisConfig;
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use super::{
    ALWAYS, PRICES, TEAM, TTL, connect, granted, invalidate, patient, put, put_with, ticket, value,
};

/// Runs an operation and returns how often the server was sent each of these commands.
async fn calls<T, const N: usize>(
    server: &Server,
    operation: impl Future<Output = T>,
    commands: [&str; N],
) -> [u64; N] {
    server.reset_stats();
    operation.await;
    commands.map(|command| server.calls(command))
}

#[tokio::test]
async fn a_value_without_tags_is_read_as_if_there_were_none() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    put(&store, "tagged", "v", &[TEAM]).await;
    put(&store, "a", "v", &[]).await;
    let commands = ["get", "mget", "evalsha", "eval"];
    let get = calls(&server, store.get("a"), commands);
    assert_eq!(get.await, [1, 0, 0, 0]);
    store.get_entry("a").await.unwrap();
    let get = calls(&server, store.get_entry("a"), commands);
    assert_eq!(get.await, [1, 0, 1, 0]);
    let get = calls(&server, store.get_many(&["a", "a"]), commands);
    assert_eq!(get.await, [0, 1, 0, 0]);
    store.expiry("a").await.unwrap();
    let expiry = calls(&server, store.expiry("a"), commands);
    assert_eq!(expiry.await, [0, 0, 1, 0]);
}

#[tokio::test]
async fn the_versions_of_all_tags_of_all_values_are_one_command_more() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let keys: Vec<String> = (0..100).map(|number| format!("key {number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        let own = format!("@_tag:{}", number % 20);
        put(&store, key, "v", &[TEAM, &own]).await;
    }
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let commands = ["get", "mget"];
    let get = calls(&server, store.get("key 1"), commands);
    assert_eq!(get.await, [1, 1]);
    let get = calls(&server, store.get_many(&asked), commands);
    assert_eq!(get.await, [0, 2]);
    let root = Scope::root();
    let scan = store.scan(&root, Cursor::Start, 1_000);
    assert_eq!(calls(&server, scan, ["mget"]).await, [1]);
    assert_eq!(
        calls(&server, store.delete_many(&asked), ["mget"]).await,
        [1]
    );
    // To write is a command for each tag, and the value; an operation is one, whatever it sends.
    let before = store.wire_stats().operations;
    let set = put(&store, "a", "v", &[TEAM, PRICES]);
    assert_eq!(calls(&server, set, ["evalsha", "set"]).await, [2, 2]);
    let set = put(&store, "a", "v", &[TEAM, PRICES]);
    assert_eq!(calls(&server, set, ["evalsha", "set"]).await, [2, 1]);
    assert_eq!(store.wire_stats().operations, before + 2);
    // What must not change the key of the version does not.
    let expires = BackendWrite::new(Expiry::After(TTL), Condition::Always);
    let names = [TEAM];
    let set = put_with(&store, "a", "v", expires, Tagging::new(&names, None));
    let commands = ["persist", "pexpire", "set"];
    assert_eq!(calls(&server, set, commands).await, [0, 0, 1]);
}

#[tokio::test]
async fn an_invalidation_costs_the_same_however_many_entries_there_are() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server).await;
    ticket(&store).await;
    invalidate(&store, &[TEAM]).await;
    for round in 0..2 {
        for number in 0..200 * round {
            put(&store, &format!("key {number}"), "v", &[TEAM]).await;
        }
        let commands = ["evalsha", "setrange", "unlink", "scan"];
        let sent = calls(&server, invalidate(&store, &[TEAM]), commands);
        assert_eq!(sent.await, [2, 1, 1, 0]);
    }
    assert_eq!(value(&store, "key 7").await, None);
}

#[tokio::test]
async fn tags_are_in_other_slots_of_a_cluster_than_the_keys_that_have_them() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let store = patient(RedisConfig::from_url(&cluster.url()).unwrap()).await;
    let keys: Vec<String> = (0..60).map(|number| format!("key {number}")).collect();
    let names: Vec<String> = (0..7).map(|number| format!("@_tag:{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        put(&store, key, "v", &[&names[number % 7], TEAM]).await;
    }
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let present = async || {
        let found = store.get_many(&asked).await.unwrap();
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        there
    };
    assert_eq!(present().await, [true; 60]);
    invalidate(&store, &[&names[0], &names[3]]).await;
    let left: Vec<bool> = (0..60).map(|number| !matches!(number % 7, 0 | 3)).collect();
    assert_eq!(present().await, left);
    let count = left.iter().filter(|is_left| **is_left).count();
    let (mut cursor, mut listed) = (Some(Cursor::Start), 0);
    while let Some(at) = cursor {
        let page = store.scan(&Scope::root(), at, 1_000).await.unwrap();
        listed += page.keys.len();
        cursor = page.next;
    }
    assert_eq!(listed, count);

    // Slots that move, of a key and of a tag, are followed.
    for moved in ["cache:key 1", "cache:@_tag:1", "cache:@{cache}tags"] {
        let slot = slot_of_key(moved);
        let from = cluster.master_of_slot(slot);
        let mut nodes = cluster.nodes().iter();
        let to = nodes.find(|node| node.port() != from.port());
        cluster.move_slots(from, to.expect("there are three"), slot..=slot);
        assert_eq!(value(&store, "key 1").await.as_deref(), Some("v"));
    }
    let since = ticket(&store).await;
    invalidate(&store, &[&names[1]]).await;
    assert_eq!(value(&store, "key 1").await, None);
    let own = [names[1].as_str()];
    let late = Tagging::new(&own, Some(&since));
    assert!(put_with(&store, "key 1", "late", ALWAYS, late).await);
    assert_eq!(value(&store, "key 1").await, None);
    granted(&store, "key 1").await;
    // Of seven tags one more is gone; the key that is leased is none either.
    let gone = (0..60).filter(|number| number % 7 == 1).count() as u64;
    let deleted = store.delete_many(&asked).await.unwrap();
    assert_eq!(deleted, count as u64 - gone);
}
