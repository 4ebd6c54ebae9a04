//! The caches under test behind one trait, each with the options its users would take.

use cache_core::Cache;
use cache_local::{LocalBackend, LocalConfig};
use dashmap::DashMap;

use crate::ready::ready;
use crate::workload::Key;

/// A cache of numbers under text.
///
/// Calls are resolved at compile time. Every `insert` starts from a borrowed key, so a cache that
/// stores `Box<str>` allocates it there, as its callers would.
pub trait Contender: Send + Sync + Sized + 'static {
    /// How tables call it.
    const NAME: &'static str;

    /// Creates a cache that is to hold so many entries.
    fn with_capacity(capacity: usize) -> Self;

    /// Returns the value of `key`.
    fn get(&self, key: &Key) -> Option<u64>;

    /// Writes a value.
    fn insert(&self, key: &Key, value: u64);

    /// Does the work that the cache has put off.
    fn settle(&self) {}

    /// Returns how many entries are held.
    fn resident(&self) -> u64;
}

/// Buildscale's local backend behind the static facade.
pub type Ours = Cache<u64, LocalBackend<u64>>;

impl Contender for Ours {
    const NAME: &'static str = "ours";

    fn with_capacity(capacity: usize) -> Self {
        let config = LocalConfig::new().max_entries(capacity as u64);
        Self::with_backend(LocalBackend::new(config).expect("the capacity is not zero"))
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        ready(Self::get(self, &**key)).expect("a local read never fails")
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
        ready(self.set(&**key, value)).expect("one entry always fits");
    }

    fn resident(&self) -> u64 {
        self.stats().backend.entries.unwrap_or_default()
    }
}

/// The cache of the crate `quick_cache`.
pub type Quick = quick_cache::sync::Cache<Box<str>, u64>;

impl Contender for Quick {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        Self::get(self, &**key)
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.len() as u64
    }
}

/// The cache of the crate `moka`, the synchronous flavour.
pub type Moka = moka::sync::Cache<Box<str>, u64>;

impl Contender for Moka {
    const NAME: &'static str = "moka";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity as u64)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        Self::get(self, &**key)
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
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
pub type Foyer = foyer_memory::Cache<Box<str>, u64>;

impl Contender for Foyer {
    const NAME: &'static str = "foyer";

    fn with_capacity(capacity: usize) -> Self {
        foyer_memory::CacheBuilder::new(capacity)
            .with_eviction_config(foyer_memory::S3FifoConfig::default())
            .build()
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        Self::get(self, &**key).map(|entry| *entry.value())
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.entries() as u64
    }
}

/// The cache of the crate `mini-moka`.
pub type MiniMoka = mini_moka::sync::Cache<Box<str>, u64>;

impl Contender for MiniMoka {
    const NAME: &'static str = "mini-moka";

    fn with_capacity(capacity: usize) -> Self {
        Self::new(capacity as u64)
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        Self::get(self, key.boxed())
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
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
pub type Map = DashMap<Box<str>, u64, foldhash::fast::RandomState>;

impl Contender for Map {
    const NAME: &'static str = "dashmap";

    fn with_capacity(_: usize) -> Self {
        Self::default()
    }

    #[inline]
    fn get(&self, key: &Key) -> Option<u64> {
        Self::get(self, &**key).map(|value| *value)
    }

    #[inline]
    fn insert(&self, key: &Key, value: u64) {
        Self::insert(self, (**key).into(), value);
    }

    fn resident(&self) -> u64 {
        self.len() as u64
    }
}
