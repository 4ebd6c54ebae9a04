//! Corners: moments at which tasks are dropped, clocks move or writers come.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cache_conformance::Fault;
use cache_core::{Cache, Condition, ErrorKind, LoadOptions, Loaded};
use cache_local::LocalBackend;
use std::time::Duration;
use tokio::time::{Instant, timeout};

use super::{
    Answer, MS, SECOND, Source, World, failing, get, get_with, remote_world, settle, stored, value,
    world, world_with,
};

const HOUR: Duration = Duration::from_secs(3600);

fn keeping() -> World {
    world_with(|builder| builder.keep_stale(HOUR))
}

fn keeping_remote() -> World {
    let world = keeping();
    world.backend.every(1, Fault::Delay(MS));
    world
}

/// A value whose `clone` panics once.
struct Bomb(Arc<AtomicBool>);
impl Clone for Bomb {
    fn clone(&self) -> Self {
        assert!(!self.0.swap(false, Ordering::SeqCst), "boom");
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_panics_at_the_end_of_a_load_strands_nobody() {
    let cache: Cache<Bomb> = Cache::new(LocalBackend::default());
    let armed = Arc::new(AtomicBool::new(false));
    let leader = tokio::spawn({
        let (cache, armed) = (cache.clone(), Arc::clone(&armed));
        async move {
            let load = async move |_| {
                tokio::time::sleep(SECOND).await;
                armed.store(true, Ordering::SeqCst);
                Ok::<_, io::Error>(Loaded::value(Bomb(armed)).not_stored())
            };
            cache.entry("key").or_load(load).await.map(drop).is_ok()
        }
    });
    settle().await;
    let waits = tokio::spawn({
        let (cache, armed) = (cache.clone(), Arc::clone(&armed));
        async move {
            let load = async move |_| Ok::<_, io::Error>(Loaded::value(Bomb(armed)).not_stored());
            cache.entry("key").or_load(load).await.map(drop).is_ok()
        }
    });
    assert!(leader.await.unwrap_err().is_panic());
    assert!(
        timeout(HOUR, waits)
            .await
            .expect("it waits for ever")
            .unwrap()
    );
    assert_eq!(cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_writer_does_not_wait_for_the_loader_of_who_took_over() {
    let world = world();
    // Miss, miss, then the store of the leader.
    world
        .backend
        .script([Fault::None, Fault::None, Fault::Delay(10 * SECOND)]);
    let first = Source::default();
    let load = get(&world, "key", &first, 1);
    first.has_begun().await;
    let hangs = Source::default();
    let waits = get(&world, "key", &hangs, 2);
    settle().await;
    first.let_go(1);
    settle().await;
    let cache = world.cache.clone();
    let write = tokio::spawn(async move { cache.set("key", 9u32).await });
    settle().await;
    load.abort();
    settle().await;
    // Nobody stores now; the loader of the second leader would hang.
    timeout(HOUR, write)
        .await
        .expect("the write hangs")
        .unwrap()
        .unwrap();
    assert_eq!(value(waits).await, Some(9));
}

#[tokio::test(start_paused = true)]
async fn at_the_hard_timeout_of_all_nobody_else_runs_a_loader() {
    let world = world();
    let options = LoadOptions::new().hard_timeout(SECOND);
    let source = Source::default();
    let tasks: Vec<_> = (0..100)
        .map(|n| get_with(&world, "key", options, &source, n))
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap_err();
    }
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_throttle_holds_for_those_who_wait_when_a_load_times_out() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, 5 * SECOND)
        .hard_timeout(SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    let mut tasks = Vec::new();
    for n in 0..40 {
        tasks.push(get_with(&world, "key", options, &source, n));
        tokio::time::sleep(100 * MS).await;
        world.hand.advance(100 * MS);
    }
    for task in tasks {
        assert_eq!(value(task).await, Some(1));
    }
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_loader_says_is_gone_is_not_served_any_more() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    stored(&world, options, 61).await;
    let gone = async |_| Ok::<Option<u32>, io::Error>(None);
    let cache = &world.cache;
    assert_eq!(
        cache
            .entry("key")
            .options(options)
            .or_load(gone)
            .await
            .unwrap(),
        None
    );
    // It served None; now the loader fails.
    let then = cache
        .entry("key")
        .options(options)
        .or_load(|_| failing())
        .await;
    assert!(then.is_err(), "{:?}", then.ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_not_served_while_it_is_revalidated() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).stale_while_revalidate(HOUR);
    stored(&world, options, 61).await;
    let gone = async |_| Ok::<Option<u32>, io::Error>(None);
    let cache = &world.cache;
    assert_eq!(
        cache
            .entry("key")
            .options(options)
            .or_load(gone)
            .await
            .unwrap(),
        Some(1)
    );
    settle().await;
    for _ in 0..10 {
        let now = cache
            .entry("key")
            .options(options)
            .or_load(gone)
            .await
            .unwrap();
        settle().await;
        assert_eq!(now, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_never_ends_leaves_no_older_copy_behind() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    stored(&world, options, 61).await;
    let cache = &world.cache;
    let load = async |_| Ok::<_, io::Error>(Loaded::value(2).ttl(cache_core::Ttl::NEVER));
    assert_eq!(
        cache
            .entry("key")
            .options(options)
            .or_load(load)
            .await
            .unwrap(),
        Some(2)
    );
    // It is evicted.
    use cache_core::CacheBackend;
    world
        .backend
        .inner()
        .delete("key", Condition::Always)
        .await
        .unwrap();
    let then = cache
        .entry("key")
        .options(options)
        .or_load(|_| failing())
        .await;
    assert_ne!(then.ok(), Some(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_ends_while_it_is_loaded_ahead_is_stored() {
    let world = world();
    let options = LoadOptions::new().ttl(100).refresh_ahead(0.8);
    stored(&world, options, 90).await;
    let source = Source::default();
    assert_eq!(
        value(get_with(&world, "key", options, &source, 2)).await,
        Some(1)
    );
    source.has_begun().await;
    world.hand.advance(20 * SECOND);
    let waits = get_with(&world, "key", options, &source, 3);
    settle().await;
    source.let_go(1);
    assert_eq!(value(waits).await, Some(2));
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_stale_value_start_one_load() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).stale_while_revalidate(HOUR);
    stored(&world, options, 61).await;
    let source = Source::default();
    source.let_go(2);
    // The first reads that the key is absent; its read of the copy takes long.
    world
        .backend
        .script([Fault::None, Fault::DelayReply(SECOND)]);
    let slow = get_with(&world, "key", options, &source, 2);
    settle().await;
    assert_eq!(
        value(get_with(&world, "key", options, &source, 3)).await,
        Some(1)
    );
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(3));
    assert_eq!(value(slow).await, Some(1));
    settle().await;
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_never_joins_and_replaces_what_is_stored() {
    let world = keeping();
    let source = Source::default();
    // A reader finds the key absent; its read of the copy takes a second.
    world
        .backend
        .script([Fault::None, Fault::DelayReply(SECOND)]);
    let reader = get(&world, "key", &source, 2);
    settle().await;
    world.cache.set("key", 1u32).await.unwrap();
    // The refresh begins; it reads the key for two seconds.
    world.backend.script([Fault::DelayReply(2 * SECOND)]);
    let cache = world.cache.clone();
    let refresh = tokio::spawn(async move {
        cache
            .entry("key")
            .refresh(async |_| Ok::<_, io::Error>(3))
            .await
    });
    tokio::time::sleep(3 * SECOND).await;
    source.let_go(1);
    let refreshed = refresh.await.unwrap().unwrap();
    drop(reader.await);
    assert_ne!(refreshed, Some(1), "the old value");
    assert_ne!(
        world.cache.get("key").await.unwrap(),
        Some(1),
        "the old value"
    );
}

#[tokio::test(start_paused = true)]
async fn held_off_keys_are_not_pending_for_ever() {
    let world = world();
    let options = LoadOptions::new().absent_ttl(10 * SECOND);
    let nothing = async |_| Ok::<Option<u32>, io::Error>(None);
    world
        .cache
        .entry("key")
        .options(options)
        .or_load(nothing)
        .await
        .unwrap();
    world.hand.advance(11 * SECOND);
    let load = async |_| Ok::<_, io::Error>(1);
    world
        .cache
        .entry("other")
        .options(options)
        .or_load(load)
        .await
        .unwrap();
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_dropped_before_its_copy_leaves_no_older_copy() {
    let world = keeping_remote();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    let load = get_with(&world, "key", options, &source, 2);
    source.has_begun().await;
    // The value is written; its copy takes long, and the caller goes away.
    world.backend.script([Fault::None, Fault::Delay(SECOND)]);
    source.let_go(1);
    settle().await;
    load.abort();
    settle().await;
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
    world.hand.advance(61 * SECOND);
    let then = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| failing())
        .await;
    assert_ne!(then.ok(), Some(Some(1)), "served after 2 was");
}

#[tokio::test(start_paused = true)]
async fn a_writer_beside_a_load_in_the_same_task_goes_on_after_a_while() {
    let world = remote_world();
    let load = world.cache.get_or_insert_with("key", async || 1);
    let mut load = std::pin::pin!(load);
    let work = async {
        loop {
            tokio::select! {
                biased;
                () = tokio::time::sleep(1500 * Duration::from_micros(1)) => {
                    world.cache.set("key", 9u32).await.unwrap();
                }
                done = &mut load => { done.unwrap(); break; }
            }
        }
    };
    timeout(HOUR, work)
        .await
        .expect("the write waits for a store that nobody polls");
}

/// Loads the key in a branch of `select!` whose other branch leads a load of it, which nobody polls meanwhile.
async fn load_beside_a_pinned_load(world: &World, options: LoadOptions) -> Answer {
    let load = async |_| {
        tokio::time::sleep(SECOND).await;
        Ok::<_, io::Error>(1)
    };
    let mut pinned = std::pin::pin!(world.cache.entry("key").or_load(load));
    let answer = tokio::select! {
        biased;
        _ = &mut pinned => panic!("it takes longer"),
        () = tokio::time::sleep(MS) => {
            let load = async |_| Ok::<_, io::Error>(2);
            world.cache.entry("key").options(options).or_load(load).await
        }
    };
    assert_eq!(pinned.await.unwrap(), Some(1));
    answer
}

#[tokio::test(start_paused = true)]
async fn a_load_beside_a_pinned_load_of_its_key_ends_with_its_own_hard_timeout() {
    let world = world();
    let start = Instant::now();
    let options = LoadOptions::new().hard_timeout(3 * SECOND);
    let error = load_beside_a_pinned_load(&world, options)
        .await
        .unwrap_err();
    let limit = 3 * SECOND;
    assert_eq!(
        error.cache().unwrap().kind(),
        &ErrorKind::LoadTimeout { limit }
    );
    // Then the pinned one was polled again, whose time was over long since.
    assert_eq!(start.elapsed(), MS + limit);

    world.cache.delete("key").await.unwrap();
    let endless = load_beside_a_pinned_load(&world, LoadOptions::new());
    assert!(timeout(HOUR, endless).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_set_removes_the_copy_of_a_load_that_it_overlaps() {
    let world = keeping();
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    // It takes effect after a second.
    world.backend.script([Fault::Delay(SECOND)]);
    let cache = world.cache.clone();
    let write = tokio::spawn(async move { cache.set_ex("key", 9u32, 60).await });
    settle().await;
    stored(&world, options, 0).await;
    write.await.unwrap().unwrap();
    assert_eq!(world.cache.get("key").await.unwrap(), Some(9));
    world.hand.advance(61 * SECOND);
    let then = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| failing())
        .await;
    assert_ne!(then.ok(), Some(Some(1)), "1, then 9, then 1 again");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_an_error() {
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    let world = world_with(|builder| builder.keep_stale(HOUR).load_options(options));
    world.cache.set("key", 1u32).await.unwrap();
    assert!(
        world
            .cache
            .entry("key")
            .refresh(|_| failing())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_made_to_end_early_is_stale_from_then_on() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(1800)
        .stale_while_revalidate(30 * SECOND);
    stored(&world, options, 0).await;
    world.cache.expire("key", 1).await.unwrap();
    world.hand.advance(60 * SECOND);
    let load = async |_| Ok::<_, io::Error>(2);
    let found = world
        .cache
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    assert_eq!(found.unwrap(), Some(2), "ended 59 s ago, the most is 30 s");
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_has_what_is_left_of_the_soft_timeout() {
    // A waiter that takes over has as much of the soft timeout as it has left.
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, SECOND)
        .soft_timeout(SECOND);
    stored(&world, options, 61).await;
    let source = Source::default();
    let leader = get_with(&world, "key", options, &source, 1);
    source.has_begun().await;
    let start = Instant::now();
    let waits = get_with(&world, "key", options, &source, 2);
    tokio::time::sleep(900 * MS).await;
    leader.abort();
    assert_eq!(value(waits).await, Some(1));
    assert!(start.elapsed() <= SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn values_may_be_kept_for_ever() {
    let world = world_with(|builder| builder.keep_stale(Duration::MAX));
    let options = LoadOptions::new().ttl(60).fail_safe(HOUR, SECOND);
    stored(&world, options, 61).await;
    let then = world
        .cache
        .entry("key")
        .options(options)
        .or_load(|_| failing())
        .await;
    assert_eq!(then.ok(), Some(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_of_a_key_within_its_own_load_is_an_error() {
    let world = world();
    fn load(
        cache: Cache<u32>,
        depth: u32,
    ) -> futures_util::future::BoxFuture<'static, Result<u32, io::Error>> {
        Box::pin(async move {
            assert!(depth < 50, "no LoadCycle: it goes down for ever");
            let inner = cache.clone();
            let found = cache
                .entry("key")
                .refresh(move |_| load(inner, depth + 1))
                .await;
            found
                .map(Option::unwrap_or_default)
                .map_err(|error| io::Error::other(error.to_string()))
        })
    }
    let cache = world.cache.clone();
    assert!(
        world
            .cache
            .entry("key")
            .or_load(move |_| load(cache, 0))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_load_in_the_background_is_no_part_of_the_load_that_began_it() {
    let world = keeping();
    let options = LoadOptions::new()
        .ttl(60)
        .fail_safe(HOUR, SECOND)
        .soft_timeout(100 * MS);
    stored(&world, options, 61).await;
    let (outer, inner, innermost) = (
        world.cache.clone(),
        world.cache.clone(),
        world.cache.clone(),
    );
    let (sent, got) = tokio::sync::oneshot::channel();
    let load = async move |_| {
        let slow = async move |_| {
            tokio::time::sleep(SECOND).await;
            // The one that began this has long gone on, and waits for nothing of it.
            let load = async |_| Ok::<_, io::Error>(5);
            let outer = innermost.entry("outer").or_load(load).await;
            sent.send(outer.ok()).expect("it is waited for");
            Ok::<_, io::Error>(2)
        };
        let last = inner.entry("key").options(options).or_load(slow).await;
        assert_eq!(last.unwrap(), Some(1));
        tokio::time::sleep(10 * SECOND).await;
        Ok::<_, io::Error>(7)
    };
    assert_eq!(outer.entry("outer").or_load(load).await.unwrap(), Some(7));
    assert_eq!(got.await.unwrap(), Some(Some(7)));
}
