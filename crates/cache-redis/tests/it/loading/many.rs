//! Bulk loads, beside what other processes do meanwhile.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, EncodedBackend, ErrorKind, LoadError, LoadOptions, Loaded, MsgPackCodec};
use cache_redis::RedisStore;
use cache_testbed::{Cluster, Flavor, Server};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{LEASE, MS, Source, cache, value};
use crate::{connect, connect_patiently};

type Answers = Vec<Result<Option<u32>, LoadError<io::Error>>>;

/// A loader that says what it is asked for, and waits until it is let.
#[derive(Clone)]
struct Bulk {
    gate: Arc<Semaphore>,
    calls: Arc<Mutex<Vec<Vec<String>>>>,
    begins: mpsc::UnboundedSender<()>,
    begun: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>>,
}

/// The keys that a [`Bulk`] leaves out begin so.
const NONE: &str = "none";
/// A key of which a [`Bulk`] loads this ends with an error.
const FAILS: &str = "fails";

impl Bulk {
    fn new() -> Self {
        let (begins, begun) = mpsc::unbounded_channel();
        Self {
            gate: Arc::new(Semaphore::new(0)),
            calls: Arc::default(),
            begins,
            begun: Arc::new(tokio::sync::Mutex::new(begun)),
        }
    }

    /// Makes one that waits for nobody.
    fn open() -> Self {
        let this = Self::new();
        this.let_go(1_000);
        this
    }

    /// Loads the length of each key.
    async fn load(self, keys: Vec<String>) -> Result<Vec<(String, Loaded<u32>)>, io::Error> {
        self.calls.lock().expect("not poisoned").push(keys.clone());
        self.begins.send(()).expect("the receiver is kept");
        self.gate.acquire().await.expect("never closed").forget();
        if keys.iter().any(|key| key.starts_with(FAILS)) {
            return Err(io::Error::other("the database is down"));
        }
        let found = keys.into_iter().filter(|key| !key.starts_with(NONE));
        let pair = |key: String| {
            let value = Loaded::value(key.len() as u32);
            (key, value)
        };
        Ok(found.map(pair).collect())
    }

    fn get<K: AsRef<str>>(&self, cache: &Cache<u32>, keys: &[K]) -> JoinHandle<Answers> {
        let keys: Vec<String> = keys.iter().map(|key| key.as_ref().to_owned()).collect();
        let (cache, bulk) = (cache.clone(), self.clone());
        tokio::spawn(async move {
            let load = |keys| bulk.clone().load(keys);
            let answers = cache.get_many_or_load(&keys, load).await;
            answers.expect("the cache works")
        })
    }

    /// Returns when one more loader waits.
    async fn has_begun(&self) {
        let mut begun = self.begun.lock().await;
        let begun = timeout(Duration::from_secs(5), begun.recv()).await;
        begun.expect("it waits for nobody");
    }

    fn let_go(&self, count: usize) {
        self.gate.add_permits(count);
    }

    fn calls(&self) -> Vec<Vec<String>> {
        self.calls.lock().expect("not poisoned").clone()
    }

    /// Returns how often each key was loaded.
    fn counts(&self) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for key in self.calls().concat() {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }
}

async fn values(task: JoinHandle<Answers>) -> Vec<Option<u32>> {
    let answers = timeout(LEASE, task).await.expect("it ends");
    let answers = answers.expect("no panic").into_iter();
    answers.map(|answer| answer.expect("no error")).collect()
}

#[tokio::test]
async fn a_bulk_load_stores_nothing_that_another_process_has_deleted_meanwhile() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let bulk = Bulk::new();
    let load = bulk.get(&one, &["a", "bb", "ccc", "dddd"]);
    bulk.has_begun().await;
    assert!(!other.delete("a").await.unwrap());
    other.set("bb", 9u32).await.unwrap();
    other.set("ccc", 9u32).await.unwrap();
    assert!(other.delete("ccc").await.unwrap());
    bulk.let_go(1);
    // Who waits for it gets what was loaded.
    assert_eq!(values(load).await, [Some(1), Some(2), Some(3), Some(4)]);
    let found = other.mget(&["a", "bb", "ccc", "dddd"]).await.unwrap();
    assert_eq!(found, [None, Some(9), None, Some(4)]);
    assert_eq!(bulk.calls().len(), 1);
}

