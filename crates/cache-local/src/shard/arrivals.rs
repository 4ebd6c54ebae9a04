//! How the absence of a key is watched: by counting the entries that begin.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many counts a shard has. An entry of another key that has the same count looks like one of the
/// key itself, and a transaction that watches the key begins again for nothing.
const COUNTS: usize = 256;

/// How many entries were made of keys that were absent, by hash. Nothing is counted before somebody asks.
///
/// A count is written under the exclusive lock of the shard and read under either.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(OnceLock<Box<[AtomicU32; COUNTS]>>);

impl Arrivals {
    /// Takes note that an entry is made.
    #[inline]
    pub(crate) fn note(&mut self, hash: u64) {
        if let Some(counts) = self.0.get_mut() {
            let count = counts[place(hash)].get_mut();
            *count = count.wrapping_add(1);
        }
    }

    /// Returns the count of a hash: while it stays, a key that is absent stays so.
    pub(crate) fn count(&self, hash: u64) -> u32 {
        let counts = self
            .0
            .get_or_init(|| Box::new([const { AtomicU32::new(0) }; COUNTS]));
        counts[place(hash)].load(Ordering::Relaxed)
    }
}

/// Neither the shard nor the place in its table is chosen by these bits.
const fn place(hash: u64) -> usize {
    (hash >> 32) as usize % COUNTS
}
