//! The synchronous cache: every operation of the backend, without futures, without guards.

mod commit;
mod read;
mod scan;
mod upkeep;
mod write;

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{BackendStats, Clock, Count, Expiry, Result};

pub(crate) use self::scan::Progress;
use crate::budget::{Budget, UNBOUNDED};
use crate::config::{Limits, LocalConfig, Weigher};
use crate::counters::CounterTable;
use crate::entry::NEVER;
use crate::removal::{Listener, Outbox, Replaced};
use crate::shard::Locked;
use crate::shards::{Shard, Shards};
use crate::sync::{AtomicU64, Ordering};
use crate::tags::TagTable;

/// What was thrown.
type Panic = Box<dyn Any + Send>;

/// Slots that a scan, a clear or a sweep visits while it holds the locks of a shard.
const SLOTS_PER_HOLD: u32 = 256;

pub(crate) struct Store<V> {
    shards: Shards<V>,
    budget: Budget,
    clock: Clock,
    weigher: Option<Arc<Weigher<V>>>,
    listener: Option<Arc<Listener<V>>>,
    refused: AtomicU64,
    tags: TagTable,
    counters: CounterTable,
    clones_after: bool,
}

impl<V> Store<V> {
    pub(crate) fn new(config: LocalConfig<V>, limits: Limits) -> Self {
        let Limits { capacity, shards } = limits;
        Self {
            shards: Shards::new(shards),
            budget: Budget::new(capacity),
            clock: config.clock,
            weigher: config.weigher,
            listener: config.listener,
            refused: AtomicU64::new(0),
            tags: TagTable::default(),
            counters: CounterTable::new(config.max_counters),
            clones_after: config.clones_after,
        }
    }

    /// Returns the time until a deadline, or `None` if it has just passed.
    fn remaining(&self, deadline: u64) -> Option<Expiry> {
        if deadline == NEVER {
            return Some(Expiry::Never);
        }
        let left = deadline
            .checked_sub(self.clock.nanos())
            .filter(|left| *left > 0)?;
        Some(Expiry::After(Duration::from_nanos(left)))
    }

    fn deadline(&self, expiry: Expiry) -> u64 {
        match expiry {
            Expiry::Never => NEVER,
            Expiry::After(after) => self.clock.deadline_nanos(after).min(NEVER - 1),
        }
    }

    /// Runs `change` with the locks of a shard, and deals with what it removed after them.
    fn locked<R>(&self, shard: usize, change: impl FnOnce(&mut Locked<'_, V>) -> R) -> R {
        let mut outbox = Outbox::new();
        let result = self.lock(shard, &mut outbox, change);
        self.deliver(&outbox, []);
        result
    }

    /// Runs `change` with the locks of a shard; the caller delivers the outbox.
    #[inline]
    fn lock<R>(
        &self,
        shard: usize,
        outbox: &mut Outbox<V>,
        change: impl FnOnce(&mut Locked<'_, V>) -> R,
    ) -> R {
        let (share, invalidations) = (self.share(), self.tags.now());
        self.shards.write(shard, |Shard { table, ledger }| {
            change(&mut Locked {
                table,
                ledger,
                outbox,
                budget: &self.budget,
                clock: &self.clock,
                share,
                invalidations,
                clones_after: self.clones_after,
            })
        })
    }

    /// Tells the listener what was removed, then what writes replaced under their keys. If it
    /// panics, it hears of the rest all the same.
    fn deliver<'r>(
        &self,
        outbox: &Outbox<V>,
        replaced: impl IntoIterator<Item = (&'r str, &'r Replaced<V>)>,
    ) where
        V: 'r,
    {
        let Some(listener) = self.listener.as_deref() else {
            return;
        };
        let guarded = |tell: &dyn Fn()| catch_unwind(AssertUnwindSafe(tell)).err();
        let mut first = None;
        for removed in outbox.iter() {
            first = first.or(guarded(&|| removed.tell(listener)));
        }
        for (key, replaced) in replaced {
            first = first.or(guarded(&|| replaced.tell(key, listener)));
        }
        if let Some(panic) = first {
            resume_unwind(panic);
        }
    }

    /// Tells of what a write has displaced so far, and drops it, before the write takes its room: a heavy value is not
    /// stored while all that it displaces is still in memory. Returns the first panic, for after the write.
    ///
    /// The room is given back while the user's code runs. What others take of it has to be made free again.
    #[cold]
    fn clear_out(&self, credit: &mut u64, outbox: &mut Outbox<V>) -> Option<Panic> {
        self.budget.release(mem::take(credit));
        let displaced = outbox.clear();
        let told = catch_unwind(AssertUnwindSafe(|| self.deliver(&displaced, [])));
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(displaced)));
        told.err().or(dropped.err())
    }

    /// The weight of a shard that has its fair share of the capacity.
    fn share(&self) -> u64 {
        // The number of shards is a power of two.
        (self.budget.capacity() >> self.shards.len().trailing_zeros()).max(1)
    }

    pub(crate) const fn tags(&self) -> &TagTable {
        &self.tags
    }

    pub(crate) fn count(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        self.counters.add(name, by, window, &self.clock)
    }

    pub(crate) fn count_of(&self, name: &str) -> Option<Count> {
        self.counters.get(name, &self.clock)
    }

    pub(crate) fn reset_count(&self, name: &str) -> bool {
        self.counters.reset(name, &self.clock)
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn counters_held(&self) -> u64 {
        self.counters.held()
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.budget.capacity() != UNBOUNDED
    }

    pub(crate) fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::default();
        let mut entries = 0;
        for shard in 0..self.shards.len() {
            self.shards.read(shard, |Shard { ledger, .. }| {
                entries += ledger.policy.len();
                stats.evicted_for_capacity += ledger.evicted_for_capacity;
                stats.evicted_by_resize += ledger.evicted_by_resize;
                stats.expired += ledger.expired;
            });
        }
        stats.refused = self.refused.load(Ordering::Relaxed);
        // One number for all shards, which never exceeds the bound; a sum over shards that
        // change meanwhile could.
        let weight = self.budget.used();
        stats.weight = Some(weight);
        stats.entries = Some(if self.weigher.is_none() {
            weight
        } else {
            entries
        });
        stats
    }
}
