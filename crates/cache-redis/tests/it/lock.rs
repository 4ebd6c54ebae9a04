//! Locks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{CacheBackend, Cursor, ErrorKind, Expiry, MAX_TTL, Scope};
use cache_redis::{Lock, RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use crate::config;

const TTL: Duration = Duration::from_secs(30);

/// Connects so that no operation fails when the machine alone does not run it for a moment.
async fn connect(server: &Server) -> RedisStore {
    patient(config(server)).await
}

async fn patient(config: RedisConfig) -> RedisStore {
    let store = RedisStore::connect(config.command_timeout(Duration::from_secs(5)));
    store.await.expect("the servers are there")
}

async fn lock(store: &RedisStore, name: &str, ttl: Duration) -> Option<Lock> {
    let lock = store.lock(name, ttl).await;
    lock.expect("the server is healthy")
}

/// Waits until the lock can be had.
async fn wait_for(store: &RedisStore, name: &str) -> Lock {
    let start = Instant::now();
    loop {
        if let Some(lock) = lock(store, name, TTL).await {
            return lock;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it is given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_of_many_has_the_lock_at_a_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let stores = [connect(&server).await, connect(&server).await];
    let mut last = 0;
    for _ in 0..20 {
        let tries = (0..64).map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move { store.lock("job", TTL).await.unwrap() })
        });
        let mut locks = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            locks.extend(attempt.await.unwrap());
        }
        assert_eq!(locks.len(), 1);
        let lock = locks.remove(0);
        assert!(lock.fencing_token() > last);
        last = lock.fencing_token();
        assert!(lock.release().await.unwrap());
    }
    // Another name is another lock.
    let _held = lock(&stores[0], "job", TTL).await.unwrap();
    assert!(lock(&stores[1], "Job", TTL).await.is_some());
}

#[tokio::test]
async fn a_lock_expires_unless_it_is_extended() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let mut first = lock(&store, "job", Duration::from_millis(300))
        .await
        .unwrap();
    assert!(first.extend(TTL).await.unwrap());
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(lock(&store, "job", TTL).await.is_none());
    assert!(first.extend(Duration::from_millis(1)).await.unwrap());
    tokio::time::sleep(Duration::from_millis(20)).await;

    let second = lock(&store, "job", TTL).await.unwrap();
    assert!(second.fencing_token() > first.fencing_token());
    assert!(!first.extend(TTL).await.unwrap());
    // It is not ours to give back.
    assert!(!first.release().await.unwrap());
    assert!(lock(&store, "job", TTL).await.is_none());
    assert!(second.release().await.unwrap());
}

#[tokio::test]
async fn a_lock_that_is_dropped_is_given_back_unless_somebody_else_has_it() {
    let server = Server::builder(Flavor::Redis7).start();
    let (store, other) = (connect(&server).await, connect(&server).await);
    let held = lock(&store, "job", TTL).await.unwrap();
    // The lock keeps the connection that it needs.
    drop(store);
    drop(held);
    let late = wait_for(&other, "job").await;
    let key = format!("cache:@{{{}}}lock:job", slot_of_key("job"));
    assert_eq!(server.command(&["DEL", &key]).integer(), 1);
    let new = lock(&other, "job", TTL).await.unwrap();
    drop(late);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(lock(&other, "job", TTL).await.is_none());
    assert!(new.release().await.unwrap());
}

#[test]
fn a_lock_that_is_dropped_without_a_runtime_is_left_to_its_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, held) = runtime.block_on(async {
        let store = connect(&server).await;
        let held = lock(&store, "job", Duration::from_millis(300)).await;
        (store, held.unwrap())
    });
    drop(held);
    runtime.block_on(async {
        assert!(lock(&store, "job", TTL).await.is_none());
        let start = Instant::now();
        wait_for(&store, "job").await.release().await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(450));
    });
}

