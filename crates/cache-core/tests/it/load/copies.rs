//! Copies that outlive their values: what takes them away, and what leaves them.

use std::io;
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{
    Cache, CacheBackend, Clock, Condition, ErrorKind, LoadOptions, Loaded, SetOptions,
};
use futures_util::future::BoxFuture;

use super::{MS, SECOND, Source, World, failing, get_with, settle, value, world_with};

const HOUR: Duration = Duration::from_secs(3600);
const AWAY: ErrorKind = ErrorKind::Unavailable;

fn keeping() -> World {
    world_with(|builder| builder.keep_stale(HOUR))
}

fn safe() -> LoadOptions {
    LoadOptions::new().ttl(60).fail_safe(HOUR, MS)
}

/// Loads 1 with a time to live of 60 s, and lets as much time pass.
async fn stored(world: &World, passed: u64) {
    let load = async |_| Ok::<_, io::Error>(1);
    let loaded = world.cache.entry("key").options(safe()).or_load(load).await;
    assert_eq!(loaded.expect("it loads"), Some(1));
    world.hand.advance(Duration::from_secs(passed));
}

/// Returns what fail-safe serves, now that the loader fails.
async fn served(world: &World) -> Option<u32> {
    let served = world
        .cache
        .entry("key")
        .options(safe())
        .or_load(|_| failing())
        .await;
    served.ok().flatten()
}

type Write = (
    &'static str,
    fn(Cache<u32>) -> BoxFuture<'static, cache_core::Result<()>>,
);

macro_rules! write {
    ($name:literal, $cache:ident => $write:expr) => {
        ($name, |$cache: Cache<u32>| {
            Box::pin(async move { $write.await.map(drop) })
        })
    };
}

const DELETES: [Write; 4] = [
    write!("delete", c => c.delete("key")),
    write!("mdelete", c => c.mdelete(&["other", "key"])),
    write!("expire", c => c.expire("key", 0)),
    write!("clear", c => c.clear()),
];

/// Each gives the key a second to live.
const SETS: [Write; 2] = [
    write!("set_ex", c => c.set_ex("key", 9u32, 1)),
    write!("set_with", c => c.set_with("key", 9u32, SetOptions::new().ttl(1).if_present())),
];

