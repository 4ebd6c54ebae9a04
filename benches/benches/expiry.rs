//! Reclaiming a million expired entries: how long it takes, and the worst read meanwhile.
//!
//! `EXPIRY_LIVE=10000000` sets how many live entries the second table has beside them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cache_benches::caches::{Map, Quick};
use cache_benches::is_trial;
use cache_benches::ready::ready;
use cache_benches::rng::Rng;
use cache_benches::workload::{Key, keys};
use cache_core::{Cache, Clock};
use cache_local::{LocalBackend, LocalConfig};

const RUNS: usize = 3;
/// Values of entries that expire and of others.
const SHORT: u64 = 0;
const LONG: u64 = 1;
const HOUR: Duration = Duration::from_secs(3_600);
/// Long enough to write the short-lived entries of a cache that cannot be told the time.
const LEAST_WAIT: Duration = Duration::from_secs(4);

/// The keys of one setting; the live ones come first.
struct Setting {
    keys: Vec<Key>,
    live: usize,
}

impl Setting {
    fn live(&self) -> &[Key] {
        &self.keys[..self.live]
    }

    /// All keys with the value that tells whether they expire.
    fn entries(&self) -> impl Iterator<Item = (&Key, u64)> {
        let kind = |at| if at < self.live { LONG } else { SHORT };
        self.keys
            .iter()
            .enumerate()
            .map(move |(at, key)| (key, kind(at)))
    }
}

/// What one reclaim took.
struct Outcome {
    total: Duration,
    /// How long reads of live keys took, sorted.
    reads: Vec<Duration>,
    left: u64,
}

impl Outcome {
    fn worst(&self) -> Duration {
        self.reads.last().copied().unwrap_or_default()
    }

    /// Returns the read that 9,999 of 10,000 are faster than.
    fn slow(&self) -> Duration {
        let at = self.reads.len() * 9_999 / 10_000;
        self.reads.get(at).copied().unwrap_or_default()
    }
}

/// Runs `reclaim` on a thread of its own while this one reads live keys.
fn observe(
    setting: &Setting,
    read: impl Fn(&Key) -> Option<u64>,
    reclaim: impl FnOnce() + Send,
    left: impl FnOnce() -> u64,
) -> Outcome {
    let done = AtomicBool::new(false);
    let (total, mut reads) = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let start = Instant::now();
            reclaim();
            let total = start.elapsed();
            done.store(true, Ordering::Release);
            total
        });
        let (mut reads, mut rng) = (Vec::with_capacity(1 << 22), Rng::new(3));
        while !done.load(Ordering::Acquire) {
            let key = &setting.live()[rng.below(setting.live as u32) as usize];
            let start = Instant::now();
            assert!(black_box(read(key)).is_some(), "a live entry is gone");
            reads.push(start.elapsed());
        }
        (worker.join().expect("no panic"), reads)
    });
    reads.sort_unstable();
    Outcome {
        total,
        reads,
        left: left(),
    }
}

/// Nothing is reclaimed: what the machine does to readers by itself.
fn nothing(setting: &Setting) -> Outcome {
    let cache = filled_map(setting);
    let busy = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300) {
            std::hint::spin_loop();
        }
    };
    let read = |key: &Key| cache.get(&**key).map(|value| *value);
    observe(setting, read, busy, || cache.len() as u64)
}

fn ours(setting: &Setting) -> Outcome {
    let (clock, hand) = Clock::manual();
    let backend = LocalBackend::new(LocalConfig::new().clock(clock)).expect("it has no bound");
    let cache = Cache::with_backend(Arc::new(backend));
    for (key, kind) in setting.entries() {
        let ttl = if kind == LONG { HOUR } else { HOUR / 2 };
        ready(cache.set_ex(&**key, kind, ttl)).expect("it fits");
    }
    hand.advance(HOUR / 2);
    let read = |key: &Key| ready(cache.get(&**key)).expect("a local read never fails");
    let reclaim = || {
        cache.backend().sweep();
    };
    observe(setting, read, reclaim, || {
        cache.stats().backend.entries.unwrap_or_default()
    })
}

