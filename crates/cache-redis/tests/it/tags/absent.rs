//! An entry of which a tag was invalidated is absent to every verb; any other is present.

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Claim, Condition, Cursor, Expiry, Scope, Tagging};
use cache_redis::{Protocol, RedisStore};
use cache_testbed::{Flavor, Server};

use super::{ALWAYS, PRICES, TEAM, TTL, granted, invalidate, patient, put, put_with, value};
use crate::config;

const IF_ABSENT: BackendWrite = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
const IF_PRESENT: BackendWrite = BackendWrite::new(Expiry::Never, Condition::IfPresent);

/// Puts `over`, of which a tag is invalidated, and `live`.
async fn over_and_live(store: &RedisStore) {
    put(store, "over", "old", &[PRICES, TEAM]).await;
    put(store, "live", "v", &[PRICES]).await;
    invalidate(store, &[TEAM]).await;
}

/// A store for each protocol, each time on an empty server.
async fn stores(server: &Server) -> Vec<RedisStore> {
    let mut stores = Vec::new();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        stores.push(patient(config(server).protocol(protocol)).await);
    }
    stores
}

#[tokio::test]
async fn to_every_read() {
    let server = Server::builder(Flavor::Redis7).start();
    for store in stores(&server).await {
        server.command(&["FLUSHALL"]).assert_ok();
        over_and_live(&store).await;
        put(&store, "plain", "p", &[]).await;
        assert_eq!(value(&store, "over").await, None);
        assert_eq!(value(&store, "live").await.as_deref(), Some("v"));
        assert_eq!(store.get_entry("over").await.unwrap(), None);
        let keys = ["over", "plain", "live", "over"];
        let [v, p] = ["v", "p"].map(|value| Some(Bytes::from(value)));
        let found = store.get_many(&keys).await.unwrap();
        assert_eq!(found, [None, p, v, None]);
        let found = store.get_entries(&keys).await.unwrap();
        let there: Vec<bool> = found.iter().map(Option::is_some).collect();
        assert_eq!(there, [false, true, true, false]);
        assert_eq!(store.expiry("over").await.unwrap(), None);
        assert_eq!(store.expiry("live").await.unwrap(), Some(Expiry::Never));
        let page = store.scan(&Scope::root(), Cursor::Start, 100).await;
        let mut keys = page.unwrap().keys;
        keys.sort();
        assert_eq!(keys, ["live", "plain"]);
        let of_tags = Scope::of(&["_tag"], "").unwrap();
        let page = store.scan(&of_tags, Cursor::Start, 100).await.unwrap();
        assert_eq!(page.keys, Vec::<String>::new());
        assert_eq!(store.stats().unreadable, 0);
    }
}

