//! No user code runs under a lock, `Clone` of a value excepted: all else may call the cache.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};

use cache_core::{BackendWrite, Cache, CacheBackend, Condition, Expiry, ReadNow};
use cache_local::{LocalBackend, LocalConfig};

type Handle = Arc<OnceLock<Weak<LocalBackend<Nosy>>>>;

/// A value that calls the cache it is in whenever it is cloned or dropped.
struct Nosy(u32, Handle);

impl Nosy {
    fn look_around(&self) {
        let Some(cache) = self.1.get().and_then(Weak::upgrade) else {
            return;
        };
        let Some(tokio) = tokio::runtime::Handle::try_current().ok() else {
            return;
        };
        let _context = tokio.enter();
        // One shard only, so these calls need the very lock that must not be held.
        let ReadNow::Answer(Ok(_)) = cache.read_now("absent") else {
            panic!("a read fails")
        };
        assert!(cache.stats().entries.is_some());
    }
}

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.look_around();
        Self(self.0, Arc::clone(&self.1))
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look_around();
    }
}

#[tokio::test]
async fn values_that_are_cloned_after_the_lock_may_call_the_cache_then_and_when_they_are_dropped() {
    let handle = Handle::default();
    let config = LocalConfig::new().max_entries(2).shards(1);
    let config = config.clone_after_lock();
    let backend = Arc::new(LocalBackend::new(config).unwrap());
    handle.set(Arc::downgrade(&backend)).unwrap();
    let cache: Cache<Nosy, _> = Cache::with_backend(Arc::clone(&backend));
    for i in 0..10u32 {
        cache
            .set(format!("key:{}", i % 4), Nosy(i, Arc::clone(&handle)))
            .await
            .unwrap();
        assert_eq!(
            cache
                .get(format!("key:{}", i % 4))
                .await
                .unwrap()
                .map(|nosy| nosy.0),
            Some(i)
        );
    }
    cache
        .get_and_set("key:1", Nosy(11, Arc::clone(&handle)))
        .await
        .unwrap();
    cache.delete("key:1").await.unwrap();
    cache.clear().await.unwrap();
}

/// A value that panics when it is cloned.
struct Fragile;

impl Clone for Fragile {
    fn clone(&self) -> Self {
        panic!("this value cannot be cloned");
    }
}

#[tokio::test]
async fn a_value_whose_clone_panics_leaves_the_cache_as_it_was() {
    let config = LocalConfig::new().max_entries(2).shards(1);
    let backend = Arc::new(LocalBackend::new(config).unwrap());
    for _ in 0..3 {
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        assert!(backend.set("key", Fragile, options).await.unwrap());
        let read = || drop(backend.read_now("key"));
        assert!(catch_unwind(AssertUnwindSafe(read)).is_err());
        let taker = Arc::clone(&backend);
        let taken = tokio::spawn(async move { drop(taker.take("key").await) });
        assert!(taken.await.unwrap_err().is_panic());
        let stats = backend.stats();
        assert_eq!((stats.entries, stats.weight), (Some(1), Some(1)));
    }
    assert!(backend.delete("key", Condition::Always).await.unwrap());
    assert_eq!(backend.stats().entries, Some(0));
}

#[tokio::test]
async fn a_weigher_may_call_the_cache() {
    let handle: Arc<OnceLock<Weak<LocalBackend<u32>>>> = Arc::default();
    let inner = Arc::clone(&handle);
    let weigh = move |key: &str, _: &u32| {
        if let Some(cache) = inner.get().and_then(Weak::upgrade) {
            let ReadNow::Answer(Ok(_)) = cache.read_now(key) else {
                panic!("a read fails")
            };
        }
        1
    };
    let config = LocalConfig::new().max_weight(10, weigh).shards(1);
    let backend = Arc::new(LocalBackend::new(config).unwrap());
    handle.set(Arc::downgrade(&backend)).unwrap();
    let options = BackendWrite::new(Expiry::Never, Condition::Always);
    for i in 0..100 {
        assert!(
            backend
                .set(&format!("key:{i}"), i, options.clone())
                .await
                .unwrap()
        );
    }
}
