//! One load of a key for all who share a server.

mod many;
mod refresh;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, EncodedBackend, ErrorKind, LoadError, LoadOptions, MsgPackCodec};
use cache_redis::RedisStore;
use cache_testbed::{Flavor, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::connect;

const MS: Duration = Duration::from_millis(1);
/// Longer than any of these tests may wait.
const LEASE: Duration = Duration::from_secs(30);

type Answer = Result<Option<u32>, LoadError<io::Error>>;

/// A cache as another process has it: with connections and flights of its own.
async fn cache(server: &Server) -> Cache<u32> {
    let store: RedisStore = connect(server).await;
    Cache::builder(EncodedBackend::new(store, MsgPackCodec::new()))
        .load_options(LoadOptions::new().lease_ttl(LEASE))
        .build()
        .expect("good options")
}

/// Counts its calls, takes its time, and returns the number of the call.
#[derive(Clone, Default)]
struct Source(Arc<AtomicU32>);

impl Source {
    fn get(&self, cache: &Cache<u32>, key: &str, takes: Duration) -> JoinHandle<Answer> {
        self.get_with(cache, key, LoadOptions::new(), takes)
    }

    fn get_with(
        &self,
        cache: &Cache<u32>,
        key: &str,
        options: LoadOptions,
        takes: Duration,
    ) -> JoinHandle<Answer> {
        let (cache, key, calls) = (cache.clone(), key.to_owned(), Arc::clone(&self.0));
        tokio::spawn(async move {
            let load = async move |_| {
                let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
                sleep(takes).await;
                Ok::<_, io::Error>(call)
            };
            cache.entry(key).options(options).or_load(load).await
        })
    }

    fn calls(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    async fn has_begun(&self, calls: u32) {
        while self.calls() < calls {
            sleep(MS).await;
        }
    }
}

async fn value(task: JoinHandle<Answer>) -> Option<u32> {
    task.await.expect("no panic").expect("no error")
}

#[tokio::test]
async fn a_thousand_tasks_of_four_caches_run_one_loader() {
    let server = Server::builder(Flavor::Redis7).start();
    let caches = [
        cache(&server).await,
        cache(&server).await,
        cache(&server).await,
        cache(&server).await,
    ];
    for round in 0..10 {
        let (source, key) = (Source::default(), format!("key {round}"));
        let start = Instant::now();
        let get = |number: usize| source.get(&caches[number % 4], &key, 50 * MS);
        for task in (0..1_000).map(get).collect::<Vec<_>>() {
            assert_eq!(value(task).await, Some(1));
        }
        assert_eq!(source.calls(), 1);
        // Woken by the end of the load, not by the end of the lease.
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    for cache in &caches {
        assert_eq!(cache.stats().loads.pending, 0);
    }
}

#[tokio::test]
async fn a_delete_of_another_process_during_a_load_wins() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let load = source.get(&one, "key", 200 * MS);
    source.has_begun(1).await;
    assert!(!other.delete("key").await.unwrap());
    // One that comes after the delete does not wait for what began before it.
    let new = source.get(&other, "key", MS);
    assert_eq!(value(new).await, Some(2));
    assert_eq!(value(load).await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn who_asks_after_a_delete_of_another_process_does_not_join_the_older_load() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let load = source.get(&one, "key", 5_000 * MS);
    source.has_begun(1).await;
    other.delete("key").await.unwrap();
    // The bound of staleness.
    sleep(1_000 * MS).await;
    assert_eq!(value(source.get(&one, "key", MS)).await, Some(2));
    assert!(!load.is_finished());
    assert_eq!(value(load).await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn loads_of_two_caches_that_share_keys_end_with_a_cycle() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let outer = one.get_or_try_insert_with("key", async || {
        other.get_or_insert_with("key", async || 1).await
    });
    let outer = tokio::time::timeout(LEASE, outer).await;
    let error = outer.expect("it ends").unwrap_err();
    assert_eq!(error.loader().unwrap().kind(), &ErrorKind::LoadCycle);
    // What failed has left nothing behind.
    assert_eq!(one.get_or_insert_with("key", async || 2).await.unwrap(), 2);
    let pending = [&one, &other].map(|cache| cache.stats().loads.pending);
    assert_eq!(pending, [0, 0]);
}

#[tokio::test]
async fn loads_of_two_tasks_through_four_caches_end_with_a_cycle() {
    let server = Server::builder(Flavor::Redis7).start();
    let have_begun = Arc::new(tokio::sync::Barrier::new(2));
    let mut caches = Vec::new();
    for _ in 0..4 {
        caches.push(cache(&server).await);
    }
    let mut nested = |outer: &'static str, inner: &'static str| {
        let (cache, within) = (caches.remove(0), caches.remove(0));
        let have_begun = Arc::clone(&have_begun);
        tokio::spawn(async move {
            let load = async || {
                have_begun.wait().await;
                within.get_or_insert_with(inner, async || 1).await
            };
            cache.get_or_try_insert_with(outer, load).await
        })
    };
    let tasks = [nested("a", "b"), nested("b", "a")];
    let mut cycles = 0;
    for task in tasks {
        let ended = tokio::time::timeout(LEASE, task).await;
        match ended.expect("it ends").unwrap() {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => {
                cycles += 1;
                assert_eq!(error.loader().unwrap().kind(), &ErrorKind::LoadCycle);
            }
        }
    }
    assert!(cycles > 0);
}

#[tokio::test]
async fn a_set_of_another_process_during_a_load_wins() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let load = source.get(&one, "key", 200 * MS);
    source.has_begun(1).await;
    assert!(other.set_nx("key", 9u32).await.unwrap());
    let waits = source.get(&other, "key", MS);
    assert_eq!(value(waits).await, Some(9));
    assert_eq!(value(load).await, Some(1));
    assert_eq!(one.get("key").await.unwrap(), Some(9));
}

#[tokio::test]
async fn a_loader_that_is_dropped_or_fails_or_finds_nothing_lets_another_process_load_at_once() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for end in 0..4 {
        let key = format!("key {end}");
        let (cache, name) = (one.clone(), key.clone());
        let first = tokio::spawn(async move {
            let load = async move |_| {
                sleep(200 * MS).await;
                match end {
                    0 => Ok(None),
                    1 => Err(io::Error::other("the database is down")),
                    _ => std::future::pending().await,
                }
            };
            let options = LoadOptions::new();
            let options = if end == 2 {
                options.hard_timeout(200 * MS)
            } else {
                options
            };
            cache.entry(name).options(options).or_load(load).await
        });
        sleep(100 * MS).await;
        let source = Source::default();
        let waits = source.get(&other, &key, MS);
        sleep(50 * MS).await;
        assert_eq!(source.calls(), 0);
        let start = Instant::now();
        if end == 3 {
            first.abort();
        }
        assert_eq!(value(waits).await, Some(1), "end {end}");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(2), "end {end}: {took:?}");
    }
}

#[tokio::test]
async fn a_load_that_takes_longer_than_its_lease_keeps_it() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let options = LoadOptions::new().lease_ttl(300 * MS);
    let load = source.get_with(&one, "key", options, Duration::from_secs(1));
    source.has_begun(1).await;
    let waits = source.get_with(&other, "key", options, MS);
    assert_eq!(value(waits).await, Some(1));
    assert_eq!(value(load).await, Some(1));
    assert_eq!(source.calls(), 1);
}

