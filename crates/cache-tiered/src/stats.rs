//! What the two tiers count.

use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::TierStats;

/// Counters of what is not a hit in the first tier: those are counted by the facade.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) l2_hits: Count,
    pub(crate) l2_misses: Count,
    pub(crate) bypassed: Count,
    pub(crate) joined: Count,
    pub(crate) promotions: Count,
    pub(crate) dropped_fills: Count,
    pub(crate) served_on_error: Count,
    pub(crate) messages: Count,
    pub(crate) flushes: Count,
    pub(crate) local_only_writes: Count,
    pub(crate) unknown_writes: Count,
    pub(crate) recovered: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn snapshot(&self) -> TierStats {
        let mut stats = TierStats::default();
        stats.l2_hits = self.l2_hits.get();
        stats.l2_misses = self.l2_misses.get();
        stats.bypassed = self.bypassed.get();
        stats.joined = self.joined.get();
        stats.promotions = self.promotions.get();
        stats.dropped_fills = self.dropped_fills.get();
        stats.served_on_error = self.served_on_error.get();
        stats.messages = self.messages.get();
        stats.flushes = self.flushes.get();
        stats.local_only_writes = self.local_only_writes.get();
        stats.unknown_writes = self.unknown_writes.get();
        stats.recovered = self.recovered.get();
        stats
    }
}