/// Gives entries the time to live that their value asks for.
struct ByValue(Duration);

impl moka::Expiry<Box<str>, u64> for ByValue {
    fn expire_after_create(&self, _: &Box<str>, value: &u64, _: Instant) -> Option<Duration> {
        Some(if *value == LONG { HOUR } else { self.0 })
    }
}

fn moka(setting: &Setting) -> Outcome {
    let short = if is_trial() {
        Duration::from_millis(300)
    } else {
        LEAST_WAIT
    };
    let cache = moka::sync::Cache::builder()
        .expire_after(ByValue(short))
        .build();
    for (key, kind) in setting.entries() {
        cache.insert((**key).into(), kind);
    }
    cache.run_pending_tasks();
    // It cannot be told the time.
    thread::sleep(short);
    let read = |key: &Key| cache.get(&**key);
    let reclaim = || {
        // One call does a part of the work.
        while cache.entry_count() > setting.live as u64 {
            cache.run_pending_tasks();
        }
    };
    observe(setting, read, reclaim, || cache.entry_count())
}

fn quick(setting: &Setting) -> Outcome {
    let cache = Quick::<u64>::new(setting.keys.len() * 2);
    for (key, kind) in setting.entries() {
        cache.insert((**key).into(), kind);
    }
    let read = |key: &Key| cache.get(&**key);
    let reclaim = || cache.retain(|_, kind| *kind == LONG);
    observe(setting, read, reclaim, || cache.len() as u64)
}

fn filled_map(setting: &Setting) -> Map<u64> {
    let cache = Map::<u64>::default();
    for (key, kind) in setting.entries() {
        cache.insert((**key).into(), kind);
    }
    cache
}

fn map(setting: &Setting) -> Outcome {
    let cache = filled_map(setting);
    let read = |key: &Key| cache.get(&**key).map(|value| *value);
    let reclaim = || cache.retain(|_, kind| *kind == LONG);
    observe(setting, read, reclaim, || cache.len() as u64)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Prints the run whose worst read was the middle one.
fn row(name: &str, runs: usize, setting: &Setting, run: fn(&Setting) -> Outcome) {
    let mut outcomes: Vec<Outcome> = (0..runs).map(|_| run(setting)).collect();
    outcomes.sort_unstable_by_key(Outcome::worst);
    let (best, middle) = (outcomes[0].worst(), &outcomes[runs / 2]);
    println!(
        "{name:<24}{:>10.0}{:>14.3}{:>14.3}{:>14.3}{:>12}{:>12}",
        millis(middle.total),
        millis(middle.worst()),
        millis(best),
        millis(middle.slow()),
        middle.reads.len(),
        middle.left
    );
}

fn table(expired: usize, live: usize) {
    let count = u32::try_from(expired + live).expect("fewer than four billion");
    let setting = Setting {
        keys: keys(count),
        live,
    };
    println!("\nreclaiming {expired} expired entries beside {live} live ones; milliseconds");
    println!(
        "{:<24}{:>10}{:>14}{:>14}{:>14}{:>12}{:>12}",
        "", "total", "worst read", "of best run", "1 in 10,000", "reads", "left"
    );
    row("(nothing)", RUNS, &setting, nothing);
    row("ours, sweep", RUNS, &setting, ours);
    row("quick_cache, retain", RUNS, &setting, quick);
    row("dashmap, retain", RUNS, &setting, map);
    row("moka, pending tasks", 1, &setting, moka);
}

fn main() {
    let wanted = std::env::var("EXPIRY_LIVE").ok();
    let live = wanted.map_or(2_000_000, |live| {
        live.parse().expect("EXPIRY_LIVE is a number")
    });
    match is_trial() {
        true => table(1_000, 1_000),
        false => {
            table(1_000_000, 100_000);
            table(1_000_000, live);
        }
    }
}
