//! Counters: what the facade counts itself and what backends report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use thread_local::ThreadLocal;

use crate::LoadStats;

/// What a cache has done so far, as one snapshot.
///
/// Counts start at zero when the cache is built and are shared by its clones and namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads that found a value; of a bulk read, each key counts.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values written.
    pub sets: u64,
    /// Entries deleted by `delete`, `mdelete`, `clear` and `expire` with nothing left.
    pub deletes: u64,
    /// What loads count.
    pub loads: LoadStats,
    /// What the backend counts.
    pub backend: BackendStats,
}

impl CacheStats {
    /// Returns the hits of the first and of the second tier, or `None` for a backend of one tier.
    ///
    /// ```
    /// assert_eq!(cache_core::CacheStats::default().hits_by_tier(), None);
    /// ```
    #[must_use]
    pub fn hits_by_tier(&self) -> Option<(u64, u64)> {
        let l2 = self.backend.tiers?.l2_hits;
        Some((self.hits.saturating_sub(l2), l2))
    }

    /// Returns hits per read between 0 and 1, or `None` before the first read.
    ///
    /// ```
    /// let stats = cache_core::CacheStats::default();
    /// assert_eq!(stats.hit_rate(), None);
    /// ```
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate needs no more than 52 bits"
    )]
    pub fn hit_rate(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        (reads > 0).then(|| self.hits as f64 / reads as f64)
    }
}

/// What a backend counts. A field it cannot know is `None` or zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BackendStats {
    /// Entries held now, expired ones that are not freed yet and writes under way included.
    pub entries: Option<u64>,
    /// Their weight; with no weigher, the same as `entries`.
    pub weight: Option<u64>,
    /// Live entries removed because the cache was full.
    pub evicted_for_capacity: u64,
    /// Live entries removed because the capacity was lowered.
    pub evicted_by_resize: u64,
    /// Expired entries freed.
    pub expired: u64,
    /// Writes refused because the value can never fit.
    pub refused: u64,
    /// Stored values that could not be read (foreign, corrupt, of another schema): misses.
    pub unreadable: u64,
    /// Writes of values that do not come back as they were, of those that were
    /// [verified](crate::EncodedBackend#values-that-do-not-come-back).
    pub lossy_writes: u64,
    /// What the tiers of a backend of two tiers count.
    pub tiers: Option<TierStats>,
    /// What has gone over the wire to a remote store, that of a second tier included.
    pub wire: Option<WireStats>,
}

/// What has gone over the wire to a remote store.
///
/// Counts start at zero when the store is connected; stores that share its connections share the
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WireStats {
    /// Operations that were sent; a bulk operation counts once.
    pub operations: u64,
    /// Bytes of the keys and values that were sent.
    pub bytes_sent: u64,
    /// Bytes of the values that were received.
    pub bytes_received: u64,
    /// Operations that ended without an answer in time.
    pub timeouts: u64,
    /// Operations that failed because a server could not be reached.
    pub unavailable: u64,
    /// Operations that a server refused for lack of credentials or permissions.
    pub unauthorized: u64,
    /// Operations that failed for another reason.
    pub other_errors: u64,
    /// Reads that were sent again because the connection broke.
    pub retries: u64,
    /// Commands that did several operations together.
    pub batches: u64,
    /// Operations that such commands did.
    pub joined: u64,
    /// Connections that were opened anew after the first.
    pub reconnects: u64,
}

/// What a backend of two tiers counts: the first in memory, the second shared.
///
/// Hits of the facade that are not [`l2_hits`](Self::l2_hits) are hits of the first tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TierStats {
    /// Reads that the second tier answered with a value.
    pub l2_hits: u64,
    /// Reads that the second tier answered with nothing.
    pub l2_misses: u64,
    /// Reads that went past the first tier because the bus had not been heard of in time.
    pub bypassed: u64,
    /// Reads that shared a read of the second tier that was under way.
    pub joined: u64,
    /// Values of the second tier that were put in the first.
    pub promotions: u64,
    /// Values of the second tier that were not, because they may have changed since they were read.
    pub dropped_fills: u64,
    /// Reads that the first tier answered because the second had failed.
    pub served_on_error: u64,
    /// Keys and scopes that the bus said have changed.
    pub messages: u64,
    /// How often everything in the first tier was declared invalid.
    pub flushes: u64,
    /// Writes that were kept in the first tier alone.
    pub local_only_writes: u64,
    /// Writes of which it is unknown whether they reached the second tier.
    pub unknown_writes: u64,
    /// Keys of which a delete or a message has failed and is tried again.
    pub recovery_pending: u64,
    /// Keys of which a delete or a message has succeeded later.
    pub recovered: u64,
    /// Keys of which a delete or a message was given up for want of room.
    pub recovery_dropped: u64,
    /// Whether the first tier may serve.
    pub permit: Permit,
    /// How long ago the bus was last known to have told everything; `None` before the first time
    /// and without a bus.
    pub behind: Option<Duration>,
    /// Entries that the first tier holds, invalid ones included.
    pub l1_entries: Option<u64>,
    /// Their weight.
    pub l1_weight: Option<u64>,
    /// Entries removed from the first tier because it was full.
    pub l1_evicted: u64,
}

/// Whether the first tier of two may serve what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Permit {
    /// It may not: the bus has not been heard of for longer than the bound.
    #[default]
    Lapsed,
    /// It may: the bus is heard of.
    Held,
    /// It may without a bus: nothing in it is older than the bound.
    Unneeded,
}

/// The facade's counters: one stripe per thread, which that thread alone writes, so that a
/// count is a plain load and store and no cache line moves between cores.
#[derive(Debug, Default)]
pub(crate) struct Counters(ThreadLocal<CachePadded<Stripe>>);

#[derive(Debug, Default)]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
    deletes: AtomicU64,
}

/// Adds without a read-modify-write: only the owning thread writes its stripe.
#[inline]
fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl Counters {
    #[inline]
    pub(crate) fn read(&self, found: bool) {
        let stripe = self.0.get_or_default();
        bump(if found { &stripe.hits } else { &stripe.misses }, 1);
    }

    pub(crate) fn reads(&self, hits: u64, misses: u64) {
        let stripe = self.0.get_or_default();
        bump(&stripe.hits, hits);
        bump(&stripe.misses, misses);
    }

    pub(crate) fn sets(&self, by: u64) {
        bump(&self.0.get_or_default().sets, by);
    }

    pub(crate) fn deletes(&self, by: u64) {
        bump(&self.0.get_or_default().deletes, by);
    }

    pub(crate) fn snapshot(&self, backend: BackendStats) -> CacheStats {
        let mut stats = CacheStats {
            backend,
            ..CacheStats::default()
        };
        for stripe in &self.0 {
            stats.hits += stripe.hits.load(Ordering::Relaxed);
            stats.misses += stripe.misses.load(Ordering::Relaxed);
            stats.sets += stripe.sets.load(Ordering::Relaxed);
            stats.deletes += stripe.deletes.load(Ordering::Relaxed);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::{BackendStats, Counters};

    #[test]
    fn counts_of_many_threads_that_come_and_go_add_up() {
        let counters = Counters::default();
        for _ in 0..8 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..10_000).for_each(|i| counters.read(i % 4 == 0)));
                }
            });
        }
        let stats = counters.snapshot(BackendStats::default());
        assert_eq!((stats.hits, stats.misses), (80_000, 240_000));
        assert_eq!(stats.hit_rate(), Some(0.25));
    }
}