#[tokio::test]
async fn a_bulk_load_over_a_cluster_stores_nothing_that_was_deleted_elsewhere_meanwhile() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let connect = async || {
        let config = cache_redis::RedisConfig::from_url(&cluster.url()).expect("the URL is right");
        let store = RedisStore::connect(config).await.expect("it is there");
        let cache: Cache<u32> = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
        cache
    };
    let (one, other) = (connect().await, connect().await);
    let keys: Vec<String> = (0..30).map(|number| format!("key {number}")).collect();
    let bulk = Bulk::new();
    let load = bulk.get(&one, &keys);
    bulk.has_begun().await;
    assert_eq!(other.mdelete(&keys[..15]).await.unwrap(), 0);
    bulk.let_go(1);
    assert!(values(load).await.iter().all(Option::is_some));
    let found = other.mget(&keys).await.unwrap();
    let is_there: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(is_there, [[false; 15], [true; 15]].concat());
}

#[tokio::test]
async fn two_bulk_loads_of_two_processes_load_each_key_once_and_do_not_wait_in_a_circle() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for round in 0..20 {
        let key = |number: u32| format!("{round}/{}", "x".repeat(number as usize));
        let bulk = Bulk::open();
        let start = Instant::now();
        let first = bulk.get(&one, &[key(1), key(2), key(3)]);
        let second = bulk.get(&other, &[key(4), key(3), key(2), key(1)]);
        let length = |number: u32| Some(key(number).len() as u32);
        let (first, second) = (values(first).await, values(second).await);
        assert_eq!(first, [length(1), length(2), length(3)]);
        assert_eq!(second, [length(4), length(3), length(2), length(1)]);
        let counts = bulk.counts();
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
        // Woken by the end of the load, not by the end of the lease.
        let took = start.elapsed();
        assert!(took < LEASE / 10, "{took:?}");
    }
    let pending = [&one, &other].map(|cache| cache.stats().loads.pending);
    assert_eq!(pending, [0, 0]);
}

#[tokio::test]
async fn own_keys_are_loaded_before_those_that_another_process_loads_are_waited_for() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let (first, second) = (Bulk::new(), Bulk::new());
    let older = first.get(&one, &["a", "bb"]);
    first.has_begun().await;
    let newer = second.get(&other, &["bb", "ccc"]);
    second.has_begun().await;
    assert_eq!(second.calls(), [["ccc"]]);
    second.let_go(1);
    // It is stored, and its lease is over, while the other key is waited for.
    while other.get("ccc").await.unwrap().is_none() {
        sleep(MS).await;
    }
    assert!(!newer.is_finished());
    first.let_go(1);
    assert_eq!(values(older).await, [Some(1), Some(2)]);
    assert_eq!(values(newer).await, [Some(2), Some(3)]);
    assert_eq!((first.calls().len(), second.calls().len()), (1, 1));
}

#[tokio::test]
async fn a_key_that_a_single_load_of_another_process_gives_up_is_loaded() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let single = source.get(&one, "bb", LEASE);
    source.has_begun(1).await;
    let bulk = Bulk::open();
    let load = bulk.get(&other, &["a", "bb"]);
    bulk.has_begun().await;
    single.abort();
    let start = Instant::now();
    assert_eq!(values(load).await, [Some(1), Some(2)]);
    let took = start.elapsed();
    assert!(took < LEASE / 10, "{took:?}");
    assert_eq!(bulk.calls(), [["a"], ["bb"]]);
}

