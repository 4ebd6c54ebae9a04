//! Loads under every interleaving that shuttle can think of. Alone in its program, which is
//! built in another way:
//!
//! `RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/steered-rustc cargo test -p cache-core --test schedules`
#![cfg(shuttle)]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{Cache, DynBackend, LoadOptions, Loaded};
use cache_local::{LocalBackend, LocalConfig};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::sync::atomic::{AtomicU32, Ordering};

/// What the cache is in front of.
#[derive(Clone, Default)]
struct World {
    database: Arc<AtomicU32>,
    /// How many loads have begun.
    loads: Arc<AtomicU32>,
    cache: Option<Cache<u32>>,
    /// Another cache over the same backend.
    other: Option<Cache<u32>>,
}

impl World {
    /// A cache of which every call can be interrupted before and after it takes effect.
    fn new() -> Self {
        let config = LocalConfig::new().max_entries(64).shards(2);
        let local = LocalBackend::new(config).expect("the configuration is right");
        let backend = FaultyBackend::new(local);
        backend.every(1, Fault::Yield);
        let backend = DynBackend::new(backend);
        Self {
            cache: Some(Cache::with_backend(backend.clone())),
            other: Some(Cache::with_backend(backend)),
            ..Self::default()
        }
    }

    fn cache(&self) -> &Cache<u32> {
        self.cache.as_ref().expect("it is there from the start")
    }

    fn other(&self) -> &Cache<u32> {
        self.other.as_ref().expect("it is there from the start")
    }

    /// Reads the database, slowly.
    async fn load(self) -> u32 {
        self.loads.fetch_add(1, Ordering::SeqCst);
        yield_now().await;
        let value = self.database.load(Ordering::SeqCst);
        yield_now().await;
        value
    }

    async fn get(&self) -> u32 {
        let load = || self.clone().load();
        let found = self.cache().get_or_insert_with("key", load).await;
        found.expect("the backend works")
    }

    /// Starts tasks that all get the key.
    fn readers<const N: usize>(&self) -> [JoinHandle<u32>; N] {
        [(); N].map(|()| {
            let world = self.clone();
            spawn(async move { world.get().await })
        })
    }

    /// Changes the database and then whatever is to be changed in the cache.
    async fn write<T>(&self, write: impl Future<Output = cache_core::Result<T>>) {
        self.database.store(2, Ordering::SeqCst);
        write.await.expect("the backend works");
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::SeqCst)
    }

    fn is_idle(&self) -> bool {
        self.cache().stats().loads.pending == 0
    }
}

/// Explores a scenario; `SCHEDULES` sets under how many schedules.
fn explore<F: Future<Output = ()> + Send + 'static>(
    scenario: impl Fn(World) -> F + Send + Sync + 'static,
) {
    let schedules = std::env::var("SCHEDULES").ok();
    let schedules = schedules.and_then(|count| count.parse().ok());
    let run = move || block_on(scenario(World::new()));
    // A stack that the debug profile needs too.
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    let scheduler = shuttle::scheduler::RandomScheduler::new(schedules.unwrap_or(10_000));
    shuttle::Runner::new(scheduler, config).run(run);
}

/// Polls a future that often, and then drops it.
struct Cancelled<F>(Option<Pin<Box<F>>>, u32);

impl<F: Future> Future for Cancelled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polls = self.1;
        let Some(future) = self.0.as_mut().filter(|_| polls > 0) else {
            self.0 = None;
            return Poll::Ready(None);
        };
        let done = future.as_mut().poll(context).map(Some);
        self.1 -= 1;
        if self.1 == 0 {
            context.waker().wake_by_ref();
        }
        done
    }
}

/// Runs a future and catches its panic.
async fn caught<F: Future>(future: F) -> Result<F::Output, ()> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(_panic) => Poll::Ready(Err(())),
        }
    })
    .await
}

#[test]
fn tasks_that_want_one_key_run_one_loader() {
    explore(|world| async move {
        let tasks = world.readers::<3>();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 0);
        }
        assert_eq!(world.loads(), 1);
        assert!(world.is_idle());
    });
}

