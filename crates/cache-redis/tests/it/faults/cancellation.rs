//! Operations that are given up.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use cache_redis::RedisStore;
use cache_testbed::{Cluster, Flavor, Proxy, Server, slot_of_key};
use tokio::time::{sleep, timeout};

use crate::faults::load::{KEYS, counter_of, key, value};
use crate::faults::{config, connect};

const TASKS: usize = 4;
const PLAIN: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

/// Drops a future after so many polls, or lets it be done sooner.
async fn poll_only<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Gives up operations at random points, and lets others be done between them.
async fn give_up(store: RedisStore, operations: usize) {
    for round in 0..operations {
        let key = key(fastrand::usize(..KEYS));
        let other = crate::faults::load::key(fastrand::usize(..KEYS));
        let moment = Duration::from_micros(fastrand::u64(..300));
        let polls = fastrand::usize(..4);
        let value = value(&key, round as u64);
        let keys = [key.as_str(), other.as_str()];
        let read = match round % 8 {
            0 => timeout(moment, store.get(&key)).await.ok(),
            1 => {
                timeout(moment, store.set(&key, value, PLAIN)).await.ok();
                continue;
            }
            2 | 3 => {
                poll_only(store.set(&key, value, PLAIN), polls).await;
                continue;
            }
            4 => {
                let found = poll_only(store.get_many(&keys), polls).await;
                let found = found.map(|found| found.expect("the server is there"));
                for (key, found) in keys.iter().zip(found.into_iter().flatten()) {
                    assert!(counter_of(key, &found.expect("it is written")).is_some());
                }
                continue;
            }
            5 if round % 64 == 5 => Some(store.get(&key).await),
            _ => poll_only(store.get(&key), polls).await,
        };
        if let Some(found) = read {
            let found = found.expect("the server is there").expect("it is written");
            assert!(counter_of(&key, &found).is_some(), "a value of another key");
        }
    }
}

async fn write_and_read_all(store: &RedisStore, counter: u64) {
    for key in (0..KEYS).map(key) {
        let value = value(&key, counter);
        assert!(store.set(&key, value.clone(), PLAIN).await.unwrap());
        assert_eq!(store.get(&key).await.unwrap(), Some(value));
    }
}

async fn give_up_in_tasks(store: &RedisStore, operations: usize) {
    write_and_read_all(store, 0).await;
    let give_up = |_| tokio::spawn(give_up(store.clone(), operations / TASKS));
    for task in (0..TASKS).map(give_up).collect::<Vec<_>>() {
        task.await.expect("every value is right");
    }
    // Writes that were given up may still be under way, in order, over the same connection.
    write_and_read_all(store, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_dropped_operations_mix_up_no_reply() {
    let server = Server::builder(Flavor::Redis8).start();
    // What is given up still waits in the queue.
    let config = config(&server.url()).command_timeout(Duration::from_secs(10));
    let store = RedisStore::connect(config.queue_limit(1_000_000))
        .await
        .unwrap();
    give_up_in_tasks(&store, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_dropped_while_slots_move_mix_up_no_reply() {
    let cluster = Arc::new(Cluster::builder(Flavor::Redis7).replicas(0).start());
    let config = config(&cluster.url()).command_timeout(Duration::from_secs(10));
    let store = RedisStore::connect(config.queue_limit(1_000_000))
        .await
        .unwrap();
    write_and_read_all(&store, 0).await;
    let slot = slot_of_key(&format!("cache:{}", key(0)));
    let from = cluster.master_of_slot(slot);
    let others = cluster
        .nodes()
        .iter()
        .filter(|node| node.port() != from.port());
    let to = others.into_iter().next().expect("there are three masters");
    cluster.begin_move(from, to, slot);
    cluster.move_keys(from, to, slot);
    give_up_in_tasks(&store, 10_000).await;
    cluster.end_move(to, slot);
    write_and_read_all(&store, 2).await;
}

/// Reads and writes at random, some of it given up, and looks at what is read; returns how much was.
async fn read_and_write(store: RedisStore, end: Instant) -> usize {
    let mut read = 0;
    for round in 0_u64.. {
        if Instant::now() > end {
            break;
        }
        let key = key(fastrand::usize(..KEYS));
        let polls = fastrand::usize(1..4);
        let written = value(&key, round);
        let found = match fastrand::u8(..6) {
            0 => poll_only(store.get(&key), polls).await.transpose(),
            1 => {
                poll_only(store.set(&key, written, PLAIN), polls).await;
                continue;
            }
            2 => {
                store.set(&key, written, PLAIN).await.ok();
                continue;
            }
            3 => {
                let entry = store.get_entry(&key).await;
                entry.map(|entry| Some(entry.map(|entry| entry.value)))
            }
            _ => store.get(&key).await.map(Some),
        };
        if let Ok(Some(Some(found))) = found {
            assert!(counter_of(&key, &found).is_some(), "a value of another key");
            read += 1;
        }
    }
    read
}

// Of many tasks most share commands with others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_dropped_while_connections_are_cut_mix_up_no_reply() {
    const CUTS: u32 = 40;
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let store = connect(&format!("redis://{}", proxy.address())).await;
    write_and_read_all(&store, 0).await;
    let end = Instant::now() + Duration::from_secs(4);
    let tasks = (0..32).map(|_| tokio::spawn(read_and_write(store.clone(), end)));
    let tasks: Vec<_> = tasks.collect();
    for cut in 0..CUTS {
        sleep(Duration::from_millis(fastrand::u64(20..80))).await;
        match cut % 3 {
            0 => proxy.reset_all(),
            1 => proxy.close_all(),
            _ => proxy.drop_replies_then_close(),
        }
    }
    let mut read = 0;
    for task in tasks {
        read += task.await.expect("every value is right");
    }
    let stats = store.wire_stats();
    assert!(
        read > 1_000 && stats.joined > 1_000,
        "{read} read, {stats:?}"
    );
    assert!(stats.reconnects >= 5, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_never_polled_sends_nothing() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect(&server.url()).await;
    drop(store.set("a", "1".into(), PLAIN));
    store.get("a").await.unwrap();
    assert_eq!((server.calls("set"), server.calls("get")), (0, 1));
}
