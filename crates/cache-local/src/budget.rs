//! The one bound that all shards share.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicI64, AtomicU64, Mutex, Ordering};

/// The capacity of a cache without a bound.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// Capacity and what is left of it, in weight.
///
/// Weight is reserved before an entry is stored and released after it is removed, so what is
/// stored never exceeds the capacity, whatever threads do. Writes and resizes change one number,
/// the room: a write that knew the old capacity alone could reserve what a resize has just taken
/// away.
pub(crate) struct Budget {
    capacity: CachePadded<AtomicU64>,
    /// What may still be reserved; negative while a lowered capacity is exceeded.
    room: CachePadded<AtomicI64>,
    /// Held while the capacity changes.
    resizing: Mutex<()>,
}

impl Budget {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity: CachePadded::new(AtomicU64::new(capacity)),
            room: CachePadded::new(AtomicI64::new(signed(capacity))),
            resizing: Mutex::default(),
        }
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(crate) fn set_capacity(&self, capacity: u64) {
        let _alone = self.resizing.lock();
        let before = self.capacity.swap(capacity, Ordering::SeqCst);
        let more = signed(capacity) - signed(before);
        self.room.fetch_add(more, Ordering::SeqCst);
    }

    /// Returns what is stored, and what is reserved for writes that are under way.
    ///
    /// It exceeds the capacity only while a resize evicts; beside a resize it may be too small.
    pub(crate) fn used(&self) -> u64 {
        let capacity = self.capacity.load(Ordering::SeqCst);
        let room = self.room.load(Ordering::SeqCst);
        u64::try_from(signed(capacity).saturating_sub(room)).unwrap_or_default()
    }

    /// Reserves `weight` if it fits.
    pub(crate) fn reserve(&self, weight: u64) -> bool {
        let Ok(weight) = i64::try_from(weight) else {
            return false;
        };
        let mut room = self.room.load(Ordering::Relaxed);
        while room >= weight {
            let less = room - weight;
            match self
                .room
                .compare_exchange_weak(room, less, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => room = now,
            }
        }
        false
    }

    /// Reserves as much of `weight` as fits, and returns how much that is.
    pub(crate) fn reserve_most(&self, weight: u64) -> u64 {
        loop {
            let room = self.room.load(Ordering::SeqCst);
            let most = weight.min(u64::try_from(room).unwrap_or_default());
            if self.reserve(most) {
                return most;
            }
        }
    }

    pub(crate) fn release(&self, weight: u64) {
        if weight > 0 {
            self.room.fetch_add(signed(weight), Ordering::SeqCst);
        }
    }

    /// Tells whether more is stored than the capacity, which was lowered.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.room.load(Ordering::SeqCst) < 0
    }
}

/// What no machine can hold is as good as no bound.
fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}
