//! Values that are served after their end, or loaded again before it.

use std::io;
use std::time::Duration;

use cache_core::{ErrorKind, Expiry, Layer, LoadOptions, LoadReason, Loaded};
use tokio::time::Instant;

use super::{
    MS, SECOND, Source, World, failing, get_with, not_called, settle, stored, value, world,
    world_with,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A cache that keeps values for an hour after their end.
fn keeping() -> World {
    world_with(|builder| builder.keep_stale(HOUR))
}

#[tokio::test(start_paused = true)]
async fn stale_while_revalidate_serves_the_last_value_and_loads_once_in_the_background() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .stale_while_revalidate(30 * SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    for _ in 0..10 {
        assert_eq!(
            value(get_with(&world, "key", options, &source, 2)).await,
            Some(1)
        );
    }
    assert_eq!(source.calls(), 1);
    assert_eq!(world.cache.stats().loads.stale_served, 10);
    source.let_go(1);
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
    assert_eq!(world.cache.ttl("key").await.unwrap(), Some(60));
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_its_time_stale_while_revalidate_waits_for_the_load() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .stale_while_revalidate(30 * SECOND);
    stored(&world, options, 91).await;
    let source = Source::default();
    let task = get_with(&world, "key", options, &source, 2);
    settle().await;
    assert!(!task.is_finished());
    source.let_go(1);
    assert_eq!(value(task).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn plain_verbs_do_not_see_values_that_have_ended() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).stale_while_revalidate(HOUR);
    stored(&world, options, 61).await;
    let cache = &world.cache;
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert!(!cache.exists("key").await.unwrap());
    assert!(!cache.delete("key").await.unwrap());
    assert_eq!(cache.keys().await.unwrap(), [""; 0]);
    assert_eq!(cache.clear().await.unwrap(), 0);
    assert!(cache.set_nx("key", 5u32).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_delete_a_set_and_a_clear_beat_fail_safe() {
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    for write in 0..4 {
        let world = keeping();
        stored(&world, options, 61).await;
        let cache = &world.cache;
        match write {
            0 => drop(cache.delete("key").await.unwrap()),
            1 => drop(cache.clear().await.unwrap()),
            2 => cache.set_ex("key", 9u32, 1).await.unwrap(),
            _ => drop(cache.mdelete(&["key"]).await.unwrap()),
        }
        world.hand.advance(2 * SECOND);
        let loaded = cache
            .entry("key")
            .options(options)
            .or_load(|_| failing())
            .await;
        assert!(loaded.unwrap_err().loader().is_some(), "write {write}");
    }
}

#[tokio::test(start_paused = true)]
async fn fail_safe_serves_the_last_value_and_leaves_the_loader_alone_for_a_while() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, 5 * SECOND);
    stored(&world, options, 61).await;
    let cache = &world.cache;
    let get = || cache.entry("key").options(options).or_load(|_| failing());
    assert_eq!(get().await.unwrap(), Some(1));
    assert_eq!(cache.stats().loads.failures, 1);
    // Throttled.
    world.hand.advance(4 * SECOND);
    let get_unasked = || {
        cache
            .entry("key")
            .options(options)
            .or_load(|_| not_called())
    };
    assert_eq!(get_unasked().await.unwrap(), Some(1));
    // Asked again.
    world.hand.advance(2 * SECOND);
    assert_eq!(get().await.unwrap(), Some(1));
    assert_eq!(cache.stats().loads.failures, 2);
    // Too old.
    world.hand.advance(HOUR);
    assert!(get().await.unwrap_err().loader().is_some());
    let back = cache
        .entry("key")
        .options(options)
        .or_load(async |_| Ok::<_, io::Error>(2));
    assert_eq!(back.await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn fail_safe_serves_those_who_wait_for_a_load_that_fails() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, 5 * SECOND);
    stored(&world, options, 61).await;
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let cache = world.cache.clone();
            let load = async |_| {
                tokio::time::sleep(SECOND).await;
                failing().await
            };
            tokio::spawn(async move { cache.entry("key").options(options).or_load(load).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(value(task).await, Some(1));
    }
    assert_eq!(world.cache.stats().loads.failures, 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_soft_timeout_the_last_value_is_served_and_the_load_ends_in_the_background() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, SECOND)
        .soft_timeout(100 * MS)
        .hard_timeout(10 * SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    let start = Instant::now();
    let first = get_with(&world, "key", options, &source, 2);
    let second = get_with(&world, "key", options, &source, 3);
    assert_eq!(value(first).await, Some(1));
    assert_eq!(value(second).await, Some(1));
    assert_eq!(start.elapsed(), 100 * MS);
    assert_eq!(source.calls(), 1);
    source.let_go(1);
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.pending), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_load_in_the_background_ends_with_the_hard_timeout() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, SECOND)
        .soft_timeout(100 * MS)
        .hard_timeout(SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    assert_eq!(
        value(get_with(&world, "key", options, &source, 2)).await,
        Some(1)
    );
    tokio::time::sleep(SECOND).await;
    world.hand.advance(2 * SECOND);
    let stats = world.cache.stats().loads;
    assert_eq!((stats.failures, source.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_last_value_a_soft_timeout_cuts_nothing_short() {
    let world = world();
    let options = LoadOptions::new().soft_timeout(MS);
    let load = async |_| {
        tokio::time::sleep(SECOND).await;
        Ok::<_, io::Error>(1)
    };
    let loaded = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(loaded.expect("it loads"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn refresh_ahead_loads_in_the_background_after_its_share_of_the_time() {
    let world = world();
    let options = LoadOptions::new().ttl(100).refresh_ahead(0.8);
    stored(&world, options, 79).await;
    let unasked = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| not_called());
    assert_eq!(unasked.await.unwrap(), Some(1));
    world.hand.advance(SECOND);
    let load = async |context: cache_core::LoadContext<u32>| {
        assert_eq!((context.reason, context.last), (LoadReason::Ahead, Some(1)));
        Ok::<_, io::Error>(2)
    };
    let old = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(old.unwrap(), Some(1));
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
    assert_eq!(world.cache.ttl("key").await.unwrap(), Some(100));
}

#[tokio::test(start_paused = true)]
async fn early_refresh_is_the_more_probable_the_less_time_is_left() {
    let world = world();
    let options = LoadOptions::new().ttl(100).early_refresh(1.0);
    // A load of 10 s, by the clock of the cache.
    let hand = world.hand.clone();
    let slow = async move |_| {
        hand.advance(10 * SECOND);
        Ok::<_, io::Error>(1)
    };
    world
        .cache
        .entry("key")
        .options(options)
        .or_load(slow)
        .await
        .unwrap();
    let mut refreshed = [0_u32; 2];
    for (at, left) in [(0, 30), (1, 1)] {
        for _ in 0..200 {
            world.cache.set_ex("key", 1u32, left).await.unwrap();
            let load = async |_| Ok::<_, io::Error>(2);
            world
                .cache
                .entry("key")
                .options(options)
                .or_load(load)
                .await
                .unwrap();
            tokio::task::yield_now().await;
            let now = world.cache.get("key").await.unwrap();
            refreshed[at] += u32::from(now == Some(2));
        }
    }
    // With a mean load of a second and less, exp(-30) and about exp(-1) or less.
    assert!(refreshed[0] < refreshed[1], "{refreshed:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_load_is_remembered_until_its_time_is_over_or_the_key_is_written() {
    let world = world();
    let options = LoadOptions::new().absent_ttl(10 * SECOND);
    let cache = &world.cache;
    let nothing = || {
        let load = async |_| Ok::<Option<u32>, io::Error>(None);
        cache.entry("key").options(options).or_load(load)
    };
    let unasked = || {
        cache
            .entry("key")
            .options(options)
            .or_load(|_| not_called())
    };
    assert_eq!(nothing().await.unwrap(), None);
    world.hand.advance(9 * SECOND);
    assert_eq!(unasked().await.unwrap(), None);
    assert_eq!(cache.stats().loads.pending, 1);
    world.hand.advance(2 * SECOND);
    assert_eq!(nothing().await.unwrap(), None);
    assert_eq!(cache.stats().loads.loads, 2);

    cache.set("key", 5u32).await.unwrap();
    assert_eq!(unasked().await.unwrap(), Some(5));
    cache.delete("key").await.unwrap();
    assert_eq!(nothing().await.unwrap(), None);
    assert_eq!(cache.stats().loads.loads, 3);
    // One that needs a value asks all the same.
    assert_eq!(
        cache.get_or_insert_with("key", async || 6).await.unwrap(),
        6
    );
    assert_eq!(cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_of_absent_keys_is_bounded() {
    let world = world();
    let options = LoadOptions::new().absent_ttl(10 * SECOND);
    for number in 0..200_000 {
        let load = async |_| Ok::<Option<u32>, io::Error>(None);
        let loaded = world
            .cache
            .entry(number.to_string())
            .options(options)
            .or_load(load);
        assert_eq!(loaded.await.unwrap(), None);
    }
    let pending = world.cache.stats().loads.pending;
    assert!((60_000..=65_536).contains(&pending), "{pending}");
    // Room is made by what is over.
    world.hand.advance(11 * SECOND);
    let load = async |_| Ok::<Option<u32>, io::Error>(None);
    for number in 0..1_000 {
        let key = format!("new {number}");
        world
            .cache
            .entry(key)
            .options(options)
            .or_load(load)
            .await
            .unwrap();
    }
    assert_eq!(world.cache.stats().loads.loads, 201_000);
    assert!(world.cache.stats().loads.pending < 5_000);
}

#[tokio::test(start_paused = true)]
async fn jitter_only_shortens_and_by_no_more_than_its_share() {
    let world = world();
    let options = LoadOptions::new().ttl(1_000).ttl_jitter(0.2);
    let mut seen = Vec::new();
    for number in 0..500 {
        let key = number.to_string();
        let load = async |_| Ok::<_, io::Error>(1);
        world
            .cache
            .entry(&key)
            .options(options)
            .or_load(load)
            .await
            .unwrap();
        seen.push(world.cache.ttl(&key).await.unwrap().unwrap());
    }
    assert!(seen.iter().all(|ttl| (800..=1_000).contains(ttl)));
    let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
    assert!(*least < 820 && *most > 980, "{least} to {most}");
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_value_gets_a_whole_time_to_live_again() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).stale_while_revalidate(HOUR);
    stored(&world, options, 100).await;
    let load = async |context: cache_core::LoadContext<u32>| {
        assert_eq!((context.reason, context.last), (LoadReason::Stale, Some(1)));
        Ok::<_, io::Error>(Loaded::unchanged())
    };
    let served = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(served.unwrap(), Some(1));
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(1));
    assert_eq!(world.cache.ttl("key").await.unwrap(), Some(60));
}

#[tokio::test(start_paused = true)]
async fn options_outside_their_limits_are_errors_that_name_them() {
    let world = keeping();
    let day = 24 * HOUR;
    let cases = [
        (LoadOptions::new().ttl(0), "ttl is zero, the least is 1 ms"),
        (
            LoadOptions::new().ttl_jitter(1.5),
            "ttl_jitter is 1.5, the least is 0 and the most is 1",
        ),
        (
            LoadOptions::new().refresh_ahead(f64::NAN),
            "refresh_ahead is NaN",
        ),
        (
            LoadOptions::new().early_refresh(-1.0),
            "early_refresh is -1, the least is 0",
        ),
        (
            LoadOptions::new().stale_while_revalidate(day),
            "stale_while_revalidate is 86400s, but the cache has keep_stale of 3600s",
        ),
        (
            LoadOptions::new().fail_safe(day, SECOND),
            "fail_safe is 86400s",
        ),
    ];
    for (options, text) in cases {
        let load = world
            .cache
            .entry("key")
            .options(options)
            .or_load(|_| not_called());
        let error = load.await.unwrap_err();
        let kind = error.cache().unwrap().kind();
        assert!(matches!(kind, ErrorKind::InvalidInput { .. }), "{kind:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_call_leaves_out_is_taken_from_the_cache() {
    let defaults = LoadOptions::new().ttl(60).absent_ttl(10 * SECOND);
    let world = world_with(|builder| builder.load_options(defaults));
    let load = async |_| Ok::<_, io::Error>(1);
    world.cache.entry("default").or_load(load).await.unwrap();
    assert_eq!(world.cache.ttl("default").await.unwrap(), Some(60));
    let options = LoadOptions::new().ttl(5);
    world
        .cache
        .entry("own")
        .options(options)
        .or_load(load)
        .await
        .unwrap();
    assert_eq!(world.cache.ttl("own").await.unwrap(), Some(5));
    let nothing = async |_| Ok::<Option<u32>, io::Error>(None);
    world
        .cache
        .entry("none")
        .options(options)
        .or_load(nothing)
        .await
        .unwrap();
    assert_eq!(world.cache.stats().loads.pending, 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_tells_where_it_was_and_how_much_time_it_has_or_how_long_ago_it_ended() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60);
    stored(&world, options, 20).await;
    let hit = world.cache.get_entry("key").await.unwrap().unwrap();
    assert_eq!((hit.value, hit.layer, hit.ended), (1, Layer::Memory, None));
    assert_eq!(hit.expiry, Expiry::After(40 * SECOND));

    world.hand.advance(100 * SECOND);
    let hit = world.cache.get_entry("key").await.unwrap().unwrap();
    assert_eq!(
        (hit.value, hit.ended, hit.is_stale()),
        (1, Some(60 * SECOND), true)
    );
    assert_eq!(hit.expiry, Expiry::After(HOUR - 60 * SECOND));
    assert_eq!(
        format!("{hit:?}"),
        "Hit { layer: Memory, expiry: After(3540s), ended: Some(60s), .. }"
    );

    world.backend.every(1, cache_conformance::Fault::Delay(MS));
    let hit = world.cache.get_entry("key").await.unwrap().unwrap();
    assert_eq!(hit.layer, Layer::Store);
    world.hand.advance(HOUR);
    assert!(world.cache.get_entry("key").await.unwrap().is_none());
}