#[tokio::test]
async fn tokens_grow_also_when_the_clock_of_the_server_is_set_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let first = lock(&store, "job", TTL).await.unwrap();
    let token = first.fencing_token();
    assert!(first.release().await.unwrap());
    let keys = server.command(&["KEYS", "cache:@*token:job"]);
    let key = keys.array()[0].text();
    let left = server.command(&["PTTL", &key]).integer();
    assert!((86_000_000..=86_400_000).contains(&left), "{left}");
    // As if that had been granted by a clock which is an hour ahead.
    let ahead = token + 3_600_000_000;
    server
        .command(&["SET", &key, &ahead.to_string()])
        .assert_ok();
    let other = connect(&server).await;
    let second = lock(&other, "job", TTL).await.unwrap();
    assert_eq!(second.fencing_token(), ahead + 1);
}

#[tokio::test]
async fn a_lock_is_no_key_of_the_cache() {
    let server = Server::builder(Flavor::Redis7).start();
    for hash_tags in [false, true] {
        let store = RedisStore::connect(config(&server).hash_tags(hash_tags))
            .await
            .unwrap();
        let pairs = vec![("job", Bytes::from("v"))];
        store.set_many(pairs, Expiry::Never).await.unwrap();
        let names = ["job", "{a}b", "@", "lock:job", "a b\n*"];
        let mut held = Vec::new();
        for name in names {
            held.push(lock(&store, name, TTL).await.unwrap());
        }
        let page = store
            .scan(&Scope::root(), Cursor::Start, 100)
            .await
            .unwrap();
        assert_eq!(page.keys, ["job"]);
        assert_eq!(store.clear(&Scope::root()).await.unwrap(), 1);
        for (name, held) in names.into_iter().zip(held) {
            assert!(lock(&store, name, TTL).await.is_none());
            assert!(held.release().await.unwrap());
        }
        // A store of another name has locks of its own.
        let _held = lock(&store, "job", TTL).await.unwrap();
        let partition = store.partition("other").unwrap();
        assert!(lock(&partition, "job", TTL).await.is_some());
        server.command(&["FLUSHALL"]).assert_ok();
    }
}

#[tokio::test]
async fn locks_of_any_name_work_in_a_cluster() {
    let cluster = Cluster::builder(Flavor::Redis8).replicas(0).start();
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let store = patient(config).await;
    for number in 0..50 {
        let name = format!("job }}{{{number}}}");
        let mut held = lock(&store, &name, TTL).await.unwrap();
        assert!(lock(&store, &name, TTL).await.is_none());
        assert!(held.extend(TTL).await.unwrap());
        assert!(held.release().await.unwrap());
    }
    let used = cluster
        .nodes()
        .iter()
        .filter(|node| node.calls("evalsha") > 0);
    assert_eq!(used.count(), 3);
}

#[tokio::test]
async fn bad_input_is_refused_and_says_what_is_allowed() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let long = "n".repeat(513);
    let over = MAX_TTL + Duration::from_secs(1);
    let cases = [
        ("", TTL, "name is empty, the least is 1 byte"),
        (&*long, TTL, "name is 513 bytes long, the most is 512"),
        ("job", Duration::ZERO, "ttl is zero, the least is 1 ms"),
        (
            "job",
            over,
            "ttl is 3153600001 seconds, the most is 3153600000 (100 years)",
        ),
    ];
    for (name, ttl, text) in cases {
        let error = store.lock(name, ttl).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
        assert_eq!(error.to_string(), text);
    }
    let mut held = lock(&store, &long[1..], MAX_TTL).await.unwrap();
    let error = held.extend(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "ttl is zero, the least is 1 ms");
    let shown = format!("{held:?}");
    let token = held.fencing_token();
    assert_eq!(shown, format!("Lock {{ fencing_token: {token}, .. }}"));
    drop(held);

    let bare = RedisStore::connect(config(&server).bare_keys())
        .await
        .unwrap();
    let error = bare.lock("job", TTL).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }));
}
