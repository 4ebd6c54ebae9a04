//! The contract over the synchronous store.

mod counting;
mod locking;
mod tagging;
mod transacting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    Abilities, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities, Condition,
    Cursor, Error, Expiry, Flights, Page, ReadNow, Result, Scope, SetNow,
};

use tokio::task::yield_now;

use crate::config::{CLEANUP_INTERVAL, Limits, LocalConfig};
use crate::locks::LockTable;
use crate::store::{Progress, Store};
use crate::sweeper::Sweeper;

/// The in-process backend: values as they are, in a sharded map.
///
/// A read takes the shared lock of one shard, touches no queue and never does maintenance.
/// Entries that expire, and those of which a tag is invalidated, are absent at once; they are freed
/// by writes to their shard, a few at a time, and by a background thread every
/// [`cleanup_interval`](LocalConfig::cleanup_interval). The process has one such thread, `cache-sweeper`, for all
/// caches: it starts with the first write of an entry that can expire or the first invalidation, and ends when
/// the last cache is dropped that it sweeps. It needs no runtime. [`sweep`](Self::sweep) frees by hand.
///
/// A value stands in the table itself, so values of many kilobytes want to be in a `Box` or an `Arc`.
///
/// A bounded cache never holds more than its bound, over all shards together; what leaves is
/// chosen by an adaptive S3-FIFO. User code (`Drop` of values, the weigher, the removal listener) runs under no lock,
/// `Clone` of values excepted: see [`clone_after_lock`](LocalConfig::clone_after_lock).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// use cache_core::Cache;
/// use cache_local::{LocalBackend, LocalConfig};
///
/// let cache: Cache<String> = Cache::new(LocalBackend::new(LocalConfig::new().max_entries(2))?);
/// cache.mset(vec![("a", "1"), ("b", "2"), ("c", "3")]).await?;
/// assert_eq!(cache.keys().await?.len(), 2);
/// # Ok(()) }
/// ```
pub struct LocalBackend<V> {
    store: Arc<Store<V>>,
    sweeper: Sweeper,
    locks: LockTable,
    flights: Flights,
}

impl<V> LocalBackend<V> {
    /// Creates a backend.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for a capacity or
    /// [`max_counters`](LocalConfig::max_counters) of zero, or a number of shards that is not a power of two from 1 to 1024.
    pub fn new(config: LocalConfig<V>) -> Result<Self> {
        let limits = config.checked_limits()?;
        Ok(Self::build(config, limits))
    }

    /// Creates a backend without a bound that frees expired entries at this interval; zero frees none in the
    /// background.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_local::LocalBackend;
    ///
    /// let backend: LocalBackend<String> = LocalBackend::unbounded(Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn unbounded(cleanup_interval: Duration) -> Self {
        let config = LocalConfig::new().cleanup_interval(cleanup_interval);
        let limits = config.limits();
        Self::build(config, limits)
    }

    fn build(config: LocalConfig<V>, limits: Limits) -> Self {
        let sweeper = Sweeper::new(config.cleanup_interval);
        let locks = LockTable::new(config.clock.clone());
        Self {
            store: Arc::new(Store::new(config, limits)),
            sweeper,
            locks,
            flights: Flights::default(),
        }
    }

    /// Frees the entries whose time is over or of which a tag was invalidated, and returns how many
    /// there were. Counters whose window has ended are freed too, and not counted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::{Cache, Clock};
    /// use cache_local::{LocalBackend, LocalConfig};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// let (clock, hand) = Clock::manual();
    /// let backend = Arc::new(LocalBackend::new(LocalConfig::new().clock(clock))?);
    /// let cache: Cache<String> = Cache::new(Arc::clone(&backend));
    /// cache.set_ex("session", "active", 5).await?;
    /// hand.advance(Duration::from_secs(6));
    /// assert_eq!(backend.sweep(), 1);
    /// # Ok(()) }
    /// ```
    pub fn sweep(&self) -> u64 {
        self.store.sweep()
    }

    /// Changes the bound that [`max_entries`](LocalConfig::max_entries) or
    /// [`max_weight`](LocalConfig::max_weight) set; what exceeds it is evicted before this
    /// returns.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for a capacity of zero.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::{Cache, CacheBackend};
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let backend = LocalBackend::new(LocalConfig::new().max_entries(100))?;
    /// let cache: Cache<u32, LocalBackend<u32>> = Cache::with_backend(backend);
    /// for i in 0..100u32 {
    ///     cache.set(i.to_string(), i).await?;
    /// }
    /// cache.backend().resize(10)?;
    /// assert_eq!(cache.stats().backend.entries, Some(10));
    /// # Ok(()) }
    /// ```
    pub fn resize(&self, capacity: u64) -> Result<()> {
        if capacity == 0 {
            return Err(Error::invalid("capacity", "is 0, the least is 1"));
        }
        self.store.resize(capacity);
        Ok(())
    }
}

