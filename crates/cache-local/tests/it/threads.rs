//! Many threads at once: bounds, counts and values hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cache_core::{BackendWrite, Cache, CacheBackend, Condition, Expiry, ReadNow, Scope};
use cache_local::{LocalBackend, LocalConfig};

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

#[test]
fn the_bound_holds_at_every_moment_while_threads_write_resize_and_clear() {
    let weigh = |_: &str, value: &u64| (*value % 13) as u32;
    let backend = Arc::new(LocalBackend::new(LocalConfig::new().max_weight(200, weigh)).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3u64)
            .map(|thread| {
                let backend = &backend;
                scope.spawn(move || {
                    runtime().block_on(async {
                        for i in 0..20_000u64 {
                            let key = format!("key:{}", (i * 7 + thread) % 300);
                            match i % 10 {
                                0 => drop(backend.delete(&key, Condition::Always).await.unwrap()),
                                1 => drop(backend.swap(&key, i, Expiry::Never).await.unwrap()),
                                2 if i % 1_000 == 2 => {
                                    backend.clear(&Scope::root()).await.unwrap();
                                }
                                _ => drop(backend.set(&key, i, ALWAYS).await.unwrap()),
                            }
                        }
                    });
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let weight = backend.stats().weight.unwrap();
                assert!(weight <= 200, "{weight} is over the bound");
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    backend.resize(50).unwrap();
    assert!(backend.stats().weight.unwrap() <= 50);
    runtime().block_on(async {
        backend.clear(&Scope::root()).await.unwrap();
        assert_eq!(
            (backend.stats().entries, backend.stats().weight),
            (Some(0), Some(0))
        );
        // All of the budget came back: it can be filled to the last unit again.
        backend.set("whole", 12, ALWAYS).await.unwrap();
        for i in 0..38 {
            backend.set(&format!("one:{i}"), 1, ALWAYS).await.unwrap();
        }
        assert_eq!(backend.stats().weight, Some(50));
    });
}

#[test]
fn a_reader_never_sees_a_torn_value_or_the_value_of_another_key() {
    let backend = LocalBackend::new(LocalConfig::new().max_entries(64).shards(2)).unwrap();
    let cache: Cache<Arc<(String, u64, u64)>, _> = Cache::with_backend(backend);
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..2u64 {
            let cache = &cache;
            scope.spawn(move || {
                runtime().block_on(async {
                    for i in 0..30_000u64 {
                        let key = format!("key:{}", (i * 31 + thread) % 100);
                        let value = Arc::new((key.clone(), i, !i));
                        let expiry = Duration::from_millis(1 + i % 3);
                        cache.set_ex(key, value, expiry).await.unwrap();
                    }
                });
            });
        }
        let (cache, reads) = (&cache, &reads);
        scope.spawn(move || {
            for i in 0..200_000u64 {
                let key = format!("key:{}", i % 100);
                if let ReadNow::Answer(Ok(Some(value))) = cache.backend().read_now(&key) {
                    assert_eq!((&value.0, value.1), (&key, !value.2));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    });
    assert!(reads.load(Ordering::Relaxed) > 0);
}

#[test]
fn writers_whose_values_cannot_all_fit_at_once_take_turns() {
    let weigh = |_: &str, value: &u32| *value;
    let config = LocalConfig::new().max_weight(1_000, weigh).shards(8);
    let backend = LocalBackend::new(config).unwrap();
    thread::scope(|scope| {
        for thread in 0..3u32 {
            let backend = &backend;
            scope.spawn(move || {
                runtime().block_on(async {
                    for i in 0..2_000u32 {
                        let heavy = [900, 550, 1_000][thread as usize];
                        let weight = if i % 3 == 0 { heavy } else { 1 };
                        let key = format!("key:{thread}:{i}");
                        assert!(backend.set(&key, weight, ALWAYS).await.unwrap());
                    }
                });
            });
        }
    });
    assert!(backend.stats().weight.unwrap() <= 1_000);
}
