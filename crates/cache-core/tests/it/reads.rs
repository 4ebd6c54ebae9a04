//! What a read costs an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cache_core::{Cache, Layer};
use cache_local::{LocalBackend, LocalConfig};

/// A value that counts its clones.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

/// Tells whether a key outlives many others after some reads.
async fn survives(reads: impl AsyncFn(&Cache<u32>)) -> bool {
    let config = LocalConfig::new().max_entries(100).shards(1);
    let cache: Cache<u32> = Cache::new(LocalBackend::new(config).unwrap());
    for number in 0..1_000 {
        if number == 500 {
            // There is no room any more, so it has to prove itself.
            cache.set("key", 1u32).await.unwrap();
            reads(&cache).await;
        }
        cache.set(format!("other:{number}"), 1u32).await.unwrap();
    }
    cache.exists("key").await.unwrap()
}

#[tokio::test]
async fn get_entry_clones_the_value_once_and_counts_one_hit() {
    let clones = Arc::default();
    let cache: Cache<Counted> = Cache::new(LocalBackend::default());
    let value = Counted(Arc::clone(&clones));
    cache.set("key", value).await.unwrap();
    let hit = cache.get_entry("key").await.unwrap().unwrap();
    assert_eq!(hit.layer, Layer::Memory);
    assert_eq!(clones.load(Ordering::SeqCst), 1);

    let get = async |cache: &Cache<u32>| {
        assert_eq!(cache.get("key").await.unwrap(), Some(1));
    };
    let get_entry = async |cache: &Cache<u32>| {
        assert_eq!(cache.get_entry("key").await.unwrap().unwrap().value, 1);
    };
    // Two hits keep an entry, and one does not.
    assert!(
        survives(async |cache| {
            get(cache).await;
            get(cache).await;
        })
        .await
    );
    assert!(!survives(get).await);
    assert!(!survives(get_entry).await);
    assert!(
        survives(async |cache| {
            get(cache).await;
            get_entry(cache).await;
        })
        .await
    );
}
