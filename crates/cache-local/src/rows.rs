//! The entries of a shard as rows of a slab, and queues through them: links are numbers, not pointers.

use std::mem;

use crate::entry::{Handle, MAX_SLOTS};

const NIL: u32 = u32::MAX;
/// The most bytes of a block, unless a single row is larger.
const BLOCK_BYTES: usize = 16 * 1024;

/// The rows of a shard. The number of a row is its *slot*.
///
/// They stand in blocks, so that the slab grows without moving what it holds, and a block that nobody uses is
/// freed.
pub(crate) struct Rows<V> {
    blocks: Vec<Block<V>>,
    /// The blocks that have room.
    open: Vec<u32>,
}

struct Block<V> {
    rows: Vec<Row<V>>,
    /// The first of its slots that is free again; `next` leads to the others.
    free: u32,
    /// How many of its slots are taken.
    taken: u32,
}

struct Row<V> {
    hash: u64,
    prev: u32,
    next: u32,
    entry: Option<Handle<V>>,
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl<V> Rows<V> {
    /// The number of rows of a block, as a power of two.
    const SHIFT: u32 = match BLOCK_BYTES / size_of::<Row<V>>() {
        0 => 0,
        rows => rows.ilog2(),
    };

    const fn place(slot: u32) -> (usize, usize) {
        let slot = slot as usize;
        (slot >> Self::SHIFT, slot & ((1 << Self::SHIFT) - 1))
    }

    #[inline]
    fn get(&self, slot: u32) -> Option<&Row<V>> {
        let (block, at) = Self::place(slot);
        self.blocks.get(block)?.rows.get(at)
    }

    #[inline]
    fn row(&mut self, slot: u32) -> &mut Row<V> {
        let (block, at) = Self::place(slot);
        &mut self.blocks[block].rows[at]
    }

    /// Takes a free slot for an entry, or `None` if the slab is full.
    pub(crate) fn take(&mut self, hash: u64) -> Option<u32> {
        let number = match self.open.last() {
            Some(number) => *number,
            None => self.add_block()?,
        };
        let block = &mut self.blocks[number as usize];
        block.taken += 1;
        let slot = block.free;
        let slot = if slot == NIL {
            block.rows.push(Row {
                hash,
                prev: NIL,
                next: NIL,
                entry: None,
            });
            (number << Self::SHIFT) + (block.rows.len() - 1) as u32
        } else {
            let row = &mut block.rows[Self::place(slot).1];
            row.hash = hash;
            block.free = row.next;
            slot
        };
        if block.taken == 1 << Self::SHIFT {
            self.open.pop();
        }
        Some(slot)
    }

    #[cold]
    fn add_block(&mut self) -> Option<u32> {
        let number = u32::try_from(self.blocks.len()).ok()?;
        if number >= MAX_SLOTS >> Self::SHIFT {
            return None;
        }
        self.blocks.push(Block {
            rows: Vec::new(),
            free: NIL,
            taken: 0,
        });
        self.open.push(number);
        Some(number)
    }

    /// Gives a slot back that was taken, unlinked and emptied.
    pub(crate) fn give_back(&mut self, slot: u32) {
        let (number, at) = Self::place(slot);
        let block = &mut self.blocks[number];
        if block.taken == 1 << Self::SHIFT {
            self.open.push(slot >> Self::SHIFT);
        }
        block.taken -= 1;
        if block.taken == 0 {
            (block.rows, block.free) = (Vec::new(), NIL);
        } else {
            block.rows[at].next = mem::replace(&mut block.free, slot);
        }
    }

    /// Puts an entry into the slot that was taken for it.
    #[inline]
    pub(crate) fn fill(&mut self, slot: u32, entry: Handle<V>) {
        self.row(slot).entry = Some(entry);
    }

    /// Takes the entry out of a slot.
    #[inline]
    pub(crate) fn empty(&mut self, slot: u32) -> Option<Handle<V>> {
        self.row(slot).entry.take()
    }

    /// Returns the entry in a slot, unless the slot is free.
    #[inline]
    pub(crate) fn at(&self, slot: u32) -> Option<&Handle<V>> {
        self.get(slot)?.entry.as_ref()
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Handle<V>> {
        self.row(slot).entry.as_mut()
    }

    /// Returns the hash that a slot was taken for.
    #[inline]
    pub(crate) fn hash(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, |row| row.hash)
    }

    /// Returns the least number above all slots that were taken lately.
    pub(crate) fn slots(&self) -> u32 {
        let Some(last) = self.blocks.last() else {
            return 0;
        };
        // At most `MAX_SLOTS`.
        (((self.blocks.len() - 1) << Self::SHIFT) + last.rows.len()) as u32
    }
}

/// A queue as a ring: behind the newest entry stands the oldest. So the oldest becomes the
/// newest by moving one number.
#[derive(Debug)]
pub(crate) struct Queue {
    oldest: u32,
    pub(crate) len: u64,
    pub(crate) weight: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            oldest: NIL,
            len: 0,
            weight: 0,
        }
    }
}

