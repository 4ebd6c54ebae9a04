//! The object-safe twin of the contract.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::forward::forward_contract;
use super::{CacheBackend, Capabilities, Cursor, Page, ReadNow, SetNow};
use crate::{
    Abilities, BackendEntry, BackendStats, BackendWrite, Condition, Expiry, Flights, Result, Scope,
    StoreId, Versioned,
};

/// A backend whose type is erased, so that users name `Cache<User>` and nothing else.
///
/// Cloning it is cheap and gives the same backend. Its `read_now` and `set_now` are one virtual call, so
/// a hit and a write in memory allocate nothing; the other methods box their future.
pub struct DynBackend<V> {
    backend: Arc<dyn Erased<V>>,
    /// The loads that caches over clones of this share, if the backend has none of its own.
    flights: Option<Flights>,
}

impl<V: Clone + Send + Sync + 'static> DynBackend<V> {
    /// Erases the type of a backend.
    pub fn new(backend: impl CacheBackend<V>) -> Self {
        let has_flights = backend.abilities().flights.is_some();
        Self {
            backend: Arc::new(backend),
            flights: (!has_flights).then(Flights::default),
        }
    }
}

impl<V> Clone for DynBackend<V> {
    fn clone(&self) -> Self {
        Self {
            backend: Arc::clone(&self.backend),
            flights: self.flights.clone(),
        }
    }
}

impl<V> fmt::Debug for DynBackend<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

#[async_trait]
trait Erased<V>: fmt::Debug + Send + Sync + 'static {
    fn read_now(&self, key: &str) -> ReadNow<V>;
    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V>;
    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V>;
    async fn get(&self, key: &str) -> Result<Option<V>>;
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>>;
    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool>;
    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>>;
    async fn delete(&self, key: &str, condition: Condition) -> Result<bool>;
    async fn get_versioned(&self, key: &str) -> Result<Versioned<V>>;
    async fn take(&self, key: &str) -> Result<Option<V>>;
    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>>;
    async fn expiry(&self, key: &str) -> Result<Option<Expiry>>;
    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool>;
    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>>;
    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>>;
    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()>;
    async fn delete_many(&self, keys: &[&str]) -> Result<u64>;
    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page>;
    async fn clear(&self, scope: &Scope) -> Result<u64>;
    fn capabilities(&self) -> Capabilities;
    fn stats(&self) -> BackendStats;
    fn store_id(&self) -> Option<StoreId>;
    fn abilities(&self) -> Abilities<'_, V>;
}

#[async_trait]
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Erased<V> for B {
    fn read_now(&self, key: &str) -> ReadNow<V> {
        CacheBackend::read_now(self, key)
    }

    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        CacheBackend::read_now_lasting(self, key, least)
    }

    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
        CacheBackend::set_now(self, key, value, expiry)
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        CacheBackend::get(self, key).await
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        CacheBackend::get_entry(self, key).await
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        CacheBackend::set(self, key, value, options).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        CacheBackend::swap(self, key, value, expiry).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        CacheBackend::delete(self, key, condition).await
    }

    async fn get_versioned(&self, key: &str) -> Result<Versioned<V>> {
        CacheBackend::get_versioned(self, key).await
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        CacheBackend::take(self, key).await
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        CacheBackend::get_ex(self, key, expiry).await
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        CacheBackend::expiry(self, key).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        CacheBackend::set_expiry(self, key, expiry).await
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        CacheBackend::get_many(self, keys).await
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        CacheBackend::get_entries(self, keys).await
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        CacheBackend::set_many(self, entries, expiry).await
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        CacheBackend::delete_many(self, keys).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        CacheBackend::scan(self, scope, cursor, limit).await
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        CacheBackend::clear(self, scope).await
    }

    fn capabilities(&self) -> Capabilities {
        CacheBackend::capabilities(self)
    }

    fn stats(&self) -> BackendStats {
        CacheBackend::stats(self)
    }

    fn store_id(&self) -> Option<StoreId> {
        CacheBackend::store_id(self)
    }

    fn abilities(&self) -> Abilities<'_, V> {
        CacheBackend::abilities(self)
    }
}

impl<V: Clone + Send + Sync + 'static> CacheBackend<V> for DynBackend<V> {
    forward_contract!(self => *self.backend);

    fn abilities(&self) -> Abilities<'_, V> {
        let abilities = self.backend.abilities();
        Abilities {
            flights: abilities.flights.or(self.flights.as_ref()),
            ..abilities
        }
    }
}
