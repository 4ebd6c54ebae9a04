//! The background task, and life without one.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{BackendWrite, Cache, CacheBackend, Clock, Condition, Expiry};
use cache_local::{LocalBackend, LocalConfig};

use crate::now;

fn entries<V: Clone + Send + Sync + 'static>(cache: &Cache<V>) -> u64 {
    cache.stats().backend.entries.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_background_task_frees_expired_entries_that_nobody_asks_for() {
    let (clock, hand) = Clock::manual();
    let config = LocalConfig::new()
        .clock(clock)
        .cleanup_interval(Duration::from_secs(2));
    let cache: Cache<u32> = Cache::new(LocalBackend::new(config).unwrap());
    for i in 0..100u32 {
        cache.set_ex(format!("key:{i}"), i, 3).await.unwrap();
    }
    cache.set("forever", 0u32).await.unwrap();
    hand.advance(Duration::from_secs(4));
    assert_eq!(entries(&cache), 101);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(entries(&cache), 1);
    assert_eq!(cache.stats().backend.expired, 100);
}

#[tokio::test(start_paused = true)]
async fn the_background_task_ends_with_the_cache() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let cache: Cache<u32> = Cache::new(LocalBackend::default());
    cache.set("forever", 1u32).await.unwrap();
    assert_eq!(
        tasks(),
        before,
        "without expiring entries there is nothing to sweep"
    );
    cache.set_ex("key", 1u32, 5).await.unwrap();
    cache.set_ex("key", 2u32, 5).await.unwrap();
    assert_eq!(tasks(), before + 1);
    drop(cache);
    tokio::task::yield_now().await;
    assert_eq!(tasks(), before, "at once, not at its next turn");
}

#[test]
fn the_background_task_starts_again_when_its_runtime_has_ended() {
    let backend = Arc::new(LocalBackend::<u32>::default());
    let cache: Cache<u32> = Cache::new(Arc::clone(&backend));
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            cache.set_ex("key", 1u32, 5).await.unwrap();
            assert_eq!(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
                1
            );
        });
    }
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

#[test]
fn a_runtime_without_timers_gets_no_background_task() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let cache: Cache<u32> = Cache::new(LocalBackend::default());
    runtime.block_on(async {
        for i in 0..10u32 {
            cache.set_ex(format!("key:{i}"), i, 5).await.unwrap();
            tokio::task::yield_now().await;
            assert_eq!(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
                0
            );
        }
        assert_eq!(cache.get("key:3").await.unwrap(), Some(3));
    });
}
