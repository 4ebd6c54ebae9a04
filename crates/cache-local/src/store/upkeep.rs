//! Upkeep: what is absent is freed, and what exceeds a lower bound is evicted.

use super::{SLOTS_PER_HOLD, Store};
use crate::sync::yield_now;

/// Entries that a sweep or a resize removes while it holds the locks of a shard.
const FREED_PER_HOLD: usize = 64;

impl<V> Store<V> {
    /// Returns how many parts a sweep has: the shards of the entries and those of the counters.
    pub(crate) fn parts(&self) -> usize {
        self.shards.len() + self.counters.shards()
    }

    /// Frees some of what is absent in one part; returns how many entries, and whether there may be more.
    pub(crate) fn sweep_part(&self, part: usize, invalidations: u64) -> (u64, bool) {
        match part.checked_sub(self.shards.len()) {
            None => self.sweep_some(part, invalidations),
            Some(shard) => (0, self.counters.sweep_some(shard, &self.clock)),
        }
    }

    /// Frees the entries and counters that are absent, and returns how many entries there were.
    ///
    /// The shards take turns: one that is locked again and again leaves its readers no gap.
    pub(crate) fn sweep(&self) -> u64 {
        let (mut freed, invalidations) = (0, self.tags.now());
        let mut busy: Vec<usize> = (0..self.parts()).collect();
        while !busy.is_empty() {
            busy.retain(|part| {
                let (some, more) = self.sweep_part(*part, invalidations);
                freed += some;
                more
            });
        }
        freed
    }

    /// Frees absent entries of a shard for one lock hold: expired ones, and those that the first so
    /// many invalidations of tags concern; returns how many, and whether there may be more.
    fn sweep_some(&self, shard: usize, invalidations: u64) -> (u64, bool) {
        self.locked(shard, |locked| {
            let (expired, more_expired) = locked.expire(FREED_PER_HOLD);
            let (invalidated, more) = locked.free_invalidated(invalidations, SLOTS_PER_HOLD);
            (expired + invalidated, more_expired || more)
        })
    }

    /// Changes the capacity, and evicts what exceeds it.
    pub(crate) fn resize(&self, capacity: u64) {
        self.budget.set_capacity(capacity);
        let count = self.shards.len();
        let mut idle = 0;
        for shard in (0..count).cycle() {
            if !self.budget.is_exceeded() {
                return;
            }
            let evicted = self.locked(shard, |locked| locked.shrink(FREED_PER_HOLD));
            idle = if evicted { 0 } else { idle + 1 };
            if idle >= count {
                // All there is belongs to writes that are under way.
                yield_now();
            }
        }
    }
}
