//! Servers that hang, end, are full, and come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry, Permit};
use cache_testbed::{Flavor, Server};

use super::{BOUND, Bus, TIMEOUT, Tiered, connect, connect_with, eventually, held, stats, warm};

/// How much longer than its time an operation may take on a loaded machine.
const SLACK: Duration = Duration::from_millis(50);

fn never() -> BackendWrite {
    BackendWrite::new(Expiry::Never, Condition::Always)
}

/// Runs every kind of operation and returns the longest time that one took, and how many failed.
async fn every_operation(node: &Tiered, number: u64) -> (Duration, u32) {
    let (key, other) = (format!("key {number}"), format!("other {number}"));
    let (mut longest, mut failed) = (Duration::ZERO, 0);
    let mut note = |start: Instant, ok: bool| {
        longest = start.elapsed().max(longest);
        failed += u32::from(!ok);
    };
    let start = Instant::now();
    note(start, node.get(&key).await.is_ok());
    let start = Instant::now();
    note(start, node.set(&key, "v".into(), never()).await.is_ok());
    let start = Instant::now();
    note(start, node.get_many(&[&key, &other]).await.is_ok());
    let start = Instant::now();
    note(start, node.delete(&key, Condition::Always).await.is_ok());
    let start = Instant::now();
    note(
        start,
        node.swap(&key, "v".into(), Expiry::Never).await.is_ok(),
    );
    let start = Instant::now();
    note(start, node.expiry(&key).await.is_ok());
    (longest, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_hangs_every_operation_ends_in_its_time() {
    for bus in [Bus::Tracking, Bus::PubSub] {
        hang(bus).await;
    }
}

async fn hang(bus: Bus) {
    let server = Server::builder(Flavor::Redis7).start();
    let node = connect_with(server.port(), bus).await;
    node.set("held", "value".into(), never())
        .await
        .expect("the server answers");
    warm(&node, &["held"]).await;
    server.pause();
    let start = Instant::now();
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { every_operation(&node, number).await })
        })
        .collect();
    for task in tasks {
        let (longest, failed) = task.await.expect("the server answers");
        assert!(longest <= TIMEOUT + SLACK, "an operation took {longest:?}");
        assert!(failed >= 5, "{failed} failed");
    }
    // The lease has run out meanwhile, and an outage is no miss.
    assert!(start.elapsed() > BOUND);
    assert_eq!(stats(&node).permit, Permit::Lapsed);
    assert!(node.get("held").await.expect_err("it hangs").is_transient());
    server.resume();
    node.ready().await;
    // What was written while it hung may have happened, in whatever order.
    let settled = || async { stats(&node).recovery_pending == 0 };
    eventually(Duration::from_secs(10), settled).await;
    warm(&node, &["held"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_long_outage_memory_is_bounded_and_deletes_are_done_afterwards() {
    let server = Server::builder(Flavor::Redis7).start();
    let node = connect(&server).await;
    for number in 0..100 {
        let key = format!("key {number}");
        node.set(&key, "old".into(), never()).await.unwrap();
    }
    server.kill();
    for number in 0..100 {
        let key = format!("key {number}");
        assert!(
            node.delete(&key, Condition::Always)
                .await
                .unwrap_err()
                .is_transient()
        );
    }
    assert_eq!(stats(&node).recovery_pending, 100);
    // It comes back with all that it had, which is what was deleted.
    server.restart();
    let back = || async { node.get("absent").await.is_ok() };
    eventually(Duration::from_secs(10), back).await;
    for number in 0..100 {
        let key = format!("key {number}");
        assert_eq!(node.get(&key).await.unwrap(), None);
    }
    let settled = || async { stats(&node).recovery_pending == 0 };
    eventually(Duration::from_secs(10), settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_a_new_one_and_hits_resume() {
    let server = Server::builder(Flavor::Valkey9).start();
    let node = connect(&server).await;
    node.set("key", "old".into(), never()).await.unwrap();
    warm(&node, &["key"]).await;
    let flushes = stats(&node).flushes;
    server.kill();
    server.restart();
    let flushed = || async { stats(&node).flushes > flushes };
    let took = eventually(Duration::from_secs(10), flushed).await;
    node.ready().await;
    // The connection of the store comes back by itself, a little later perhaps.
    let writes = || async { node.set("key", "new".into(), never()).await.is_ok() };
    eventually(Duration::from_secs(10), writes).await;
    warm(&node, &["key"]).await;
    println!("the first tier serves again after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_writes_and_takes_deletes() {
    let server = Server::builder(Flavor::Redis7).start();
    let node = connect(&server).await;
    node.set("key", "old".into(), never()).await.unwrap();
    warm(&node, &["key"]).await;
    server
        .command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        .assert_ok();
    server
        .command(&["CONFIG", "SET", "maxmemory", "1"])
        .assert_ok();
    let refused = node.set("key", "new".into(), never()).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Backend);
    assert_eq!(node.get("key").await.unwrap().as_deref(), Some("old"));
    assert!(node.delete("key", Condition::Always).await.unwrap());
    assert_eq!(node.get("key").await.unwrap(), None);
    assert_eq!(held(&node, "key"), None);
}
