//! Loading: what it adds to a hit and to a miss, and a thousand tasks that want the same keys.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cache_benches::alloc::{Counting, INSTRUMENTED_SYSTEM, check_counting, counted};
use cache_benches::caches::Ours;
use cache_benches::is_trial;
use cache_benches::paired::{Rival, interleave};
use cache_benches::ready::ready;
use cache_benches::workload::{Key, keys};
use cache_core::{Cache, LoadOptions};
use cache_local::{LocalBackend, LocalConfig};
use criterion::Criterion;
use tokio::runtime::Runtime;
use tokio::task::yield_now;

#[global_allocator]
static ALLOCATOR: Counting = &INSTRUMENTED_SYSTEM;

const RESIDENT: u32 = 1_000;
const TASKS: u64 = 1_000;
/// More than any of them is given.
const CAPACITY: u64 = 100_000;

/// A cache that loads what is absent.
trait Loading: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    fn new() -> Self;

    fn get(&self, key: &str) -> impl Future<Output = Option<u64>> + Send;

    fn get_or_load(
        &self,
        key: &str,
        load: impl Future<Output = u64> + Send,
    ) -> impl Future<Output = u64> + Send;
}

impl Loading for Ours<u64> {
    const NAME: &'static str = "ours";

    fn new() -> Self {
        let config = LocalConfig::new().max_entries(CAPACITY);
        Self::with_backend(LocalBackend::new(config).expect("the capacity is not zero"))
    }

    async fn get(&self, key: &str) -> Option<u64> {
        Self::get(self, key)
            .await
            .expect("a local read never fails")
    }

    async fn get_or_load(&self, key: &str, load: impl Future<Output = u64> + Send) -> u64 {
        let loaded = self.get_or_insert_with(key, || load).await;
        loaded.expect("a local cache never fails")
    }
}

impl Loading for Cache<u64> {
    const NAME: &'static str = "ours, erased";

    fn new() -> Self {
        let config = LocalConfig::new().max_entries(CAPACITY);
        Self::new(LocalBackend::new(config).expect("the capacity is not zero"))
    }

    async fn get(&self, key: &str) -> Option<u64> {
        Self::get(self, key)
            .await
            .expect("a local read never fails")
    }

    async fn get_or_load(&self, key: &str, load: impl Future<Output = u64> + Send) -> u64 {
        let loaded = self.get_or_insert_with(key, || load).await;
        loaded.expect("a local cache never fails")
    }
}

impl Loading for moka::future::Cache<String, u64> {
    const NAME: &'static str = "moka";

    fn new() -> Self {
        Self::new(CAPACITY)
    }

    async fn get(&self, key: &str) -> Option<u64> {
        Self::get(self, key).await
    }

    async fn get_or_load(&self, key: &str, load: impl Future<Output = u64> + Send) -> u64 {
        self.get_with_by_ref(key, load).await
    }
}

type Quick = Arc<quick_cache::sync::Cache<String, u64>>;

impl Loading for Quick {
    const NAME: &'static str = "quick_cache";

    fn new() -> Self {
        Self::new(quick_cache::sync::Cache::new(CAPACITY as usize))
    }

    async fn get(&self, key: &str) -> Option<u64> {
        quick_cache::sync::Cache::get(self, key)
    }

    async fn get_or_load(&self, key: &str, load: impl Future<Output = u64> + Send) -> u64 {
        let load = async { Ok::<_, Infallible>(load.await) };
        match self.get_or_insert_async(key, load).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}

/// A table behind one lock, which is held during each load: all that some programs have.
type Table = Arc<tokio::sync::Mutex<HashMap<Box<str>, u64>>>;

impl Loading for Table {
    const NAME: &'static str = "one mutex";

    fn new() -> Self {
        Self::default()
    }

    async fn get(&self, key: &str) -> Option<u64> {
        self.lock().await.get(key).copied()
    }