#[tokio::test(start_paused = true)]
async fn a_delete_is_attempted_though_the_copy_cannot_be_removed() {
    for (name, delete) in DELETES {
        let world = keeping();
        stored(&world, 0).await;
        // Whatever is called takes effect, and fails.
        world.backend.every(1, Fault::LoseReply(AWAY));
        let error = delete(world.cache.clone()).await.unwrap_err();
        assert_eq!(error.kind(), &AWAY, "{name}");
        world.backend.heal();
        assert_eq!(world.cache.get("key").await.unwrap(), None, "{name}");
        assert_eq!(served(&world).await, None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_write_wins_over_that_of_its_copy() {
    for (name, write) in DELETES.into_iter().chain(SETS) {
        let world = keeping();
        stored(&world, 0).await;
        let lost = Fault::LoseReply(ErrorKind::Timeout);
        world.backend.script([lost, Fault::Fail(AWAY)]);
        let error = write(world.cache.clone()).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Timeout, "{name}");
        assert_ne!(world.cache.get("key").await.unwrap(), Some(1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_removed_is_reported_after_the_write() {
    for (name, write) in DELETES.into_iter().chain(SETS) {
        let world = keeping();
        stored(&world, 0).await;
        world.backend.script([Fault::None, Fault::Fail(AWAY)]);
        let error = write(world.cache.clone()).await.unwrap_err();
        assert_eq!(error.kind(), &AWAY, "{name}");
        assert_ne!(world.cache.get("key").await.unwrap(), Some(1), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_dropped_half_way_leaves_no_copy_behind() {
    for (name, write) in DELETES.into_iter().chain(SETS) {
        let world = keeping();
        stored(&world, 0).await;
        world.backend.script([Fault::DelayReply(SECOND)]);
        let task = tokio::spawn(write(world.cache.clone()));
        settle().await;
        task.abort();
        settle().await;
        assert_ne!(world.cache.get("key").await.unwrap(), Some(1), "{name}");
        world.hand.advance(2 * SECOND);
        assert_eq!(served(&world).await, None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_which_nothing_is_known_takes_the_copy_with_it() {
    for (name, write) in DELETES.into_iter().chain(SETS) {
        let world = keeping();
        stored(&world, 0).await;
        world.backend.script([Fault::LoseReply(ErrorKind::Timeout)]);
        write(world.cache.clone()).await.unwrap_err();
        world.hand.advance(2 * SECOND);
        assert_eq!(served(&world).await, None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_leaves_the_copy() {
    let world = keeping();
    stored(&world, 0).await;
    let cache = &world.cache;
    assert!(!cache.set_nx("key", 9u32).await.unwrap());
    let too_large = ErrorKind::TooLarge {
        weight: 2,
        limit: 1,
    };
    for kind in [too_large, ErrorKind::Encode] {
        world.backend.script([Fault::Fail(kind.clone())]);
        let error = cache.set("key", 9u32).await.unwrap_err();
        assert_eq!(error.kind(), &kind);
        world.backend.script([Fault::Fail(kind.clone())]);
        cache.mset([("key", 9u32)]).await.unwrap_err();
        world.backend.script([Fault::Fail(kind)]);
        cache.get_and_set("key", 9u32).await.unwrap_err();
    }
    world.hand.advance(61 * SECOND);
    let only_there = SetOptions::new().if_present();
    assert!(!cache.set_with("key", 9u32, only_there).await.unwrap());
    assert_eq!(served(&world).await, Some(1));
}

/// Asserts that a load that fails finds no copy that expired less than `limit` ago.
async fn assert_serves_nothing_younger_than(world: &World, limit: Duration) {
    let fresh = LoadOptions::new().ttl(60).fail_safe(limit, MS);
    let load = world
        .cache
        .entry("key")
        .options(fresh)
        .or_load(|_| failing());
    let load = load.await;
    assert!(load.is_err(), "{:?}", load.ok());
}

#[tokio::test(start_paused = true)]
async fn an_expire_of_an_absent_key_leaves_its_copy_as_old_as_it_is() {
    let world = keeping();
    // It expired 50 minutes ago.
    stored(&world, 60 + 3_000).await;
    assert!(!world.cache.expire("key", 3_600).await.unwrap());
    assert!(!world.cache.persist("key").await.unwrap());
    let hit = world.cache.get_entry("key").await.unwrap().unwrap();
    assert_eq!(hit.ended, Some(3_000 * SECOND));
    assert_serves_nothing_younger_than(&world, 60 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn an_expire_of_which_nothing_is_known_leaves_no_copy_that_looks_younger_than_it_is() {
    let world = keeping();
    stored(&world, 0).await;
    world.backend.script([Fault::LoseReply(ErrorKind::Timeout)]);
    world.cache.expire("key", 1).await.unwrap_err();
    // It expired 59 s ago; the copy says that it is there still.
    world.hand.advance(60 * SECOND);
    assert_serves_nothing_younger_than(&world, SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_race_of_two_loads_leaves_the_copy_of_the_winner() {
    let world = keeping();
    stored(&world, 61).await;
    let source = Source::default();
    let loses = get_with(&world, "key", safe(), &source, 3);
    source.has_begun().await;
    // Another process.
    let clock = Clock::manual().0;
    let other = cache_core::CacheBuilder::with_backend(std::sync::Arc::clone(&world.backend))
        .clock(clock)
        .keep_stale(HOUR)
        .build()
        .unwrap();
    let load = async |_| Ok::<_, io::Error>(2);
    let won = other.entry("key").options(safe()).or_load(load).await;
    assert_eq!(won.unwrap(), Some(2));
    source.let_go(1);
    assert_eq!(value(loses).await, Some(2));
    world.hand.advance(61 * SECOND);
    assert_eq!(served(&world).await, Some(2));
}

type Unkept = (&'static str, fn() -> Loaded<u32>);

/// A value that is given to the caller and not kept.
const UNKEPT: [Unkept; 2] = [
    ("not_stored", || Loaded::value(2).not_stored()),
    ("ttl(0)", || Loaded::value(2).ttl(0)),
];

#[tokio::test(start_paused = true)]
async fn after_a_value_that_is_not_stored_no_older_copy_is_served() {
    for (name, unkept) in UNKEPT {
        let world = keeping();
        stored(&world, 61).await;
        let load = async move |_| Ok::<_, io::Error>(unkept());
        let new = world.cache.entry("key").options(safe()).or_load(load).await;
        assert_eq!(new.unwrap(), Some(2), "{name}");
        assert_eq!(served(&world).await, None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_refresh_that_is_not_stored_the_older_value_is_gone() {
    for (name, unkept) in UNKEPT {
        let world = keeping();
        stored(&world, 0).await;
        let load = async move |_| Ok::<_, io::Error>(unkept());
        let new = world.cache.entry("key").refresh(load).await;
        assert_eq!(new.unwrap(), Some(2), "{name}");
        assert_eq!(world.cache.get("key").await.unwrap(), None, "{name}");
        assert_eq!(served(&world).await, None, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_refresh_that_cannot_be_stored_the_older_value_is_gone() {
    let too_large = ErrorKind::TooLarge {
        weight: 2,
        limit: 1,
    };
    for kind in [too_large, ErrorKind::Timeout] {
        let world = keeping();
        stored(&world, 0).await;
        // The two reads and the ticket for tags go well, the write does not.
        let refused = Fault::Fail(kind.clone());
        let fine = || Fault::None;
        world.backend.script([fine(), fine(), fine(), refused]);
        let load = async |_| Ok::<_, io::Error>(2);
        let new = world.cache.entry("key").refresh(load).await;
        assert_eq!(new.unwrap(), Some(2), "{kind:?}");
        assert_eq!(world.cache.stats().loads.not_stored, 1, "{kind:?}");
        assert_eq!(world.cache.get("key").await.unwrap(), None, "{kind:?}");
        assert_eq!(served(&world).await, None, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_is_served_to_its_end_if_the_next_one_that_nobody_has_got_cannot_be_stored() {
    let options = safe().refresh_ahead(0.5);
    for has_got in [false, true] {
        let world = keeping();
        stored(&world, 40).await;
        let source = Source::default();
        let hit = get_with(&world, "key", options, &source, 2);
        assert_eq!(value(hit).await, Some(1));
        source.has_begun().await;
        let waits = has_got.then(|| {
            // It is evicted, and somebody waits for the next one.
            let cache = world.cache.clone();
            let inner = std::sync::Arc::clone(&world.backend);
            tokio::spawn(async move {
                inner
                    .inner()
                    .delete("key", Condition::Always)
                    .await
                    .expect("it works");
                cache.get_or_insert_with("key", async || 3).await
            })
        });
        settle().await;
        let refused = Fault::Fail(ErrorKind::Timeout);
        world.backend.script([refused]);
        source.let_go(1);
        settle().await;
        assert_eq!(world.cache.stats().loads.not_stored, 1);
        if let Some(waits) = waits {
            assert_eq!(waits.await.unwrap().unwrap(), 2);
        }
        let left = (!has_got).then_some(1);
        assert_eq!(world.cache.get("key").await.unwrap(), left);
        world.hand.advance(30 * SECOND);
        assert_eq!(served(&world).await, left);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_load_that_cannot_be_stored_no_older_copy_is_served() {
    for at in [2, 3] {
        let world = keeping();
        stored(&world, 61).await;
        // Two reads and the ticket for tags; then the value, and the copy of the value.
        let before = std::iter::repeat_n(Fault::None, at + 1);
        let refused = Fault::Fail(ErrorKind::Timeout);
        world.backend.script(before.chain([refused]));
        let load = async |_| Ok::<_, io::Error>(2);
        let new = world.cache.entry("key").options(safe()).or_load(load).await;
        assert_eq!(new.unwrap(), Some(2));
        assert_eq!(world.cache.stats().loads.not_stored, 1);
        world.hand.advance(61 * SECOND);
        assert_eq!(served(&world).await, None, "call {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_dropped_between_its_value_and_its_copy_leaves_no_older_copy() {
    let world = keeping();
    stored(&world, 61).await;
    let source = Source::default();
    let load = get_with(&world, "key", safe(), &source, 2);
    source.has_begun().await;
    world.backend.script([Fault::None, Fault::Hang]);
    source.let_go(1);
    settle().await;
    load.abort();
    settle().await;
    assert_eq!(world.backend.inner().get("key").await.unwrap(), Some(2));
    world.hand.advance(61 * SECOND);
    assert_eq!(served(&world).await, None);
}
