//! The caches under test behind one trait, each with the options its users would take.

use std::sync::Arc;

use cache_core::Cache;
use cache_local::{LocalBackend, LocalConfig};
use dashmap::DashMap;

use crate::ready::ready;
use crate::workload::Key;

/// A value that caches are compared with.
pub trait Value: Clone + Send + Sync + 'static {
    /// How tables call it.
    const NAME: &'static str;

    /// Makes the value of a number anew, as callers have to before they insert one.
    fn of(number: u32) -> Self;
}

/// The text of the values that are text: as long as a small JSON document, or a session.
const TEXT: &str = "a value of sixty-four bytes, as long as a session or a name card";

impl Value for u64 {
    const NAME: &'static str = "u64";

    fn of(number: u32) -> Self {
        number.into()
    }
}

impl Value for Arc<str> {
    const NAME: &'static str = "Arc<str>";

    fn of(_: u32) -> Self {
        TEXT.into()
    }
}

impl Value for String {
    const NAME: &'static str = "String";

    fn of(_: u32) -> Self {
        TEXT.into()
    }
}

/// A cache of values under text.
///
/// Calls are resolved at compile time. Every `insert` starts from a borrowed key, so a cache that
/// stores `Box<str>` allocates it there, as its callers would.
pub trait Contender<V>: Send + Sync + Sized + 'static {
    /// How tables call it.
    const NAME: &'static str;

    /// Creates a cache that is to hold so many entries.
    fn with_capacity(capacity: usize) -> Self;

    /// Returns the value of `key`.
    fn get(&self, key: &Key) -> Option<V>;

    /// Writes a value.
    fn insert(&self, key: &Key, value: V);

    /// Does the work that the cache has put off.
    fn settle(&self) {}

    /// Returns how many entries are held.
    fn resident(&self) -> u64;
}

/// Buildscale's local backend behind the static facade.
pub type Ours<V> = Cache<V, LocalBackend<V>>;

impl<V: Value> Contender<V> for Ours<V> {
    const NAME: &'static str = "ours";

    fn with_capacity(capacity: usize) -> Self {
        let config = LocalConfig::new().max_entries(capacity as u64);
        Self::with_backend(LocalBackend::new(config).expect("the capacity is not zero"))
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        ready(Self::get(self, &**key)).expect("a local read never fails")
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        ready(self.set(&**key, value)).expect("one entry always fits");
    }

    fn resident(&self) -> u64 {
        self.stats().backend.entries.unwrap_or_default()
    }
}

/// The cache of the crate `quick_cache`.
pub type Quick<V> = quick_cache::sync::Cache<Box<str>, V>;

impl<V: Value> Contender<V> for Quick<V> {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        Self::get(self, &**key)
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.len() as u64
    }
}

/// The cache of the crate `moka`, the synchronous flavour.
pub type Moka<V> = moka::sync::Cache<Box<str>, V>;

impl<V: Value> Contender<V> for Moka<V> {
    const NAME: &'static str = "moka";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity as u64)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        Self::get(self, &**key)
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        Self::insert(self, (**key).into(), value);
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }

    fn resident(&self) -> u64 {
        // Its own count lags behind its map.
        self.iter().count() as u64
    }
}

/// The memory cache of the crate `foyer` with S3-FIFO: of its policies one of those whose hits share a lock.
pub type Foyer<V> = foyer_memory::Cache<Box<str>, V>;

impl<V: Value> Contender<V> for Foyer<V> {
    const NAME: &'static str = "foyer";

    fn with_capacity(capacity: usize) -> Self {
        foyer_memory::CacheBuilder::new(capacity)
            .with_eviction_config(foyer_memory::S3FifoConfig::default())
            .build()
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        Self::get(self, &**key).map(|entry| entry.value().clone())
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.entries() as u64
    }
}

/// The cache of the crate `mini-moka`.
pub type MiniMoka<V> = mini_moka::sync::Cache<Box<str>, V>;

impl<V: Value> Contender<V> for MiniMoka<V> {
    const NAME: &'static str = "mini-moka";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity as u64)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        Self::get(self, key.boxed())
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        Self::insert(self, (**key).into(), value);
    }

    fn settle(&self) {
        mini_moka::sync::ConcurrentCacheExt::sync(self);
    }

    fn resident(&self) -> u64 {
        self.iter().count() as u64
    }
}

/// DashMap by itself, which evicts nothing, with the hasher that ours has.
pub type Map<V> = DashMap<Box<str>, V, foldhash::fast::RandomState>;

impl<V: Value> Contender<V> for Map<V> {
    const NAME: &'static str = "dashmap";

    fn with_capacity(_: usize) -> Self {
        Self::default()
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<V> {
        Self::get(self, &**key).map(|value| value.clone())
    }

    #[inline]
    fn insert(&self, key: &Key, value: V) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.len() as u64
    }
}