#[tokio::test]
async fn keys_that_a_bulk_load_leaves_out_gives_up_or_fails_to_load_are_free_at_once() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    for end in ["left out", "fails", "dropped"] {
        let key = match end {
            "left out" => NONE,
            "fails" => FAILS,
            _ => "key",
        };
        let bulk = Bulk::new();
        let load = bulk.get(&one, &[key, "with it"]);
        bulk.has_begun().await;
        let source = Source::default();
        let waits = source.get(&other, key, MS);
        sleep(50 * MS).await;
        assert_eq!(source.calls(), 0, "{end}");
        let start = Instant::now();
        if end == "dropped" {
            load.abort();
        } else {
            bulk.let_go(1);
            let answers = load.await.unwrap();
            assert_eq!(answers[0].is_err(), end == "fails");
        }
        assert_eq!(value(waits).await, Some(1), "{end}");
        let took = start.elapsed();
        assert!(took < LEASE / 10, "{end}: {took:?}");
        other.delete("with it").await.unwrap();
    }
    let pending = [&one, &other].map(|cache| cache.stats().loads.pending);
    assert_eq!(pending, [0, 0]);
}

#[tokio::test]
async fn a_bulk_load_that_takes_longer_than_its_leases_keeps_them() {
    let server = Server::builder(Flavor::Redis7).start();
    // Long enough for a busy machine to extend all of them in time.
    let lease = 2_000 * MS;
    let options = LoadOptions::new().lease_ttl(lease);
    let cache = async || {
        let store = connect(&server).await;
        let backend = EncodedBackend::new(store, MsgPackCodec::new());
        let builder = Cache::<u32>::builder(backend).load_options(options);
        builder.build().expect("good options")
    };
    let (one, other) = (cache().await, cache().await);
    let keys: Vec<String> = (0..200).map(|number| format!("key {number}")).collect();
    let (first, second) = (Bulk::new(), Bulk::open());
    let load = first.get(&one, &keys);
    first.has_begun().await;
    let waits = second.get(&other, &keys);
    sleep(lease * 3 / 2).await;
    first.let_go(1);
    let loaded = values(load).await;
    assert_eq!(values(waits).await, loaded);
    assert!(second.calls().is_empty());
}

#[tokio::test]
async fn a_bulk_load_of_a_thousand_keys_and_one_that_gives_them_up() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = async || {
        let store = connect_patiently(&server).await;
        let backend = EncodedBackend::new(store, MsgPackCodec::new());
        let builder = Cache::<u32>::builder(backend);
        let options = LoadOptions::new().lease_ttl(LEASE);
        builder.load_options(options).build().expect("good options")
    };
    let (one, other) = (cache().await, cache().await);
    let keys: Vec<String> = (0..1_000).map(|number| format!("key {number}")).collect();
    let (first, second) = (Bulk::new(), Bulk::open());
    let load = first.get(&one, &keys);
    first.has_begun().await;
    let waits = second.get(&other, &keys);
    sleep(100 * MS).await;
    assert!(second.calls().is_empty());
    load.abort();
    let found = values(waits).await;
    assert!(found.iter().all(Option::is_some));
    let counts = second.counts();
    assert!(counts.len() == keys.len() && counts.values().all(|count| *count == 1));
    // Not one for each key, nor for each of those that are waited for at a time.
    let calls = second.calls().len();
    assert!(calls <= 5, "{calls} calls of the loader");
    let found = one.mget(&keys).await.unwrap();
    assert!(found.iter().all(Option::is_some));
}

#[tokio::test]
async fn who_waits_for_keys_of_another_process_does_so_within_the_hard_timeout() {
    let server = Server::builder(Flavor::Redis7).start();
    let one = cache(&server).await;
    let limit = 300 * MS;
    let options = LoadOptions::new().lease_ttl(LEASE).hard_timeout(limit);
    let backend = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let builder = Cache::<u32>::builder(backend).load_options(options);
    let other = builder.build().expect("good options");
    let source = Source::default();
    let load = source.get(&one, "bb", Duration::from_secs(60));
    source.has_begun(1).await;
    let bulk = Bulk::open();
    let start = Instant::now();
    let answers = bulk.get(&other, &["a", "bb"]).await.unwrap();
    let took = start.elapsed();
    assert!((limit..2 * limit).contains(&took), "{took:?}");
    assert_eq!(*answers[0].as_ref().unwrap(), Some(1));
    let error = answers[1].as_ref().unwrap_err();
    let kind = error.cache().expect("the cache fails").kind();
    assert_eq!(kind, &ErrorKind::LoadTimeout { limit });
    load.abort();
}

