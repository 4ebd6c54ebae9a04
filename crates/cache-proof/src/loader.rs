//! What a process does that loads keys: many tasks for each, with a loader that takes its time.

use std::convert::Infallible;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::time::Duration;

use cache_core::{Cache, Clock, LoadOptions};

use crate::plan::Order;
use crate::worker::build_cache;

/// How long a lease lasts, and so a process that has died is waited for. It is extended in time as long as a busy
/// machine runs each process once within two thirds of it.
pub const LEASE: Duration = Duration::from_secs(2);

/// How long a command may take. What a busy machine makes slow is no outage, which loads would go past, each by
/// itself.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Loads keys as the lines of the standard input say: `key tasks milliseconds`.
///
/// The lines that it prints are `begin key nanoseconds` and `end key nanoseconds` for each call of
/// the loader, by a clock that all processes share, and `got key value` once all tasks have it.
pub fn load(mode: &str, url: &str) {
    let order = Order {
        mode: serde_json::from_str(mode).expect("a mode is JSON"),
        process: 0,
        processes: 1,
        keys: 1_000,
        rate: 0,
        seed: 0,
        data_url: url.to_owned(),
        bus_url: url.to_owned(),
        source: PathBuf::new(),
        history: PathBuf::new(),
        before: Vec::new(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let cache = runtime
        .block_on(build_cache(&order, TIMEOUT))
        .expect("the store is there");
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line.expect("a pipe is read");
        let words: Vec<&str> = line.split(' ').collect();
        let [key, tasks, takes] = words[..] else {
            panic!("an order has three words: {line}");
        };
        let number = |word: &str| word.parse::<u64>().expect("a number");
        let takes = Duration::from_millis(number(takes));
        runtime.block_on(load_key(&cache, key, number(tasks), takes));
    }
}

async fn load_key(cache: &Cache<u64>, key: &str, tasks: u64, takes: Duration) {
    let process = u64::from(std::process::id());
    let get = |_| {
        let (cache, key) = (cache.clone(), key.to_owned());
        tokio::spawn(async move {
            let options = LoadOptions::new().lease_ttl(LEASE);
            let name = key.clone();
            let load = async move |_| {
                println!("begin {name} {}", Clock::system().nanos());
                tokio::time::sleep(takes).await;
                println!("end {name} {}", Clock::system().nanos());
                Ok::<_, Infallible>(process)
            };
            let found = cache.entry(key).options(options).or_load(load).await;
            found.expect("the store is there").expect("it loads")
        })
    };
    let mut values = Vec::new();
    for task in (0..tasks).map(get).collect::<Vec<_>>() {
        values.push(task.await.expect("a task does not panic"));
    }
    values.dedup();
    println!("got {key} {values:?}");
}