    async fn get_or_load(&self, key: &str, load: impl Future<Output = u64> + Send) -> u64 {
        let mut table = self.lock().await;
        if let Some(value) = table.get(key) {
            return *value;
        }
        let value = load.await;
        table.insert(key.into(), value);
        value
    }
}

/// Returns the nanoseconds of a plain read and of one that would load, all of them hits.
fn hits<C: Loading>(keys: &[Key], passes: u32) -> [f64; 2] {
    let cache = C::new();
    for key in keys {
        ready(cache.get_or_load(key, async { 1 }));
    }
    let time = |read: &dyn Fn(&str) -> u64| {
        let start = Instant::now();
        for _ in 0..passes {
            black_box(keys.iter().map(|key| read(key)).sum::<u64>());
        }
        start.elapsed().as_nanos() as f64 / f64::from(passes) / keys.len() as f64
    };
    [
        time(&|key| ready(cache.get(black_box(key))).unwrap_or_default()),
        time(&|key| ready(cache.get_or_load(black_box(key), async { 1 }))),
    ]
}

/// Returns the nanoseconds of a load of an absent key whose loader is done at once.
fn misses<C: Loading>(keys: &[Key]) -> f64 {
    let cache = C::new();
    let start = Instant::now();
    for key in keys {
        black_box(ready(cache.get_or_load(key, async { 1 })));
    }
    start.elapsed().as_nanos() as f64 / keys.len() as f64
}

/// Lets a thousand tasks ask for some keys, none of which is there; returns the microseconds.
fn stampede<C: Loading>(runtime: &Runtime, keys: u64) -> f64 {
    let (cache, loads) = (C::new(), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    runtime.block_on(async {
        let tasks = (0..TASKS).map(|task| {
            let (cache, loads) = (cache.clone(), Arc::clone(&loads));
            let key = format!("key:{}", task % keys);
            tokio::spawn(async move {
                let load = async {
                    loads.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                    7
                };
                cache.get_or_load(&key, load).await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.expect("no panic"), 7);
        }
    });
    let took = start.elapsed().as_nanos() as f64 / 1e3;
    assert_eq!(loads.load(Ordering::Relaxed), keys, "{}: loads", C::NAME);
    took
}

/// The rivals in one measurement, ours first.
macro_rules! rivals {
    ($measure:ident($($argument:expr),*)) => {
        [
            rivals!(@ Ours<u64>, $measure($($argument),*)),
            rivals!(@ Cache<u64>, $measure($($argument),*)),
            rivals!(@ moka::future::Cache<String, u64>, $measure($($argument),*)),
            rivals!(@ Quick, $measure($($argument),*)),
            rivals!(@ Table, $measure($($argument),*)),
        ]
    };
    (@ $cache:ty, $measure:ident($($argument:expr),*)) => {
        (<$cache as Loading>::NAME, Box::new(|| $measure::<$cache>($($argument),*)) as Box<dyn FnMut() -> _>)
    };
}

fn print_hits(rounds: usize, passes: u32) {
    let keys = keys(RESIDENT);
    let mut rivals: [Rival<'_, [f64; 2]>; 5] = rivals!(hits(&keys, passes));
    let turns = interleave(rounds, &mut rivals);
    println!("\nhits; medians of {rounds} interleaved rounds");
    println!(
        "{:<16}{:>12}{:>16}{:>10}",
        "", "get, ns", "get or load, ns", "x of get"
    );
    let (get, load) = (turns.figure(|both| both[0]), turns.figure(|both| both[1]));
    let ratio = turns.figure(|both| both[1] / both[0]);
    for (at, name) in turns.figure(|both| both[0]).names().iter().enumerate() {
        println!(
            "{name:<16}{:>12.1}{:>16.1}{:>10.2}",
            get.time(at),
            load.time(at),
            ratio.time(at)
        );
    }
}

fn print_ratios(title: &str, unit: &str, rounds: usize, rivals: &mut [Rival<'_>]) {
    let turns = interleave(rounds, rivals);
    println!("\n{title}; medians of {rounds} interleaved rounds");
    println!("{:<16}{unit:>12}{:>12}", "", "ours is x");
    for (at, name) in turns.names().iter().enumerate() {
        println!(
            "{name:<16}{:>12.1}{:>12.2}",
            turns.time(at),
            turns.ratio(0, at)
        );
    }
}

fn main() {
    check_counting();
    let runtime = Runtime::new().expect("a runtime starts");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("stampede");
    group.bench_function("1 cold key", |bencher| {
        bencher.iter(|| stampede::<Ours<u64>>(&runtime, 1));
    });
    group.bench_function("100 cold keys", |bencher| {
        bencher.iter(|| stampede::<Ours<u64>>(&runtime, 100));
    });
    group.finish();

    let (rounds, passes) = if is_trial() { (3, 1) } else { (51, 50) };
    print_hits(rounds, passes);
    let cache = <Ours<u64> as Loading>::new();
    let options = LoadOptions::new();
    ready(cache.set("key", 1u64)).expect("it fits");
    let (_, allocated) = counted(|| {
        black_box(ready(cache.get_or_insert_with("key", async || 1)).expect("it is there"));
        let load = async |_| Ok::<_, Infallible>(1);
        ready(cache.entry("key").options(options).or_load(load)).expect("it is there")
    });
    assert_eq!(allocated.calls, 0, "a hit allocates");

    let keys = keys(if is_trial() { 100 } else { 10_000 });
    let title = "misses whose loader is done at once";
    print_ratios(title, "ns", rounds, &mut rivals!(misses(&keys)));
    for keys in [1, 100] {
        let title = format!("{TASKS} tasks on {keys} cold keys");
        print_ratios(&title, "us", rounds, &mut rivals!(stampede(&runtime, keys)));
    }
    criterion.final_summary();
}