#[tokio::test]
async fn who_waits_for_another_process_does_so_within_the_hard_timeout() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let load = source.get(&one, "key", Duration::from_secs(60));
    source.has_begun(1).await;
    let options = LoadOptions::new().hard_timeout(300 * MS);
    let start = Instant::now();
    let waits = source.get_with(&other, "key", options, MS).await.unwrap();
    let took = start.elapsed();
    let error = waits.unwrap_err();
    let kind = error.cache().unwrap().kind();
    assert_eq!(kind, &ErrorKind::LoadTimeout { limit: 300 * MS });
    assert!((300 * MS..600 * MS).contains(&took), "{took:?}");
    load.abort();
}

#[tokio::test]
async fn with_a_lease_of_zero_each_process_loads_for_itself() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let options = LoadOptions::new().lease_ttl(Duration::ZERO);
    let tasks = [&one, &other].map(|cache| source.get_with(cache, "key", options, 100 * MS));
    for task in tasks {
        assert!(value(task).await.is_some());
    }
    assert_eq!(source.calls(), 2);
    for options in [
        LoadOptions::new().lease_ttl(MS),
        LoadOptions::new().lease_ttl(LEASE * 1_000),
    ] {
        let error = source
            .get_with(&one, "other", options, MS)
            .await
            .unwrap()
            .unwrap_err();
        assert!(error.to_string().contains("lease_ttl is"), "{error}");
    }
}