#[tokio::test]
async fn to_conditional_writes() {
    let server = Server::builder(Flavor::Redis8).start();
    for store in stores(&server).await {
        server.command(&["FLUSHALL"]).assert_ok();
        over_and_live(&store).await;
        let new = || Bytes::from("new");
        assert!(!store.set("over", new(), IF_PRESENT).await.unwrap());
        assert_eq!(value(&store, "over").await, None);
        assert!(!store.set("live", new(), IF_ABSENT).await.unwrap());
        assert_eq!(value(&store, "live").await.as_deref(), Some("v"));
        assert!(store.set("over", new(), IF_ABSENT).await.unwrap());
        assert_eq!(value(&store, "over").await.as_deref(), Some("new"));
        let later = BackendWrite::new(Expiry::After(TTL), Condition::IfPresent);
        assert!(store.set("live", new(), later).await.unwrap());
        let entry = store.get_entry("live").await.unwrap().unwrap();
        assert_eq!((entry.value, entry.tags.len()), (new(), 0));
        assert!(entry.expiry.remaining() <= Some(TTL));

        // The same with tags.
        over_and_live(&store).await;
        let names = [TEAM];
        let tagging = Tagging::new(&names, None);
        assert!(!put_with(&store, "over", "1", IF_PRESENT, tagging).await);
        assert!(!put_with(&store, "live", "1", IF_ABSENT, tagging).await);
        assert!(put_with(&store, "over", "1", IF_ABSENT, tagging).await);
        assert!(!put_with(&store, "over", "2", IF_ABSENT, tagging).await);
        assert!(put_with(&store, "live", "1", IF_PRESENT, tagging).await);
        assert!(put_with(&store, "new", "1", IF_ABSENT, tagging).await);
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn to_a_swap_and_to_set_expiry() {
    let server = Server::builder(Flavor::Valkey9).start();
    for store in stores(&server).await {
        server.command(&["FLUSHALL"]).assert_ok();
        over_and_live(&store).await;
        for expiry in [Expiry::After(TTL), Expiry::Never] {
            assert!(!store.set_expiry("over", expiry).await.unwrap());
        }
        assert_eq!(server.command(&["PTTL", "cache:over"]).integer(), -1);
        assert!(store.set_expiry("live", Expiry::After(TTL)).await.unwrap());
        let left = store.expiry("live").await.unwrap().unwrap();
        assert!(left.remaining() > Some(TTL / 2) && left.remaining() <= Some(TTL));
        let entry = store.get_entry("live").await.unwrap().unwrap();
        assert_eq!(entry.tags, [PRICES.into()]);

        let swap = async |key| store.swap(key, Bytes::from("new"), Expiry::Never).await;
        assert_eq!(swap("over").await.unwrap(), None);
        assert_eq!(swap("live").await.unwrap(), Some(Bytes::from("v")));
        assert_eq!(swap("over").await.unwrap(), Some(Bytes::from("new")));
    }
}

#[tokio::test]
async fn to_what_removes_and_what_counts() {
    let server = Server::builder(Flavor::Redis7).start();
    for store in stores(&server).await {
        server.command(&["FLUSHALL"]).assert_ok();
        over_and_live(&store).await;
        assert!(!store.delete("over", Condition::Always).await.unwrap());
        assert!(store.delete("live", Condition::Always).await.unwrap());
        assert_eq!(
            server
                .command(&["EXISTS", "cache:over", "cache:live"])
                .integer(),
            0
        );

        over_and_live(&store).await;
        put(&store, "more", "v", &[PRICES]).await;
        store.set("plain", Bytes::new(), ALWAYS).await.unwrap();
        let keys = ["over", "live", "none", "plain", "live", "over", "more"];
        assert_eq!(store.delete_many(&keys).await.unwrap(), 3);

        over_and_live(&store).await;
        store.set("plain", Bytes::new(), ALWAYS).await.unwrap();
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 2);
        assert_eq!(
            server
                .command(&["EXISTS", "cache:over", "cache:live"])
                .integer(),
            0
        );
        let of_tags = Scope::of(&["_tag"], "").unwrap();
        assert_eq!(store.clear(&of_tags).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn to_a_claim() {
    let server = Server::builder(Flavor::Redis7).start();
    for store in stores(&server).await {
        server.command(&["FLUSHALL"]).assert_ok();
        over_and_live(&store).await;
        let leases = store.abilities().leases.unwrap();
        match leases.claim("live", TTL).await.unwrap() {
            Claim::Found(value) => assert_eq!(value, Bytes::from("v")),
            other => panic!("{other:?}"),
        }
        let lease = granted(&store, "over").await;
        assert!(matches!(
            leases.claim("over", TTL).await,
            Ok(Claim::Held { .. })
        ));
        let fill = leases.fill("over", lease, Bytes::from("new"), Expiry::Never);
        assert!(fill.await.unwrap());
        assert_eq!(value(&store, "over").await.as_deref(), Some("new"));
    }
}

#[tokio::test]
async fn a_value_is_discarded_by_what_it_is_without_its_tags() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = patient(config(&server)).await;
    let leases = store.abilities().leases.unwrap();
    put(&store, "a", "unreadable", &[TEAM]).await;
    leases.discard("a", Bytes::from("readable")).await.unwrap();
    leases.discard("a", Bytes::new()).await.unwrap();
    assert_eq!(value(&store, "a").await.as_deref(), Some("unreadable"));
    leases
        .discard("a", Bytes::from("unreadable"))
        .await
        .unwrap();
    assert_eq!(value(&store, "a").await, None);
    assert_eq!(server.command(&["EXISTS", "cache:a"]).integer(), 0);
}

#[tokio::test]
async fn of_many_who_claim_what_is_over_one_has_the_lease() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = patient(config(&server)).await;
    for round in 0..20 {
        let key = format!("key {round}");
        put(&store, &key, "old", &[TEAM]).await;
        invalidate(&store, &[TEAM]).await;
        let claim = |_| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                store
                    .abilities()
                    .leases
                    .unwrap()
                    .claim(&key, TTL)
                    .await
                    .unwrap()
            })
        };
        let claims: Vec<_> = (0..16).map(claim).collect();
        let mut granted = 0;
        for claim in claims {
            match claim.await.unwrap() {
                Claim::Granted(_) => granted += 1,
                Claim::Held { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(granted, 1);
    }
}

#[tokio::test]
async fn of_many_who_set_what_is_over_if_it_is_absent_one_does() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = patient(config(&server)).await;
    for round in 0..20 {
        let key = format!("key {round}");
        put(&store, &key, "old", &[TEAM]).await;
        invalidate(&store, &[TEAM]).await;
        let set = |number: usize| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                let names = [TEAM, PRICES];
                let tagging = Tagging::new(&names[..number % 3], None);
                put_with(&store, &key, "new", IF_ABSENT, tagging).await
            })
        };
        let sets: Vec<_> = (0..16).map(set).collect();
        let mut done = 0;
        for set in sets {
            done += usize::from(set.await.unwrap());
        }
        assert_eq!(done, 1);
        assert_eq!(value(&store, &key).await.as_deref(), Some("new"));
    }
}
