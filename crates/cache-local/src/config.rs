//! What a local cache can be told.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use cache_core::{Clock, Error, Result};

use crate::budget::UNBOUNDED;
use crate::removal::{Listener, Removal};

/// Entries that a shard should have at least: with fewer, the eviction policy sees too little.
const ENTRIES_PER_SHARD: u64 = 128;
/// Entries that a shard should have at the most: while its table grows, nobody reads the shard.
const MOST_ENTRIES_PER_SHARD: u64 = 1 << 16;
const LEAST_SHARDS: usize = 1;
const MOST_SHARDS: usize = 1024;
/// Counters that a cache holds at the most unless it is told otherwise.
pub(crate) const MAX_COUNTERS: u64 = 1_000_000;
/// How often expired entries are freed unless it is said otherwise.
pub(crate) const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) type Weigher<V> = dyn Fn(&str, &V) -> u32 + Send + Sync;

/// The options of a [`LocalBackend`](crate::LocalBackend).
///
/// Without [`max_entries`](Self::max_entries) or [`max_weight`](Self::max_weight) the cache grows without a bound.
///
/// ```
/// use cache_local::{LocalBackend, LocalConfig};
///
/// let config = LocalConfig::new().max_entries(10_000);
/// let backend: LocalBackend<String> = LocalBackend::new(config)?;
/// # Ok::<(), cache_core::Error>(())
/// ```
#[must_use]
pub struct LocalConfig<V> {
    capacity: Option<Capacity>,
    shards: Option<usize>,
    pub(crate) max_counters: u64,
    pub(crate) clones_after: bool,
    pub(crate) cleanup_interval: Option<Duration>,
    pub(crate) clock: Clock,
    pub(crate) weigher: Option<Arc<Weigher<V>>>,
    pub(crate) listener: Option<Arc<Listener<V>>>,
}

/// A bound and the option that set it.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    limit: u64,
    option: &'static str,
}

/// The size of a cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) capacity: u64,
    pub(crate) shards: usize,
}

impl<V> LocalConfig<V> {
    /// No bound, cleanup every 60 seconds.
    pub fn new() -> Self {
        Self {
            capacity: None,
            shards: None,
            max_counters: MAX_COUNTERS,
            clones_after: false,
            cleanup_interval: Some(CLEANUP_INTERVAL),
            clock: Clock::system(),
            weigher: None,
            listener: None,
        }
    }

    /// Holds at most so many entries, never more. Replaces [`max_weight`](Self::max_weight).
    pub fn max_entries(mut self, limit: u64) -> Self {
        self.capacity = Some(Capacity {
            limit,
            option: "max_entries",
        });
        self.weigher = None;
        self
    }

    /// Holds at most so much weight, as `weigher` measures it, never more. Replaces
    /// [`max_entries`](Self::max_entries).
    ///
    /// The weigher sees each value once, before it is stored, outside of every lock. An entry
    /// that weighs more than the limit is refused with
    /// [`TooLarge`](cache_core::ErrorKind::TooLarge); one that weighs 0 takes no room, and
    /// may be evicted all the same.
    ///
    /// ```
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let weigh = |key: &str, value: &String| {
    ///     u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX)
    /// };
    /// let config = LocalConfig::new().max_weight(64 << 20, weigh);
    /// let backend: LocalBackend<String> = LocalBackend::new(config)?;
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    pub fn max_weight(
        mut self,
        limit: u64,
        weigher: impl Fn(&str, &V) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.capacity = Some(Capacity {
            limit,
            option: "max_weight",
        });
        self.weigher = Some(Arc::new(weigher));
        self
    }

    /// Sets how often the background thread of the process frees the expired and invalidated entries of this cache;
    /// zero: never. Less than a millisecond is taken as one.
    pub const fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.cleanup_interval = if interval.is_zero() {
            None
        } else {
            Some(interval)
        };
        self
    }

