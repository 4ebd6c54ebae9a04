//! Who waits for the end of a load hears of it.

use std::time::{Duration, Instant};

use cache_core::{Condition, LoadLease};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};

use super::{TTL, connect, fill, granted, leases, patient};
use crate::config;

/// How soon a message is heard, on a machine that has other things to do.
const SOON: Duration = Duration::from_millis(200);
/// How long a wait goes on before the load ends: longer than it takes to subscribe.
const WHILE: Duration = Duration::from_millis(300);

/// Waits in another task; tells how long it took from the start.
fn wait(store: &RedisStore, at_most: Duration) -> tokio::task::JoinHandle<Instant> {
    let store = store.clone();
    tokio::spawn(async move {
        leases(&store).ended("key", at_most).await;
        Instant::now()
    })
}

async fn release(store: &RedisStore, lease: LoadLease) {
    let release = leases(store).release("key", lease);
    release.await.expect("the server is healthy");
}

/// Has one store wait for loads of the other, and returns how long after their end it was woken.
async fn delays(loader: &RedisStore, waiter: &RedisStore) -> Vec<Duration> {
    let mut delays = Vec::new();
    for round in 0..4 {
        let lease = granted(loader, "key", TTL).await;
        let woken = wait(waiter, TTL);
        tokio::time::sleep(WHILE).await;
        assert!(!woken.is_finished(), "round {round}: nothing has ended");
        let end = Instant::now();
        if round % 2 == 0 {
            release(loader, lease).await;
        } else {
            assert!(fill(loader, "key", lease, "v").await);
        }
        delays.push(woken.await.expect("it does not panic") - end);
        let deleted = cache_core::CacheBackend::delete(loader, "key", Condition::Always).await;
        deleted.expect("the server is healthy");
    }
    delays
}

#[tokio::test]
async fn the_end_of_a_load_is_heard_by_another_process() {
    let server = Server::builder(Flavor::Redis7).start();
    for protocol in [cache_redis::Protocol::Resp2, cache_redis::Protocol::Resp3] {
        let config = config(&server).protocol(protocol);
        let loader = patient(config.clone()).await;
        let waiter = patient(config).await;
        let delays = delays(&loader, &waiter).await;
        println!("woken after {delays:?}");
        assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
        // One connection for all waits.
        let subscribers = server.command(&["PUBSUB", "NUMSUB", "cache:@{cache}leases"]);
        assert_eq!(subscribers.array()[1].integer(), 1);
        drop(waiter);
        let start = Instant::now();
        let heard = || {
            let subscribers = server.command(&["PUBSUB", "NUMSUB", "cache:@{cache}leases"]);
            subscribers.array()[1].integer()
        };
        while heard() > 0 {
            assert!(start.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn the_end_of_a_load_is_heard_in_a_cluster() {
    let cluster = Cluster::builder(Flavor::Valkey9).replicas(0).start();
    let config = RedisConfig::from_url(&cluster.url()).unwrap();
    let loader = patient(config.clone()).await;
    let waiter = patient(config).await;
    let delays = delays(&loader, &waiter).await;
    println!("woken after {delays:?}");
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
}

#[tokio::test]
async fn a_wait_ends_at_once_if_nobody_has_the_lease_and_in_time_if_somebody_has() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let start = Instant::now();
    leases(&store).ended("key", TTL).await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    granted(&store, "key", TTL).await;
    let (start, at_most) = (Instant::now(), Duration::from_millis(400));
    leases(&store).ended("key", at_most).await;
    let took = start.elapsed();
    assert!((at_most..at_most + SOON).contains(&took), "{took:?}");
}

#[tokio::test]
async fn the_end_is_found_out_where_nobody_says_anything_or_nobody_may_listen() {
    let may = "app on >pw ~cache:* -@all +get +set +unlink +pttl +pexpire +evalsha +eval +getrange \
               +time +ping +hello +client|id";
    let server = Server::builder(Flavor::Redis7).acl_user(may).start();
    let config = config(&server).username("app").password("pw");
    let deaf = patient(config).await;
    let hears = connect(&server).await;
    for (store, most) in [(&deaf, 250), (&hears, 1_000)] {
        let lease = granted(store, "key", TTL).await;
        let woken = wait(store, TTL);
        tokio::time::sleep(WHILE).await;
        let end = Instant::now();
        // Another program, which tells nobody.
        assert_eq!(server.command(&["DEL", "cache:key"]).integer(), 1);
        let delay = woken.await.unwrap() - end;
        assert!(delay < Duration::from_millis(most) + SOON, "{delay:?}");
        assert!(!fill(store, "key", lease, "late").await);
    }
    // Who may not listen does not try to all the time.
    granted(&deaf, "key", TTL).await;
    let opened = server.info("total_connections_received");
    for _ in 0..5 {
        let brief = Duration::from_millis(100);
        leases(&deaf).ended("key", brief).await;
    }
    assert_eq!(server.info("total_connections_received"), opened);
}

#[tokio::test]
async fn waits_go_on_when_the_connection_is_lost() {
    let server = Server::builder(Flavor::Redis7).start();
    let (loader, waiter) = (connect(&server).await, connect(&server).await);
    delays(&loader, &waiter).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    tokio::time::sleep(WHILE).await;
    let delays = delays(&loader, &waiter).await;
    assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
}

#[tokio::test]
async fn many_tasks_wait_over_one_connection_and_some_are_given_up() {
    let server = Server::builder(Flavor::Redis7).start();
    let (loader, waiter) = (connect(&server).await, connect(&server).await);
    let lease = granted(&loader, "key", TTL).await;
    let waits: Vec<_> = (0..200).map(|_| wait(&waiter, TTL)).collect();
    tokio::time::sleep(WHILE).await;
    waits[..100].iter().for_each(tokio::task::JoinHandle::abort);
    let end = Instant::now();
    release(&loader, lease).await;
    let mut slowest = Duration::ZERO;
    for woken in waits.into_iter().skip(100) {
        slowest = slowest.max(woken.await.unwrap() - end);
    }
    assert!(slowest < SOON, "{slowest:?}");
}

#[test]
fn waits_go_on_when_the_runtime_of_the_first_has_ended() {
    let server = Server::builder(Flavor::Redis7).start();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let of_the_stores = runtime();
    let (loader, waiter) =
        of_the_stores.block_on(async { (connect(&server).await, connect(&server).await) });
    for _ in 0..2 {
        let passing = runtime();
        let delays = passing.block_on(delays(&loader, &waiter));
        assert!(delays.iter().all(|delay| *delay < SOON), "{delays:?}");
    }
}
