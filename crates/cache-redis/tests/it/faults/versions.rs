//! Servers of several versions, of which some write many keys by one command and some by a script.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{CacheBackend, Expiry};
use cache_redis::RedisStore;
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use crate::faults::{connect, eventually};

const MINUTE: Expiry = Expiry::After(Duration::from_secs(60));
/// No text: an error that quotes it cannot be read.
const BINARY: Bytes = Bytes::from_static(b"\xff\xfe\r\n\0");

/// Writes keys of all nodes with a time to live, and reads them again.
async fn write_and_read(store: &RedisStore, keys: &[String]) {
    let pairs = keys.iter().map(|key| (key.as_str(), BINARY));
    store.set_many(pairs.collect(), MINUTE).await.unwrap();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = store.get_many(&keys).await.unwrap();
    assert_eq!(found, vec![Some(BINARY); keys.len()]);
    for key in keys {
        let left = store.expiry(key).await.unwrap().and_then(Expiry::remaining);
        assert!(left.is_some_and(|left| left.as_secs() >= 30), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_of_a_cluster_of_several_versions_is_written_as_it_can_be() {
    let builder = Cluster::builder(Flavor::Valkey9).replicas(0);
    // As if it were an older one.
    let cluster = builder.arg_of(2, "rename-command", "MSETEX \"\"").start();
    let store = connect(&cluster.url()).await;
    let keys: Vec<String> = (0..60).map(|number| format!("key {number}")).collect();
    for _ in 0..2 {
        write_and_read(&store, &keys).await;
    }
    let [new, _, old] = cluster.nodes() else {
        panic!("there are three")
    };
    assert!(new.calls("msetex") > 0);
    assert_eq!((new.calls("set"), old.calls("msetex")), (0, 0));
    assert!(old.calls("set") > 0);
    assert_eq!(store.wire_stats().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_an_older_node_is_written_there() {
    let builder = Cluster::builder(Flavor::Valkey9).replicas(0);
    let cluster = builder.arg_of(2, "rename-command", "MSETEX \"\"").start();
    let store = connect(&cluster.url()).await;
    let keys = ["{tag}a".to_owned(), "{tag}b".to_owned()];
    let slot = slot_of_key("{tag}");
    let from = cluster.master_of_slot(slot);
    let [_, _, old] = cluster.nodes() else {
        panic!("there are three")
    };
    assert_ne!(from.port(), old.port());
    write_and_read(&store, &keys).await;
    // It answers `ASK` for what it does not have.
    cluster.begin_move(from, old, slot);
    cluster.move_keys(from, old, slot);
    write_and_read(&store, &keys).await;
    cluster.end_move(old, slot);
    for _ in 0..2 {
        write_and_read(&store, &keys).await;
    }
    assert_eq!(store.wire_stats().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_as_an_older_one_is_asked_anew() {
    let new = Server::builder(Flavor::Valkey9).start();
    let store = connect(&new.url()).await;
    let keys = ["a".to_owned(), "b".to_owned()];
    write_and_read(&store, &keys).await;
    assert_eq!(new.calls("msetex"), 1);
    new.kill();
    // Long enough for pauses between the tries to connect anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let old = Server::builder(Flavor::Redis7).port(new.port()).start();
    eventually(|| async { store.get("a").await.is_ok() }).await;
    write_and_read(&store, &keys).await;
    assert_eq!(old.calls("set"), 2);
    let errors = old.command(&["INFO", "errorstats"]).text();
    // That of the question.
    assert!(errors.contains("errorstat_ERR:count=1\r"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_no_longer_permitted_is_replaced_by_a_script() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server.url()).await;
    let keys = ["a".to_owned(), "b".to_owned()];
    write_and_read(&store, &keys).await;
    assert_eq!((server.calls("msetex"), server.calls("set")), (1, 0));
    server
        .command(&["ACL", "SETUSER", "default", "-msetex"])
        .assert_ok();
    for _ in 0..2 {
        write_and_read(&store, &keys).await;
    }
    assert_eq!((server.calls("msetex"), server.calls("set")), (1, 4));
    let stats = store.wire_stats();
    assert_eq!((stats.unauthorized, stats.reconnects), (0, 0));
}