#[test]
fn a_leader_that_is_dropped_hands_over_to_one() {
    for polls in 1..8 {
        explore(move |world| async move {
            let first = world.clone();
            let leader = spawn(Cancelled(
                Some(Box::pin(async move { first.get().await })),
                polls,
            ));
            let others = world.readers::<2>();
            for task in others {
                assert_eq!(task.await.unwrap(), 0);
            }
            leader.await.unwrap();
            assert!(world.loads() <= 2, "{} loads", world.loads());
            assert!(world.is_idle());
        });
    }
}

#[test]
fn a_leader_that_panics_hands_over_to_one() {
    explore(|world| async move {
        let cache = world.cache().clone();
        let broken = spawn(async move {
            let load = async || {
                yield_now().await;
                resume_unwind(Box::new("the loader broke"))
            };
            caught(cache.get_or_insert_with("key", load)).await.is_err()
        });
        let others = world.readers::<2>();
        for task in others {
            assert_eq!(task.await.unwrap(), 0);
        }
        broken.await.unwrap();
        assert!(world.loads() <= 1);
        assert!(world.is_idle());
    });
}

type Step<T> = fn(World) -> Pin<Box<dyn Future<Output = T> + Send>>;

/// A load, a write of the database and the cache, and reads after it.
fn explore_write(write: Step<()>) {
    explore_write_of(|world| Box::pin(async move { world.get().await }), write);
}

/// The same with a load of one's own.
fn explore_write_of(get: Step<u32>, write: Step<()>) {
    explore(move |world| async move {
        let loads = [(); 2].map(|()| spawn(get(world.clone())));
        let writer = spawn({
            let world = world.clone();
            async move {
                write(world.clone()).await;
                assert_eq!(get(world.clone()).await, 2);
                let stored = world.cache().get("key").await.unwrap();
                assert_eq!(stored, Some(2));
            }
        });
        writer.await.unwrap();
        for load in loads {
            load.await.unwrap();
        }
        assert_eq!(world.cache().get("key").await.unwrap(), Some(2));
        assert!(world.is_idle());
    });
}

#[test]
fn a_delete_during_a_load_wins() {
    explore_write(|world| Box::pin(async move { world.write(world.cache().delete("key")).await }));
}

#[test]
fn a_set_during_a_load_wins() {
    explore_write(|world| {
        Box::pin(async move { world.write(world.cache().set("key", 2u32)).await })
    });
}

#[test]
fn a_delete_through_another_cache_over_the_backend_during_a_load_wins() {
    explore_write(|world| Box::pin(async move { world.write(world.other().delete("key")).await }));
}

#[test]
fn a_set_through_another_cache_over_the_backend_during_a_load_wins() {
    explore_write(|world| {
        Box::pin(async move { world.write(world.other().set("key", 2u32)).await })
    });
}

#[test]
fn a_clear_during_a_load_wins() {
    explore_write(|world| Box::pin(async move { world.write(world.cache().clear()).await }));
}

#[test]
fn a_bulk_delete_during_a_load_wins() {
    explore_write(|world| {
        Box::pin(async move {
            world.write(world.cache().mdelete(&["key", "other"])).await;
        })
    });
}

/// A load whose value has a tag.
async fn get_tagged(world: World) -> u32 {
    let source = world.clone();
    let load = async move |_| {
        let value = source.load().await;
        Ok::<_, Infallible>(Loaded::value(value).tags(["tag"]))
    };
    let found = world.cache().entry("key").or_load(load).await;
    found.expect("the backend works").expect("there is a value")
}

#[test]
fn the_invalidation_of_a_tag_during_a_load_wins() {
    explore_write_of(
        |world| Box::pin(get_tagged(world)),
        |world| {
            Box::pin(async move {
                world.write(world.cache().delete_by_tag("tag")).await;
            })
        },
    );
}

#[test]
fn the_invalidation_of_another_tag_loses_no_load() {
    explore(|world| async move {
        let load = spawn(get_tagged(world.clone()));
        let other = world.cache().delete_by_tag("other");
        other.await.expect("the backend works");
        assert_eq!(load.await.unwrap(), 0);
        assert_eq!(world.cache().get("key").await.unwrap(), Some(0));
        assert_eq!(world.loads(), 1);
    });
}

