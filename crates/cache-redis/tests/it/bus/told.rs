//! What a bus tells when nothing goes wrong.

use std::time::Duration;

use bytes::Bytes;
use cache_core::bus::{FlushCause, Invalidation};
use cache_core::{CacheBackend, Cursor, Expiry, Scope};
use cache_testbed::{Flavor, Server};

use crate::bus::recorder::Event;
use crate::bus::{BOUND, Kind, Listening, store};

async fn all_changes_are_told(flavor: Flavor) {
    let server = Server::builder(flavor).start();
    let listening = Listening::start(Kind::Tracking, &server.url()).await;
    let recorder = &listening.recorder;
    let set = |key: &str| server.command(&["SET", key, "1"]).assert_ok();
    [
        "cache:gone",
        "cache:ended",
        "cache:later",
        "cache:{}br{ace}",
    ]
    .iter()
    .for_each(|key| set(key));
    recorder.caught_up().await;
    let steps: [(&[&str], &str); 6] = [
        (&["SET", "cache:new", "1"], "new"),
        (&["SET", "cache:new", "2"], "new"),
        (&["DEL", "cache:gone"], "gone"),
        (&["EXPIRE", "cache:ended", "0"], "ended"),
        (&["PEXPIRE", "cache:later", "60000"], "later"),
        (&["DEL", "cache:{}br{ace}"], "br{ace}"),
    ];
    for (command, key) in steps {
        let before = recorder.elapsed();
        server.command(command);
        let took = recorder.caught_up().await;
        assert!(took <= BOUND, "{took:?}");
        assert_eq!(recorder.keys_since(before), [key], "{command:?}");
    }
    assert_eq!(
        recorder.flushes_since(Duration::ZERO),
        [FlushCause::Connected]
    );
    // What is of others is not told.
    let before = recorder.elapsed();
    ["cachet:a", "other", "cache"]
        .iter()
        .for_each(|key| set(key));
    recorder.caught_up().await;
    assert_eq!(recorder.keys_since(before), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_tells_every_change_of_redis_7() {
    all_changes_are_told(Flavor::Redis7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_tells_every_change_of_redis_8() {
    all_changes_are_told(Flavor::Redis8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_tells_every_change_of_valkey_9() {
    all_changes_are_told(Flavor::Valkey9).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_tells_of_keys_that_expire_by_themselves() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let listening = Listening::start(Kind::Tracking, &server.url()).await;
        let began = listening.recorder.elapsed();
        server
            .command(&["SET", "cache:a", "1", "PX", "600"])
            .assert_ok();
        tokio::time::sleep(Duration::from_millis(900)).await;
        // The server has deleted it by now, or does so when it is asked.
        assert_eq!(server.command(&["GET", "cache:a"]).bytes(), None);
        listening.recorder.caught_up().await;
        // Less what the clock of the server may be behind.
        let expired = began + Duration::from_millis(590);
        assert_eq!(listening.recorder.keys_since(expired), ["a"]);
    }
}

async fn a_flush_of_the_database_is_told(kind: Kind, flavor: Flavor) {
    let server = Server::builder(flavor).start();
    let listening = Listening::start(kind, &server.url()).await;
    let recorder = &listening.recorder;
    for command in ["FLUSHALL", "FLUSHDB", "FLUSHALL"] {
        let before = recorder.elapsed();
        server.command(&[command]).assert_ok();
        let took = recorder.caught_up().await;
        assert!(took <= BOUND, "{took:?}");
        assert_eq!(recorder.flushes_since(before), [FlushCause::Emptied]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_emptied_by_others_is_told_once() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        for kind in [Kind::Tracking, Kind::PubSub] {
            a_flush_of_the_database_is_told(kind, flavor).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_is_told_to_others_and_not_to_its_sender() {
    for flavor in [Flavor::Redis7, Flavor::Redis8, Flavor::Valkey9] {
        for protocol in ["resp2", "resp3"] {
            let server = Server::builder(flavor).start();
            let url = format!("{}?protocol={protocol}", server.url());
            let one = Listening::start(Kind::PubSub, &url).await;
            let other = Listening::start(Kind::PubSub, &url).await;
            let before = [one.recorder.elapsed(), other.recorder.elapsed()];
            let keys: Vec<String> = (0..5_000).map(|i| format!("key number {i:06}")).collect();
            let scope = Scope::of(&["a"], "b").unwrap();
            let changes = [Invalidation::Keys(keys.clone()), Invalidation::Scope(scope)];
            for change in &changes {
                one.bus.publish(change).await.unwrap();
            }
            other.recorder.caught_up().await;
            one.recorder.caught_up().await;
            assert_eq!(one.recorder.keys_since(before[0]), [""; 0]);
            assert_eq!(other.recorder.keys_since(before[1]), keys);
            let is_scope = |(_, event): &(_, Event)| *event == Event::Changed(changes[1].clone());
            assert_eq!(
                other
                    .recorder
                    .events()
                    .iter()
                    .filter(|e| is_scope(e))
                    .count(),
                1
            );
            assert_eq!(other.recorder.flushes_since(before[1]), []);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_and_keys_know_nothing_of_the_key_of_the_bus() {
    let server = Server::builder(Flavor::Redis7).start();
    for tags in [false, true] {
        server.command(&["FLUSHALL"]).assert_ok();
        let config = crate::bus::config(&server.url()).hash_tags(tags);
        let store_of_keys = cache_redis::RedisStore::connect(config).await.unwrap();
        let config = cache_redis::BusConfig::new().bound(BOUND);
        let listening = Listening::with(Kind::Tracking, &store_of_keys, config).await;
        let recorder = &listening.recorder;
        let pair = vec![("a", Bytes::from("1"))];
        store_of_keys.set_many(pair, Expiry::Never).await.unwrap();
        let page = store_of_keys.scan(&Scope::root(), Cursor::Start, 100).await;
        assert_eq!(page.unwrap().keys, ["a"]);
        let before = recorder.elapsed();
        assert_eq!(store_of_keys.clear(&Scope::root()).await.unwrap(), 1);
        recorder.caught_up().await;
        assert_eq!(recorder.keys_since(before), ["a"]);
        assert_eq!(recorder.flushes_since(before), []);
        let keys = server.command(&["KEYS", "*"]);
        assert_eq!(keys.array()[0].text(), "cache:@{0}generation");
        assert_eq!(keys.array().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_dropped_closes_its_connection() {
    for kind in [Kind::Tracking, Kind::PubSub] {
        let server = Server::builder(Flavor::Valkey9).start();
        let store = store(&server.url()).await;
        let config = cache_redis::BusConfig::new().bound(BOUND);
        let listening = Listening::with(kind, &store, config).await;
        let connections = || {
            let list = server.command(&["CLIENT", "LIST"]).text();
            list.lines()
                .filter(|line| !line.contains("name=testbed "))
                .count()
        };
        assert_eq!(connections(), 2);
        drop(listening);
        let start = std::time::Instant::now();
        while connections() != 1 {
            assert!(start.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
