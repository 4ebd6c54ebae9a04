//! Backends behind an `Arc`, and the bodies of an impl that only forwards.

use std::sync::Arc;
use std::time::Duration;

use super::{CacheBackend, Capabilities, Cursor, Page, ReadNow, SetNow};
use crate::{
    Abilities, BackendEntry, BackendStats, BackendWrite, Condition, Expiry, Result, Scope, StoreId,
    Versioned,
};

/// The methods of a [`CacheBackend<V>`] that hands every call to another place.
macro_rules! forward_contract {
    ($this:ident => $target:expr) => {
        #[inline]
        fn read_now(&$this, key: &str) -> ReadNow<V> {
            $target.read_now(key)
        }

        #[inline]
        fn read_now_lasting(&$this, key: &str, least: Duration) -> ReadNow<V> {
            $target.read_now_lasting(key, least)
        }

        #[inline]
        fn set_now(&$this, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
            $target.set_now(key, value, expiry)
        }

        async fn get(&$this, key: &str) -> Result<Option<V>> {
            $target.get(key).await
        }

        async fn get_entry(&$this, key: &str) -> Result<Option<BackendEntry<V>>> {
            $target.get_entry(key).await
        }

        async fn set(&$this, key: &str, value: V, options: BackendWrite) -> Result<bool> {
            $target.set(key, value, options).await
        }

        async fn swap(&$this, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
            $target.swap(key, value, expiry).await
        }

        async fn delete(&$this, key: &str, condition: Condition) -> Result<bool> {
            $target.delete(key, condition).await
        }

        async fn get_versioned(&$this, key: &str) -> Result<Versioned<V>> {
            $target.get_versioned(key).await
        }

        async fn take(&$this, key: &str) -> Result<Option<V>> {
            $target.take(key).await
        }

        async fn get_ex(&$this, key: &str, expiry: Expiry) -> Result<Option<V>> {
            $target.get_ex(key, expiry).await
        }

        async fn expiry(&$this, key: &str) -> Result<Option<Expiry>> {
            $target.expiry(key).await
        }

        async fn set_expiry(&$this, key: &str, expiry: Expiry) -> Result<bool> {
            $target.set_expiry(key, expiry).await
        }

        async fn get_many(&$this, keys: &[&str]) -> Result<Vec<Option<V>>> {
            $target.get_many(keys).await
        }

        async fn get_entries(&$this, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
            $target.get_entries(keys).await
        }

        async fn set_many(&$this, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
            $target.set_many(entries, expiry).await
        }

        async fn delete_many(&$this, keys: &[&str]) -> Result<u64> {
            $target.delete_many(keys).await
        }

        async fn scan(&$this, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
            $target.scan(scope, cursor, limit).await
        }

        async fn clear(&$this, scope: &Scope) -> Result<u64> {
            $target.clear(scope).await
        }

        fn capabilities(&$this) -> Capabilities {
            $target.capabilities()
        }

        fn stats(&$this) -> BackendStats {
            $target.stats()
        }

        fn store_id(&$this) -> Option<StoreId> {
            $target.store_id()
        }
    };
}
pub(super) use forward_contract;

/// Lets a backend be shared: the handle that is kept can sweep, resize or ping it.
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> CacheBackend<V> for Arc<B> {
    forward_contract!(self => **self);

    fn abilities(&self) -> Abilities<'_, V> {
        (**self).abilities()
    }
}
