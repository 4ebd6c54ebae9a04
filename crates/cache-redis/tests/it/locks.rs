//! Locks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{
    Acquired, Cache, CacheBackend, Cursor, EncodedBackend, ErrorKind, Expiry, JsonCodec, LockToken,
    Locks, MAX_TTL, Scope,
};
use cache_redis::{RedisConfig, RedisStore};
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

fn locks(store: &RedisStore) -> &dyn Locks {
    store.abilities().locks.expect("a namespace has locks")
}

async fn lock(store: &RedisStore, name: &str, ttl: Duration) -> Option<LockToken> {
    let acquired = locks(store).acquire(name, ttl).await;
    match acquired.expect("the server is healthy") {
        Acquired::Granted(token) => Some(token),
        Acquired::Held(left) => {
            assert!(left <= MAX_TTL);
            None
        }
    }
}

async fn extend(store: &RedisStore, name: &str, token: LockToken, ttl: Duration) -> bool {
    let extended = locks(store).extend(name, token, ttl).await;
    extended.expect("the server is healthy")
}

async fn release(store: &RedisStore, name: &str, token: LockToken) -> bool {
    let released = locks(store).release(name, token).await;
    released.expect("the server is healthy")
}

fn cache(store: RedisStore) -> Cache<String> {
    Cache::new(EncodedBackend::new(store, JsonCodec::new()))
}

/// Waits until the lock can be had.
async fn wait_for(store: &RedisStore, name: &str) -> LockToken {
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
            tokio::spawn(async move { lock(&store, "job", TTL).await })
        });
        let mut granted = Vec::new();
        for attempt in tries.collect::<Vec<_>>() {
            granted.extend(attempt.await.unwrap());
        }
        assert_eq!(granted.len(), 1);
        assert!(granted[0].fencing_token() > last);
        last = granted[0].fencing_token();
        // Any handle on the servers can give it back that knows the token.
        assert!(release(&stores[1], "job", granted[0]).await);
    }
    // Another name is another lock.
    assert!(lock(&stores[0], "job", TTL).await.is_some());
    assert!(lock(&stores[1], "Job", TTL).await.is_some());
}

#[tokio::test]
async fn a_lock_expires_unless_it_is_extended() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let first = lock(&store, "job", Duration::from_millis(300)).await;
    let first = first.unwrap();
    assert!(extend(&store, "job", first, TTL).await);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(lock(&store, "job", TTL).await.is_none());
    assert!(extend(&store, "job", first, Duration::from_millis(1)).await);
    tokio::time::sleep(Duration::from_millis(20)).await;

    let second = lock(&store, "job", TTL).await.unwrap();
    assert!(second.fencing_token() > first.fencing_token());
    assert!(!extend(&store, "job", first, TTL).await);
    // It is not ours to give back.
    assert!(!release(&store, "job", first).await);
    assert!(lock(&store, "job", TTL).await.is_none());
    assert!(release(&store, "job", second).await);
}

#[tokio::test]
async fn a_lock_that_is_dropped_is_given_back_unless_somebody_else_has_it() {
    let server = Server::builder(Flavor::Redis7).start();
    let (store, other) = (connect(&server).await, connect(&server).await);
    let held = cache(store).lock("job").acquire().await.unwrap().unwrap();
    // The lock keeps the connection that it needs.
    drop(held);
    let _late = wait_for(&other, "job").await;
    let key = format!("cache:@{{{}}}lock:job", slot_of_key("job"));
    assert_eq!(server.command(&["DEL", &key]).integer(), 1);

    let cache = cache(connect(&server).await);
    let late = cache.lock("job").acquire().await.unwrap().unwrap();
    assert_eq!(server.command(&["DEL", &key]).integer(), 1);
    let new = lock(&other, "job", TTL).await.unwrap();
    drop(late);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(lock(&other, "job", TTL).await.is_none());
    assert!(release(&other, "job", new).await);
}

