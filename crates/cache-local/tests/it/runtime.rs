//! The background thread, which needs no runtime.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{BackendWrite, Cache, CacheBackend, Clock, Condition, Expiry};
use cache_local::{LocalBackend, LocalConfig};

use crate::{Rig, SOON, eventually, now};

/// Puts in entries that expire at once, and one that never does.
async fn fill(cache: &Cache<u32>) {
    for i in 0..1_000u32 {
        let millisecond = Duration::from_millis(1);
        cache
            .set_ex(format!("key:{i}"), i, millisecond)
            .await
            .unwrap();
    }
    cache.set("forever", 0u32).await.unwrap();
}

fn swept() -> Cache<u32> {
    let config = LocalConfig::new().cleanup_interval(SOON);
    Cache::new(LocalBackend::new(config).unwrap())
}

fn entries(cache: &Cache<u32>) -> u64 {
    cache.stats().backend.entries.unwrap()
}

fn runtime() -> tokio::runtime::Builder {
    tokio::runtime::Builder::new_current_thread()
}

#[tokio::test]
async fn the_background_thread_frees_expired_entries_that_nobody_asks_for() {
    let rig: Rig<u32> = Rig::new(LocalConfig::new().cleanup_interval(SOON));
    for i in 0..100u32 {
        rig.cache.set_ex(format!("key:{i}"), i, 3).await.unwrap();
    }
    rig.cache.set("forever", 0u32).await.unwrap();
    // Turns come and go, and nothing expires without its time.
    std::thread::sleep(5 * SOON);
    assert_eq!(rig.entries(), 101);
    rig.hand.advance(Duration::from_secs(4));
    eventually(|| rig.entries() == 1);
    assert_eq!(rig.cache.stats().backend.expired, 100);
}

#[test]
fn expired_entries_are_freed_without_any_runtime() {
    let cache = swept();
    now(fill(&cache));
    eventually(|| entries(&cache) == 1);
}

#[test]
fn expiry_goes_on_in_a_later_runtime_after_one_without_timers() {
    let cache = swept();
    for runtime in [runtime().build(), runtime().enable_time().build()] {
        let runtime = runtime.unwrap();
        runtime.block_on(fill(&cache));
        eventually(|| entries(&cache) == 1);
        drop(runtime);
        // Nor does it need one that goes on.
        now(fill(&cache));
        eventually(|| entries(&cache) == 1);
    }
}

#[test]
fn expired_entries_are_freed_though_the_first_runtime_is_not_driven() {
    let cache = swept();
    let first = runtime().enable_all().build().unwrap();
    first.block_on(fill(&cache));
    eventually(|| entries(&cache) == 1);
    let second = runtime().enable_all().build().unwrap();
    second.block_on(fill(&cache));
    eventually(|| entries(&cache) == 1);
    drop(first);
}

/// A value that may panic when it is dropped.
#[derive(Clone)]
struct Bomb(Option<Arc<()>>);

impl Drop for Bomb {
    fn drop(&mut self) {
        let last = self.0.take().map(|bomb| Arc::strong_count(&bomb) == 1);
        assert_ne!(last, Some(true), "dropped");
    }
}

#[tokio::test]
async fn a_value_that_panics_when_it_is_dropped_leaves_all_others_to_be_freed() {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new()
        .clock(clock)
        .cleanup_interval(SOON)
        .shards(1);
    let bombs: Cache<Bomb> = Cache::new(LocalBackend::new(config).unwrap());
    for i in 0..200 {
        let bomb = Bomb((i == 70).then(Arc::default));
        bombs.set_ex(format!("key:{i}"), bomb, 3).await.unwrap();
    }
    hand.advance(Duration::from_secs(4));
    eventually(|| bombs.stats().backend.entries == Some(0));
    assert_eq!(bombs.stats().backend.expired, 200);
    // The other caches of the process are swept as before.
    let cache = swept();
    fill(&cache).await;
    eventually(|| entries(&cache) == 1);
}

#[test]
fn a_value_may_hold_the_cache_that_is_swept() {
    /// Drops the cache that it was in, and with it the last share of another one.
    #[derive(Clone)]
    struct Holder(#[expect(dead_code, reason = "held to be dropped")] Option<Cache<u32>>);
    let (inner, outer) = (swept(), Arc::new(LocalBackend::<Holder>::unbounded(SOON)));
    now(fill(&inner));
    let millisecond = Expiry::After(Duration::from_millis(1));
    let options = BackendWrite::new(millisecond, Condition::Always);
    let holder = Holder(Some(inner));
    assert!(now(outer.set("key", holder, options)).unwrap());
    eventually(|| CacheBackend::<Holder>::stats(&*outer).entries == Some(0));
}

#[test]
fn everything_works_without_a_runtime() {
    let (clock, hand) = Clock::manual();
    let backend = LocalBackend::new(LocalConfig::new().clock(clock)).unwrap();
    let second = Expiry::After(Duration::from_secs(1));
    let options = BackendWrite::new(second, Condition::Always);
    assert!(now(backend.set("key", 1u32, options)).unwrap());
    assert_eq!(now(backend.get("key")).unwrap(), Some(1));
    hand.advance(Duration::from_secs(2));
    assert_eq!(now(backend.get("key")).unwrap(), None);
    assert_eq!(backend.sweep(), 1);
}
