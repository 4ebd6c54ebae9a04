//! Deletes that there was no room to keep: what is remembered of them so that nothing old is served.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A power of two: with 10,000 deletes one key of a hundred is doubted for nothing, and deleted once.
const MARKS: usize = 1 << 20;
const WORDS: usize = MARKS / u64::BITS as usize;
/// How many doubts may be remembered as settled; then all are doubted once more.
const MAX_SETTLED: usize = 1 << 16;

/// Keys of which a delete has failed and is not repeated by itself, in a space that does not grow.
///
/// A key may be doubted for nothing. None is believed for nothing.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Of each key that is doubted, a bit; empty until there is one.
    marks: Box<[u64]>,
    /// The hashes of keys that have been deleted or written since.
    settled: HashSet<u64>,
    has_tags: bool,
    hasher: RandomState,
}

impl Doubts {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Tells whether there may be a tag among the keys.
    pub(super) const fn has_tags(&self) -> bool {
        self.has_tags
    }

    pub(super) fn add(&mut self, key: &str, is_tag: bool) {
        if self.is_empty() {
            self.marks = vec![0; WORDS].into();
        }
        let (hash, word, bit) = self.place(key);
        self.marks[word] |= bit;
        self.settled.remove(&hash);
        self.has_tags |= is_tag;
    }

    pub(super) fn add_all(&mut self) {
        self.marks = vec![u64::MAX; WORDS].into();
        self.settled.clear();
        self.has_tags = true;
    }

    pub(super) fn contain(&self, key: &str) -> bool {
        let (hash, word, bit) = self.place(key);
        let marked = self.marks.get(word).is_some_and(|marks| marks & bit != 0);
        marked && !self.settled.contains(&hash)
    }

    /// Believes a key again: it was deleted or written.
    pub(super) fn settle(&mut self, key: &str) {
        if self.contain(key) {
            if self.settled.len() >= MAX_SETTLED {
                self.settled.clear();
            }
            let (hash, ..) = self.place(key);
            self.settled.insert(hash);
        }
    }

    fn place(&self, key: &str) -> (u64, usize, u64) {
        let hash = self.hasher.hash_one(key);
        let mark = hash as usize & (MARKS - 1);
        let bits = u64::BITS as usize;
        (hash, mark / bits, 1 << (mark % bits))
    }
}

#[cfg(test)]
mod tests {
    use super::{Doubts, MAX_SETTLED};

    #[test]
    fn what_is_settled_is_believed_until_it_is_doubted_again() {
        let mut doubts = Doubts::default();
        assert!(doubts.is_empty() && !doubts.contain("a"));
        doubts.add("a", false);
        assert!(doubts.contain("a") && !doubts.contain("b") && !doubts.has_tags());
        doubts.settle("a");
        assert!(!doubts.contain("a"));
        doubts.add("a", true);
        assert!(doubts.contain("a") && doubts.has_tags());
    }

    #[test]
    fn more_than_can_be_remembered_as_settled_is_doubted_once_more() {
        let mut doubts = Doubts::default();
        doubts.add_all();
        doubts.settle("first");
        for number in 1..MAX_SETTLED {
            doubts.settle(&number.to_string());
        }
        assert!(!doubts.contain("first"));
        doubts.settle("one more");
        assert!(doubts.contain("first") && !doubts.contain("one more"));
    }
}
