//! What the in-process backend promises beyond the contract.
#![cfg(not(shuttle))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bound;
mod commits;
mod expiry;
mod input;
mod invalidated;
mod reentry;
mod removal;
mod runtime;
#[cfg(feature = "serde")]
mod settings;
mod threads;
mod windows;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cache_core::{Cache, Clock, ManualClock};
use cache_local::{LocalBackend, LocalConfig};

/// A cache whose backend and clock the test keeps a hand on.
struct Rig<V> {
    cache: Cache<V>,
    backend: Arc<LocalBackend<V>>,
    hand: ManualClock,
}

impl<V: Clone + Send + Sync + 'static> Rig<V> {
    fn new(config: LocalConfig<V>) -> Self {
        let (clock, hand) = Clock::manual();
        let backend = Arc::new(LocalBackend::new(config.clock(clock)).unwrap());
        Self {
            cache: Cache::new(Arc::clone(&backend)),
            backend,
            hand,
        }
    }

    fn entries(&self) -> u64 {
        self.cache.stats().backend.entries.unwrap()
    }

    fn weight(&self) -> u64 {
        self.cache.stats().backend.weight.unwrap()
    }
}

/// Polls once: in this process every answer is there at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a local operation never waits"),
    }
}

/// How often the caches of tests of the background thread are swept: it has no other clock than that of the machine.
const SOON: Duration = Duration::from_millis(10);

/// Waits until the background thread has done its work, however busy the machine is.
fn eventually(is_done: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_done() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never is");
        sleep(Duration::from_millis(1));
    }
}
