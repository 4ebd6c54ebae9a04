//! Random values of a nasty kind, in random operations, beside each other: each reply is that of its own command.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Claim, Condition, Expiry};
use cache_redis::{Protocol, RedisStore};
use cache_testbed::{Cluster, Flavor, Server};
use fastrand::Rng;
use futures_util::future::join_all;

use crate::faults::config;

const MINUTE: Expiry = Expiry::After(Duration::from_secs(60));
/// How many operations each task does.
const STEPS: usize = 60;
/// How many keys of a task are in one slot of a cluster.
const TOGETHER: usize = 6;
/// How many tasks share a connection.
const BESIDE: u64 = 10;

/// Words that mean something somewhere on the wire.
const WORDS: [&[u8]; 40] = [
    b"pubsub",
    b"message",
    b"smessage",
    b"pmessage",
    b"subscribe",
    b"psubscribe",
    b"unsubscribe",
    b"punsubscribe",
    b"sunsubscribe",
    b"invalidate",
    b"__redis__:invalidate",
    b"MOVED 5 h:1",
    b"ASK 5 h:1",
    b"ASK me later",
    b"MOVED 1 127.0.0.1:1",
    b"MOVED",
    b"ASKING",
    b"QUEUED",
    b"+OK",
    b"OK",
    b"PONG",
    b"-ERR no",
    b"-READONLY You can't write against a read only replica.",
    b"READONLY no",
    b"LOADING no",
    b"NOAUTH no",
    b"CLUSTERDOWN no",
    b"WRONGTYPE no",
    b"NOSCRIPT no",
    b":1",
    b"1",
    b"-1",
    b"9223372036854775808",
    b"$-1",
    b"*3",
    b">3",
    b"_",
    b"",
    b"\r\n",
    b"\0\xff\xfe",
];

/// As many seeds as `SEEDS` says, or some.
fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(40, |seeds| seeds.parse().expect("SEEDS is a number"))
}

/// Keys of one task and what they hold, as it has to be.
struct Task {
    rng: Rng,
    keys: Vec<String>,
    held: BTreeMap<String, Bytes>,
}

impl Task {
    fn new(seed: u64) -> Self {
        // These are in one slot of a cluster.
        let together = (0..TOGETHER).map(|number| format!("{{{seed}}}{number}"));
        let apart = (0..4).map(|number| format!("{seed}-{number}"));
        Self {
            rng: Rng::with_seed(seed),
            keys: together.chain(apart).collect(),
            held: BTreeMap::new(),
        }
    }

    fn key(&mut self) -> String {
        let place = self.rng.usize(..self.keys.len());
        self.keys[place].clone()
    }

    /// One to six of the keys, in a row, so that those of one slot often come alone.
    fn some_keys(&mut self) -> Vec<String> {
        let count = self.rng.usize(1..=6);
        let start = self.rng.usize(..=self.keys.len() - count);
        self.keys[start..start + count].to_vec()
    }

    /// A word, or several with spaces in between, or what the reply of another command would be.
    fn value(&mut self) -> Bytes {
        if self.rng.bool() {
            // In a row, these make news of a channel.
            return Bytes::from_static(WORDS[self.rng.usize(..4)]);
        }
        let count = [1, 1, 1, 2, 3][self.rng.usize(..5)];
        let words: Vec<&[u8]> = (0..count)
            .map(|_| WORDS[self.rng.usize(..WORDS.len())])
            .collect();
        let between: &[u8] = [&b" "[..], b"\r\n"][self.rng.usize(..2)];
        Bytes::from(words.join(between))
    }

    fn expiry(&mut self) -> Expiry {
        [Expiry::Never, MINUTE][self.rng.usize(..2)]
    }

    fn expected(&self, key: &str) -> Option<Bytes> {
        self.held.get(key).cloned()
    }

    /// Does something with one key, and checks what comes of it.
    async fn step(&mut self, store: &RedisStore) {
        let (key, expiry) = (self.key(), self.expiry());
        let held = self.expected(&key);
        match self.rng.u8(..13) {
            0 | 1 => {
                let value = self.value();
                let options = BackendWrite::new(expiry, Condition::Always);
                assert!(store.set(&key, value.clone(), options).await.unwrap());
                self.held.insert(key, value);
            }
            2 => {
                let value = self.value();
                let options = BackendWrite::new(expiry, Condition::IfAbsent);
                let is_set = store.set(&key, value.clone(), options).await.unwrap();
                assert_eq!(is_set, held.is_none(), "set if absent");
                self.held.entry(key).or_insert(value);
            }
            3 => assert_eq!(store.get(&key).await.unwrap(), held, "get"),
            4 => {
                let entry = store.get_entry(&key).await.unwrap();
                assert_eq!(entry.map(|entry| entry.value), held, "get_entry");
            }
            5 => assert_eq!(store.get_ex(&key, expiry).await.unwrap(), held, "get_ex"),
            6 => {
                let value = self.value();
                let old = store.swap(&key, value.clone(), expiry).await.unwrap();
                assert_eq!(old, held, "swap");
                self.held.insert(key, value);
            }
            7 => {
                assert_eq!(store.take(&key).await.unwrap(), held, "take");
                self.held.remove(&key);
            }
            8 => self.write_many(store, expiry).await,
            9 => self.write_over(store, key).await,
            10 => claim(store, &key, held).await,
            11 => self.watch(store).await,
            _ => self.read_many(store).await,
        }
    }

