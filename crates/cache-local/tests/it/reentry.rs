//! No user code runs under a lock: all of it may call the cache.

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
async fn values_may_call_the_cache_when_they_are_cloned_and_dropped() {
    let handle = Handle::default();
    let config = LocalConfig::new().max_entries(2).shards(1);
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
