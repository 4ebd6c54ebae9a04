//! Values and keys that look like something else on the wire, without an envelope in front.
//!
//! fred looks for news of channels in every reply, and in a cluster for redirections.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Claim, Condition, Cursor, Expiry, Scope, Tagging};
use cache_redis::{Protocol, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};
use futures_util::future::join;

use crate::faults::{config, connect};

const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// What news of a channel, and the answers to those who subscribe, start with.
const PUSH_WORDS: [&str; 11] = [
    "pubsub",
    "message",
    "smessage",
    "pmessage",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "invalidate",
];

/// What fred takes for a redirection, whole or in part.
const REDIRECTIONS: [&str; 7] = [
    "MOVED 5 h:1",
    "ASK 5 h:1",
    "ASK me later",
    "MOVED to Paris",
    "MOVED 99999 127.0.0.1:1",
    "ASKING a question",
    "MOVED  ",
];

fn owned(values: &[&str]) -> Vec<Option<Bytes>> {
    let owned = values.iter().map(|value| Bytes::from((*value).to_owned()));
    owned.map(Some).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_raw_values_that_look_like_a_pattern_message_mix_up_no_reply() {
    const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let server = Server::builder(Flavor::Redis7).start();
    for protocol in PROTOCOLS {
        let config = config(&server.url()).protocol(protocol);
        let store = RedisStore::connect(config).await.unwrap();
        store.set("z", "other".into(), PLAIN).await.unwrap();
        let other = Some(Bytes::from("other"));
        let places = PUSH_WORDS.iter().flat_map(|first| {
            let seconds = PUSH_WORDS.iter().chain(&["plain"]);
            seconds.map(move |second| (*first, *second))
        });
        for (first, second) in places {
            let values = [first, second, "c", "d", "e", "f"];
            let pairs = KEYS.iter().zip(values);
            let pairs = pairs
                .map(|(key, value)| (*key, Bytes::from(value)))
                .collect();
            store.set_many(pairs, Expiry::Never).await.unwrap();
            for count in 1..=KEYS.len() {
                let (keys, expected) = (&KEYS[..count], owned(&values[..count]));
                let case = format!("{protocol:?} {first} {second} {count}");
                // Another reply comes right behind each.
                let (found, behind) = join(store.get_many(keys), store.get("z")).await;
                assert_eq!(
                    (found.unwrap(), behind.unwrap()),
                    (expected.clone(), other.clone()),
                    "{case}"
                );
                let (found, behind) = join(store.get_entries(keys), store.get("z")).await;
                let values = found
                    .unwrap()
                    .into_iter()
                    .map(|entry| entry.map(|entry| entry.value));
                assert_eq!(
                    (values.collect(), behind.unwrap()),
                    (expected.clone(), other.clone()),
                    "{case}"
                );
            }
            let transactions = store.abilities().transactions.unwrap();
            let (found, _) = transactions.watch(&KEYS[..5]).await.unwrap();
            assert_eq!(found, owned(&values[..5]), "{first} {second}");
        }
        for key in ["z", "none", "z"] {
            let expected = (key == "z").then(|| Bytes::from("other"));
            assert_eq!(store.get(key).await.unwrap(), expected);
        }
        assert_eq!(store.wire_stats().reconnects, 0);
    }
}

/// Finds names such that the server tells of this key before it tells of the others.
fn names_behind(server: &Server, first: &str, others: usize) -> Vec<String> {
    for number in 0..5_000 {
        let names = (0..others).map(|other| format!("{other}-{number}"));
        // The last one, as of those that have one place in the table a server tells of the newest first.
        let names: Vec<String> = names.chain([first.to_owned()]).collect();
        server.command(&["FLUSHALL"]).assert_ok();
        for name in &names {
            server.command(&["SET", name, "1"]).assert_ok();
        }
        if server.command(&["SCAN", "0"]).array()[1].array()[0].text() == first {
            return names;
        }
    }
    panic!("{first} never comes first")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_look_like_news_of_a_channel_are_listed_as_they_are() {
    let server = Server::builder(Flavor::Redis7).start();
    for protocol in PROTOCOLS {
        let config = config(&server.url()).protocol(protocol).bare_keys();
        let store = RedisStore::connect(config).await.unwrap();
        for (first, others) in [("message", 2), ("smessage", 2), ("pmessage", 3)] {
            let mut expected = names_behind(&server, first, others);
            for has_that_name in [false, true] {
                if has_that_name {
                    server.command(&["SET", "pubsub", "1"]).assert_ok();
                    expected.push("pubsub".to_owned());
                }
                let root = Scope::root();
                let page = store.scan(&root, Cursor::Start, 100).await.unwrap();
                let mut found = page.keys;
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{protocol:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_look_like_redirections_are_values_in_a_cluster() {
    let minute = Expiry::After(Duration::from_secs(60));
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let store = connect(&cluster.url()).await;
    let asked = || -> u64 {
        let nodes = cluster.nodes().iter();
        nodes.map(|node| node.calls("cluster|slots")).sum()
    };
    store.set("warm", "up".into(), PLAIN).await.unwrap();
    let before = asked();
    for value in REDIRECTIONS {
        let (value, other) = (Bytes::from(value), Bytes::from("ASK another time"));
        let some = |value: &Bytes| Some(value.clone());
        store.set("a", value.clone(), PLAIN).await.unwrap();
        for _ in 0..10 {
            assert_eq!(store.get("a").await.unwrap(), some(&value));
        }
        assert_eq!(store.get_many(&["a"]).await.unwrap(), [some(&value)]);
        let entry = store.get_entry("a").await.unwrap().expect("it is there");
        assert_eq!(entry.value, value);
        assert_eq!(store.get_ex("a", minute).await.unwrap(), some(&value));
        let old = store.swap("a", other.clone(), Expiry::Never).await.unwrap();
        assert_eq!(old, some(&value));
        assert_eq!(store.expiry("a").await.unwrap(), Some(Expiry::Never));
        let old = store.swap("a", value.clone(), minute).await.unwrap();
        assert_eq!(old, some(&other));
        let left = store.expiry("a").await.unwrap().and_then(Expiry::remaining);
        assert!(left.is_some_and(|left| left.as_secs() >= 50), "{left:?}");
        let leases = store.abilities().leases.unwrap();
        let claim = leases.claim("a", Duration::from_secs(1)).await;
        let Claim::Found(found) = claim.unwrap() else {
            panic!("{value:?} is not found")
        };
        assert_eq!(found, value);
        assert_eq!(store.take("a").await.unwrap(), some(&value));
        assert_eq!(store.take("a").await.unwrap(), None);
        assert_eq!(store.swap("a", value, Expiry::Never).await.unwrap(), None);
    }
    assert_eq!(asked(), before);
    assert_eq!(store.wire_stats().retries, 0);
    let swaps = 3 * REDIRECTIONS.len() as u64;
    let sets: u64 = cluster.nodes().iter().map(|node| node.calls("set")).sum();
    assert_eq!(sets, 1 + REDIRECTIONS.len() as u64 + swaps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_left_under_a_tag_is_no_redirection_in_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let store = connect(&cluster.url()).await;
    // Of the length of a version.
    cluster
        .command(&["SET", "cache:@_tag:team", "ASK me b"])
        .assert_ok();
    let tags = store.abilities().tags.unwrap();
    let tagging = Tagging::new(&["@_tag:team"], None);
    tags.set("a", "1".into(), PLAIN, tagging).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("1")));
    tags.invalidate(&["@_tag:team"]).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
}
