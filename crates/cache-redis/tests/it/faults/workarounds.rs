//! What the client library gets wrong and the store does not, where no other test shows it.
//!
//! | of the table in `client.rs` | tested by |
//! |---|---|
//! | no policy and no timeout | `standalone` |
//! | commands are sent again after a lost reply | `wire` |
//! | redirections mix up replies or end the client | `cluster`, `cancellation` |
//! | a connection that is given up goes on | `wire` |
//! | a server that hangs is never left; `is_connected` | `sentinel`, `cluster`, `standalone` |
//! | a client that failed cannot be replaced | `borrowed` |
//! | values and keys are taken for news of channels or redirections | `lookalikes`, `fuzz` |
//! | refused writes break the connection of reads | `standalone` |
//! | a full queue ends the client | `wire` |
//! | errors that quote what is no UTF-8 | `versions` |

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::{ConnectionState, RedisStore};
use cache_testbed::{Cluster, Direction, Flavor, Proxy, Server};
use futures_util::future::join_all;

use crate::faults::{config, connect, eventually};

const NEVER: Duration = Duration::from_secs(3_600);
const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const MINUTE: Expiry = Expiry::After(Duration::from_secs(60));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_a_pool_get_the_same_number_of_commands() {
    const SIZE: usize = 4;
    const EACH: usize = 100;
    let server = Server::builder(Flavor::Valkey9).start();
    let config = config(&server.url()).pool_size(SIZE).probe_interval(NEVER);
    let store = RedisStore::connect(config).await.unwrap();
    let totals = || {
        let list = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).text();
        let others = list.lines().filter(|line| !line.contains("name=testbed "));
        let totals = others.map(|line| {
            let total = line
                .split(' ')
                .find_map(|field| field.strip_prefix("tot-cmds="));
            total
                .expect("it is told")
                .parse::<usize>()
                .expect("a number")
        });
        totals.collect::<Vec<_>>()
    };
    // The first probes are over.
    eventually(|| async { store.state() == ConnectionState::Connected }).await;
    eventually(|| async { server.calls("ping") == SIZE as u64 }).await;
    let before = totals();
    for _ in 0..SIZE * EACH {
        store.get("a").await.unwrap();
    }
    let after = totals();
    let each: Vec<usize> = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after - before)
        .collect();
    assert_eq!(each, [EACH; SIZE]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_lost_connections_than_events_are_kept_are_all_survived() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    let kills = 100;
    for done in 0..kills {
        eventually(|| async { store.wire_stats().reconnects >= done }).await;
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    eventually(|| async { store.wire_stats().reconnects >= kills }).await;
    eventually(|| async { store.state() == ConnectionState::Connected }).await;
    eventually(|| async { matches!(store.get("a").await, Ok(None)) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_share_round_trips() {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let store = connect(&format!("redis://{}", proxy.address())).await;
    store.set("a", "1".into(), PLAIN).await.unwrap();
    // Known to the server from here on.
    store.get_entries(&["a"]).await.unwrap();
    proxy.delay(Direction::Reply, Duration::from_millis(20));
    let start = Instant::now();
    let found = join_all((0..200).map(|_| store.get_entries(&["a"]))).await;
    let took = start.elapsed();
    assert!(
        found
            .into_iter()
            .all(|entries| entries.unwrap()[0].is_some())
    );
    // One after the other would take 4 s.
    assert!(took < Duration::from_millis(400), "{took:?}");
    assert_eq!(server.calls("eval"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_its_scripts_is_told_them_once_more() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    let entries = || vec![("a", Bytes::from("1")), ("b", Bytes::from("2"))];
    for round in 1..=2 {
        for _ in 0..3 {
            store.set_many(entries(), MINUTE).await.unwrap();
            let entries = store.get_entries(&["a"]).await.unwrap();
            let entry = entries[0].as_ref().expect("it was written");
            assert_eq!(entry.value, "1");
        }
        // Of the two scripts each once: so the names that we have for them are theirs.
        assert_eq!(server.calls("eval"), 2 * round);
        server.command(&["SCRIPT", "FLUSH"]).assert_ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_all_slots_are_read_written_and_removed_in_one_operation() {
    let cluster = Cluster::builder(Flavor::Redis8).replicas(0).start();
    let store = connect(&cluster.url()).await;
    let names: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for expiry in [Expiry::Never, MINUTE] {
        let entries = names
            .iter()
            .map(|name| (*name, Bytes::from((*name).to_owned())));
        store.set_many(entries.collect(), expiry).await.unwrap();
        let found = store.get_many(&names).await.unwrap();
        let expected: Vec<_> = names
            .iter()
            .map(|name| Some(Bytes::from((*name).to_owned())))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(store.delete_many(&names).await.unwrap(), 300);
    }
    for node in cluster.nodes() {
        assert_ne!(node.calls("mget"), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_write_is_one_command() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server.url()).await;
    let names: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let entries = || {
        names
            .iter()
            .map(|name| (name.as_str(), Bytes::from("v")))
            .collect()
    };
    store.set_many(entries(), MINUTE).await.unwrap();
    store.set_many(entries(), Expiry::Never).await.unwrap();
    assert_eq!(
        (
            server.calls("msetex"),
            server.calls("mset"),
            server.calls("set")
        ),
        (1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_break_no_connection_of_a_server_without_msetex() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    let value = Bytes::from_static(b"\xff\xfe\r\n\x00");
    let entries = vec![("a", value.clone()), ("b", value.clone())];
    store.set_many(entries, MINUTE).await.unwrap();
    let found = store.get_many(&["a", "b"]).await.unwrap();
    assert_eq!(found, [Some(value.clone()), Some(value)]);
    assert_eq!(store.wire_stats().reconnects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_look_like_news_of_a_channel_reach_those_who_ask() {
    let server = Server::builder(Flavor::Redis7).start();
    for protocol in [cache_redis::Protocol::Resp2, cache_redis::Protocol::Resp3] {
        let config = config(&server.url()).protocol(protocol);
        let store = RedisStore::connect(config).await.unwrap();
        store.set("z", "other".into(), PLAIN).await.unwrap();
        for word in [
            "message",
            "smessage",
            "pmessage",
            "subscribe",
            "punsubscribe",
            "pubsub",
        ] {
            for count in 1..=6 {
                let keys = &["a", "b", "c", "d", "e", "f"][..count];
                for key in keys {
                    let value = if *key == "b" { "subscribe" } else { word };
                    store.set(key, value.into(), PLAIN).await.unwrap();
                }
                let expected =
                    |key: &&str| Some(Bytes::from(if *key == "b" { "subscribe" } else { word }));
                let expected: Vec<_> = keys.iter().map(expected).collect();
                // Another reply comes right behind.
                let both = futures_util::future::join(store.get_many(keys), store.get("z"));
                let (found, other) = both.await;
                assert_eq!(found.unwrap(), expected, "{word} {count}");
                assert_eq!(other.unwrap(), Some(Bytes::from("other")));
                let both = futures_util::future::join(store.get_entries(keys), store.get("z"));
                let (found, other) = both.await;
                let found = found.unwrap().into_iter();
                let values: Vec<_> = found.map(|entry| entry.map(|entry| entry.value)).collect();
                assert_eq!(values, expected, "{word} {count}");
                assert_eq!(other.unwrap(), Some(Bytes::from("other")));
                let transactions = store.abilities().transactions.unwrap();
                let (found, _) = transactions.watch(keys).await.unwrap();
                assert_eq!(found, expected, "{word} {count}");
            }
        }
    }
}
