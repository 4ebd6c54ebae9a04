//! A key of which somebody has the lease is absent to everybody.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Condition, Cursor, EncodedBackend, Expiry, MsgPackCodec,
    Scope,
};
use cache_redis::Protocol;
use cache_testbed::{Flavor, Server};

use super::{TTL, connect, fill, granted, held, patient};
use crate::config;

#[tokio::test]
async fn to_every_read_a_leased_key_is_absent() {
    let server = Server::builder(Flavor::Redis7).start();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let store = patient(config(&server).protocol(protocol)).await;
        let lease = granted(&store, "key", TTL).await;
        let pairs = vec![("other", Bytes::from("v"))];
        store.set_many(pairs, Expiry::Never).await.unwrap();

        assert_eq!(store.get("key").await.unwrap(), None);
        assert_eq!(store.get_entry("key").await.unwrap(), None);
        let keys = ["key", "other"];
        let found = store.get_many(&keys).await.unwrap();
        assert_eq!(found, [None, Some(Bytes::from("v"))]);
        let found = store.get_entries(&keys).await.unwrap();
        assert_eq!(found.iter().flatten().count(), 1);
        assert_eq!(store.expiry("key").await.unwrap(), None);
        let page = store.scan(&Scope::root(), Cursor::Start, 100).await;
        assert_eq!(page.unwrap().keys, ["other"]);
        assert_eq!(store.stats().unreadable, 0);
        // None of them has harmed it.
        assert!(fill(&store, "key", lease, "v").await);
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn to_every_write_a_leased_key_is_absent() {
    let server = Server::builder(Flavor::Redis8).start();
    let store = connect(&server).await;
    let write = |condition| BackendWrite::new(Expiry::After(TTL * 2), condition);
    let value = || Bytes::from("v");

    let lease = granted(&store, "key", TTL).await;
    let present = store.set("key", value(), write(Condition::IfPresent));
    assert!(!present.await.unwrap());
    assert!(!store.set_expiry("key", Expiry::Never).await.unwrap());
    let later = Expiry::After(TTL * 100);
    assert!(!store.set_expiry("key", later).await.unwrap());
    let left = held(&store, "key").await;
    assert!(left > TTL / 2 && left <= TTL, "{left:?}");
    assert!(fill(&store, "key", lease, "filled").await);

    assert!(
        !store
            .set("key", value(), write(Condition::IfAbsent))
            .await
            .unwrap()
    );
    assert!(store.delete("key", Condition::Always).await.unwrap());
    granted(&store, "key", TTL).await;
    let absent = store.set("key", value(), write(Condition::IfAbsent));
    assert!(absent.await.unwrap());
    let expiry = store.expiry("key").await.unwrap();
    assert!(
        expiry.is_some_and(|expiry| expiry.remaining() > Some(TTL)),
        "{expiry:?}"
    );
    let present = store.set("key", value(), write(Condition::IfPresent));
    assert!(present.await.unwrap());
    assert!(store.delete("key", Condition::Always).await.unwrap());

    granted(&store, "key", TTL).await;
    assert!(!store.delete("key", Condition::Always).await.unwrap());
    granted(&store, "key", TTL).await;
    let both = store.delete_many(&["key", "key", "none"]);
    assert_eq!(both.await.unwrap(), 0);
    granted(&store, "key", TTL).await;
    let swapped = store.swap("key", value(), Expiry::Never).await.unwrap();
    assert_eq!(swapped, None);
    assert_eq!(store.get("key").await.unwrap(), Some(value()));
}

#[tokio::test]
async fn leases_are_neither_listed_nor_counted_among_many_keys() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server).await;
    let keys: Vec<String> = (0..2_000).map(|number| format!("key {number}")).collect();
    let pairs = keys.iter().map(|key| (key.as_str(), Bytes::from("v")));
    store
        .set_many(pairs.collect(), Expiry::Never)
        .await
        .unwrap();
    for number in 0..100 {
        granted(&store, &format!("leased {number}"), TTL).await;
    }
    let (mut listed, mut next) = (Vec::new(), Some(Cursor::Start));
    while let Some(cursor) = next {
        let page = store.scan(&Scope::root(), cursor, 250).await.unwrap();
        listed.extend(page.keys);
        next = page.next;
    }
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed.len(), 2_000);
    assert!(listed.iter().all(|key| key.starts_with("key ")));
    assert_eq!(server.command(&["DBSIZE"]).integer(), 2_100);
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 2_000);
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
}

#[tokio::test]
async fn the_verbs_of_a_cache_see_no_lease() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let cache: Cache<String> = Cache::new(EncodedBackend::new(store.clone(), MsgPackCodec::new()));
    granted(&store, "key", TTL).await;
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert_eq!(cache.mget(&["key"]).await.unwrap(), [None]);
    assert!(!cache.exists("key").await.unwrap());
    assert_eq!(cache.ttl("key").await.unwrap(), None);
    assert!(!cache.expire("key", 100).await.unwrap());
    assert!(!cache.persist("key").await.unwrap());
    assert_eq!(cache.keys().await.unwrap(), Vec::<String>::new());
    assert!(cache.set_nx("key", "v").await.unwrap());
    assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("v"));
    assert!(cache.delete("key").await.unwrap());
    granted(&store, "key", TTL).await;
    assert_eq!(cache.get_and_set("key", "v").await.unwrap(), None);
}

#[tokio::test]
async fn a_value_that_only_looks_like_a_lease_is_a_value() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    granted(&store, "key", TTL).await;
    let stored = server.command(&["GET", "cache:key"]);
    let lease = stored.bytes().expect("it is a string");
    assert_eq!((lease.len(), &lease[..2]), (40, &b"\xC1\0"[..]));
    for like in [&lease[..39], &[lease, b"0"].concat(), &lease[1..]] {
        server
            .command(&[b"SET", &b"cache:like"[..], like])
            .assert_ok();
        assert!(store.get("like").await.unwrap().is_some());
        assert_eq!(store.expiry("like").await.unwrap(), Some(Expiry::Never));
        assert!(store.delete("like", Condition::Always).await.unwrap());
    }
    // A lease that somebody has made last for ever is no lease: nobody would ever load the key.
    assert_eq!(server.command(&["PERSIST", "cache:key"]).integer(), 1);
    granted(&store, "key", Duration::from_secs(1)).await;
}
