//! The least that a backend has to be: five methods, and nothing of its own beyond them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use cache_conformance::{Fixture, TestValue};
use cache_core::{
    BackendEntry, BackendWrite, CacheBackend, Condition, Cursor, EncodedBackend, Expiry,
    MsgPackCodec, Page, Result, Scope,
};

use crate::reference::ReferenceFixture;
use crate::reference::backend::Reference;

/// Builds backends with the five required methods of the reference.
pub(crate) struct Minimal(pub(crate) ReferenceFixture<String>);

pub(crate) struct FiveMethods<V>(Reference<V>);

impl<V: TestValue> CacheBackend<V> for FiveMethods<V> {
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        self.0.get_entry(key).await
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
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

impl<V> fmt::Debug for FiveMethods<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FiveMethods").field(&self.0).finish()
    }
}

impl Fixture for Minimal {
    type Value = String;
    type Backend = FiveMethods<String>;

    async fn fresh(&self) -> Self::Backend {
        FiveMethods(self.0.fresh().await)
    }

    async fn oversized(&self) -> Option<(Self::Backend, String)> {
        let (backend, value) = self.0.oversized().await?;
        Some((FiveMethods(backend), value))
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.granularity()
    }
}

/// Builds stores of bytes of that kind, behind what gives them types, counters and locks.
pub(crate) struct MinimalStore(pub(crate) ReferenceFixture<Bytes>);

impl Fixture for MinimalStore {
    type Value = String;
    type Backend = EncodedBackend<FiveMethods<Bytes>, MsgPackCodec>;

    async fn fresh(&self) -> Self::Backend {
        EncodedBackend::new(FiveMethods(self.0.fresh().await), MsgPackCodec::new())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.granularity()
    }
}
