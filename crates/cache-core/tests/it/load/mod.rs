//! Loading, on a backend that answers at once and on one that takes its time.

mod ahead;
mod copies;
mod corners;
mod entry;
mod errors;
mod flights;
mod handover;
mod leasing;
mod many;
mod outages;
mod shared;
mod stale;
mod tags;
mod warm;
mod writes;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, CacheBuilder, Clock, DynBackend, LoadError, LoadOptions, ManualClock};
use cache_local::{LocalBackend, LocalConfig};
use tokio::sync::{Notify, Semaphore};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What loaders return here.
type Loading = Result<u32, io::Error>;
type Answer = Result<Option<u32>, LoadError<io::Error>>;

/// A cache of numbers, the faults of its backend, and the hand of its clock.
struct World {
    cache: Cache<u32>,
    backend: Arc<FaultyBackend<LocalBackend<u32>>>,
    hand: ManualClock,
}

/// Makes a world whose backend answers at once.
fn world_with(build: impl Fn(CacheBuilder<u32>) -> CacheBuilder<u32>) -> World {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new().clock(clock.clone());
    let local = LocalBackend::new(config).expect("the configuration is right");
    let backend = Arc::new(FaultyBackend::new(local));
    let builder = CacheBuilder::with_backend(DynBackend::new(Arc::clone(&backend)));
    World {
        cache: build(builder.clock(clock)).build().expect("good options"),
        backend,
        hand,
    }
}

fn world() -> World {
    world_with(|builder| builder)
}

/// Makes a world whose backend takes a millisecond for each call.
fn remote_world() -> World {
    let world = world();
    world.backend.every(1, Fault::Delay(MS));
    world
}

/// A loader that can be counted and stopped.
#[derive(Clone, Default)]
struct Source(Arc<State>);

struct State {
    calls: AtomicU32,
    begun: Notify,
    gate: Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            calls: AtomicU32::new(0),
            begun: Notify::new(),
            gate: Semaphore::new(0),
        }
    }
}

impl Source {
    /// Says that it was called, waits until it is let, and returns a value.
    async fn load(self, value: u32) -> Loading {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.begun.notify_one();
        self.0.gate.acquire().await.expect("never closed").forget();
        Ok(value)
    }

    /// Returns when a loader waits.
    async fn has_begun(&self) {
        self.0.begun.notified().await;
    }

    /// Lets that many loaders go on.
    fn let_go(&self, count: usize) {
        self.0.gate.add_permits(count);
    }

    fn calls(&self) -> u32 {
        self.0.calls.load(Ordering::SeqCst)
    }
}

/// Gets a key in a task of its own, with a loader that waits.
fn get(world: &World, key: &str, source: &Source, value: u32) -> tokio::task::JoinHandle<Answer> {
    get_with(world, key, LoadOptions::new(), source, value)
}

fn get_with(
    world: &World,
    key: &str,
    options: LoadOptions,
    source: &Source,
    value: u32,
) -> tokio::task::JoinHandle<Answer> {
    let (cache, key, source) = (world.cache.clone(), key.to_owned(), source.clone());
    tokio::spawn(async move {
        let load = move |_| source.load(value);
        cache.entry(key).options(options).or_load(load).await
    })
}

/// Lets all other tasks run until they wait.
async fn settle() {
    tokio::time::sleep(5 * MS).await;
}

async fn value(task: tokio::task::JoinHandle<Answer>) -> Option<u32> {
    task.await.expect("no panic").expect("no error")
}

/// The loader must not run.
async fn not_called() -> Loading {
    panic!("the loader ran")
}

async fn failing() -> Loading {
    Err(io::Error::other("the database is down"))
}

/// Stores 1 as `options` say, and lets so many seconds pass.
async fn stored(world: &World, options: LoadOptions, passed: u64) {
    let load = async |_| Ok::<_, io::Error>(1);
    let loaded = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(loaded.expect("it loads"), Some(1));
    world.hand.advance(Duration::from_secs(passed));
}
