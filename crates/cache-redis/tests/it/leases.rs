//! Load leases: what is granted, what a lease is to others, and what ends it.

mod absent;
mod waiting;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_conformance::{Fault, FaultyBackend};
use cache_core::{
    BackendWrite, CacheBackend, Claim, Condition, EncodedBackend, ErrorKind, Expiry, JsonCodec,
    LoadLease, LoadLeases, MsgPackCodec, Scope,
};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

use crate::config;

const TTL: Duration = Duration::from_secs(30);
const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

/// Connects so that no operation fails when the machine alone does not run it for a moment.
async fn connect(server: &Server) -> RedisStore {
    patient(config(server)).await
}

async fn patient(config: RedisConfig) -> RedisStore {
    let store = RedisStore::connect(config.command_timeout(Duration::from_secs(5)));
    store.await.expect("the servers are there")
}

fn leases(store: &RedisStore) -> &dyn LoadLeases<Bytes> {
    store.abilities().leases.expect("a namespace has leases")
}

/// Claims a key that nobody has.
async fn granted(store: &RedisStore, key: &str, ttl: Duration) -> LoadLease {
    match leases(store).claim(key, ttl).await {
        Ok(Claim::Granted(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

async fn held(store: &RedisStore, key: &str) -> Duration {
    match leases(store).claim(key, TTL).await {
        Ok(Claim::Held { left, .. }) => left,
        other => panic!("{other:?}"),
    }
}

async fn fill(store: &RedisStore, key: &str, lease: LoadLease, value: &'static str) -> bool {
    let filled = leases(store).fill(key, lease, Bytes::from(value), Expiry::Never);
    filled.await.expect("the server is healthy")
}

#[tokio::test]
async fn one_of_many_concurrent_claims_is_granted() {
    let server = Server::builder(Flavor::Redis7).start();
    let stores = [connect(&server).await, connect(&server).await];
    for round in 0..20 {
        let key = format!("key {round}");
        let claim = |number: usize| {
            let (store, key) = (stores[number % 2].clone(), key.clone());
            tokio::spawn(async move { leases(&store).claim(&key, TTL).await.unwrap() })
        };
        let claims: Vec<_> = (0..64).map(claim).collect();
        let (mut granted, mut held) = (0, 0);
        for claim in claims {
            match claim.await.unwrap() {
                Claim::Granted(_) => granted += 1,
                Claim::Held { left, .. } if left <= TTL => held += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((granted, held), (1, 63));
    }
}

#[tokio::test]
async fn a_lease_that_is_held_tells_the_time_that_it_has_left() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let lease = granted(&store, "key", TTL).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let left = held(&store, "key").await;
    let expected = TTL - Duration::from_secs(5)..=TTL - Duration::from_millis(49);
    assert!(expected.contains(&left), "{left:?}");

    let minute = Duration::from_secs(60);
    assert!(leases(&store).extend("key", lease, minute).await.unwrap());
    let left = held(&store, "key").await;
    assert!((TTL..=minute).contains(&left), "{left:?}");
    let other = LoadLease::new(lease.fencing_token(), lease.nonce() ^ 1);
    assert!(!leases(&store).extend("key", other, TTL).await.unwrap());
}

#[tokio::test]
async fn what_is_filled_in_is_found_with_its_time_to_live() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let lease = granted(&store, "key", TTL).await;
    let expiry = Expiry::After(Duration::from_millis(70_250));
    let filled = leases(&store).fill("key", lease, Bytes::from("v"), expiry);
    assert!(filled.await.unwrap());
    let left = server.command(&["PTTL", "cache:key"]).integer();
    assert!((60_251..=70_250).contains(&left), "{left}");
    match leases(&store).claim("key", TTL).await.unwrap() {
        Claim::Found(value) => assert_eq!(value, Bytes::from("v")),
        other => panic!("{other:?}"),
    }
    // Only once.
    assert!(!fill(&store, "key", lease, "again").await);
    assert_eq!(store.get("key").await.unwrap(), Some(Bytes::from("v")));

    let lease = granted(&store, "for ever", TTL).await;
    assert!(fill(&store, "for ever", lease, "v").await);
    assert_eq!(server.command(&["PTTL", "cache:for ever"]).integer(), -1);
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_and_the_lease_stays() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server).max_value_bytes(3))
        .await
        .unwrap();
    let lease = granted(&store, "key", TTL).await;
    let filled = leases(&store).fill("key", lease, Bytes::from("long"), Expiry::Never);
    assert_eq!(
        filled.await.unwrap_err().to_string(),
        "value of weight 4 exceeds the limit of 3"
    );
    assert!(fill(&store, "key", lease, "ok").await);
    // What is found over the limit, or of another type, is no value.
    server.command(&["SET", "cache:key", "long"]).assert_ok();
    granted(&store, "key", TTL).await;
    server.command(&["RPUSH", "cache:list", "x"]);
    granted(&store, "list", TTL).await;
}

#[tokio::test]
async fn a_lease_that_has_expired_is_granted_again_and_its_fill_is_late() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let old = granted(&store, "key", Duration::from_millis(30)).await;
    let start = Instant::now();
    let new = loop {
        match leases(&store).claim("key", TTL).await.unwrap() {
            Claim::Granted(lease) => break lease,
            Claim::Held { left, .. } => tokio::time::sleep(left).await,
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    };
    assert!(new.fencing_token() > old.fencing_token());
    assert!(!fill(&store, "key", old, "late").await);
    leases(&store).release("key", old).await.unwrap();
    assert!(fill(&store, "key", new, "in time").await);
    assert_eq!(
        store.get("key").await.unwrap(),
        Some(Bytes::from("in time"))
    );
}

#[tokio::test]
async fn fencing_tokens_grow_from_holder_to_holder_and_are_the_time_of_the_server() {
    let server = Server::builder(Flavor::Redis7).start();
    let stores = [connect(&server).await, connect(&server).await];
    let mut last = 0;
    for round in 0..200 {
        let store = &stores[round % 2];
        let lease = granted(store, "key", TTL).await;
        assert!(lease.fencing_token() > last, "{round}");
        last = lease.fencing_token();
        leases(store).release("key", lease).await.unwrap();
    }
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
    assert!(now.abs_diff(last) < 60_000_000, "{last} at {now}");
}

#[tokio::test]
async fn what_happens_to_the_key_revokes_its_lease_and_nothing_is_brought_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    for what in ["delete", "delete_many", "clear", "DEL"] {
        let lease = granted(&store, "key", TTL).await;
        match what {
            "delete" => assert!(!store.delete("key", Condition::Always).await.unwrap()),
            "delete_many" => assert_eq!(store.delete_many(&["key"]).await.unwrap(), 0),
            "clear" => assert_eq!(store.clear(&Scope::root()).await.unwrap(), 0),
            _ => assert_eq!(server.command(&["DEL", "cache:key"]).integer(), 1),
        }
        assert!(!fill(&store, "key", lease, "late").await, "{what}");
        assert_eq!(store.get("key").await.unwrap(), None, "{what}");
        assert_eq!(server.command(&["DBSIZE"]).integer(), 0, "{what}");
    }
    for what in ["set", "set_many", "swap", "if absent", "SET"] {
        let lease = granted(&store, "key", TTL).await;
        let newer = Bytes::from("newer");
        match what {
            "set" => assert!(store.set("key", newer, ALWAYS).await.unwrap()),
            "set_many" => {
                let pairs = vec![("key", newer)];
                store.set_many(pairs, Expiry::Never).await.unwrap();
            }
            "swap" => {
                let replaced = store.swap("key", newer, Expiry::Never).await.unwrap();
                assert_eq!(replaced, None);
            }
            "if absent" => {
                let absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
                assert!(store.set("key", newer, absent).await.unwrap());
            }
            _ => server.command(&["SET", "cache:key", "newer"]).assert_ok(),
        }
        assert!(!fill(&store, "key", lease, "late").await, "{what}");
        leases(&store).release("key", lease).await.unwrap();
        let found = store.get("key").await.unwrap();
        assert_eq!(found, Some(Bytes::from("newer")), "{what}");
        assert!(store.delete("key", Condition::Always).await.unwrap());
    }
}

#[tokio::test]
async fn leases_of_many_keys_are_kept_apart_in_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let store = patient(RedisConfig::from_url(&cluster.url()).unwrap()).await;
    let keys: Vec<String> = (0..50).map(|number| format!("key {number}")).collect();
    let mut taken = Vec::new();
    for key in &keys {
        taken.push(granted(&store, key, TTL).await);
    }
    let distinct: BTreeSet<u64> = taken.iter().map(|lease| lease.nonce()).collect();
    assert_eq!(distinct.len(), 50);
    let page = store
        .scan(&Scope::root(), cache_core::Cursor::Start, 100)
        .await
        .unwrap();
    assert!(page.keys.is_empty());
    for (number, (key, lease)) in keys.iter().zip(&taken).enumerate() {
        assert!(held(&store, key).await <= TTL);
        if number % 2 == 0 {
            assert!(fill(&store, key, *lease, "v").await);
        }
    }
    let all: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = store.get_many(&all).await.unwrap();
    assert_eq!(found.iter().flatten().count(), 25);
    assert_eq!(store.delete_many(&all).await.unwrap(), 25);
    assert!(!fill(&store, "key 1", taken[1], "late").await);
    // A slot that moves sends claims elsewhere.
    let slot = cache_testbed::slot_of_key("cache:key 1");
    let from = cluster.master_of_slot(slot);
    let to = cluster
        .nodes()
        .iter()
        .find(|node| node.port() != from.port());
    cluster.move_slots(from, to.expect("there are three"), slot..=slot);
    let lease = granted(&store, "key 1", TTL).await;
    assert!(fill(&store, "key 1", lease, "moved").await);
    assert_eq!(store.clear(&Scope::root()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_grants_nothing() {
    let server = Server::builder(Flavor::Redis7).start();
    let timeout = Duration::from_millis(300);
    let store = RedisStore::connect(config(&server).command_timeout(timeout))
        .await
        .unwrap();
    let lease = granted(&store, "key", TTL).await;
    server.kill();
    let start = Instant::now();
    let error = leases(&store).claim("other", TTL).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let filled = leases(&store).fill("key", lease, Bytes::new(), Expiry::Never);
    assert!(filled.await.unwrap_err().is_transient());
    assert!(
        store
            .abilities()
            .locks
            .unwrap()
            .acquire("lock", TTL)
            .await
            .unwrap_err()
            .is_transient()
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_claim_of_which_the_reply_is_lost_grants_nothing_and_ends_in_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let faulty = FaultyBackend::new(connect(&server).await);
    let leases: &dyn LoadLeases<Bytes> = faulty.abilities().leases.expect("the store has leases");
    faulty.script([Fault::LoseReply(ErrorKind::Timeout)]);
    let brief = Duration::from_millis(200);
    let error = leases.claim("key", brief).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Timeout);
    let start = Instant::now();
    let lease = loop {
        match leases.claim("key", TTL).await.unwrap() {
            Claim::Granted(lease) => break lease,
            Claim::Held { left, .. } => leases.ended("key", left).await,
            other => panic!("{other:?}"),
        }
    };
    assert!(start.elapsed() < brief * 2, "{:?}", start.elapsed());
    assert!(fill(faulty.inner(), "key", lease, "v").await);
}

#[tokio::test]
async fn there_are_no_leases_where_other_programs_would_read_them() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let bare = RedisStore::connect(config(&server).bare_keys())
        .await
        .unwrap();
    assert!(bare.abilities().leases.is_none());
    let raw = EncodedBackend::new(store.clone(), JsonCodec::new()).raw();
    assert!(CacheBackend::<String>::abilities(&raw).leases.is_none());
    let typed = EncodedBackend::new(store, JsonCodec::new());
    assert!(CacheBackend::<String>::abilities(&typed).leases.is_some());
}

#[tokio::test]
async fn what_cannot_be_read_is_claimed_by_one_of_many() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let backend = EncodedBackend::new(store.clone(), MsgPackCodec::new()).with_schema("user/2");
    let backend = std::sync::Arc::new(backend);
    for round in 0..20 {
        // Of an older schema.
        let old = EncodedBackend::new(store.clone(), MsgPackCodec::new()).with_schema("user/1");
        old.set("key", format!("{round}"), ALWAYS).await.unwrap();
        let claims: Vec<_> = (0..16)
            .map(|_| {
                let backend = std::sync::Arc::clone(&backend);
                tokio::spawn(async move {
                    let leases: &dyn LoadLeases<String> = &*backend;
                    leases.claim("key", TTL).await.unwrap()
                })
            })
            .collect();
        let mut leases = Vec::new();
        for claim in claims {
            match claim.await.unwrap() {
                Claim::Granted(lease) => leases.push(lease),
                Claim::Held { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(leases.len(), 1);
        let new = "new".to_owned();
        assert!(
            backend
                .fill("key", leases[0], new.clone(), Expiry::Never)
                .await
                .unwrap()
        );
        assert_eq!(backend.get("key").await.unwrap(), Some(new));
    }
}