impl Queue {
    /// Returns the slot of the oldest entry.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NIL).then_some(self.oldest)
    }

    /// Makes the oldest entry the newest.
    pub(crate) fn rotate<V>(&mut self, rows: &Rows<V>) {
        if let Some(oldest) = rows.get(self.oldest) {
            self.oldest = oldest.next;
        }
    }

    /// Puts an entry in as the newest.
    pub(crate) fn push<V>(&mut self, rows: &mut Rows<V>, slot: u32, weight: u64) {
        let (prev, next) = match self.oldest() {
            Some(oldest) => (mem::replace(&mut rows.row(oldest).prev, slot), oldest),
            None => (slot, slot),
        };
        if self.oldest == NIL {
            self.oldest = slot;
        }
        let row = rows.row(slot);
        (row.prev, row.next) = (prev, next);
        rows.row(prev).next = slot;
        self.len += 1;
        self.weight += weight;
    }

    pub(crate) fn unlink<V>(&mut self, rows: &mut Rows<V>, slot: u32, weight: u64) {
        let Row { prev, next, .. } = *rows.row(slot);
        rows.row(prev).next = next;
        rows.row(next).prev = prev;
        if self.oldest == slot {
            self.oldest = if next == slot { NIL } else { next };
        }
        self.len -= 1;
        self.weight -= weight;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::{Queue, Rows};

    proptest! {
        #[test]
        fn a_queue_behaves_like_a_deque(ops in proptest::collection::vec((0..4u8, any::<usize>()), 0..200)) {
            // Values so large that a block holds four.
            let mut rows = Rows::<[u64; 400]>::default();
            let (mut queue, mut model) = (Queue::default(), VecDeque::new());
            for (op, pick) in ops {
                if op == 1 && let Some(oldest) = model.pop_back() {
                    queue.rotate(&rows);
                    model.push_front(oldest);
                } else if op == 0 || model.is_empty() {
                    let slot = rows.take(pick as u64).unwrap();
                    queue.push(&mut rows, slot, 2);
                    model.push_front((slot, pick as u64));
                } else {
                    let (slot, hash) = model.remove(pick % model.len()).unwrap();
                    prop_assert_eq!(rows.hash(slot), hash);
                    queue.unlink(&mut rows, slot, 2);
                    rows.give_back(slot);
                }
                prop_assert_eq!(queue.oldest(), model.back().map(|(slot, _)| *slot));
                prop_assert_eq!((queue.len, queue.weight), (model.len() as u64, 2 * model.len() as u64));
            }
            prop_assert!(rows.slots() as usize <= 200);
            for (slot, _) in model {
                queue.unlink(&mut rows, slot, 2);
                rows.give_back(slot);
            }
            prop_assert!(rows.blocks.iter().all(|block| block.rows.capacity() == 0));
        }
    }
}
