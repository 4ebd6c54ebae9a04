//! The versions of tags: what loses them, how long they last, and headers that nobody here has made.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Claim, Condition, EncodedBackend, Expiry, MsgPackCodec,
    Scope, SetOptions, Tagging,
};
use cache_redis::RedisStore;
use cache_testbed::{Flavor, Server};

use super::{
    ALWAYS, PRICES, TEAM, TEAM_STORED, TTL, connect, granted, invalidate, put, put_with, value,
};

const HOUR: i64 = 60 * 60 * 1_000;

/// Writes a value with the tag that lasts for so many milliseconds.
async fn put_for(store: &RedisStore, key: &str, milliseconds: i64) {
    let ttl = Duration::from_millis(milliseconds.unsigned_abs());
    let options = BackendWrite::new(Expiry::After(ttl), Condition::Always);
    assert!(put_with(store, key, "v", options, Tagging::new(&[TEAM], None)).await);
}

fn left(server: &Server, key: &str) -> i64 {
    server.command(&["PTTL", key]).integer()
}

#[tokio::test]
async fn what_is_lost_is_absent_and_does_not_come_back_when_the_tag_is_used_again() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    for lose in [
        &["DEL", TEAM_STORED][..],
        &["SET", TEAM_STORED, "short"],
        &["SET", TEAM_STORED, "\0\0\0\0\0\0\0\0"],
        &["PEXPIRE", TEAM_STORED, "0"],
        &["RENAME", TEAM_STORED, "elsewhere"],
    ] {
        put(&store, "a", "1", &[TEAM]).await;
        assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
        server.command(lose);
        assert_eq!(value(&store, "a").await, None, "{lose:?}");
        assert!(!store.set_expiry("a", Expiry::Never).await.unwrap());
        put(&store, "b", "2", &[TEAM]).await;
        assert_eq!(value(&store, "a").await, None, "{lose:?}");
        assert_eq!(value(&store, "b").await.as_deref(), Some("2"), "{lose:?}");
    }
    // Something of another type in its place is replaced by the next write.
    put(&store, "a", "1", &[TEAM]).await;
    server.command(&["DEL", TEAM_STORED]);
    server.command(&["RPUSH", TEAM_STORED, "x"]);
    assert_eq!(value(&store, "a").await, None);
    put(&store, "b", "2", &[TEAM]).await;
    assert_eq!(value(&store, "b").await.as_deref(), Some("2"));
    assert_eq!(value(&store, "a").await, None);
    assert_eq!(store.stats().unreadable, 0);
}

#[tokio::test]
async fn a_version_lasts_longer_than_each_entry_and_is_touched_only_if_it_must() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let slack = 10_000;
    let lasts = |at_least: i64| {
        let left = left(&server, TEAM_STORED);
        assert!((at_least - slack..=at_least).contains(&left), "{left}");
    };
    put_for(&store, "a", 1_000).await;
    lasts(HOUR);
    let version = server
        .command(&["GET", TEAM_STORED])
        .bytes()
        .map(<[u8]>::to_vec);
    // Enough is left.
    for milliseconds in [1_000, HOUR / 2, HOUR - 100_000] {
        put_for(&store, "b", milliseconds).await;
        lasts(HOUR);
    }
    put_for(&store, "c", HOUR - 30_000).await;
    lasts(2 * (HOUR - 30_000));
    assert!(store.set_expiry("a", Expiry::After(TTL)).await.unwrap());
    lasts(2 * (HOUR - 30_000));
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    assert!(store.set_expiry("a", Expiry::After(week)).await.unwrap());
    lasts(2 * 7 * 24 * HOUR);
    assert!(store.set_expiry("a", Expiry::Never).await.unwrap());
    assert_eq!(left(&server, TEAM_STORED), -1);
    put_for(&store, "d", 1_000).await;
    assert_eq!(left(&server, TEAM_STORED), -1);
    let now = server
        .command(&["GET", TEAM_STORED])
        .bytes()
        .map(<[u8]>::to_vec);
    assert_eq!(now, version);
    for key in ["a", "b", "c"] {
        assert_eq!(value(&store, key).await.as_deref(), Some("v"), "{key}");
    }
    // A tag that never expires from the start, and one that later must not.
    put(&store, "e", "v", &[PRICES]).await;
    assert_eq!(left(&server, "cache:@_tag:prices"), -1);
    invalidate(&store, &[TEAM]).await;
    put_for(&store, "a", 1_000).await;
    put(&store, "b", "v", &[TEAM]).await;
    assert_eq!(left(&server, TEAM_STORED), -1);
}

#[tokio::test]
async fn set_expiry_on_what_is_over_creates_no_version() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    put(&store, "a", "v", &[TEAM, PRICES]).await;
    invalidate(&store, &[TEAM]).await;
    assert!(!store.set_expiry("a", Expiry::After(TTL)).await.unwrap());
    assert_eq!(server.command(&["EXISTS", TEAM_STORED]).integer(), 0);
}

