//! Every entry leaves once, with the cause that is true, and the listener may call the cache.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry, ReadNow};
use cache_local::{LocalBackend, LocalConfig, RemovalCause};

use crate::Rig;

type Log = Arc<Mutex<Vec<(String, u32, RemovalCause)>>>;

fn logged(config: LocalConfig<u32>) -> (Rig<u32>, Log) {
    let log = Log::default();
    let sink = Arc::clone(&log);
    let config = config.on_removal(move |removal| {
        let event = (removal.key.to_string(), *removal.value, removal.cause);
        sink.lock().unwrap().push(event);
    });
    (Rig::new(config), log)
}

fn take(log: &Log) -> Vec<(String, u32, RemovalCause)> {
    std::mem::take(&mut log.lock().unwrap())
}

fn event(key: &str, value: u32, cause: RemovalCause) -> (String, u32, RemovalCause) {
    (key.to_string(), value, cause)
}

#[tokio::test]
async fn each_way_to_leave_has_its_cause() {
    let (rig, log) = logged(LocalConfig::new());
    rig.cache.set("key", 1u32).await.unwrap();
    rig.cache.set("key", 2u32).await.unwrap();
    assert_eq!(take(&log), [event("key", 1, RemovalCause::Replaced)]);
    rig.cache.get_and_set("key", 3u32).await.unwrap();
    assert_eq!(take(&log), [event("key", 2, RemovalCause::Replaced)]);
    rig.cache.delete("key").await.unwrap();
    assert_eq!(take(&log), [event("key", 3, RemovalCause::Deleted)]);
    rig.cache.set("key", 4u32).await.unwrap();
    rig.cache.expire("key", 0).await.unwrap();
    assert_eq!(take(&log), [event("key", 4, RemovalCause::Deleted)]);
    rig.cache.set("key", 5u32).await.unwrap();
    rig.cache.clear().await.unwrap();
    assert_eq!(take(&log), [event("key", 5, RemovalCause::Cleared)]);
    assert_eq!(rig.entries(), 0);
}

#[tokio::test]
async fn an_expired_entry_leaves_as_expired_whoever_finds_it() {
    let (rig, log) = logged(LocalConfig::new());
    let over = |value| [event("key", value, RemovalCause::Expired)];
    let second = Duration::from_secs(1);
    for value in 0..6u32 {
        rig.cache.set_ex("key", value, second).await.unwrap();
        take(&log);
        rig.hand.advance(second);
        match value {
            0 => rig.cache.set("key", 99u32).await.unwrap(),
            1 => assert!(!rig.cache.delete("key").await.unwrap()),
            2 => assert_eq!(rig.cache.clear().await.unwrap(), 0),
            3 => assert!(rig.cache.set_nx("key", 99u32).await.unwrap()),
            4 => assert_eq!(rig.cache.get_and_set("key", 99u32).await.unwrap(), None),
            _ => {
                rig.hand.advance(second);
                assert_eq!(rig.backend.sweep(), 1);
            }
        }
        assert_eq!(take(&log), over(value));
    }
}

#[tokio::test]
async fn eviction_and_resizing_name_themselves() {
    let (rig, log) = logged(LocalConfig::new().max_entries(1));
    rig.cache.set("a", 1u32).await.unwrap();
    rig.cache.set("b", 2u32).await.unwrap();
    assert_eq!(take(&log), [event("a", 1, RemovalCause::Capacity)]);
    rig.backend.resize(2).unwrap();
    rig.cache.set("c", 3u32).await.unwrap();
    assert_eq!(take(&log), []);
    rig.backend.resize(1).unwrap();
    let left = take(&log);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].2, RemovalCause::Resized);
}

#[tokio::test]
async fn every_stored_entry_leaves_exactly_once() {
    let (rig, log) = logged(LocalConfig::new().max_entries(100));
    for i in 0..10_000u32 {
        rig.cache.set(format!("key:{}", i % 333), i).await.unwrap();
    }
    rig.cache.clear().await.unwrap();
    let mut values: Vec<u32> = take(&log).into_iter().map(|(_, value, _)| value).collect();
    values.sort_unstable();
    assert!(values.into_iter().eq(0..10_000));
}

#[tokio::test]
async fn a_listener_may_call_the_cache_that_calls_it() {
    let handle: Arc<OnceLock<Weak<LocalBackend<u32>>>> = Arc::default();
    let inner = Arc::clone(&handle);
    let config = LocalConfig::new()
        .max_entries(10)
        .shards(1)
        .on_removal(move |removal| {
            let cache = inner
                .get()
                .and_then(Weak::upgrade)
                .expect("the cache is there");
            let ReadNow::Answer(Ok(now)) = cache.read_now(removal.key) else {
                panic!("a read fails")
            };
            assert_ne!(
                now,
                Some(*removal.value),
                "the entry has left before the listener is told"
            );
            cache.sweep();
        });
    let rig = Rig::new(config);
    handle.set(Arc::downgrade(&rig.backend)).unwrap();
    for i in 0..100u32 {
        rig.cache.set(format!("key:{}", i % 30), i).await.unwrap();
    }
}

