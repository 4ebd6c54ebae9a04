//! Counters.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cache_core::{Cache, Count, Counters, EncodedBackend, ErrorKind, Expiry, MsgPackCodec};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use crate::{chain, config, connect};

const HOUR: Expiry = Expiry::After(Duration::from_secs(3_600));

fn cache(store: RedisStore) -> Cache<String> {
    Cache::new(EncodedBackend::new(store, MsgPackCodec::new()))
}

/// The key in the database of a counter of the group `requests`.
fn stored(key: &str) -> String {
    let name = format!("@_counter:@requests:{key}");
    format!("cache@{{{}}}counter:{name}", slot_of_key(&name))
}

async fn add(store: &RedisStore, name: &str, by: i64) -> Result<Count, cache_core::Error> {
    store.add(name, by, HOUR).await
}

#[tokio::test]
async fn a_counter_is_a_number_that_ends_with_its_window() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let requests = cache(connect(&server).await).counters("requests");
        requests.add("10.0.0.7", 41, 3_600).await.unwrap();
        requests.add("10.0.0.7", 1, 60).await.unwrap();
        let key = stored("10.0.0.7");
        assert_eq!(server.command(&["GET", &key]).text(), "42");
        let left = server.command(&["TTL", &key]).integer();
        assert!((3_590..=3_600).contains(&left), "{left}");
        assert_eq!(server.command(&["DBSIZE"]).integer(), 1);
        requests.reset("10.0.0.7").await.unwrap();
        assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
    }
}

#[tokio::test]
async fn processes_count_together_and_partitions_apart() {
    let server = Server::builder(Flavor::Redis7).start();
    let stores = [connect(&server).await, connect(&server).await];
    let other = stores[0].partition("other").unwrap();
    for (store, expected) in [(&stores[0], 1), (&stores[1], 2), (&other, 1)] {
        assert_eq!(add(store, "name", 1).await.unwrap().value, expected);
    }
}

#[tokio::test]
async fn a_cluster_spreads_the_counters_of_one_group() {
    let cluster = Cluster::builder(Flavor::Redis8).replicas(0).start();
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let store = RedisStore::connect(config.command_timeout(Duration::from_secs(5))).await;
    let requests = cache(store.unwrap()).counters("requests");
    for number in 0..50 {
        let key = format!("client }}{{{number}}}");
        for expected in 1..=2 {
            let count = requests.add(&key, 1, 3_600).await.unwrap();
            assert_eq!(count.value, expected);
        }
        assert!(requests.reset(&key).await.unwrap());
    }
    let nodes = cluster.nodes();
    let used = nodes.iter().filter(|node| node.calls("incrby") > 0);
    assert_eq!(used.count(), 3);
}

#[tokio::test]
async fn an_add_that_is_not_permitted_is_unauthorized_and_counts_nothing() {
    let may =
        |what: &str| format!("app on >pw ~cache:* ~cache@* -@all +@scripting +ping +hello {what}");
    let cases = [
        may("+get +set +incrby"),
        may("+get +pttl +incrby"),
        may("+get +pttl +set"),
    ];
    for acl in cases {
        for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
            let server = Server::builder(flavor).acl_user(&acl).start();
            let key = format!("cache@{{{}}}counter:there", slot_of_key("there"));
            server.command(&["SET", &key, "7"]).assert_ok();
            let config = config(&server).username("app").password("pw");
            let store = RedisStore::connect(config).await.unwrap();
            // A permitted `SET` makes a new counter; what is there cannot be added to.
            let name = if acl.contains("+incrby") {
                "new"
            } else {
                "there"
            };
            let error = add(&store, name, 1).await.unwrap_err();
            assert_eq!(
                *error.kind(),
                ErrorKind::Unauthorized,
                "{acl}: {}",
                chain(&error)
            );
            let expected = (name == "there").then_some(7);
            let found = server.command(&[
                "GET",
                &format!("cache@{{{}}}counter:{name}", slot_of_key(name)),
            ]);
            let found = found
                .bytes()
                .map(|text| String::from_utf8(text.to_vec()).unwrap());
            assert_eq!(found, expected.map(|count| count.to_string()), "{acl}");
        }
    }
}