    /// Calls `listener` once for every entry that leaves the cache, with the reason.
    ///
    /// It runs on the thread whose call removed the entry, after that call has released every
    /// lock: it may call the cache, and it should be quick. Expired and invalidated entries are mostly removed by the
    /// background thread, which belongs to no runtime and sweeps the other caches of the process too. Events of one
    /// key may arrive out of order when threads race for it.
    ///
    /// ```
    /// use cache_local::{LocalBackend, LocalConfig, RemovalCause};
    ///
    /// let config = LocalConfig::new().max_entries(1_000).on_removal(|removal| {
    ///     if removal.cause == RemovalCause::Capacity {
    ///         println!("evicted {}", removal.key);
    ///     }
    /// });
    /// let backend: LocalBackend<String> = LocalBackend::new(config)?;
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    pub fn on_removal(mut self, listener: impl Fn(Removal<'_, V>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Reads the time from `clock` instead of the system, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the number of shards: a power of two from 1 to 1024.
    ///
    /// The default is four for each core, or fewer in a small cache, or as many as 65,536 entries each need.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Clones values after the lock of their shard instead of under it.
    ///
    /// A read returns a clone of the value. Cloning it under the lock that found it is the fastest where that takes
    /// no longer than the lookup, as it does for plain data, for an `Arc`, and for text of some hundred bytes; a write
    /// to the same shard waits for it. Set this for values whose clone is slow (a `Vec` of many kilobytes), and for
    /// those whose `Clone` calls the cache itself, which under the lock would wait for ever. Each read then takes and
    /// gives back a share of the entry, which costs two atomic counts, and each entry has an allocation of its own
    /// besides its row. Or keep such values in an `Arc`.
    ///
    /// ```
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let config = LocalConfig::new().max_entries(1_000).clone_after_lock();
    /// let backend: LocalBackend<Vec<u8>> = LocalBackend::new(config)?;
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    pub const fn clone_after_lock(mut self) -> Self {
        self.clones_after = true;
        self
    }

    /// Holds at most so many [counters](cache_core::Cache::counters): 1,000,000 unless it is set.
    ///
    /// One more pushes out the one whose window ends first; those whose window has ended have long gone.
    /// Counters without an end are never pushed out: if there are no others, an `add` to a new one fails as
    /// [`Full`](cache_core::ErrorKind::Full). They are no entries and have no part in the other bounds.
    ///
    /// ```
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let config = LocalConfig::new().max_entries(1_000).max_counters(50_000);
    /// let backend: LocalBackend<String> = LocalBackend::new(config)?;
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    pub const fn max_counters(mut self, limit: u64) -> Self {
        self.max_counters = limit;
        self
    }

    /// Checks the bounds and the number of shards.
    pub(crate) fn checked_limits(&self) -> Result<Limits> {
        let allowed = LEAST_SHARDS..=MOST_SHARDS;
        if self.max_counters == 0 {
            return Err(Error::invalid("max_counters", "is 0, the least is 1"));
        }
        match (self.capacity, self.shards) {
            (Some(Capacity { limit: 0, option }), _) => {
                Err(Error::invalid(option, "is 0, the least is 1"))
            }
            (_, Some(count)) if !count.is_power_of_two() || !allowed.contains(&count) => {
                let problem = format!(
                    "is {count}, allowed are powers of two from {LEAST_SHARDS} to {MOST_SHARDS}"
                );
                Err(Error::invalid("shards", problem))
            }
            _ => Ok(self.limits()),
        }
    }

    /// Returns the bound and the number of shards, which the caller knows to be right.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            capacity: self.capacity.map_or(UNBOUNDED, |capacity| capacity.limit),
            shards: self.shards.unwrap_or_else(|| self.usual_shards()),
        }
    }

    fn usual_shards(&self) -> usize {
        let cores = available_parallelism().map_or(1, usize::from);
        let wanted = (4 * cores)
            .next_power_of_two()
            .clamp(LEAST_SHARDS, MOST_SHARDS);
        let Some(Capacity { limit, .. }) = self.capacity else {
            return wanted;
        };
        // The next lower power of two.
        let with = |entries: u64| 1 << (limit / entries).clamp(1, MOST_SHARDS as u64).ilog2();
        let wanted = match self.weigher {
            None => wanted.max(with(MOST_ENTRIES_PER_SHARD)),
            // How many entries there will be is not known.
            Some(_) => wanted,
        };
        wanted.min(with(ENTRIES_PER_SHARD))
    }
}

impl<V> Default for LocalConfig<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> fmt::Debug for LocalConfig<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalConfig")
            .field("capacity", &self.capacity)
            .field("shards", &self.shards)
            .field("max_counters", &self.max_counters)
            .field("clone_after_lock", &self.clones_after)
            .field("cleanup_interval", &self.cleanup_interval)
            .field("weigher", &self.weigher.is_some())
            .field("listener", &self.listener.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, LocalConfig};

    fn shards(config: &LocalConfig<u8>) -> usize {
        let Limits { shards, .. } = config.limits();
        shards
    }

    #[test]
    fn a_shard_has_enough_entries_to_choose_from_and_not_too_many_to_grow() {
        let with = |entries: u64| shards(&LocalConfig::new().max_entries(entries));
        assert_eq!([1, 100, 256].map(with), [1, 1, 2]);
        assert_eq!(
            [1 << 24, 100_000_000, u64::MAX].map(with),
            [256, 1024, 1024]
        );
        let by_weight = |weight| shards(&LocalConfig::new().max_weight(weight, |_, _| 1));
        assert_eq!(by_weight(u64::MAX), shards(&LocalConfig::new()));
    }
}
