//! How the absence of a key is watched: by counting the entries that begin.

/// How many counts a shard has. An entry of another key that has the same count looks like one of the
/// key itself, and a transaction that watches the key begins again for nothing.
const COUNTS: usize = 256;

/// How many entries were made of keys that were absent, by hash. Nothing is counted before somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Option<Box<[u32; COUNTS]>>);

impl Arrivals {
    /// Takes note that an entry is made.
    #[inline]
    pub(crate) fn note(&mut self, hash: u64) {
        if let Some(counts) = &mut self.0 {
            let count = &mut counts[place(hash)];
            *count = count.wrapping_add(1);
        }
    }

    /// Returns the count of a hash: while it stays, a key that is absent stays so.
    pub(crate) fn count(&mut self, hash: u64) -> u32 {
        self.0.get_or_insert_with(|| Box::new([0; COUNTS]))[place(hash)]
    }
}

/// Neither the shard nor the place in its table is chosen by these bits.
const fn place(hash: u64) -> usize {
    (hash >> 32) as usize % COUNTS
}
