//! One server that goes away and comes back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry};
use cache_redis::{ConnectionState, RedisStore};
use cache_testbed::{Flavor, Server};
use futures_util::future::{join_all, join3};
use tokio::time::sleep;

use crate::faults::load::{Load, Loss, Work};
use crate::faults::{AWAY, COMMAND_TIMEOUT, clients, config, connect, eventually};

const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_used_again_once_it_is_back() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let fault = Instant::now();
    server.kill();
    load.until_felt(fault).await;
    server.restart();
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("one server, killed", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_used_again_once_it_goes_on() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Bulk, Loss::Allowed).await;
    server.pause();
    load.until_felt(Instant::now()).await;
    // Long enough for several rounds of probes, and attempts to connect anew.
    sleep(Duration::from_secs(3)).await;
    server.resume();
    let end = Instant::now();
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("one server, frozen (from its end on)", end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closes_costs_the_writes_under_way_alone() {
    const KILLS: usize = 20;
    let server = Server::builder(Flavor::Redis8).start();
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Never).await;
    let first = Instant::now();
    for _ in 0..KILLS {
        let fault = Instant::now();
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert_eq!(killed.integer(), 1);
        load.until_well(fault).await;
    }
    let report = load.stop().await;
    report.assert_sound(&[ErrorKind::Unavailable]);
    report.assert_recovered(
        "connections killed",
        report.first_failure().unwrap_or(first),
    );
    println!(
        "connections killed: {} operations failed",
        report.failures(|_| true)
    );
    assert!(report.failures_of("set") <= KILLS * 20);
    assert!(store.wire_stats().retries <= KILLS as u64 * 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loads_its_data_is_used_once_it_has() {
    let builder = Server::builder(Flavor::Redis7);
    let builder = builder.arg("key-load-delay", "2000");
    let builder = builder.arg("loading-process-events-interval-bytes", "1024");
    let server = builder.start();
    for number in 0..400 {
        let name = format!("ballast-{number}");
        server
            .command(&["SET", &name, &"x".repeat(200)])
            .assert_ok();
    }
    let store = connect(&server.url()).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    server.command(&["SAVE"]).assert_ok();
    let fault = Instant::now();
    // Until it has loaded all.
    server.restart();
    let end = Instant::now();
    assert!(end - fault > Duration::from_millis(800), "it loads");
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("one server, loading (from its end on)", end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_writes_and_answers_reads_and_deletes() {
    let server = Server::builder(Flavor::Redis7)
        .arg("maxmemory-policy", "noeviction")
        .start();
    let store = connect(&server.url()).await;
    store.set("a", "1".into(), PLAIN).await.unwrap();
    server
        .command(&["CONFIG", "SET", "maxmemory", "1"])
        .assert_ok();
    let error = store.set("b", "2".into(), PLAIN).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Backend);
    let cause = std::error::Error::source(&error)
        .expect("there is one")
        .to_string();
    assert!(cause.starts_with("OOM "), "{cause}");
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("1")));
    assert!(store.delete("a", Condition::Always).await.unwrap());
    assert_eq!(store.state(), ConnectionState::Connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_taken_for_a_primary_refuses_writes_at_once() {
    // Its primary is nowhere, which is no matter here.
    let server = Server::builder(Flavor::Valkey9)
        .arg("replicaof", "127.0.0.1 1")
        .start();
    let store = connect(&server.url()).await;
    for _ in 0..10 {
        let start = Instant::now();
        let error = store.set("a", "1".into(), PLAIN).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Unavailable);
        assert!(start.elapsed() < COMMAND_TIMEOUT, "{:?}", start.elapsed());
    }
    eventually(|| async { matches!(store.get("a").await, Ok(None)) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_writes_cost_no_read_beside_them() {
    const WRITES: usize = 20;
    const READS: usize = 50;
    let server = Server::builder(Flavor::Valkey9).start();
    server.command(&["SET", "cache:a", "1"]).assert_ok();
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).assert_ok();
    // A busy machine must not make it look as if reads failed.
    let config = config(&server.url()).command_timeout(COMMAND_TIMEOUT * 10);
    let store = RedisStore::connect(config).await.unwrap();
    for _ in 0..WRITES {
        let before = join_all((0..READS / 2).map(|_| store.get("a")));
        let write = store.set("a", "2".into(), PLAIN);
        let after = join_all((0..READS / 2).map(|_| store.get("a")));
        let (before, written, after) = join3(before, write, after).await;
        assert_eq!(written.unwrap_err().kind(), &ErrorKind::Unavailable);
        for found in before.into_iter().chain(after) {
            assert_eq!(found.unwrap(), Some(Bytes::from("1")));
        }
    }
    // None was sent twice.
    let errors = server.info("errorstat_READONLY");
    let refused: usize = errors.trim_start_matches("count=").parse().unwrap();
    assert!((1..=WRITES).contains(&refused), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_and_ping_tell_whether_the_server_answers() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server.url()).await;
    for is_killed in [true, false] {
        assert_eq!(store.state(), ConnectionState::Connected);
        assert!(store.ping().await.unwrap() < COMMAND_TIMEOUT);
        if is_killed {
            server.kill();
        } else {
            server.pause();
        }
        eventually(|| async { store.state() == ConnectionState::Disconnected }).await;
        let kind = store.ping().await.unwrap_err().kind().clone();
        assert!(AWAY.contains(&kind), "{kind:?}");
        if is_killed {
            server.restart();
        } else {
            server.resume();
        }
        eventually(|| async { store.state() == ConnectionState::Connected }).await;
        eventually(|| async { store.ping().await.is_ok() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_connects_lazily_works_once_the_server_is_there() {
    let server = Server::builder(Flavor::Redis8).start();
    server.kill();
    let start = Instant::now();
    let store = RedisStore::connect(config(&server.url()).connect_lazily(true))
        .await
        .unwrap();
    assert_eq!(store.state(), ConnectionState::Disconnected);
    let error = store.get("a").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert!(
        start.elapsed() < COMMAND_TIMEOUT / 2,
        "{:?}",
        start.elapsed()
    );
    server.restart();
    eventually(|| async { matches!(store.set("a", "1".into(), PLAIN).await, Ok(true)) }).await;
    eventually(|| async { store.state() == ConnectionState::Connected }).await;
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_a_store_end_with_its_last_clone() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = RedisStore::connect(config(&server.url()).pool_size(3))
        .await
        .unwrap();
    let clone = store.partition("other").unwrap();
    drop(store);
    assert_eq!(clone.get("a").await.unwrap(), None);
    assert_eq!(clients(&server).len(), 3);
    drop(clone);
    eventually(|| async { clients(&server).is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connections_of_a_store_end_with_it_while_the_server_hangs() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server.url()).pool_size(2))
        .await
        .unwrap();
    server.pause();
    eventually(|| async { store.state() == ConnectionState::Disconnected }).await;
    // It is connecting anew.
    store.get("a").await.unwrap_err();
    drop(store);
    server.resume();
    eventually(|| async { clients(&server).is_empty() }).await;
    sleep(COMMAND_TIMEOUT).await;
    assert_eq!(clients(&server), Vec::<String>::new());
}
