//! One cached value and what its shard knows of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use smol_str::SmolStr;

/// The deadline of an entry that never expires.
pub(crate) const NEVER: u64 = u64::MAX;

/// How often an entry was read lately, as far as eviction cares.
pub(crate) const MAX_HITS: u8 = 3;

const HITS_BITS: u32 = 2;
const HITS_MASK: u32 = 0b011;
const MAIN_BIT: u32 = 0b100;
const SLOT_SHIFT: u32 = 3;
/// How many slots fit beside the other bits of a tag.
pub(crate) const MAX_SLOTS: u32 = 1 << (u32::BITS - SLOT_SHIFT);

/// The queue of the eviction policy that an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Small,
    Main,
}

/// Key, value and meta data, in one allocation that a reader can hold on to.
///
/// The atomics are written by readers under the shared lock of the shard (hits) or by the one
/// writer under its exclusive lock (everything), so plain loads and stores suffice: at worst two
/// readers count one hit.
pub(crate) struct Entry<V> {
    key: SmolStr,
    pub(crate) value: V,
    deadline: AtomicU64,
    weight: u32,
    /// Slot, queue and hits in one word.
    tag: AtomicU32,
}

impl<V> Entry<V> {
    pub(crate) fn new(
        key: &str,
        value: V,
        weight: u32,
        deadline: u64,
        slot: u32,
        line: Line,
    ) -> Self {
        let tag = (slot << SLOT_SHIFT) | if line == Line::Main { MAIN_BIT } else { 0 };
        Self {
            key: SmolStr::new(key),
            value,
            deadline: AtomicU64::new(deadline),
            weight,
            tag: AtomicU32::new(tag),
        }
    }

    /// Returns an entry for the same key in the same place of the policy.
    pub(crate) fn successor(&self, value: V, weight: u32, deadline: u64) -> Self {
        Self {
            key: self.key.clone(),
            value,
            deadline: AtomicU64::new(deadline),
            weight,
            tag: AtomicU32::new(self.tag.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    #[inline]
    pub(crate) fn is_for(&self, key: &str) -> bool {
        self.key.as_bytes() == key.as_bytes()
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }

    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    pub(crate) fn set_deadline(&self, deadline: u64) {
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.tag.load(Ordering::Relaxed) >> SLOT_SHIFT
    }

    pub(crate) fn line(&self) -> Line {
        if self.tag.load(Ordering::Relaxed) & MAIN_BIT == 0 {
            Line::Small
        } else {
            Line::Main
        }
    }

    pub(crate) fn hits(&self) -> u8 {
        (self.tag.load(Ordering::Relaxed) & HITS_MASK) as u8
    }

    /// Counts a read. A hot entry is at the maximum, and nothing is written.
    #[inline]
    pub(crate) fn hit(&self) {
        let tag = self.tag.load(Ordering::Relaxed);
        if tag & HITS_MASK < u32::from(MAX_HITS) {
            self.tag.store(tag + 1, Ordering::Relaxed);
        }
    }

    /// Puts the entry in a queue with so many hits.
    pub(crate) fn requeue(&self, line: Line, hits: u8) {
        let slot = self.slot() << SLOT_SHIFT;
        let line = if line == Line::Main { MAIN_BIT } else { 0 };
        self.tag
            .store(slot | line | u32::from(hits), Ordering::Relaxed);
    }
}

const _: () = assert!(MAX_HITS as u32 == (1 << HITS_BITS) - 1);
