//! Loads in the background: when they are due, and what becomes of those that fail.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{CacheBuilder, LoadOptions, Loaded};
use tokio::time::Instant;

use super::{MS, SECOND, Source, World, failing, get_with, settle, value, world, world_with};

const HOUR: Duration = Duration::from_secs(3600);

/// Loads 1 with a time to live of its own.
async fn loaded(world: &World, options: LoadOptions, ttl: u64) {
    let load = async move |_| Ok::<_, io::Error>(Loaded::value(1).ttl(ttl));
    let loaded = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(loaded.expect("it loads"), Some(1));
}

/// Asks for the key, and tells whether that has loaded it ahead.
async fn loads_ahead(world: &World, options: LoadOptions) -> bool {
    let source = Source::default();
    source.let_go(1);
    let served = get_with(world, "key", options, &source, 2);
    assert!(value(served).await.is_some());
    settle().await;
    source.calls() == 1
}

/// Writes the key as another process does.
async fn set_elsewhere(world: &World) {
    let other = CacheBuilder::with_backend(Arc::clone(&world.backend))
        .build()
        .expect("good options");
    other.set_ex("key", 9u32, 100).await.expect("it works");
}

#[tokio::test(start_paused = true)]
async fn refresh_ahead_follows_the_time_that_the_loader_gave() {
    let ahead = LoadOptions::new().refresh_ahead(0.8);
    for options in [ahead.ttl(3_600), ahead.ttl(5), ahead] {
        let world = world();
        loaded(&world, options, 10).await;
        for _ in 0..8 {
            assert!(!loads_ahead(&world, options).await, "{options:?}");
            world.hand.advance(999 * MS);
        }
        world.hand.advance(8 * MS);
        assert!(loads_ahead(&world, options).await, "{options:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_write_the_time_of_a_loader_counts_no_more() {
    let options = LoadOptions::new().ttl(100).refresh_ahead(0.8);
    for write in 0..5 {
        let world = world();
        loaded(&world, options, 10).await;
        let cache = &world.cache;
        match write {
            0 => cache.set_ex("key", 9u32, 100).await.unwrap(),
            1 => {
                cache.delete("key").await.unwrap();
                set_elsewhere(&world).await;
            }
            2 => {
                cache.clear().await.unwrap();
                set_elsewhere(&world).await;
            }
            3 => {
                let load = async |_| Ok::<_, io::Error>(9);
                cache
                    .entry("other")
                    .options(options)
                    .or_load(load)
                    .await
                    .unwrap();
                cache.mdelete(&["key"]).await.unwrap();
                set_elsewhere(&world).await;
            }
            _ => {
                let load = async |_| Ok::<_, io::Error>(9);
                cache.delete("key").await.unwrap();
                cache
                    .entry("key")
                    .options(options)
                    .or_load(load)
                    .await
                    .unwrap();
            }
        }
        world.hand.advance(79 * SECOND);
        assert!(!loads_ahead(&world, options).await, "write {write}");
        world.hand.advance(SECOND);
        assert!(loads_ahead(&world, options).await, "write {write}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_process_is_loaded_ahead_once_and_then_when_it_is_due() {
    let options = LoadOptions::new().ttl(3_600).refresh_ahead(0.8);
    let world = world();
    let other = CacheBuilder::with_backend(Arc::clone(&world.backend))
        .build()
        .unwrap();
    let brief = async |_| Ok::<_, io::Error>(Loaded::value(1).ttl(10));
    other
        .entry("key")
        .options(options)
        .or_load(brief)
        .await
        .unwrap();
    for due in [true, false, false] {
        let loads = world.cache.stats().loads.loads;
        world
            .cache
            .entry("key")
            .options(options)
            .or_load(brief)
            .await
            .unwrap();
        settle().await;
        assert_eq!(world.cache.stats().loads.loads - loads, u64::from(due));
        world.hand.advance(SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_jitter_has_shortened_is_not_due_at_once() {
    let options = LoadOptions::new()
        .ttl(100)
        .ttl_jitter(1.0)
        .refresh_ahead(0.1);
    let world = world();
    for number in 0..200 {
        let key = number.to_string();
        let load = async |_| Ok::<_, io::Error>(1);
        let cache = &world.cache;
        cache
            .entry(&key)
            .options(options)
            .or_load(load)
            .await
            .unwrap();
        let again = cache.entry(&key).options(options).or_load(load);
        assert_eq!(again.await.unwrap(), Some(1));
        settle().await;
    }
    assert_eq!(world.cache.stats().loads.loads, 200);
}

#[tokio::test(start_paused = true)]
async fn the_times_of_loaders_that_are_remembered_are_bounded() {
    let options = LoadOptions::new().refresh_ahead(0.8);
    let world = world();
    let brief = async |_| Ok::<_, io::Error>(Loaded::value(1).ttl(10));
    let load = |key: String| {
        let cache = &world.cache;
        async move {
            cache
                .entry(key)
                .options(options)
                .or_load(brief)
                .await
                .unwrap()
        }
    };
    for number in 0..80_000 {
        load(number.to_string()).await;
    }
    // Room is made by what is over.
    world.hand.advance(11 * SECOND);
    loaded(&world, options, 10).await;
    world.hand.advance(8 * SECOND);
    assert!(loads_ahead(&world, options).await);
}

#[tokio::test(start_paused = true)]
async fn stale_hits_leave_a_loader_that_has_failed_alone_for_a_while() {
    let options = LoadOptions::new()
        .ttl(60)
        .stale_while_revalidate(30 * SECOND);
    let world = world_with(|builder| builder.keep_stale(HOUR));
    loaded(&world, options, 60).await;
    world.hand.advance(61 * SECOND);
    let cache = &world.cache;
    for second in 1..=3 {
        for _ in 0..20 {
            let stale = cache
                .entry("key")
                .options(options)
                .or_load(|_| failing())
                .await;
            assert_eq!(stale.unwrap(), Some(1));
            settle().await;
        }
        assert_eq!(cache.stats().loads.failures, second);
        world.hand.advance(SECOND);
    }
    // Who has no use for what is stale loads all the same.
    assert_eq!(
        cache.get_or_insert_with("key", async || 7).await.unwrap(),
        7
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_load_in_the_background_that_takes_too_long_runs_its_own_loader() {
    let ahead = LoadOptions::new().ttl(60).refresh_ahead(0.1);
    let stale = LoadOptions::new().ttl(60).stale_while_revalidate(SECOND);
    for (options, passed, more) in [(ahead, 30, 31), (stale, 61, 1)] {
        let options = options.hard_timeout(SECOND);
        let world = world_with(|builder| builder.keep_stale(HOUR));
        loaded(&world, options, 60).await;
        world.hand.advance(passed * SECOND);
        let hangs = Source::default();
        let served = get_with(&world, "key", options, &hangs, 2);
        assert_eq!(value(served).await, Some(1));
        hangs.has_begun().await;
        world.hand.advance(more * SECOND);
        tokio::time::sleep(SECOND / 2).await;
        let own = Source::default();
        own.let_go(1);
        let later = get_with(&world, "key", options, &own, 3);
        assert_eq!(value(later).await, Some(3), "{options:?}");
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_limit_runs_its_own_loader_when_that_of_the_caller_it_joined_is_over() {
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, SECOND)
        .hard_timeout(SECOND);
    let world = world_with(|builder| builder.keep_stale(HOUR));
    loaded(&world, options, 60).await;
    world.hand.advance(61 * SECOND);
    let hangs = Source::default();
    let leads = get_with(&world, "key", options, &hangs, 2);
    hangs.has_begun().await;
    let start = Instant::now();
    let joins = world.cache.get_or_insert_with("key", async || 3).await;
    assert_eq!((joins.unwrap(), start.elapsed()), (3, SECOND));
    assert_eq!(value(leads).await, Some(1));
    assert_eq!(world.cache.get("key").await.unwrap(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_load_that_is_joined_names_the_call_that_waited() {
    let world = world();
    let cache = world.cache.clone();
    let leads = tokio::spawn(async move {
        let load = async |_| {
            tokio::time::sleep(SECOND).await;
            Ok::<_, io::Error>(Loaded::value(1).tags([""]))
        };
        cache.entry("key").or_load(load).await
    });
    settle().await;
    let joins = world.cache.get_or_insert_with("key", async || 2).await;
    let operation = |error: &cache_core::Error| error.operation();
    assert_eq!(operation(&joins.unwrap_err()), Some("get_or_insert_with"));
    let led = leads.await.unwrap().unwrap_err();
    assert_eq!(led.cache().and_then(operation), Some("or_load"));
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_beyond_the_times_that_are_remembered_is_not_loaded_at_each_hit() {
    let options = LoadOptions::new().ttl(3_600).refresh_ahead(0.8);
    let world = world();
    let get = async |key: &str, ttl: u64| {
        let load = async move |_| Ok::<_, io::Error>(Loaded::value(1).ttl(ttl));
        let found = world.cache.entry(key).options(options).or_load(load).await;
        assert_eq!(found.expect("it loads"), Some(1));
    };
    // More than there is room for, of which none expires before it has a reader.
    for number in 0..80_000 {
        get(&format!("key:{number}"), 100).await;
    }
    let loads = || world.cache.stats().loads.loads;
    let before = loads();
    for _ in 0..10 {
        get("key:79999", 100).await;
        settle().await;
    }
    assert_eq!(loads() - before, 0);
    // Once the others have expired, there is room again.
    world.hand.advance(100 * SECOND);
    let before = loads();
    get("key:79999", 10).await;
    assert_eq!(loads() - before, 1);
    for (after, ahead) in [(7_999 * MS, 0), (2 * MS, 1)] {
        world.hand.advance(after);
        let before = loads();
        get("key:79999", 10).await;
        settle().await;
        assert_eq!(loads() - before, ahead, "after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_key_with_a_time_of_its_own_is_not_loaded_at_each_hit() {
    let options = LoadOptions::new().ttl(3_600).refresh_ahead(0.8);
    let world = world();
    let key = "k".repeat(4_000);
    for _ in 0..10 {
        let load = async |_| Ok::<_, io::Error>(Loaded::value(1).ttl(10));
        let found = world.cache.entry(&key).options(options).or_load(load).await;
        assert_eq!(found.expect("it loads"), Some(1));
        settle().await;
    }
    assert_eq!(world.cache.stats().loads.loads, 1);
}