impl<V: Send + Sync + 'static> LocalBackend<V> {
    fn before_write(&self, expiry: Expiry) {
        if expiry != Expiry::Never {
            self.sweeper.ensure(&self.store);
        }
    }
}

impl<V: Clone + Send + Sync + 'static> CacheBackend<V> for LocalBackend<V> {
    #[inline]
    fn read_now(&self, key: &str) -> ReadNow<V> {
        ReadNow::Answer(Ok(self.store.get(key)))
    }

    #[inline]
    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        match self.store.get_lasting(key, least) {
            Some(found) => ReadNow::Answer(Ok(found)),
            None => ReadNow::WouldWait,
        }
    }

    #[inline]
    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
        self.before_write(expiry);
        let options = BackendWrite::new(expiry, Condition::Always);
        SetNow::Done(self.store.set(key, value, options).map(drop))
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        Ok(self.store.get(key))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        Ok(self.store.get_entry(key))
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        self.before_write(options.expiry);
        self.store.set(key, value, options)
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        self.before_write(expiry);
        self.store.swap(key, value, expiry)
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        Ok(self.store.delete(key, &condition))
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        Ok(self.store.take(key))
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        self.before_write(expiry);
        Ok(self.store.get_ex(key, expiry))
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        Ok(self.store.expiry(key))
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.before_write(expiry);
        Ok(self.store.set_expiry(key, expiry))
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        Ok(keys.iter().map(|key| self.store.get(key)).collect())
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        Ok(keys.iter().map(|key| self.store.get_entry(key)).collect())
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        self.before_write(expiry);
        self.store.set_many(entries, expiry)
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        Ok(keys
            .iter()
            .map(|key| u64::from(self.store.delete(key, &Condition::Always)))
            .sum())
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        Ok(self.store.scan(scope, &cursor, limit))
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        let (mut progress, mut cleared) = (Progress::default(), 0);
        while let Some(some) = self.store.clear_some(scope, &mut progress) {
            cleared += some;
            if progress.is_long() {
                // Other tasks of this thread get their turn.
                yield_now().await;
            }
        }
        Ok(cleared)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_bounded(self.store.is_bounded())
    }

    fn stats(&self) -> BackendStats {
        self.store.stats()
    }

    fn abilities(&self) -> Abilities<'_, V> {
        Abilities::none()
            .with_tags(self)
            .with_transactions(self)
            .with_locks(self)
            .with_counters(self)
            .with_flights(&self.flights)
    }
}

impl<V> Default for LocalBackend<V> {
    /// Creates a backend without a bound that frees expired entries every 60 seconds.
    fn default() -> Self {
        Self::unbounded(CLEANUP_INTERVAL)
    }
}

impl<V> fmt::Debug for LocalBackend<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.store.stats();
        f.debug_struct("LocalBackend")
            .field("entries", &stats.entries)
            .field("weight", &stats.weight)
            .finish_non_exhaustive()
    }
}