/// Writes from a listener, which runs within a call of the cache.
fn write_now(backend: &LocalBackend<u32>, key: &str, value: u32) {
    let write = backend.set(
        key,
        value,
        BackendWrite::new(Expiry::Never, Condition::Always),
    );
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(write).poll(&mut context).is_ready());
}

#[tokio::test]
async fn a_listener_may_write_into_the_cache_that_calls_it() {
    for (bound, shards) in [(100, 1), (2, 2), (1, 1), (1, 2)] {
        let handle: Arc<OnceLock<Weak<LocalBackend<u32>>>> = Arc::default();
        let inner = Arc::clone(&handle);
        let weigh = move |_: &str, value: &u32| (*value).min(bound);
        let config = LocalConfig::new()
            .max_weight(bound.into(), weigh)
            .shards(shards);
        let rig = Rig::new(config.on_removal(move |removal| {
            if !removal.key.starts_with("gone:") {
                let cache = inner
                    .get()
                    .and_then(Weak::upgrade)
                    .expect("the cache is there");
                write_now(&cache, &format!("gone:{}", removal.key), 1);
            }
        }));
        handle.set(Arc::downgrade(&rig.backend)).unwrap();
        for i in 0..100u32 {
            let weight = if i % 2 == 0 { bound } else { 1 };
            rig.cache.set(format!("key:{i}"), weight).await.unwrap();
            assert!(rig.weight() <= bound.into());
        }
    }
}

#[tokio::test]
async fn a_listener_that_panics_hears_of_the_rest_and_costs_no_room() {
    let log = Log::default();
    let sink = Arc::clone(&log);
    let weigh = |_: &str, value: &u32| *value;
    let config = LocalConfig::new().max_weight(100, weigh).shards(1);
    let rig: Rig<u32> = Rig::new(config.on_removal(move |removal| {
        sink.lock()
            .unwrap()
            .push(event(removal.key, *removal.value, removal.cause));
        assert_ne!(removal.key, "key:0");
    }));
    for i in 0..100 {
        rig.cache.set(format!("key:{i}"), 1u32).await.unwrap();
    }
    let cache = rig.cache.clone();
    let panicked = tokio::spawn(async move { cache.set("all", 60u32).await })
        .await
        .unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(take(&log).len(), 60, "every removal is told of");
    assert_eq!(rig.weight(), 100);
    rig.cache.set("whole", 100u32).await.unwrap();
    assert_eq!(rig.weight(), 100, "all of the room can be used again");
}

#[tokio::test]
async fn a_listener_that_panics_leaves_a_cache_that_works() {
    let config = LocalConfig::new().max_entries(1).shards(1);
    let rig: Rig<u32> = Rig::new(config.on_removal(|removal| assert_ne!(removal.key, "bomb")));
    rig.cache.set("bomb", 1u32).await.unwrap();
    let cache = rig.cache.clone();
    let panicked = tokio::spawn(async move { cache.set("key", 2u32).await })
        .await
        .unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(rig.cache.get("key").await.unwrap(), Some(2));
    assert_eq!(rig.cache.get("bomb").await.unwrap(), None);
    assert_eq!(rig.entries(), 1);
}

#[tokio::test]
async fn a_listener_that_panics_hears_of_the_value_that_the_same_write_replaced() {
    let log = Log::default();
    let sink = Arc::clone(&log);
    let weigh = |_: &str, value: &u32| *value;
    let config = LocalConfig::new().max_weight(3, weigh).shards(1);
    let rig: Rig<u32> = Rig::new(config.on_removal(move |removal| {
        sink.lock()
            .unwrap()
            .push(event(removal.key, *removal.value, removal.cause));
        assert_ne!(removal.key, "bomb");
    }));
    rig.cache.set("bomb", 2u32).await.unwrap();
    rig.cache.set("key", 1u32).await.unwrap();
    let cache = rig.cache.clone();
    let panicked = tokio::spawn(async move { cache.set("key", 3u32).await })
        .await
        .unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(
        take(&log),
        [
            event("bomb", 2, RemovalCause::Capacity),
            event("key", 1, RemovalCause::Replaced),
        ]
    );
    assert_eq!(rig.cache.get("key").await.unwrap(), Some(3));
}