#[test]
fn a_refresh_during_a_load_wins() {
    explore_write(|world| {
        Box::pin(async move {
            world.database.store(2, Ordering::SeqCst);
            let source = world.clone();
            let load = async |_| Ok::<_, Infallible>(source.load().await);
            assert_eq!(
                world.cache().entry("key").refresh(load).await.unwrap(),
                Some(2)
            );
        })
    });
}

#[test]
fn two_bulk_loads_that_overlap_load_each_key_once_and_end() {
    explore(|world| async move {
        let tasks = [["a", "b", "c"], ["c", "b", "d"]].map(|keys| {
            spawn({
                let world = world.clone();
                async move {
                    let load = async |missing: Vec<String>| {
                        world
                            .loads
                            .fetch_add(missing.len() as u32, Ordering::SeqCst);
                        yield_now().await;
                        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 7)))
                    };
                    let found = world.cache().get_many_or_load(&keys, load).await.unwrap();
                    found
                        .into_iter()
                        .map(|answer| answer.unwrap())
                        .collect::<Vec<_>>()
                }
            })
        });
        for task in tasks {
            assert_eq!(task.await.unwrap(), [Some(7); 3]);
        }
        assert_eq!(world.loads(), 4);
        assert!(world.is_idle());
    });
}

#[test]
fn refresh_ahead_loses_against_a_set() {
    explore(|world| async move {
        world.cache().set_ex("key", 0u32, 100).await.unwrap();
        // All of its time is late.
        let options = LoadOptions::new().ttl(1_000).refresh_ahead(0.5);
        let reader = spawn({
            let world = world.clone();
            async move {
                let source = world.clone();
                let load = async |_| Ok::<_, Infallible>(source.load().await);
                world
                    .cache()
                    .entry("key")
                    .options(options)
                    .or_load(load)
                    .await
                    .unwrap()
            }
        });
        let writer = spawn({
            let world = world.clone();
            async move {
                world.write(world.cache().set_ex("key", 2u32, 100)).await;
                assert_eq!(world.cache().get("key").await.unwrap(), Some(2));
            }
        });
        reader.await.unwrap();
        writer.await.unwrap();
        while !world.is_idle() {
            yield_now().await;
        }
        assert_eq!(world.cache().get("key").await.unwrap(), Some(2));
    });
}

/// Loads a key of which nothing is known while the database has 0, and remembers that.
async fn get_or_nothing(world: World) -> Option<u32> {
    let options = LoadOptions::new().absent_ttl(Duration::from_secs(3600));
    let source = world.clone();
    let load = async move |_| {
        let found = source.load().await;
        Ok::<_, Infallible>((found != 0).then_some(found))
    };
    let found = world
        .cache()
        .entry("key")
        .options(options)
        .or_load(load)
        .await;
    found.expect("the backend works")
}

/// What a load has found absent before a write is not remembered after it.
#[test]
fn a_delete_during_a_load_forgets_that_there_was_nothing() {
    explore(|world| async move {
        let reader = spawn(get_or_nothing(world.clone()));
        let writer = spawn({
            let world = world.clone();
            async move {
                world.write(world.cache().delete("key")).await;
                assert_eq!(get_or_nothing(world.clone()).await, Some(2));
            }
        });
        reader.await.unwrap();
        writer.await.unwrap();
        assert_eq!(get_or_nothing(world.clone()).await, Some(2));
    });
}

/// The same, and the entry is evicted or ends after the write.
#[test]
fn a_set_during_a_load_forgets_that_there_was_nothing() {
    explore(|world| async move {
        let reader = spawn(get_or_nothing(world.clone()));
        let writer = spawn({
            let world = world.clone();
            async move { world.write(world.cache().set("key", 2u32)).await }
        });
        reader.await.unwrap();
        writer.await.unwrap();
        assert!(world.is_idle(), "held off after a write");
    });
}