#[tokio::test]
async fn thousands_of_tags_of_entries_that_expire_expire_too_or_are_gone_at_once() {
    let server = Server::builder(Flavor::Redis8).start();
    let store = connect(&server).await;
    let names: Vec<String> = (0..5_000).map(|number| format!("@_tag:{number}")).collect();
    let options = BackendWrite::new(Expiry::After(TTL), Condition::Always);
    for name in &names {
        let tag = [name.as_str()];
        assert!(put_with(&store, name, "v", options.clone(), Tagging::new(&tag, None)).await);
    }
    let keyspace = server.command(&["INFO", "keyspace"]).text();
    let sizes = keyspace.lines().find(|line| line.starts_with("db0:"));
    let sizes = sizes.expect("there are keys");
    let all = server.command(&["DBSIZE"]).integer();
    assert!(sizes.contains(&format!("expires={all}")), "{sizes}");
    for some in names.chunks(32) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        invalidate(&store, &some).await;
    }
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(store.get_many(&asked).await.unwrap(), vec![None; 5_000]);
    assert_eq!(store.delete_many(&asked).await.unwrap(), 0);
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
}

#[tokio::test]
async fn headers_that_nobody_here_has_made_are_unreadable_or_over() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let magic = b"\xC1\0tags\0\x01";
    let mut count = 0;
    let stored: [&[u8]; 9] = [
        b"",
        b"\0\0",
        b"\0\0\0\0value",
        b"\0\0\0\x0Cvalue",
        b"\0\0\0\x0Dvalue",
        b"\xFF\xFF\xFF\xFFvalue",
        b"\x7F\xFF\xFF\xFF",
        b"\0\0\0\x17\0\x01\xFF12345678value",
        b"\0\0\0\x17\0\x09a12345678value",
    ];
    for rest in stored {
        let bytes = [magic, rest].concat();
        let plant = || {
            server
                .command(&[&b"SET"[..], b"cache:a", &bytes])
                .assert_ok();
        };
        plant();
        assert_eq!(store.get("a").await.unwrap(), None);
        assert_eq!(store.get_entry("a").await.unwrap(), None);
        assert_eq!(store.get_many(&["a"]).await.unwrap(), [None]);
        count += 3;
        assert_eq!(store.stats().unreadable, count, "{rest:?}");
        // As any other value that cannot be read.
        assert_eq!(store.expiry("a").await.unwrap(), Some(Expiry::Never));
        let absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
        assert!(!store.set("a", Bytes::new(), absent).await.unwrap());
        assert!(store.set_expiry("a", Expiry::After(TTL)).await.unwrap());
        assert!(store.delete("a", Condition::Always).await.unwrap());
        plant();
        granted(&store, "a").await;
        plant();
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 1);
    }
    // A version that no tag has, even if somebody stores it.
    let bytes = b"\xC1\0tags\0\x01\0\0\0\x22\0\x0C@_tag:team:7\0\0\0\0\0\0\0\0value";
    server
        .command(&[&b"SET"[..], b"cache:a", bytes])
        .assert_ok();
    let zeros = [0; 8];
    server
        .command(&[&b"SET"[..], TEAM_STORED.as_bytes(), &zeros])
        .assert_ok();
    assert_eq!(store.get("a").await.unwrap(), None);
    assert_eq!(store.stats().unreadable, count);
    assert!(!store.set_expiry("a", Expiry::Never).await.unwrap());
}

#[tokio::test]
async fn a_tagged_value_over_the_limit_is_unreadable_and_claimed() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let small = super::patient(crate::config(&server).max_value_bytes(3)).await;
    put(&store, "a", "long", &[TEAM]).await;
    put(&store, "b", "abc", &[TEAM]).await;
    assert_eq!(value(&small, "a").await, None);
    assert_eq!(small.stats().unreadable, 1);
    let leases = small.abilities().leases.unwrap();
    match leases.claim("b", TTL).await.unwrap() {
        Claim::Found(value) => assert_eq!(value, Bytes::from("abc")),
        other => panic!("{other:?}"),
    }
    granted(&small, "a").await;
    assert!(store.set("a", Bytes::from("x"), ALWAYS).await.unwrap());
}

#[tokio::test]
async fn the_limit_for_keys_does_not_concern_tags() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = super::patient(crate::config(&server).max_key_bytes(64)).await;
    let cache: Cache<String> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    let long = "t".repeat(1024);
    let tagged = [long.as_str()];
    let options = SetOptions::new().tags(&tagged);
    assert!(cache.set_with("key", "v", options).await.unwrap());
    cache.delete_by_tag(&long).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn bytes_that_would_be_taken_for_a_header_are_refused() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let hostile = Bytes::from_static(b"\xC1\0tags\0\x01hello");
    let refused = CacheBackend::set(&store, "key", hostile.clone(), ALWAYS).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("value starts with bytes"), "{refused}");
    let many = store.set_many(vec![("key", hostile)], Expiry::Never).await;
    assert!(many.is_err());
    assert_eq!(store.get("key").await.unwrap(), None);
}