#[tokio::test]
async fn with_a_lease_of_zero_each_process_loads_all_its_keys() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = async || {
        let backend = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
        let options = LoadOptions::new().lease_ttl(Duration::ZERO);
        let builder = Cache::<u32>::builder(backend).load_options(options);
        builder.build().expect("good options")
    };
    let (one, other) = (cache().await, cache().await);
    let bulk = Bulk::new();
    let tasks = [&one, &other].map(|cache| bulk.get(cache, &["a", "bb"]));
    bulk.has_begun().await;
    bulk.has_begun().await;
    bulk.let_go(2);
    for task in tasks {
        assert_eq!(values(task).await, [Some(1), Some(2)]);
    }
    assert_eq!(bulk.counts().values().copied().collect::<Vec<_>>(), [2, 2]);
}

#[tokio::test]
async fn a_key_of_a_bulk_load_whose_claim_has_no_answer_is_loaded_and_not_stored() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let backend = Arc::new(FaultyBackend::new(store));
    let cache: Cache<u32> = Cache::new(Arc::clone(&backend));
    // The read finds nothing, the first claim fails.
    backend.script([Fault::None, Fault::Fail(ErrorKind::Unavailable)]);
    let bulk = Bulk::open();
    let found = values(bulk.get(&cache, &["a"])).await;
    assert_eq!(found, [Some(1)]);
    assert_eq!(cache.stats().loads.past_outage, 1);
    assert_eq!(cache.get("a").await.unwrap(), None);
    // The next one is.
    assert_eq!(values(bulk.get(&cache, &["a"])).await, [Some(1)]);
    assert_eq!(cache.get("a").await.unwrap(), Some(1));
}

#[tokio::test]
async fn who_asks_after_a_delete_of_another_process_does_not_join_the_older_bulk_load() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let bulk = Bulk::new();
    let load = bulk.get(&one, &["key", "with it"]);
    bulk.has_begun().await;
    other.delete("key").await.unwrap();
    // The bound of staleness.
    sleep(1_000 * MS).await;
    let source = Source::default();
    assert_eq!(value(source.get(&one, "key", MS)).await, Some(1));
    assert!(!load.is_finished());
    // That of the key which nobody has deleted is joined.
    let joins = source.get(&one, "with it", MS);
    sleep(50 * MS).await;
    bulk.let_go(1);
    assert_eq!(values(load).await, [Some(3), Some(7)]);
    assert_eq!(value(joins).await, Some(7));
    assert_eq!(source.calls(), 1);
    assert_eq!(one.get("key").await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_loader_that_asks_for_what_its_own_call_waits_for_is_told_of_the_cycle() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let source = Source::default();
    let load = source.get(&one, "b", 300 * MS);
    source.has_begun(1).await;
    let inner = &other;
    let answers = other.get_many_or_load(&["a", "b"], async |keys: Vec<String>| {
        assert_eq!(keys, ["a"]);
        let nested = inner.get_or_insert_with("b", async || 9).await;
        assert_eq!(nested.unwrap_err().kind(), &ErrorKind::LoadCycle);
        Ok::<_, io::Error>([("a".to_owned(), 7u32)])
    });
    let answers = timeout(LEASE, answers).await.expect("it ends").unwrap();
    let found: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(found, [Some(7), Some(1)]);
    assert_eq!(value(load).await, Some(1));
}

#[tokio::test]
async fn a_bulk_load_through_another_cache_within_the_load_of_its_key_ends_with_a_cycle() {
    let server = Server::builder(Flavor::Redis7).start();
    let (one, other) = (cache(&server).await, cache(&server).await);
    let outer = one.get_or_insert_with("key", async || {
        let bulk =
            async |keys: Vec<String>| Ok::<_, io::Error>(keys.into_iter().map(|key| (key, 1u32)));
        let answers = other.get_many_or_load(&["key", "own"], bulk).await.unwrap();
        let error = answers[0].as_ref().unwrap_err();
        assert_eq!(error.cache().unwrap().kind(), &ErrorKind::LoadCycle);
        answers[1].as_ref().unwrap().expect("it is loaded")
    });
    let outer = timeout(LEASE, outer).await.expect("it ends").unwrap();
    assert_eq!(outer, 1);
}