#[tokio::test]
async fn a_lock_renews_itself_and_says_when_it_is_lost() {
    let server = Server::builder(Flavor::Redis7).start();
    let (cache, other) = (cache(connect(&server).await), connect(&server).await);
    let request = cache.lock("job").ttl(Duration::from_millis(300));
    let held = request.acquire().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(held.is_held());
    assert!(lock(&other, "job", TTL).await.is_none());

    // Somebody takes it away.
    let key = format!("cache:@{{{}}}lock:job", slot_of_key("job"));
    assert_eq!(server.command(&["DEL", &key]).integer(), 1);
    let start = Instant::now();
    held.lost().await;
    assert!(
        start.elapsed() < Duration::from_millis(290),
        "the next renewal tells"
    );
    assert!(!held.is_held() && !held.renew().await.unwrap());
    assert!(!held.release().await.unwrap());
}

#[tokio::test]
async fn a_lock_is_lost_when_its_server_cannot_be_reached_for_its_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(connect(&server).await);
    let request = cache.lock("job").ttl(Duration::from_millis(400));
    let held = request.acquire().await.unwrap().unwrap();
    server.pause();
    let start = Instant::now();
    held.lost().await;
    let after = start.elapsed();
    server.resume();
    assert!(after <= Duration::from_millis(450), "{after:?}");
}

#[tokio::test]
async fn who_waits_has_the_lock_as_soon_as_it_is_given_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let (cache, other) = (cache(connect(&server).await), cache(connect(&server).await));
    // The first wait begins to listen, and may look before it hears.
    for _ in 0..5 {
        let held = cache.lock("job").acquire().await.unwrap().unwrap();
        let waits = tokio::spawn(other.lock("job").wait(TTL).acquire());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waits.is_finished());
        let start = Instant::now();
        assert!(held.release().await.unwrap());
        let next = waits.await.unwrap().unwrap().unwrap();
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        assert!(next.release().await.unwrap());
    }
    let _held = cache.lock("job").acquire().await.unwrap().unwrap();
    let start = Instant::now();
    let waits = other.lock("job").wait(Duration::from_millis(200)).acquire();
    assert!(waits.await.unwrap().is_none());
    let waited = start.elapsed();
    assert!((200..400).contains(&waited.as_millis()), "{waited:?}");
}

#[test]
fn a_lock_that_is_dropped_without_a_runtime_is_left_to_its_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, held) = runtime.block_on(async {
        let store = connect(&server).await;
        let request = cache(store.clone())
            .lock("job")
            .ttl(Duration::from_millis(300));
        (store, request.acquire().await.unwrap().unwrap())
    });
    drop(held);
    runtime.block_on(async {
        assert!(lock(&store, "job", TTL).await.is_none());
        let start = Instant::now();
        wait_for(&store, "job").await;
        assert!(start.elapsed() < Duration::from_millis(450));
    });
}

#[tokio::test]
async fn tokens_grow_also_when_the_clock_of_the_server_is_set_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let first = lock(&store, "job", TTL).await.unwrap();
    let token = first.fencing_token();
    assert!(release(&store, "job", first).await);
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
            assert!(release(&store, name, held).await);
        }
        // A store of another name has locks of its own.
        assert!(lock(&store, "job", TTL).await.is_some());
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
        let held = lock(&store, &name, TTL).await.unwrap();
        assert!(lock(&store, &name, TTL).await.is_none());
        assert!(extend(&store, &name, held, TTL).await);
        assert!(release(&store, &name, held).await);
    }
    let used = cluster
        .nodes()
        .iter()
        .filter(|node| node.calls("evalsha") > 0);
    assert_eq!(used.count(), 3);
}

#[tokio::test]
async fn locks_are_refused_under_bare_keys() {
    let server = Server::builder(Flavor::Redis7).start();
    let bare = RedisStore::connect(config(&server).bare_keys())
        .await
        .unwrap();
    let refused = cache(bare).lock("job").acquire().await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Unsupported { .. }));
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0);
}