#[tokio::test]
async fn bare_keys_have_no_counters() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server).bare_keys())
        .await
        .unwrap();
    let requests = cache(store).counters("requests");
    let refused = [
        requests.add("key", 1, 60).await.map(drop),
        requests.get("key").await.map(drop),
        requests.reset("key").await.map(drop),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        let text = "counters beside bare keys; choose a namespace";
        assert!(matches!(error.kind(), ErrorKind::Unsupported { what } if what == text));
    }
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
}

#[tokio::test]
async fn what_others_have_put_there_is_no_count_and_stays() {
    let server = Server::builder(Flavor::Redis7).start();
    let requests = cache(connect(&server).await).counters("requests");
    server
        .command(&["SET", &stored("text"), "secret"])
        .assert_ok();
    server.command(&["RPUSH", &stored("list"), "secret"]);
    for key in ["text", "list"] {
        for error in [
            requests.add(key, 1, 60).await.unwrap_err(),
            requests.get(key).await.unwrap_err(),
        ] {
            assert_eq!(*error.kind(), ErrorKind::Backend);
            assert!(!chain(&error).contains("secret"), "{}", chain(&error));
        }
    }
    assert_eq!(server.command(&["GET", &stored("text")]).text(), "secret");
    for key in ["text", "list"] {
        assert!(requests.reset(key).await.unwrap());
        assert_eq!(requests.add(key, 1, 60).await.unwrap().value, 1);
    }
}

#[tokio::test]
async fn adds_that_come_together_share_a_script_and_fail_apart() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    add(&store, "warm", 1).await.unwrap();
    let key = format!("cache@{{{}}}counter:7", slot_of_key("7"));
    server.command(&["RPUSH", &key, "secret"]);
    server.reset_stats();
    // On one thread: all are there before the first answer.
    let adds = (0..60).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { add(&store, &(number % 20).to_string(), 1).await })
    });
    let adds: Vec<_> = adds.collect();
    let mut counts = Vec::new();
    for (number, added) in adds.into_iter().enumerate() {
        match added.await.unwrap() {
            Ok(count) => counts.push(count.value),
            Err(error) => {
                assert_eq!((number % 20, error.kind()), (7, &ErrorKind::Backend));
                assert!(!chain(&error).contains("secret"));
            }
        }
    }
    counts.sort_unstable();
    let expected: Vec<i64> = [1, 2, 3].iter().flat_map(|count| [*count; 19]).collect();
    assert_eq!(counts, expected);
    let scripts = server.calls("evalsha");
    assert!(scripts <= 4, "two alone and the rest together: {scripts}");
    assert_eq!(store.wire_stats().operations, 61);
}

/// Lets a call begin, and no more.
async fn begin<F: Future>(call: &mut Pin<Box<F>>) {
    let begin = |context: &mut Context<'_>| {
        assert!(call.as_mut().poll(context).is_pending());
        Poll::Ready(())
    };
    poll_fn(begin).await;
}

#[tokio::test]
async fn an_add_that_is_dropped_while_it_waits_is_not_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    add(&store, "warm", 1).await.unwrap();
    let call = |name| Box::pin(add(&store, name, 1));
    let (mut first, mut second, mut dropped) = (call("first"), call("second"), call("dropped"));
    for call in [&mut first, &mut second, &mut dropped] {
        begin(call).await;
    }
    drop(dropped);
    assert_eq!(first.await.unwrap().value, 1);
    assert_eq!(second.await.unwrap().value, 1);
    assert_eq!(call("last").await.unwrap().value, 1);
    assert_eq!(store.get("dropped").await.unwrap(), None);
}

#[tokio::test]
async fn who_drops_an_add_on_its_way_leaves_the_others_to_be_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    add(&store, "warm", 1).await.unwrap();
    let call = |name| Box::pin(add(&store, name, 1));
    let (mut first, mut second, mut waits) = (call("first"), call("second"), call("waits"));
    for call in [&mut first, &mut second, &mut waits] {
        begin(call).await;
    }
    drop((first, second));
    assert_eq!(waits.await.unwrap().value, 1);
}
