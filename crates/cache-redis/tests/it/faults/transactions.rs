//! Transactions while connections break and servers fail.

use std::time::Duration;

use cache_core::{Cache, EncodedBackend, Error, ErrorKind, JsonCodec};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Direction, Flavor, Proxy, Sentinels, Server};

use crate::faults::{AWAY, clients, config, eventually};

async fn cache(config: RedisConfig) -> Cache<u64> {
    let store = RedisStore::connect(config).await;
    Cache::new(EncodedBackend::new(store.unwrap(), JsonCodec::new()))
}

async fn pair() -> (Server, Proxy, Cache<u64>) {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    // Probes would take part in what is cut.
    let config = config(&format!("redis://{}", proxy.address()));
    let cache = cache(config.probe_interval(Duration::from_secs(3_600))).await;
    (server, proxy, cache)
}

/// Ends all open connections, and waits until both sides know.
async fn close_all(server: &Server, proxy: &Proxy) {
    let open = clients(server);
    proxy.close_all();
    eventually(|| async { clients(server).iter().all(|client| !open.contains(client)) }).await;
}

async fn increment(cache: &Cache<u64>) -> Result<u64, Error> {
    let increment = cache.transaction(&["count"], |transaction| {
        let count = transaction.get("count")?.copied().unwrap_or(0) + 1;
        transaction.set("count", count)?;
        Ok::<_, Error>(count)
    });
    increment.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_while_nobody_needed_it_is_opened_anew() {
    let (server, proxy, cache) = pair().await;
    for count in 1..=5 {
        assert_eq!(increment(&cache).await.unwrap(), count);
        close_all(&server, &proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_forgets_what_it_watched_and_nothing_is_written() {
    let (server, proxy, cache) = pair().await;
    let mut transaction = cache.watch(&["count"]).await.unwrap();
    transaction.set("count", 7_u64).unwrap();
    close_all(&server, &proxy).await;
    // Another connection would not know that the key has changed.
    server.command(&["SET", "cache:count", "1"]).assert_ok();
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert_eq!(server.command(&["GET", "cache:count"]).text(), "1");
    assert_eq!(server.calls("exec"), 0);
    assert_eq!(increment(&cache).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_queued_and_not_answered_is_not_executed() {
    let (server, proxy, cache) = pair().await;
    increment(&cache).await.unwrap();
    server.reset_stats();
    let mut transaction = cache.watch(&["count"]).await.unwrap();
    transaction.set("count", 2_u64).unwrap();
    proxy.drop_replies_then_close();
    let error = transaction.commit().await.unwrap_err();
    assert!(AWAY.contains(error.kind()), "{error:?}");
    assert_eq!(server.calls("multi"), 1);
    assert_eq!(server.calls("exec"), 0);
    assert_eq!(increment(&cache).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_which_the_reply_is_lost_fails_and_is_sent_once() {
    let (server, proxy, cache) = pair().await;
    increment(&cache).await.unwrap();
    server.reset_stats();
    let cut = async {
        eventually(|| async { server.calls("exec") == 1 }).await;
        proxy.close_all();
    };
    let increment_once = async {
        proxy.delay(Direction::Reply, Duration::from_millis(100));
        let error = increment(&cache).await.unwrap_err();
        proxy.delay(Direction::Reply, Duration::ZERO);
        error
    };
    let (error, ()) = tokio::join!(increment_once, cut);
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert_eq!(server.calls("exec"), 1);
    // It has happened, and the caller was told that nobody knows. Reads fail while their connection is made.
    eventually(|| async { cache.get("count").await.is_ok_and(|count| count == Some(2)) }).await;
    assert_eq!(server.calls("exec"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_dropped_on_its_way_disturbs_no_other() {
    let (_server, proxy, cache) = pair().await;
    let mut done = 0;
    for wait in 0..30 {
        let mut transaction = cache.watch(&["count", "twin"]).await.unwrap();
        let count = transaction.get("count").unwrap().copied().unwrap_or(0) + 1;
        transaction.set("count", count).unwrap();
        transaction.set("twin", count).unwrap();
        proxy.delay(Direction::Request, Duration::from_millis(2));
        proxy.delay(Direction::Reply, Duration::from_millis(2));
        let limit = Duration::from_micros(500 * wait);
        let _ = tokio::time::timeout(limit, transaction.commit()).await;
        proxy.delay(Direction::Request, Duration::ZERO);
        proxy.delay(Direction::Reply, Duration::ZERO);
        // All or nothing, and the next one is none the worse for it.
        let found = cache.watch(&["count", "twin"]).await.unwrap();
        let [found, twin] = ["count", "twin"].map(|key| *found.get(key).unwrap().unwrap_or(&0));
        assert_eq!(found, twin);
        assert!(found == done || found == count, "{found} after {done}");
        let next = cache.transaction(&["count", "twin"], |transaction| {
            let next = transaction.get("count")?.copied().unwrap_or(0) + 1;
            transaction.set("count", next)?;
            transaction.set("twin", next)?;
            Ok::<_, Error>(next)
        });
        done = next.await.unwrap();
        assert!(done == found + 1 || done == count + 1, "{done}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_an_error_and_its_return_is_noticed() {
    let (server, _proxy, cache) = pair().await;
    increment(&cache).await.unwrap();
    server.kill();
    let error = increment(&cache).await.unwrap_err();
    assert!(AWAY.contains(error.kind()), "{error:?}");
    server.restart();
    eventually(|| async { increment(&cache).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_transactions_go_to_the_new_master() {
    let sentinels = Sentinels::start(Flavor::Redis7);
    let cache = cache(config(&sentinels.url())).await;
    increment(&cache).await.unwrap();
    // The replica has it too.
    let replica = &sentinels.servers()[1];
    eventually(|| async { replica.command(&["EXISTS", "cache:count"]).integer() == 1 }).await;
    let old = sentinels.master();
    old.kill();
    sentinels.wait_for_other_master(old.port());
    eventually(|| async { increment(&cache).await.is_ok() }).await;
    let count = sentinels.master().command(&["GET", "cache:count"]);
    assert!(count.bytes().is_some(), "the new master has it");
    // Reads go over another connection, which may find the new master later.
    eventually(|| async { cache.get("count").await.is_ok_and(|count| count == Some(2)) }).await;
}