#[tokio::test]
async fn a_loader_gets_a_fencing_token_that_grows() {
    let server = Server::builder(Flavor::Redis7).start();
    let caches = [cache(&server).await, cache(&server).await];
    let mut last = 0;
    for round in 0..20 {
        let cache = &caches[round % 2];
        let token = Arc::new(std::sync::Mutex::new(0));
        let seen = Arc::clone(&token);
        let load = async move |context: cache_core::LoadContext<u32>| {
            *seen.lock().unwrap() = context.fencing_token.unwrap();
            Ok::<Option<u32>, io::Error>(None)
        };
        assert_eq!(cache.entry("key").or_load(load).await.unwrap(), None);
        let token = *token.lock().unwrap();
        assert!(token > last, "{token} after {last}");
        last = token;
        // The lease is given up in the background.
        sleep(5 * MS).await;
    }
}

#[tokio::test]
async fn what_is_loaded_without_an_answer_to_the_claim_is_not_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let backend = Arc::new(FaultyBackend::new(store));
    let cache: Cache<u32> = Cache::new(Arc::clone(&backend));
    // The read finds nothing, the claim fails.
    backend.script([Fault::None, Fault::Fail(ErrorKind::Unavailable)]);
    let found = cache.get_or_insert_with("key", async || 1).await.unwrap();
    assert_eq!(found, 1);
    assert_eq!(cache.stats().loads.past_outage, 1);
    assert_eq!(cache.get("key").await.unwrap(), None);
    // The next one is.
    cache.get_or_insert_with("key", async || 2).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), Some(2));
}

#[tokio::test]
async fn what_is_loaded_though_its_claim_was_refused_is_not_stored_after_a_delete_elsewhere() {
    let server = Server::builder(Flavor::Redis7).start();
    let (here, elsewhere) = (cache(&server).await, cache(&server).await);
    let limit = |bytes| {
        let command = ["CONFIG", "SET", "maxmemory", bytes];
        server.command(&command).assert_ok();
    };
    limit("1");
    let (begins, begun) = oneshot::channel();
    let (ends, end) = oneshot::channel();
    let load = async move |_| {
        begins.send(()).expect("the test waits");
        end.await.expect("the test says when");
        Ok::<_, io::Error>(1)
    };
    let entry = tokio::spawn({
        let cache = here.clone();
        async move { cache.entry("key").or_load(load).await }
    });
    begun.await.unwrap();
    limit("0");
    elsewhere.delete("key").await.unwrap();
    ends.send(()).unwrap();
    assert_eq!(entry.await.unwrap().unwrap(), Some(1));
    assert_eq!(elsewhere.get("key").await.unwrap(), None);
    assert_eq!(here.stats().loads.past_outage, 1);
}

#[tokio::test]
async fn what_one_cache_deletes_another_over_the_same_store_does_not_bring_back_without_a_lease() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    let cache = || {
        let backend = EncodedBackend::new(store.clone(), MsgPackCodec::new());
        let options = LoadOptions::new().lease_ttl(Duration::ZERO);
        Cache::<u32>::builder(backend).load_options(options).build()
    };
    let (loads, deletes) = (cache().unwrap(), cache().unwrap());
    let (begins, begun) = oneshot::channel();
    let (ends, end) = oneshot::channel();
    let load = async move || {
        begins.send(()).expect("the test waits");
        end.await.expect("the test goes on");
        1
    };
    let loading = tokio::spawn({
        let loads = loads.clone();
        async move { loads.get_or_insert_with("key", load).await }
    });
    begun.await.unwrap();
    deletes.delete("key").await.unwrap();
    ends.send(()).expect("the load waits");
    assert_eq!(loading.await.unwrap().unwrap(), 1);
    assert_eq!(loads.get("key").await.unwrap(), None);
    // Keys of another namespace are others, and so are their loads.
    let part = EncodedBackend::new(store.partition("part").unwrap(), MsgPackCodec::new());
    let part: Cache<u32> = Cache::new(part);
    let inner = async || part.get_or_insert_with("key", async || 2).await.unwrap();
    assert_eq!(loads.get_or_insert_with("key", inner).await.unwrap(), 2);
}
