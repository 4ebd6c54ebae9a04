//! What is found in the store and is no value of this cache.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Condition, EncodedBackend, ErrorKind, Expiry, JsonCodec,
    MsgPackCodec,
};
use cache_redis::RedisStore;
use cache_testbed::{Flavor, Server};

use crate::{chain, config, connect};

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

#[tokio::test]
async fn a_key_of_another_type_is_a_miss_that_is_counted_and_replaced() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    assert_eq!(server.command(&["RPUSH", "cache:list", "x"]).integer(), 1);
    store.set("good", Bytes::from("v"), ALWAYS).await.unwrap();

    assert_eq!(store.get("list").await.unwrap(), None);
    assert_eq!(store.get_entry("list").await.unwrap(), None);
    let both = store.get_many(&["list", "good"]).await.unwrap();
    assert_eq!(both, [None, Some(Bytes::from("v"))]);
    // MGET answers nil for it, so that one looks like an absent key.
    assert_eq!(store.stats().unreadable, 2);

    let error = store
        .swap("list", Bytes::new(), Expiry::Never)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Backend);
    assert!(chain(&error).contains("WRONGTYPE"), "{}", chain(&error));
    assert_eq!(server.command(&["TYPE", "cache:list"]).text(), "list");
    store.set("list", Bytes::from("v"), ALWAYS).await.unwrap();
    assert_eq!(store.get("list").await.unwrap(), Some(Bytes::from("v")));
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_and_one_that_is_found_is_a_miss() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server).max_value_bytes(10))
        .await
        .unwrap();
    store
        .set("a", Bytes::from("0123456789"), ALWAYS)
        .await
        .unwrap();
    let refusals = [
        store
            .set("a", Bytes::from("0123456789x"), ALWAYS)
            .await
            .map(drop)
            .unwrap_err(),
        store
            .swap("a", Bytes::from("0123456789x"), Expiry::Never)
            .await
            .map(drop)
            .unwrap_err(),
        store
            .set_many(
                vec![("b", Bytes::new()), ("a", Bytes::from("0123456789x"))],
                Expiry::Never,
            )
            .await
            .unwrap_err(),
    ];
    for error in refusals {
        let expected = ErrorKind::TooLarge {
            weight: 11,
            limit: 10,
        };
        assert_eq!(*error.kind(), expected);
    }
    assert_eq!(
        store.get("a").await.unwrap(),
        Some(Bytes::from("0123456789"))
    );
    assert_eq!(store.get("b").await.unwrap(), None);
    assert_eq!(store.stats().refused, 3);

    server
        .command(&["SET", "cache:a", "0123456789x"])
        .assert_ok();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.get_many(&["a"]).await.unwrap(), [None]);
    assert_eq!(store.stats().unreadable, 2);
}

#[tokio::test]
async fn two_caches_of_one_namespace_with_different_formats_miss_and_do_not_misread() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let texts: Cache<String> = Cache::new(EncodedBackend::new(store.clone(), JsonCodec::new()));
    let numbers: Cache<u64> = Cache::new(EncodedBackend::new(store.clone(), MsgPackCodec::new()));
    let backend = EncodedBackend::new(store, MsgPackCodec::new()).with_schema("number/2");
    let newer: Cache<u64> = Cache::new(backend);
    texts.set("key", "7").await.unwrap();
    assert_eq!(numbers.get("key").await.unwrap(), None);
    assert_eq!(newer.get("key").await.unwrap(), None);
    assert_eq!(numbers.stats().backend.unreadable, 1);
    numbers.set("key", 7_u64).await.unwrap();
    assert_eq!(newer.get("key").await.unwrap(), None);
    assert_eq!(texts.get("key").await.unwrap(), None);
    assert_eq!(numbers.get("key").await.unwrap(), Some(7));
}

#[tokio::test]
async fn a_full_server_is_an_error_for_writes_and_serves_the_rest() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    store.set("a", Bytes::from("v"), ALWAYS).await.unwrap();
    server
        .command(&["CONFIG", "SET", "maxmemory", "1"])
        .assert_ok();
    let error = store.set("b", Bytes::from("v"), ALWAYS).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Backend);
    assert!(chain(&error).contains("OOM"), "{}", chain(&error));
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("v")));
    assert!(store.delete("a", Condition::Always).await.unwrap());
}

#[tokio::test]
async fn times_to_live_are_kept_in_milliseconds() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let cache: Cache<String> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    let least = Duration::from_micros(300);
    cache.set_ex("short", "v", least).await.unwrap();
    cache
        .set_ex("fraction", "v", Duration::from_millis(70_250))
        .await
        .unwrap();
    let left = server.command(&["PTTL", "cache:fraction"]).integer();
    assert!((60_251..=70_250).contains(&left), "{left}");
    for (ttl, text) in [
        (Duration::ZERO, "is zero, the least is 1 ms"),
        (
            Duration::MAX - Duration::from_nanos(1),
            "the most is 3153600000 (100 years)",
        ),
    ] {
        let error = cache.set_ex("a", "v", ttl).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    cache
        .set_ex("century", "v", cache_core::MAX_TTL)
        .await
        .unwrap();
    let left = server.command(&["PTTL", "cache:century"]).integer();
    assert!(left > 3_153_599_990_000, "{left}");
    cache.set_ex("never", "v", Duration::MAX).await.unwrap();
    assert_eq!(server.command(&["PTTL", "cache:never"]).integer(), -1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_read_with_the_time_of_the_one_before_or_after_it() {
    let server = Server::builder(Flavor::Redis7).start();
    let (writer, reader) = (connect(&server).await, connect(&server).await);
    let hour = Expiry::After(Duration::from_secs(3600));
    let writes = tokio::spawn(async move {
        loop {
            for (value, expiry) in [("mortal", hour), ("immortal", Expiry::Never)] {
                let options = BackendWrite::new(expiry, Condition::Always);
                writer.set("key", value.into(), options).await.unwrap();
            }
        }
    });
    for _ in 0..20_000 {
        let Some(entry) = reader.get_entry("key").await.unwrap() else {
            continue;
        };
        let is_mortal = entry.expiry.remaining().is_some();
        assert_eq!(entry.value == "mortal", is_mortal, "{entry:?}");
    }
    writes.abort();
}
