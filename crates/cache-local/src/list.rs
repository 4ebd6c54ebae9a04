//! Doubly linked queues over one slab of nodes: links are numbers, not pointers.

use std::mem;

use crate::entry::MAX_SLOTS;

const NIL: u32 = u32::MAX;
/// In `prev` of a node that no queue holds.
const FREE: u32 = u32::MAX - 1;

/// The nodes of all queues of a shard. The number of a node is its *slot*.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    /// The first free slot; `next` leads to the others.
    free: Option<u32>,
}

#[derive(Debug)]
struct Node {
    hash: u64,
    prev: u32,
    next: u32,
}

impl Nodes {
    /// Takes a free slot for an entry, or `None` if the slab is full.
    pub(crate) fn take(&mut self, hash: u64) -> Option<u32> {
        if let Some(slot) = self.free {
            let node = &mut self.nodes[slot as usize];
            self.free = (node.next != NIL).then_some(node.next);
            node.hash = hash;
            return Some(slot);
        }
        let slot = u32::try_from(self.nodes.len())
            .ok()
            .filter(|slot| *slot < MAX_SLOTS)?;
        self.nodes.push(Node {
            hash,
            prev: FREE,
            next: NIL,
        });
        Some(slot)
    }

    /// Gives a slot back that was unlinked before.
    pub(crate) fn give_back(&mut self, slot: u32) {
        let next = self.free.unwrap_or(NIL);
        let node = &mut self.nodes[slot as usize];
        (node.prev, node.next) = (FREE, next);
        self.free = Some(slot);
    }

    /// Returns the hash of the entry in a slot, or `None` if the slot is free.
    pub(crate) fn hash(&self, slot: u32) -> Option<u64> {
        self.nodes
            .get(slot as usize)
            .filter(|node| node.prev != FREE)
            .map(|node| node.hash)
    }

    /// Returns how many slots there are, free ones included.
    pub(crate) fn slots(&self) -> u32 {
        // At most `MAX_SLOTS`.
        self.nodes.len() as u32
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
    /// Returns slot and hash of the oldest entry.
    pub(crate) fn oldest(&self, nodes: &Nodes) -> Option<(u32, u64)> {
        nodes
            .nodes
            .get(self.oldest as usize)
            .map(|node| (self.oldest, node.hash))
    }

    /// Makes the oldest entry the newest.
    pub(crate) fn rotate(&mut self, nodes: &Nodes) {
        if let Some(oldest) = nodes.nodes.get(self.oldest as usize) {
            self.oldest = oldest.next;
        }
    }

    /// Puts an entry in as the newest.
    pub(crate) fn push(&mut self, nodes: &mut Nodes, slot: u32, weight: u64) {
        let nodes = &mut nodes.nodes;
        let (prev, next) = match nodes.get_mut(self.oldest as usize) {
            Some(oldest) => (mem::replace(&mut oldest.prev, slot), self.oldest),
            None => (slot, slot),
        };
        if self.oldest == NIL {
            self.oldest = slot;
        }
        nodes[slot as usize].next = next;
        nodes[slot as usize].prev = prev;
        nodes[prev as usize].next = slot;
        self.len += 1;
        self.weight += weight;
    }

    pub(crate) fn unlink(&mut self, nodes: &mut Nodes, slot: u32, weight: u64) {
        let nodes = &mut nodes.nodes;
        let Node { prev, next, .. } = nodes[slot as usize];
        nodes[prev as usize].next = next;
        nodes[next as usize].prev = prev;
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

    use super::{Nodes, Queue};

    proptest! {
        #[test]
        fn a_queue_behaves_like_a_deque(ops in proptest::collection::vec((0..4u8, any::<usize>()), 0..200)) {
            let (mut nodes, mut queue, mut model) = (Nodes::default(), Queue::default(), VecDeque::new());
            for (op, pick) in ops {
                if op == 1 && let Some(oldest) = model.pop_back() {
                    queue.rotate(&nodes);
                    model.push_front(oldest);
                } else if op == 0 || model.is_empty() {
                    let slot = nodes.take(pick as u64).unwrap();
                    queue.push(&mut nodes, slot, 2);
                    model.push_front((slot, pick as u64));
                } else {
                    let (slot, hash) = model.remove(pick % model.len()).unwrap();
                    prop_assert_eq!(nodes.hash(slot), Some(hash));
                    queue.unlink(&mut nodes, slot, 2);
                    nodes.give_back(slot);
                    prop_assert_eq!(nodes.hash(slot), None);
                }
                prop_assert_eq!(queue.oldest(&nodes), model.back().copied());
                prop_assert_eq!((queue.len, queue.weight), (model.len() as u64, 2 * model.len() as u64));
            }
            prop_assert!(nodes.slots() as usize <= 200);
        }
    }
}