    /// Writes in the place of what is there.
    async fn write_over(&mut self, store: &RedisStore, key: String) {
        let found = store.get_versioned(&key).await.unwrap();
        let value = found.entry.map(|entry| entry.value);
        assert_eq!(value, self.expected(&key), "get_versioned");
        let Some(version) = found.version else { return };
        let value = self.value();
        let options = BackendWrite::new(MINUTE, Condition::IfVersion(version));
        assert!(store.set(&key, value.clone(), options).await.unwrap());
        self.held.insert(key, value);
    }

    /// Reads keys of one slot within a transaction of which nothing comes.
    async fn watch(&mut self, store: &RedisStore) {
        let count = self.rng.usize(1..=TOGETHER);
        let keys: Vec<&str> = self.keys[..count].iter().map(String::as_str).collect();
        let transactions = store.abilities().transactions.expect("it has some");
        let (found, _) = transactions.watch(&keys).await.unwrap();
        let expected: Vec<_> = keys.iter().map(|key| self.expected(key)).collect();
        assert_eq!(found, expected, "watch");
    }

    async fn write_many(&mut self, store: &RedisStore, expiry: Expiry) {
        let pairs: Vec<(String, Bytes)> = self
            .some_keys()
            .into_iter()
            .map(|key| (key, self.value()))
            .collect();
        let entries = pairs.iter();
        let entries = entries.map(|(key, value)| (key.as_str(), value.clone()));
        store.set_many(entries.collect(), expiry).await.unwrap();
        self.held.extend(pairs);
    }

    async fn read_many(&mut self, store: &RedisStore) {
        let keys = self.some_keys();
        let expected: Vec<_> = keys.iter().map(|key| self.expected(key)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(store.get_many(&keys).await.unwrap(), expected, "get_many");
        let entries = store.get_entries(&keys).await.unwrap().into_iter();
        let values: Vec<_> = entries
            .map(|entry| entry.map(|entry| entry.value))
            .collect();
        assert_eq!(values, expected, "get_entries");
    }
}

/// Claims the lease of a key, and lets go of it if there is nothing.
async fn claim(store: &RedisStore, key: &str, held: Option<Bytes>) {
    let leases = store.abilities().leases.expect("a namespace has some");
    let claim = leases.claim(key, Duration::from_secs(60)).await.unwrap();
    match claim {
        Claim::Found(found) => assert_eq!(Some(found), held, "claim"),
        Claim::Granted(lease) => {
            assert_eq!(held, None, "claim");
            assert_eq!(store.get(key).await.unwrap(), None, "get beside a lease");
            leases.release(key, lease).await.unwrap();
        }
        other => panic!("{other:?}"),
    }
}

async fn run(store: &RedisStore, seed: u64) {
    let mut task = Task::new(seed);
    for _ in 0..STEPS {
        task.step(store).await;
    }
}

async fn run_all(url: &str) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let config = config(url)
            .protocol(protocol)
            .command_timeout(Duration::from_secs(10));
        let store = RedisStore::connect(config).await.unwrap();
        for first in (0..seeds()).step_by(BESIDE as usize) {
            let seeds = first..seeds().min(first + BESIDE);
            let of_protocol = |seed| seed * 2 + u64::from(protocol == Protocol::Resp2);
            println!("seeds {seeds:?} of {protocol:?}");
            join_all(seeds.map(|seed| run(&store, of_protocol(seed)))).await;
        }
        let stats = store.wire_stats();
        assert_eq!((stats.retries, stats.reconnects), (0, 0), "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_with_nasty_values_are_those_of_their_commands() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor).start();
        run_all(&server.url()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_with_nasty_values_are_those_of_their_commands_in_a_cluster() {
    for flavor in [Flavor::Redis7, Flavor::Valkey9] {
        let cluster = Cluster::builder(flavor).replicas(0).start();
        run_all(&cluster.url()).await;
    }
}
