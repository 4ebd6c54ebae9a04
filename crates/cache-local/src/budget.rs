//! The one bound that all shards share.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicU64, Ordering};

/// The capacity of a cache without a bound.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// Capacity and what is used of it, in weight.
///
/// Weight is reserved before an entry is stored and released after it is removed, so what is
/// stored never exceeds the capacity, whatever threads do.
pub(crate) struct Budget {
    capacity: CachePadded<AtomicU64>,
    used: CachePadded<AtomicU64>,
}

impl Budget {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity: CachePadded::new(AtomicU64::new(capacity)),
            used: CachePadded::new(AtomicU64::new(0)),
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(crate) fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, Ordering::SeqCst);
    }

    /// Returns what is stored, and what is reserved for writes that are under way.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::SeqCst)
    }

    /// Reserves `weight` if it fits.
    pub(crate) fn reserve(&self, weight: u64) -> bool {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let Some(more) = used
                .checked_add(weight)
                .filter(|more| *more <= self.capacity())
            else {
                return false;
            };
            match self
                .used
                .compare_exchange_weak(used, more, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    pub(crate) fn release(&self, weight: u64) {
        if weight > 0 {
            self.used.fetch_sub(weight, Ordering::SeqCst);
        }
    }

    /// Tells whether more is stored than the capacity, which was lowered.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.capacity()
    }
}
