//! A write during a load wins, and nobody who comes after it gets what was loaded before.

use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{Cache, LoadOptions, SetOptions};
use tokio::time::Instant;

use super::{
    MS, SECOND, Source, World, failing, get, get_with, remote_world, settle, value, world,
    world_with,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A write of the key `key`, and what is there after it.
type Write = (
    &'static str,
    fn(World) -> futures_util::future::BoxFuture<'static, World>,
    Option<u32>,
);

/// Names a write.
macro_rules! write {
    ($name:literal, $after:expr, $world:ident => $write:expr) => {
        (
            $name,
            |$world: World| {
                Box::pin(async move {
                    $write.await.expect("the backend works");
                    $world
                })
            },
            $after,
        )
    };
}

const WRITES: [Write; 9] = [
    write!("delete", None, w => w.cache.delete("key")),
    write!("mdelete", None, w => w.cache.mdelete(&["other", "key"])),
    write!("expire", None, w => w.cache.expire("key", 0)),
    write!("clear", None, w => w.cache.clear()),
    write!("set", Some(9), w => w.cache.set("key", 9u32)),
    write!("set_ex", Some(9), w => w.cache.set_ex("key", 9u32, 60)),
    write!("set_nx", Some(9), w => w.cache.set_nx("key", 9u32)),
    write!("get_and_set", Some(9), w => w.cache.get_and_set("key", 9u32)),
    write!("mset", Some(9), w => w.cache.mset(vec![("key", 9u32)])),
];

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_a_write_is_not_stored_and_not_joined() {
    for (name, write, after) in WRITES {
        for world in [world(), remote_world()] {
            let source = Source::default();
            let old = get(&world, "key", &source, 1);
            let waits = get(&world, "key", &source, 2);
            settle().await;
            let world = write(world).await;
            // One that comes after the write: it gets what was written, or loads on its own.
            let new = get(&world, "key", &source, 3);
            settle().await;
            assert_eq!(
                source.calls(),
                if after.is_some() { 1 } else { 2 },
                "{name}"
            );
            source.let_go(2);
            assert_eq!(value(old).await, Some(1), "{name}");
            assert_eq!(value(waits).await, Some(1), "{name}");
            let expected = after.or(Some(3));
            assert_eq!(value(new).await, expected, "{name}");
            assert_eq!(world.cache.get("key").await.unwrap(), expected, "{name}");
            assert_eq!(world.cache.stats().loads.pending, 0, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_a_value_that_is_being_stored_and_comes_after_it() {
    for (name, write, after) in WRITES {
        let world = world();
        // The read and the ticket for tags; the write of what was loaded takes effect a second later.
        world
            .backend
            .script([Fault::None, Fault::None, Fault::Delay(SECOND)]);
        let source = Source::default();
        source.let_go(1);
        let load = get(&world, "key", &source, 1);
        settle().await;
        let world = write(world).await;
        assert_eq!(value(load).await, Some(1), "{name}");
        let expected = if name == "set_nx" { Some(1) } else { after };
        assert_eq!(world.cache.get("key").await.unwrap(), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_dropped_half_way_does_not_stop_writers() {
    let world = world();
    world
        .backend
        .script([Fault::None, Fault::None, Fault::Delay(10 * SECOND)]);
    let source = Source::default();
    source.let_go(2);
    let load = get(&world, "key", &source, 1);
    let waits = get(&world, "key", &source, 2);
    settle().await;
    let cache = world.cache.clone();
    let write = tokio::spawn(async move { cache.set("key", 9u32).await });
    settle().await;
    assert!(!write.is_finished());
    load.abort();
    write.await.unwrap().unwrap();
    assert!(value(waits).await.is_some());
    assert_eq!(world.cache.get("key").await.unwrap(), Some(9));
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_another_process_has_set_meanwhile_stays() {
    let world = world();
    let source = Source::default();
    let load = get(&world, "key", &source, 1);
    source.has_begun().await;
    // Another process knows nothing of our flights.
    let other = Cache::<u32>::new(std::sync::Arc::clone(&world.backend));
    other.set("key", 9u32).await.unwrap();
    source.let_go(1);
    assert_eq!(value(load).await, Some(9));
    assert_eq!(other.get("key").await.unwrap(), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_replaces_and_detaches_the_load_that_is_under_way() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let old = get(&world, "key", &source, 1);
        settle().await;
        let cache = world.cache.clone();
        let new = source.clone();
        let refresh =
            tokio::spawn(async move { cache.entry("key").refresh(|_| new.load(2)).await });
        settle().await;
        assert_eq!(source.calls(), 2);
        source.let_go(2);
        assert_eq!(value(old).await, Some(1));
        assert_eq!(value(refresh).await, Some(2));
        assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_what_is_stored_and_one_that_finds_nothing_removes_it() {
    let world = world();
    world.cache.set("key", 1u32).await.unwrap();
    let failed = world.cache.entry("key").refresh(|_| failing()).await;
    assert!(failed.unwrap_err().loader().is_some());
    assert_eq!(world.cache.get("key").await.unwrap(), Some(1));
    let nothing = world
        .cache
        .entry("key")
        .refresh(async |_| Ok::<Option<u32>, std::io::Error>(None));
    assert_eq!(nothing.await.unwrap(), None);
    assert_eq!(world.cache.get("key").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn refresh_ahead_loses_against_a_set_and_against_a_delete_of_another_process() {
    let options = LoadOptions::new().ttl(100).refresh_ahead(0.5);
    for is_set in [true, false] {
        let world = world();
        world.cache.set_ex("key", 1u32, 100).await.unwrap();
        world.hand.advance(Duration::from_secs(60));
        let source = Source::default();
        let hit = get_with(&world, "key", options, &source, 2);
        assert_eq!(value(hit).await, Some(1));
        source.has_begun().await;
        if is_set {
            world
                .cache
                .set_with("key", 9u32, SetOptions::new().ttl(100))
                .await
                .unwrap();
        } else {
            use cache_core::{CacheBackend, Condition};
            world
                .backend
                .inner()
                .delete("key", Condition::Always)
                .await
                .unwrap();
        }
        source.let_go(1);
        settle().await;
        let expected = is_set.then_some(9);
        assert_eq!(world.cache.get("key").await.unwrap(), expected);
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_replaces_what_an_older_load_has_stored_since_the_key_was_found_absent() {
    let world = world();
    // The refresh finds the key absent, and hears of it a second later.
    world.backend.script([Fault::DelayReply(SECOND)]);
    let cache = world.cache.clone();
    let load = async |_| Ok::<_, std::io::Error>(2);
    let refresh = tokio::spawn(async move { cache.entry("key").refresh(load).await });
    settle().await;
    let older = world.cache.get_or_insert_with("key", async || 1).await;
    assert_eq!(older.unwrap(), 1);
    assert_eq!(value(refresh).await, Some(2));
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
}

/// What another process does while a load of this one is under way.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Set,
    Delete,
    Nothing,
    ItExpires,
}

async fn while_loading(world: &World, meanwhile: Meanwhile) {
    let other = Cache::<u32>::new(std::sync::Arc::clone(&world.backend));
    match meanwhile {
        Meanwhile::Set => other
            .set_ex("key", 9u32, 100)
            .await
            .expect("memory does not fail"),
        Meanwhile::Delete => assert!(other.delete("key").await.expect("memory does not fail")),
        Meanwhile::Nothing => {}
        Meanwhile::ItExpires => world.hand.advance(Duration::from_secs(101)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_stored_over_the_value_that_it_started_from_and_over_no_other() {
    for (meanwhile, stays, told) in [
        (Meanwhile::Set, Some(9), Some(9)),
        (Meanwhile::Delete, None, Some(2)),
        (Meanwhile::Nothing, Some(2), Some(2)),
        (Meanwhile::ItExpires, Some(2), Some(2)),
    ] {
        let world = world();
        world.cache.set_ex("key", 1u32, 100).await.unwrap();
        let (cache, source) = (world.cache.clone(), Source::default());
        let new = source.clone();
        let refresh =
            tokio::spawn(async move { cache.entry("key").refresh(|_| new.load(2)).await });
        source.has_begun().await;
        while_loading(&world, meanwhile).await;
        source.let_go(1);
        assert_eq!(value(refresh).await, told, "{meanwhile:?}");
        let found = world.cache.get("key").await.unwrap();
        assert_eq!(found, stays, "{meanwhile:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_ahead_is_stored_over_the_value_that_it_started_from_and_over_no_other() {
    let options = LoadOptions::new().ttl(100).refresh_ahead(0.5);
    for (meanwhile, stays) in [
        (Meanwhile::Set, Some(9)),
        (Meanwhile::Delete, None),
        (Meanwhile::Nothing, Some(2)),
        (Meanwhile::ItExpires, Some(2)),
    ] {
        let world = world();
        world.cache.set_ex("key", 1u32, 100).await.unwrap();
        world.hand.advance(Duration::from_secs(60));
        let source = Source::default();
        let hit = get_with(&world, "key", options, &source, 2);
        assert_eq!(value(hit).await, Some(1));
        source.has_begun().await;
        while_loading(&world, meanwhile).await;
        source.let_go(1);
        settle().await;
        let found = world.cache.get("key").await.unwrap();
        assert_eq!(found, stays, "{meanwhile:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_finds_nothing_leaves_what_another_process_has_set_meanwhile() {
    let world = world();
    world.cache.set_ex("key", 1u32, 100).await.unwrap();
    let other = Cache::<u32>::new(std::sync::Arc::clone(&world.backend));
    let nothing = world.cache.entry("key").refresh(async move |_| {
        other.set("key", 9u32).await.unwrap();
        Ok::<Option<u32>, std::io::Error>(None)
    });
    assert_eq!(nothing.await.unwrap(), None);
    assert_eq!(world.cache.get("key").await.unwrap(), Some(9));
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_read_is_replaced() {
    use cache_core::{BackendWrite, Cache, CacheBackend, EncodedBackend, Expiry, JsonCodec};
    use cache_local::LocalBackend;

    let store = LocalBackend::default();
    let options = BackendWrite::new(Expiry::Never, cache_core::Condition::Always);
    store
        .set("key", bytes::Bytes::from_static(b"\xC1garbage"), options)
        .await
        .unwrap();
    let cache: Cache<u32> = Cache::new(EncodedBackend::new(store, JsonCodec::new()));
    assert_eq!(
        cache.get_or_insert_with("key", async || 5).await.unwrap(),
        5
    );
    assert_eq!(cache.get("key").await.unwrap(), Some(5));
}

/// How a load gets to the background: its options, and how many seconds have passed since the last.
fn in_background() -> [(&'static str, LoadOptions, u64); 3] {
    let options = LoadOptions::new().ttl(60);
    let slow = options.fail_safe(HOUR, SECOND).soft_timeout(MS);
    [
        ("ahead", options.refresh_ahead(0.5), 40),
        ("stale", options.stale_while_revalidate(HOUR), 61),
        ("slow", slow, 61),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_in_the_background_before_a_write_is_not_stored_either() {
    for (kind, options, passed) in in_background() {
        for (name, write, after) in WRITES {
            let world = world_with(|builder| builder.keep_stale(HOUR));
            let load = async |_| Ok::<_, std::io::Error>(1);
            let first = world
                .cache
                .entry("key")
                .options(options)
                .or_load(load)
                .await;
            assert_eq!(first.unwrap(), Some(1));
            world.hand.advance(Duration::from_secs(passed));
            let source = Source::default();
            let served = get_with(&world, "key", options, &source, 2);
            assert_eq!(value(served).await, Some(1), "{kind}, {name}");
            source.has_begun().await;

            let world = write(world).await;
            source.let_go(1);
            settle().await;
            let is_refused = kind == "ahead" && name == "set_nx";
            let expected = if is_refused { Some(1) } else { after };
            let found = world.cache.get("key").await.unwrap();
            assert_eq!(found, expected, "{kind}, {name}");
            // Nor is what was kept of it served when the value has ended.
            world.hand.advance(HOUR / 2);
            world.cache.expire("key", 1).await.unwrap();
            world.hand.advance(SECOND);
            let then = world
                .cache
                .entry("key")
                .options(options)
                .or_load(|_| failing());
            assert!(then.await.is_err(), "{kind}, {name}");
            assert_eq!(world.cache.stats().loads.pending, 0, "{kind}, {name}");
        }
    }
}

/// Deletes all keys, each of which a load is about to store without end.
async fn deletes_what_is_being_stored(delete: impl AsyncFnOnce(&Cache<u32>, &[String]) -> u64) {
    let (world, source) = (world(), Source::default());
    let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
    let loads: Vec<_> = keys
        .iter()
        .map(|key| get(&world, key, &source, 1))
        .collect();
    settle().await;
    assert_eq!(source.calls(), 20);
    // None of them comes to an end with its store.
    world.backend.script((0..20).map(|_| Fault::Hang));
    source.let_go(20);
    settle().await;

    let start = Instant::now();
    assert_eq!(delete(&world.cache, &keys).await, 0);
    assert_eq!(start.elapsed(), 2 * SECOND);
    drop(loads);
}

#[tokio::test(start_paused = true)]
async fn a_bulk_delete_waits_for_all_stores_at_once() {
    deletes_what_is_being_stored(async |cache, keys| cache.mdelete(keys).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_clear_waits_for_all_stores_at_once() {
    deletes_what_is_being_stored(async |cache, _| cache.clear().await.unwrap()).await;
}
