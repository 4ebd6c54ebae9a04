//! Locks that entries of a store of bytes stand for.
#![cfg(feature = "json")]

use std::time::Duration;

use bytes::Bytes;
use cache_conformance::{Fault, FaultyBackend};
use cache_core::{
    Acquired, BackendEntry, BackendWrite, CacheBackend, Condition, Cursor, EncodedBackend, Expiry,
    JsonCodec, Page, Result, Scope,
};
use cache_local::LocalBackend;
use futures_util::future::join;

const TTL: Duration = Duration::from_secs(60);

/// A store that has no locks of its own, and lets other tasks go before and after each call.
#[derive(Debug)]
struct Lockless(FaultyBackend<LocalBackend<Bytes>>);

impl CacheBackend<Bytes> for Lockless {
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<Bytes>>> {
        self.0.get_entry(key).await
    }

    async fn set(&self, key: &str, value: Bytes, options: BackendWrite) -> Result<bool> {
        self.0.set(key, value, options).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.0.delete(key, condition).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.0.set_expiry(key, expiry).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.0.scan(scope, cursor, limit).await
    }
}

#[tokio::test]
async fn a_lock_that_its_holder_extends_and_gives_up_at_the_same_moment_is_given_up() {
    let store = FaultyBackend::new(LocalBackend::default());
    store.every(1, Fault::Yield);
    let backend = EncodedBackend::new(Lockless(store), JsonCodec::new());
    let locks = CacheBackend::<u64>::abilities(&backend).locks.unwrap();
    let Acquired::Granted(token) = locks.acquire("job", TTL).await.unwrap() else {
        panic!("the lock is free");
    };
    let (one, two) = join(
        locks.extend("job", token, TTL),
        locks.extend("job", token, TTL),
    )
    .await;
    assert_eq!((one.unwrap(), two.unwrap()), (true, true));
    let (_, released) = join(locks.extend("job", token, TTL), locks.release("job", token)).await;
    assert!(released.unwrap());
    let next = locks.acquire("job", TTL).await.unwrap();
    assert!(matches!(next, Acquired::Granted(_)));
}
