//! A network between the store and its server that breaks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Direction, Flavor, Proxy, Server};
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::faults::load::{Load, Loss, Work};
use crate::faults::{AWAY, LIMIT, clients, config, eventually};

/// Probes would take part in what is counted and cut.
const NEVER: Duration = Duration::from_secs(3_600);

const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

fn through(proxy: &Proxy) -> RedisConfig {
    config(&format!("redis://{}", proxy.address()))
}

async fn pair(probes: Duration) -> (Server, Proxy, RedisStore) {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let store = RedisStore::connect(through(&proxy).probe_interval(probes)).await;
    (server, proxy, store.expect("the server is there"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_which_the_reply_is_cut_is_sent_again() {
    let (server, proxy, store) = pair(NEVER).await;
    store.set("a", "1".into(), PLAIN).await.unwrap();
    proxy.drop_replies_then_close();
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("1")));
    assert_eq!(server.calls("get"), 2);
    assert_eq!(store.wire_stats().retries, 1);
}

// One thread: mostly the client hears of the end when all the reads are on their way to it, and none at the server.
#[tokio::test]
async fn reads_that_find_the_connection_just_gone_are_sent_over_the_next() {
    const ROUNDS: u64 = 10;
    const READS: u64 = 10;
    let server = Server::builder(Flavor::Redis7).start();
    let store = RedisStore::connect(config(&server.url()).probe_interval(NEVER)).await;
    let store = store.unwrap();
    store.set("a", "1".into(), PLAIN).await.unwrap();
    for round in 1..=ROUNDS {
        let killed = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        assert!(killed.integer() >= 1);
        tokio::task::yield_now().await;
        for found in join_all((0..READS).map(|_| store.get("a"))).await {
            assert_eq!(found.unwrap(), Some(Bytes::from("1")));
        }
        // Of reads that share a command each counts.
        assert_eq!(server.info("keyspace_hits"), (READS * round).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_which_the_reply_is_cut_fails_and_is_sent_once() {
    let (server, proxy, store) = pair(NEVER).await;
    let minute = Expiry::After(Duration::from_secs(60));
    let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
    // The server learns the scripts.
    store.delete("none", Condition::Always).await.unwrap();
    store.set_expiry("none", minute).await.unwrap();
    let commands = ["set", "set if absent", "swap", "unlink", "pexpire", "mset"];
    for (cuts, command) in (1..).zip(commands) {
        // Which bulk write the server knows is asked once for each connection.
        let entries = || vec![("a", Bytes::from("1"))];
        store.set_many(entries(), Expiry::Never).await.unwrap();
        server.command(&["SET", "cache:old", "1"]).assert_ok();
        server.reset_stats();
        proxy.drop_replies_then_close();
        let outcome = match command {
            "set" => store.set("a", "1".into(), PLAIN).await.map(drop),
            "set if absent" => store
                .set("b", "1".into(), if_absent.clone())
                .await
                .map(drop),
            "swap" => store.swap("old", "2".into(), Expiry::Never).await.map(drop),
            "unlink" => store.delete("old", Condition::Always).await.map(drop),
            "pexpire" => store.set_expiry("old", minute).await.map(drop),
            _ => store.set_many(entries(), Expiry::Never).await,
        };
        let kind = outcome.map_err(|error| error.kind().clone());
        assert_eq!(kind, Err(ErrorKind::Unavailable), "{command}");
        eventually(|| async { store.wire_stats().reconnects == cuts }).await;
        // What was sent again would have been so before this.
        eventually(|| async { store.get("a").await.is_ok() }).await;
        let name = command.split(' ').next().unwrap().replace("swap", "set");
        assert_eq!(server.calls(&name), 1, "{command}");
    }
    assert_eq!(server.command(&["GET", "cache:b"]).text(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_are_opened_anew() {
    let (_server, proxy, store) = pair(Duration::from_secs(1)).await;
    let load = Load::start(&store, Work::Bulk, Loss::Never).await;
    for _ in 0..10 {
        let fault = Instant::now();
        // Who is between two commands then need not notice.
        proxy.reset_all();
        load.until_well(fault).await;
    }
    let report = load.stop().await;
    report.assert_sound(&[ErrorKind::Unavailable]);
    let fault = report.first_failure().unwrap_or_else(Instant::now);
    report.assert_recovered("connections reset", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_goes_nowhere_is_left_for_one_that_works() {
    let (_server, proxy, store) = pair(Duration::from_secs(1)).await;
    let load = Load::start(&store, Work::Single, Loss::Never).await;
    let fault = Instant::now();
    // As if a firewall had forgotten it: the sockets stay open.
    proxy.stall(Direction::Request);
    load.until_felt(fault).await;
    sleep(Duration::from_secs(1)).await;
    proxy.unstall(Direction::Request);
    load.until_well(fault).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("half-open", fault);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_says_nothing_is_left_once_it_speaks() {
    let (_server, proxy, store) = pair(Duration::from_secs(1)).await;
    let load = Load::start(&store, Work::Single, Loss::Never).await;
    proxy.accept_then_silent().await;
    let fault = Instant::now();
    proxy.close_all();
    load.until_felt(fault).await;
    sleep(Duration::from_secs(2)).await;
    proxy.forward().await;
    let end = Instant::now();
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("accept, then silent (from its end on)", end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_to_a_server_that_says_nothing_fails_in_time() {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    proxy.accept_then_silent().await;
    let start = Instant::now();
    let error = RedisStore::connect(through(&proxy)).await.unwrap_err();
    assert!(AWAY.contains(error.kind()), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_that_is_given_up_leaves_no_connection() {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let delay = Duration::from_millis(50);
    proxy.delay(Direction::Reply, delay);
    // It takes some round trips of this delay.
    let given_up = tokio::time::timeout(delay / 2, RedisStore::connect(through(&proxy))).await;
    assert!(given_up.is_err());
    assert_eq!(proxy.connections(), 1);
    eventually(|| async { clients(&server).is_empty() }).await;
    sleep(delay * 4).await;
    assert_eq!(clients(&server), Vec::<String>::new());
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_is_dialled_at_growing_intervals() {
    let (server, proxy, store) = pair(Duration::from_secs(1)).await;
    let load = Load::start(&store, Work::Single, Loss::Allowed).await;
    let before = proxy.connections();
    server.kill();
    sleep(Duration::from_secs(1)).await;
    let first = proxy.connections() - before;
    sleep(Duration::from_secs(3)).await;
    let later = proxy.connections() - before - first;
    assert!((1..=20).contains(&first), "{first} in the first second");
    assert!((1..=12).contains(&later), "{later} in three later seconds");
    server.restart();
    let end = Instant::now();
    load.until_well(end).await;
    let report = load.stop().await;
    report.assert_sound(&AWAY);
    report.assert_recovered("down for 4 s (from its end on)", end);
    assert!(end.elapsed() < LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_as_its_queue_is_full_is_replaced_at_once() {
    const QUEUE: usize = 16;
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    // Nothing else would notice it within the time of this test.
    let patient = Duration::from_secs(20);
    let config = through(&proxy).probe_interval(NEVER);
    let config = config.queue_limit(QUEUE).command_timeout(patient);
    let store = RedisStore::connect(config).await.unwrap();
    store.set("a", "1".into(), PLAIN).await.unwrap();
    // More than the sockets and the proxy hold, so that all that follows waits in the queue.
    proxy.stall(Direction::Request);
    let large = Bytes::from(vec![b'x'; 24 << 20]);
    let mut under_way = vec![tokio::spawn({
        let store = store.clone();
        async move { store.set("large", large, PLAIN).await.map(drop) }
    })];
    sleep(Duration::from_millis(200)).await;
    // As many as it holds: one that is refused would have the servers probed.
    for _ in 0..QUEUE {
        let store = store.clone();
        let write = async move { store.set("b", "1".into(), PLAIN).await.map(drop) };
        under_way.push(tokio::spawn(write));
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(store.wire_stats().unavailable, 0);
    proxy.reset_all();
    proxy.unstall(Direction::Request);
    let fault = Instant::now();
    eventually(|| async {
        let read = tokio::time::timeout(Duration::from_millis(100), store.get("a"));
        matches!(read.await, Ok(Ok(Some(_))))
    })
    .await;
    let took = fault.elapsed();
    // Two rounds of probes would take a second.
    assert!(took < Duration::from_millis(900), "{took:?}");
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
}
