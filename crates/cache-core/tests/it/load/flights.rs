//! One load for those who want the same key, and for them alone.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use cache_core::{ErrorKind, LoadError, Loaded};

use super::{SECOND, Source, failing, get, not_called, remote_world, settle, value, world};

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_that_want_one_key_run_one_loader() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let tasks: Vec<_> = (0..1_000).map(|n| get(&world, "key", &source, n)).collect();
        settle().await;
        assert_eq!(source.calls(), 1);
        source.let_go(1);
        for task in tasks {
            assert_eq!(value(task).await, Some(0));
        }
        assert_eq!(source.calls(), 1);
        let loads = world.cache.stats().loads;
        assert_eq!((loads.loads, loads.joined, loads.pending), (1, 999, 0));
        assert_eq!(world.cache.get("key").await.unwrap(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_come_at_any_moment_run_one_loader_for_each_key() {
    let world = world();
    for round in 0..200 {
        let calls = std::sync::Arc::new(AtomicU32::new(0));
        let tasks = (0..16).map(|_| {
            let (cache, calls) = (world.cache.clone(), std::sync::Arc::clone(&calls));
            tokio::spawn(async move {
                let load = async || {
                    tokio::task::yield_now().await;
                    calls.fetch_add(1, Ordering::SeqCst)
                };
                cache.get_or_insert_with(format!("key:{round}"), load).await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().unwrap(), 0);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hit_runs_no_loader() {
    for world in [world(), remote_world()] {
        world.cache.set("key", 7u32).await.unwrap();
        let cache = &world.cache;
        assert_eq!(
            cache
                .get_or_insert_with("key", async || unreachable!())
                .await
                .unwrap(),
            7
        );
        assert_eq!(
            cache
                .get_or_try_insert_with("key", not_called)
                .await
                .unwrap(),
            7
        );
        assert_eq!(
            cache.entry("key").or_load(|_| not_called()).await.unwrap(),
            Some(7)
        );
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.loads.loads), (3, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_loader_goes_to_all_who_wait_and_is_not_stored() {
    let world = remote_world();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let cache = world.cache.clone();
            tokio::spawn(async move {
                let load = async || {
                    tokio::time::sleep(SECOND).await;
                    failing().await
                };
                cache.get_or_try_insert_with("key", load).await
            })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.loader().unwrap().to_string(), "the database is down");
    }
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.failures), (1, 1));
    assert_eq!(
        world
            .cache
            .get_or_insert_with("key", async || 5)
            .await
            .unwrap(),
        5
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_with_a_loader_of_another_error_type_runs_that() {
    let world = world();
    let cache = world.cache.clone();
    let first = tokio::spawn(async move {
        let load = async || {
            tokio::time::sleep(SECOND).await;
            failing().await
        };
        cache.get_or_try_insert_with("key", load).await
    });
    settle().await;
    let second = world
        .cache
        .get_or_try_insert_with("key", async || Err("no such user"));
    assert_eq!(second.await.unwrap_err().loader(), Some(&"no such user"));
    assert!(first.await.unwrap().unwrap_err().loader().is_some());
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn other_keys_namespaces_and_caches_do_not_share_a_flight() {
    let (world, other) = (world(), world());
    let source = Source::default();
    let namespace = world.cache.namespace("users").unwrap();
    let tasks = [
        get(&world, "key", &source, 1),
        get(&world, "other", &source, 2),
        get(&other, "key", &source, 3),
        tokio::spawn({
            let source = source.clone();
            async move { namespace.entry("key").or_load(|_| source.load(4)).await }
        }),
    ];
    settle().await;
    assert_eq!(source.calls(), 4);
    source.let_go(4);
    for (task, expected) in tasks.into_iter().zip(1..) {
        assert_eq!(value(task).await, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn plain_reads_never_wait_for_a_load() {
    let world = world();
    let source = Source::default();
    let load = get(&world, "key", &source, 1);
    source.has_begun().await;
    assert_eq!(world.cache.get("key").await.unwrap(), None);
    assert!(!world.cache.exists("key").await.unwrap());
    assert_eq!(world.cache.mget(&["key"]).await.unwrap(), [None]);
    source.let_go(1);
    assert_eq!(value(load).await, Some(1));
}

#[tokio::test]
async fn a_loader_that_asks_for_its_own_key_gets_an_error() {
    let cache = world().cache;
    let inner = cache.clone();
    let outer = cache.get_or_try_insert_with("key", async || {
        inner.get_or_insert_with("key", async || 1).await
    });
    let error = outer.await.unwrap_err();
    assert_eq!(error.loader().unwrap().kind(), &ErrorKind::LoadCycle);
    assert_eq!(cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn loaders_that_wait_for_each_others_keys_get_an_error() {
    let world = world();
    let nested = |outer: &'static str, inner: &'static str| {
        let cache = world.cache.clone();
        tokio::spawn(async move {
            let within = cache.clone();
            let load = async || {
                settle().await;
                within.get_or_insert_with(inner, async || 1).await
            };
            cache.get_or_try_insert_with(outer, load).await
        })
    };
    let (ab, bc, ca) = (nested("a", "b"), nested("b", "c"), nested("c", "a"));
    let mut cycles = 0;
    for task in [ab, bc, ca] {
        match task.await.unwrap() {
            Ok(value) => assert_eq!(value, 1),
            Err(LoadError::Loader(error)) => {
                cycles += 1;
                assert_eq!(error.kind(), &ErrorKind::LoadCycle);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(cycles > 0);
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn loaders_within_loaders_that_are_no_cycle_go_through() {
    let cache = world().cache;
    let (one, two) = (cache.clone(), cache.clone());
    let sum = cache.get_or_try_insert_with("sum", async || {
        let (one, two) = tokio::join!(
            one.get_or_insert_with("one", async || 1),
            two.get_or_insert_with("two", async || 2),
        );
        Ok::<_, cache_core::Error>(one? + two?)
    });
    assert_eq!(sum.await.unwrap(), 3);
}

#[tokio::test]
async fn a_loader_says_how_its_value_is_stored() {
    let cache = world().cache;
    let ok = |loaded: Loaded<u32>| Ok::<_, io::Error>(loaded);
    let load = cache
        .entry("short")
        .or_load(async move |_| ok(Loaded::value(1).ttl(5)));
    assert_eq!(load.await.unwrap(), Some(1));
    assert_eq!(cache.ttl("short").await.unwrap(), Some(5));

    let load = cache
        .entry("once")
        .or_load(async move |_| ok(Loaded::value(2).not_stored()));
    assert_eq!(load.await.unwrap(), Some(2));
    assert_eq!(cache.get("once").await.unwrap(), None);

    let load = cache
        .entry("over")
        .or_load(async move |_| ok(Loaded::value(3).ttl(0)));
    assert_eq!(load.await.unwrap(), Some(3));
    assert_eq!(cache.get("over").await.unwrap(), None);

    let load = cache
        .entry("none")
        .or_load(async move |_| ok(Loaded::absent()));
    assert_eq!(load.await.unwrap(), None);
    assert_eq!(cache.stats().loads.pending, 0);

    let load = cache
        .entry("long")
        .or_load(async move |_| ok(Loaded::value(4).ttl(u64::MAX)));
    let error = load.await.unwrap_err();
    assert!(error.to_string().contains("ttl is"), "{error}");
    assert_eq!(cache.get("long").await.unwrap(), None);
}
