//! A program that changes data and does not cache.

use std::sync::Arc;

use cache_core::{Cache, EncodedBackend, ErrorKind, MsgPackCodec};
use cache_local::LocalBackend;
use cache_tiered::{Invalidator, MemoryBus, TieredBackend, TieredConfig};

use super::{BOUND, settle, some};

struct Program {
    cache: Cache<String>,
    invalidator: Invalidator<Arc<LocalBackend<bytes::Bytes>>>,
}

fn program() -> Program {
    let store: Arc<LocalBackend<bytes::Bytes>> = Arc::default();
    let bus = MemoryBus::new(BOUND);
    let l2 = EncodedBackend::new(Arc::clone(&store), MsgPackCodec::new());
    let config = TieredConfig::with_bus(bus.another());
    let tiered = TieredBackend::new(LocalBackend::default(), l2, config);
    Program {
        cache: Cache::new(tiered.expect("the options are right")),
        invalidator: Invalidator::new(store, bus),
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_deleted_and_every_cache_told() {
    let Program { cache, invalidator } = program();
    settle().await;
    for key in ["user:1", "@user"] {
        cache.set(key, "Alice").await.unwrap();
        assert_eq!(cache.get(key).await.unwrap(), some("Alice"));
        assert!(invalidator.invalidate(key).await.unwrap());
        settle().await;
        assert_eq!(cache.get(key).await.unwrap(), None);
        assert!(!invalidator.invalidate(key).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn namespaces_are_those_of_the_cache() {
    let Program { cache, invalidator } = program();
    settle().await;
    let users = cache.namespace("users").unwrap().namespace("v2").unwrap();
    users.set("1", "Alice").await.unwrap();
    users.set("2", "Bob").await.unwrap();
    cache.set("1", "stays").await.unwrap();
    users.get("1").await.unwrap();
    let invalidator = invalidator.namespace("users").unwrap().namespace("v2");
    let invalidator = invalidator.unwrap();
    assert_eq!(invalidator.invalidate_many(&["1", "3"]).await.unwrap(), 1);
    settle().await;
    assert_eq!(users.get("1").await.unwrap(), None);
    assert_eq!(users.get("2").await.unwrap(), some("Bob"));
    assert_eq!(invalidator.clear().await.unwrap(), 1);
    settle().await;
    assert_eq!(users.get("2").await.unwrap(), None);
    assert_eq!(cache.get("1").await.unwrap(), some("stays"));
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused() {
    let Program { invalidator, .. } = program();
    let is_invalid = |kind: &ErrorKind| matches!(kind, ErrorKind::InvalidInput { .. });
    let error = invalidator.invalidate("").await.unwrap_err();
    assert!(is_invalid(error.kind()));
    assert!(error.to_string().contains("key is empty"));
    let error = invalidator
        .invalidate("k".repeat(70_000))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the most is 65536"));
    assert!(is_invalid(invalidator.namespace("a*").unwrap_err().kind()));
}
