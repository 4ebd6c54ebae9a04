//! Operations that wait at the same moment, and share a command.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, ErrorKind, Expiry};
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Direction, Flavor, Proxy, Server};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::{chain, connect};

const MINUTE: Duration = Duration::from_secs(60);

fn plain(expiry: Expiry) -> BackendWrite {
    BackendWrite::new(expiry, Condition::Always)
}

fn value(number: u64) -> Bytes {
    format!("value {number}").into()
}

/// Writes and reads so many keys at once, on one thread: all are asked for before the first answer.
async fn write_all(store: &RedisStore, count: u64, expiry: impl Fn(u64) -> Expiry + Sync) {
    let write = async |number: u64| {
        let (key, options) = (number.to_string(), plain(expiry(number)));
        store.set(&key, value(number), options).await
    };
    for is_written in join_all((0..count).map(write)).await {
        assert!(is_written.expect("the server is there"));
    }
}

async fn read_all(store: &RedisStore, count: u64) {
    let read = async |number: u64| store.get(&number.to_string()).await;
    let found = join_all((0..count).map(read)).await;
    for (number, found) in (0..count).zip(found) {
        let found = found.expect("the server is there");
        assert_eq!(found, Some(value(number)));
    }
}

/// Polls a call once.
async fn begin<F: Future>(call: &mut Pin<Box<F>>) {
    poll_fn(|context| {
        assert!(call.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn operations_that_wait_at_the_same_moment_share_a_command() {
    for (flavor, write) in [
        (Flavor::Redis7, "evalsha"),
        (Flavor::Redis8, "evalsha"),
        (Flavor::Valkey9, "msetex"),
    ] {
        let server = Server::builder(flavor).start();
        let store = connect(&server).await;
        // The server learns the script, and we learn what the server knows.
        write_all(&store, 3, |_| Expiry::After(MINUTE)).await;
        server.reset_stats();
        let before = store.wire_stats();

        write_all(&store, 60, |_| Expiry::After(MINUTE)).await;
        read_all(&store, 60).await;
        let entries = join_all((0..60).map(async |number: u64| {
            let entry = store.get_entry(&number.to_string()).await.unwrap();
            let entry = entry.expect("it is written");
            (entry.value, entry.expiry.remaining())
        }));
        for (number, (found, left)) in (0..).zip(entries.await) {
            assert_eq!(found, value(number), "{flavor:?}");
            let left = left.expect("it expires");
            assert!(left <= MINUTE && left > MINUTE / 2, "{left:?}");
        }

        // The first of each kind goes out alone, unless it follows a crowd.
        assert!(server.calls("set") <= 1 + 60, "by the script too");
        assert!(server.calls(write) <= 3, "{flavor:?}: {write}");
        assert!(server.calls("get") <= 2, "{flavor:?}");
        assert!(server.calls("mget") <= 2, "{flavor:?}: one by a script");
        let stats = store.wire_stats();
        assert_eq!(stats.operations - before.operations, 180);
        assert_eq!(stats.batches - before.batches, 3);
        let joined = stats.joined - before.joined;
        assert!((177..=180).contains(&joined), "{joined}");
    }
}

#[tokio::test]
async fn each_of_the_writes_that_share_a_command_keeps_its_own_time() {
    for flavor in [Flavor::Redis7, Flavor::Valkey9] {
        let server = Server::builder(flavor).start();
        let store = connect(&server).await;
        let expiry = |number: u64| match number {
            0..4 => Expiry::Never,
            _ => Expiry::After(Duration::from_secs(100 * number)),
        };
        write_all(&store, 8, expiry).await;
        for number in 0..8 {
            let key = format!("cache:{number}");
            assert_eq!(
                server.command(&["GET", &key]).text(),
                format!("value {number}")
            );
            let left = server.command(&["TTL", &key]).integer();
            match expiry(number).remaining() {
                None => assert_eq!(left, -1),
                Some(ttl) => {
                    let ttl = i64::try_from(ttl.as_secs()).unwrap();
                    assert!((ttl - 10..=ttl).contains(&left), "{number}: {left}");
                }
            }
        }
        assert_eq!(store.wire_stats().joined, 7);
    }
}

#[tokio::test]
async fn one_operation_at_a_time_is_a_command_of_its_own() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    for number in 0..20 {
        let key = number.to_string();
        let options = plain(Expiry::After(MINUTE));
        store.set(&key, value(number), options).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), Some(value(number)));
    }
    assert_eq!((server.calls("set"), server.calls("get")), (20, 20));
    assert_eq!(server.calls("mget") + server.calls("evalsha"), 0);
    assert_eq!(store.wire_stats().batches, 0);
}

#[tokio::test]
async fn nothing_waits_for_the_answer_of_another() {
    let server = Server::builder(Flavor::Redis7).start();
    let proxy = Proxy::start(server.address()).await;
    let config = RedisConfig::from_url(&format!("redis://{}", proxy.address()));
    let config = config.unwrap().command_timeout(MINUTE);
    let store = RedisStore::connect(config.probe_interval(MINUTE)).await;
    let store = store.unwrap();
    write_all(&store, 40, |_| Expiry::Never).await;
    server.reset_stats();
    proxy.stall(Direction::Reply);
    let looked_up = || server.info("keyspace_hits").parse::<u64>().unwrap();
    let mut reads = Vec::new();
    for wave in 1..=4 {
        for number in (wave - 1) * 10..wave * 10 {
            let store = store.clone();
            reads.push(tokio::spawn(async move {
                let found = store.get(&number.to_string()).await;
                assert_eq!(found.unwrap(), Some(value(number)));
            }));
        }
        for _ in 0..500 {
            if looked_up() == wave * 10 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(looked_up(), wave * 10, "with no answer so far");
    }
    proxy.unstall(Direction::Reply);
    for read in reads {
        read.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_dropped_while_it_waits_is_not_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    write_all(&store, 3, |_| Expiry::Never).await;
    server.reset_stats();
    let write = |key| Box::pin(store.set(key, value(9), plain(Expiry::Never)));
    let (mut first, mut dropped, mut last) = (write("0"), write("dropped"), write("2"));
    for write in [&mut first, &mut dropped, &mut last] {
        begin(write).await;
    }
    drop(dropped);
    assert!(first.await.unwrap() && last.await.unwrap());
    let read = |key| Box::pin(store.get(key));
    let (mut first, mut dropped, mut last) = (read("0"), read("1"), read("2"));
    for read in [&mut first, &mut dropped, &mut last] {
        begin(read).await;
    }
    drop(dropped);
    assert_eq!(first.await.unwrap(), Some(value(9)));
    assert_eq!(last.await.unwrap(), Some(value(9)));
    assert_eq!(server.info("keyspace_hits"), "2");
    assert_eq!(store.get("dropped").await.unwrap(), None);
}

#[tokio::test]
async fn who_drops_the_first_operation_leaves_the_others_to_be_sent() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    write_all(&store, 3, |_| Expiry::Never).await;
    let read = |key| Box::pin(store.get(key));
    let (mut first, mut second, mut last) = (read("0"), read("1"), read("2"));
    for read in [&mut first, &mut second, &mut last] {
        begin(read).await;
    }
    drop((first, second));
    assert_eq!(last.await.unwrap(), Some(value(2)));
}

#[tokio::test]
async fn what_a_server_refuses_together_it_does_singly() {
    let server = Server::builder(Flavor::Redis8).start();
    let user = [
        "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-mget", "-evalsha", "-eval",
    ];
    server.command(&user).assert_ok();
    let url = server.url().replace("redis://", "redis://app:secret@");
    let store = RedisStore::connect(RedisConfig::from_url(&url).unwrap()).await;
    let store = store.unwrap();
    server.reset_stats();
    for _ in 0..3 {
        write_all(&store, 20, |_| Expiry::After(MINUTE)).await;
        read_all(&store, 20).await;
    }
    assert_eq!((server.calls("set"), server.calls("get")), (60, 60));
    // Joined once each, and not again for a while.
    let refused = server.info("acl_access_denied_cmd");
    assert!(["2", "3"].contains(&refused.as_str()), "{refused}");
    assert_eq!(store.wire_stats().batches, 0);
}

#[tokio::test]
async fn of_writes_together_each_is_told_its_own_refusal() {
    let server = Server::builder(Flavor::Redis7).start();
    let user = [
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">secret",
        "~cache:ok*",
        "+@all",
    ];
    server.command(&user).assert_ok();
    let url = server.url().replace("redis://", "redis://app:secret@");
    let store = RedisStore::connect(RedisConfig::from_url(&url).unwrap()).await;
    let store = store.unwrap();
    let keys = ["ok 1", "ok 2", "secret 3", "ok 4", "secret 5"];
    let write = async |key: &str| store.set(key, value(1), plain(Expiry::After(MINUTE))).await;
    let read = async |key: &str| store.get(key).await;
    let written = join_all(keys.map(write)).await;
    let found = join_all(keys.map(read)).await;
    for ((key, written), found) in keys.iter().zip(written).zip(found) {
        if key.starts_with("ok") {
            assert!(written.unwrap());
            assert_eq!(found.unwrap(), Some(value(1)));
        } else {
            for error in [written.unwrap_err(), found.unwrap_err()] {
                assert_eq!(*error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
                assert!(!chain(&error).contains("value 1"));
            }
        }
    }
}

/// A runtime of one thread, which does nothing while nobody drives it.
fn single() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("there are threads")
}

#[test]
fn an_operation_does_not_wait_for_a_runtime_that_nobody_drives() {
    let server = Server::builder(Flavor::Redis7).start();
    let driven = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let store = driven.block_on(connect(&server));
    driven.block_on(write_all(&store, 3, |_| Expiry::Never));
    let idle = single();
    // Begun, and left where they are: a task of this runtime is about to send the second one.
    let read = |key| Box::pin(store.get(key));
    let (mut first, mut second) = (read("0"), read("1"));
    server.pause();
    idle.block_on(async {
        begin(&mut first).await;
        begin(&mut second).await;
    });
    server.resume();
    let (answer, answered) = mpsc::channel();
    let other = store.clone();
    driven.spawn(async move { answer.send(other.get("2").await) });
    let found = answered.recv_timeout(Duration::from_secs(10));
    assert_eq!(found.unwrap().unwrap(), Some(value(2)));
    assert_eq!(idle.block_on(second).unwrap(), Some(value(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_asks_for_much_keeps_no_other_waiting() {
    const TASKS: u64 = 200;
    const ROUNDS: usize = 50;
    let server = Server::builder(Flavor::Redis7).start();
    let busy = connect(&server).await;
    let quiet = busy.partition("quiet").unwrap();
    quiet
        .set("key", value(7), plain(Expiry::Never))
        .await
        .unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let load = |number: u64| {
        let (busy, done) = (busy.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            loop {
                busy.get(&number.to_string()).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(load).collect();
    while done.load(Ordering::Relaxed) < TASKS * 10 {
        sleep(Duration::from_millis(1)).await;
    }
    let mut meanwhile = Vec::new();
    for _ in 0..ROUNDS {
        let before = done.load(Ordering::Relaxed);
        assert_eq!(quiet.get("key").await.unwrap(), Some(value(7)));
        meanwhile.push(done.load(Ordering::Relaxed) - before);
    }
    for task in tasks {
        task.abort();
    }
    meanwhile.sort_unstable();
    // Each of the others may be answered, ask again and be answered once more.
    let median = meanwhile[ROUNDS / 2];
    assert!(median <= TASKS * 3, "{meanwhile:?}");
}
