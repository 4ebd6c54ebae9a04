//! Many keys with one call of the loader.

use std::io;
use std::sync::{Arc, Mutex};

use cache_core::{ErrorKind, LoadError, LoadOptions, Loaded};

use super::{MS, SECOND, Source, World, get, remote_world, settle, value, world, world_with};

/// The keys of each call of a loader.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Vec<String>>>>);

impl Calls {
    /// Loads the length of each key after a second.
    async fn load(self, keys: Vec<String>) -> Result<Vec<(String, u32)>, io::Error> {
        self.0.lock().expect("not poisoned").push(keys.clone());
        tokio::time::sleep(SECOND).await;
        let pairs = keys.into_iter().filter(|key| key != "none");
        Ok(pairs.map(|key| (key.clone(), key.len() as u32)).collect())
    }

    fn get(&self) -> Vec<Vec<String>> {
        self.0.lock().expect("not poisoned").clone()
    }
}

fn get_many(
    world: &World,
    keys: &'static [&'static str],
    calls: &Calls,
) -> tokio::task::JoinHandle<Vec<Option<u32>>> {
    let (cache, calls) = (world.cache.clone(), calls.clone());
    tokio::spawn(async move {
        let load = |keys| calls.clone().load(keys);
        let found = cache.get_many_or_load(keys, load).await;
        let found = found.expect("the cache works").into_iter();
        found
            .map(|answer| answer.expect("the loader works"))
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn the_loader_gets_the_absent_keys_once_and_all_keys_are_answered_in_order() {
    for world in [world(), remote_world()] {
        world.cache.set("here", 99u32).await.unwrap();
        let calls = Calls::default();
        let keys = &["abc", "here", "none", "a", "abc"];
        let found = get_many(&world, keys, &calls).await.unwrap();
        assert_eq!(found, [Some(3), Some(99), None, Some(1), Some(3)]);
        assert_eq!(calls.get(), [["abc", "none", "a"]]);
        assert_eq!(world.cache.get("abc").await.unwrap(), Some(3));
        assert_eq!(world.cache.get("none").await.unwrap(), None);
        let stats = world.cache.stats();
        assert_eq!((stats.loads.loads, stats.loads.pending), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn no_keys_and_keys_that_are_all_there_run_no_loader() {
    let world = world();
    let calls = Calls::default();
    assert!(get_many(&world, &[], &calls).await.unwrap().is_empty());
    world.cache.set("here", 1u32).await.unwrap();
    assert_eq!(
        get_many(&world, &["here"], &calls).await.unwrap(),
        [Some(1)]
    );
    assert!(calls.get().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_calls_that_overlap_load_each_key_once_and_do_not_wait_in_a_circle() {
    for world in [world(), remote_world()] {
        let calls = Calls::default();
        let start = tokio::time::Instant::now();
        let one = get_many(&world, &["a", "bb", "ccc"], &calls);
        let two = get_many(&world, &["dddd", "ccc", "bb"], &calls);
        assert_eq!(one.await.unwrap(), [Some(1), Some(2), Some(3)]);
        assert_eq!(two.await.unwrap(), [Some(4), Some(3), Some(2)]);
        assert!(start.elapsed() < SECOND * 3 / 2);
        let mut loaded = calls.get().concat();
        loaded.sort();
        assert_eq!(loaded, ["a", "bb", "ccc", "dddd"]);
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_a_single_call_loads_is_waited_for_and_taken_over() {
    for is_dropped in [false, true] {
        let world = world();
        let source = Source::default();
        let single = get(&world, "bb", &source, 7);
        source.has_begun().await;
        let calls = Calls::default();
        let bulk = get_many(&world, &["a", "bb"], &calls);
        settle().await;
        if is_dropped {
            single.abort();
            assert_eq!(bulk.await.unwrap(), [Some(1), Some(2)]);
            assert_eq!(calls.get(), [["a"], ["bb"]]);
        } else {
            source.let_go(1);
            assert_eq!(value(single).await, Some(7));
            assert_eq!(bulk.await.unwrap(), [Some(1), Some(7)]);
            assert_eq!(calls.get(), [["a"]]);
        }
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_that_is_dropped_hands_each_key_over() {
    let world = world();
    let calls = Calls::default();
    let bulk = get_many(&world, &["a", "bb"], &calls);
    settle().await;
    let source = Source::default();
    let (a, b) = (
        get(&world, "a", &source, 10),
        get(&world, "bb", &source, 20),
    );
    settle().await;
    assert_eq!(source.calls(), 0);
    bulk.abort();
    settle().await;
    source.let_go(2);
    assert_eq!((value(a).await, value(b).await), (Some(10), Some(20)));
    assert_eq!(world.cache.stats().loads.pending, 0);
}

/// Two hundred keys.
fn many() -> Vec<String> {
    (0..200).map(|number| format!("key {number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_that_is_dropped_is_one_call_of_who_takes_over() {
    for world in [world(), remote_world()] {
        let calls = Calls::default();
        let get = || {
            let (cache, calls) = (world.cache.clone(), calls.clone());
            tokio::spawn(async move {
                let load = |keys| calls.clone().load(keys);
                let found = cache.get_many_or_load(&many(), load).await;
                found
                    .expect("the cache works")
                    .into_iter()
                    .flatten()
                    .count()
            })
        };
        let dropped = get();
        settle().await;
        let (second, third) = (get(), get());
        settle().await;
        dropped.abort();
        assert_eq!(second.await.unwrap(), 200);
        assert_eq!(third.await.unwrap(), 200);
        let lengths: Vec<usize> = calls.get().iter().map(Vec::len).collect();
        assert_eq!(lengths, [200, 200]);
        let loads = world.cache.stats().loads;
        assert_eq!((loads.joined, loads.pending), (400, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_bulk_load_that_takes_too_long_there_is_time_for_all_its_keys() {
    let options = LoadOptions::new().hard_timeout(SECOND);
    let world = world_with(|builder| builder.load_options(options));
    let cache = world.cache.clone();
    let hangs = tokio::spawn(async move {
        let load = async |_| std::future::pending::<Result<Vec<(String, u32)>, io::Error>>().await;
        let found = cache.get_many_or_load(&many(), load).await;
        found
            .expect("the cache works")
            .into_iter()
            .flatten()
            .count()
    });
    tokio::time::sleep(SECOND / 2).await;
    let load = async |keys: Vec<String>| {
        tokio::time::sleep(50 * MS).await;
        Ok::<_, io::Error>(keys.into_iter().map(|key| (key, 7)))
    };
    let found = world.cache.get_many_or_load(&many(), load).await.unwrap();
    assert!(found.into_iter().all(|found| matches!(found, Ok(Some(7)))));
    assert_eq!(hangs.await.unwrap(), 0);
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.failures, loads.pending), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn after_the_invalidation_of_a_tag_a_bulk_load_that_was_joined_is_one_call() {
    let world = world();
    let calls = Calls::default();
    let get = || {
        let (cache, calls) = (world.cache.clone(), calls.clone());
        tokio::spawn(async move {
            let load = async |keys| {
                let pairs = calls.clone().load(keys).await?.into_iter();
                let tagged = pairs.map(|(key, value)| (key, Loaded::value(value).tags(["tag"])));
                Ok::<_, io::Error>(tagged.collect::<Vec<_>>())
            };
            let found = cache.get_many_or_load(&many(), load).await;
            found
                .expect("the cache works")
                .into_iter()
                .flatten()
                .count()
        })
    };
    let first = get();
    settle().await;
    world.cache.delete_by_tag("tag").await.unwrap();
    let second = get();
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(second.await.unwrap(), 200);
    let lengths: Vec<usize> = calls.get().iter().map(Vec::len).collect();
    assert_eq!(lengths, [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_loader_of_what_was_handed_over_may_load_what_its_call_waits_for() {
    let world = world();
    let source = Source::default();
    let (a, b) = (get(&world, "a", &source, 1), get(&world, "b", &source, 2));
    settle().await;
    let (cache, inner) = (world.cache.clone(), world.cache.clone());
    let begun = Source::default();
    let bulk = tokio::spawn({
        let begun = begun.clone();
        async move {
            let load = async |keys: Vec<String>| {
                // The load of the other key is given up meanwhile.
                begun.clone().load(0).await?;
                let b = inner.get_or_insert_with("b", async || 5).await;
                let b = b.expect("it does not wait for itself");
                Ok::<_, io::Error>(keys.into_iter().map(move |key| (key, b)))
            };
            let found = cache.get_many_or_load(&["a", "b"], load).await;
            let found: Result<Vec<_>, _> = found.expect("it works").into_iter().collect();
            found.expect("the loader works")
        }
    });
    settle().await;
    a.abort();
    begun.has_begun().await;
    b.abort();
    begun.let_go(1);
    let found = tokio::time::timeout(60 * SECOND, bulk).await;
    assert_eq!(found.expect("it hangs").unwrap(), [Some(5), Some(5)]);
    assert_eq!(world.cache.stats().loads.pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_fails_fails_its_keys_and_no_others() {
    let world = world();
    world.cache.set("here", 1u32).await.unwrap();
    let load = async |_| Err::<Vec<(String, u32)>, _>(io::Error::other("down"));
    let found = world
        .cache
        .get_many_or_load(&["x", "here", "y"], load)
        .await
        .unwrap();
    assert_eq!(found[1].as_ref().ok(), Some(&Some(1)));
    for failed in [&found[0], &found[2]] {
        assert_eq!(
            failed.as_ref().unwrap_err().loader().unwrap().to_string(),
            "down"
        );
    }
    let loads = world.cache.stats().loads;
    assert_eq!((loads.loads, loads.failures, loads.pending), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_write_during_a_bulk_load_wins_for_its_key() {
    let world = world();
    let calls = Calls::default();
    let bulk = get_many(&world, &["a", "bb"], &calls);
    settle().await;
    world.cache.delete("a").await.unwrap();
    world.cache.set("bb", 9u32).await.unwrap();
    assert_eq!(bulk.await.unwrap(), [Some(1), Some(2)]);
    assert_eq!(
        world.cache.mget(&["a", "bb"]).await.unwrap(),
        [None, Some(9)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_within_the_load_of_one_of_its_keys_is_an_error_for_that_key() {
    let world = world();
    let (cache, inner) = (world.cache.clone(), world.cache.clone());
    let outer = cache.get_or_try_insert_with("a", async || {
        let calls = Calls::default();
        let load = |keys| calls.clone().load(keys);
        let found = inner.get_many_or_load(&["a", "bb"], load).await?;
        assert_eq!(found[1].as_ref().ok(), Some(&Some(2)));
        match &found[0] {
            Err(LoadError::Cache(error)) => Err(error.clone()),
            _ => panic!("it cannot be loaded"),
        }
    });
    let error = outer.await.unwrap_err();
    assert_eq!(error.loader().unwrap().kind(), &ErrorKind::LoadCycle);
}

#[tokio::test(start_paused = true)]
async fn the_hard_timeout_and_what_there_is_nothing_for_hold_for_many_keys_too() {
    let options = LoadOptions::new()
        .hard_timeout(SECOND / 2)
        .absent_ttl(SECOND);
    let world = world_with(|builder| builder.load_options(options));
    let calls = Calls::default();
    let load = |keys| calls.clone().load(keys);
    let found = world.cache.get_many_or_load(&["a"], load).await.unwrap();
    let limit = SECOND / 2;
    let error = found[0].as_ref().unwrap_err().cache().unwrap();
    assert_eq!(error.kind(), &ErrorKind::LoadTimeout { limit });

    let quick = async |_| Ok::<Vec<(String, u32)>, io::Error>(Vec::new());
    let none = world.cache.get_many_or_load(&["a"], quick).await.unwrap();
    assert_eq!(none[0].as_ref().ok(), Some(&None));
    let load = |keys| calls.clone().load(keys);
    let none = world.cache.get_many_or_load(&["a"], load).await.unwrap();
    assert_eq!(none[0].as_ref().ok(), Some(&None));
    assert_eq!(calls.get().len(), 1);
}
