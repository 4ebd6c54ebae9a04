//! Hits of textbook policies, simulated over sequences of small numbers.

use std::collections::{BinaryHeap, VecDeque};

/// Marks the end of a list.
const NONE: u32 = u32::MAX;
/// When a number that does not come again is used next.
const NEVER: u32 = u32::MAX;

/// A sequence of numbers below `footprint`: a trace whose keys were renamed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Sequence<'a> {
    /// What is asked for, in order.
    pub numbers: &'a [u32],
    /// How many different numbers there are.
    pub footprint: usize,
}

impl<'a> Sequence<'a> {
    /// Wraps numbers that are all below `footprint`.
    #[must_use]
    pub const fn new(numbers: &'a [u32], footprint: usize) -> Self {
        Self { numbers, footprint }
    }
}

/// Counts the hits of "first in, first out".
#[must_use]
pub fn fifo(sequence: Sequence<'_>, capacity: usize) -> u64 {
    let mut resident = vec![false; sequence.footprint];
    let (mut queue, mut hits) = (VecDeque::with_capacity(capacity), 0);
    for &number in sequence.numbers {
        if resident[number as usize] {
            hits += 1;
            continue;
        }
        if queue.len() == capacity
            && let Some(oldest) = queue.pop_front()
        {
            resident[oldest as usize] = false;
        }
        queue.push_back(number);
        resident[number as usize] = true;
    }
    hits
}

/// Counts the hits of "least recently used".
#[must_use]
pub fn lru(sequence: Sequence<'_>, capacity: usize) -> u64 {
    let mut list = Recency::new(sequence.footprint);
    let (mut held, mut hits) = (0, 0);
    for &number in sequence.numbers {
        if list.is_linked[number as usize] {
            hits += 1;
            list.unlink(number);
        } else if held == capacity {
            list.unlink(list.oldest);
        } else {
            held += 1;
        }
        list.push_newest(number);
    }
    hits
}

/// A doubly linked list in which every number has its place reserved.
struct Recency {
    newer: Vec<u32>,
    older: Vec<u32>,
    is_linked: Vec<bool>,
    newest: u32,
    oldest: u32,
}

impl Recency {
    fn new(footprint: usize) -> Self {
        Self {
            newer: vec![NONE; footprint],
            older: vec![NONE; footprint],
            is_linked: vec![false; footprint],
            newest: NONE,
            oldest: NONE,
        }
    }

    fn push_newest(&mut self, number: u32) {
        let at = number as usize;
        (self.newer[at], self.older[at]) = (NONE, self.newest);
        match self.newest {
            NONE => self.oldest = number,
            newest => self.newer[newest as usize] = number,
        }
        self.newest = number;
        self.is_linked[at] = true;
    }

    fn unlink(&mut self, number: u32) {
        let (newer, older) = (self.newer[number as usize], self.older[number as usize]);
        match newer {
            NONE => self.newest = older,
            newer => self.older[newer as usize] = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.newer[older as usize] = newer,
        }
        self.is_linked[number as usize] = false;
    }
}

/// Counts the hits of Belady's optimum, which knows the future: of all that is held and the
/// newcomer, what is used last leaves. No policy has more hits.
#[must_use]
pub fn opt(sequence: Sequence<'_>, capacity: usize) -> u64 {
    let next = next_uses(sequence);
    // When what is held is used next; `None` for what is not held.
    let mut held: Vec<Option<u32>> = vec![None; sequence.footprint];
    let mut by_next_use = BinaryHeap::new();
    let (mut count, mut hits) = (0, 0);
    for (&number, next) in sequence.numbers.iter().zip(next) {
        match held[number as usize] {
            Some(_) => hits += 1,
            None => count += 1,
        }
        held[number as usize] = Some(next);
        by_next_use.push((next, number));
        while count > capacity
            && let Some((use_at, number)) = by_next_use.pop()
        {
            // Pairs of earlier uses stay in the heap; they no longer match.
            if held[number as usize] == Some(use_at) {
                held[number as usize] = None;
                count -= 1;
            }
        }
    }
    hits
}

/// Returns for each place of a sequence where its number comes next.
fn next_uses(sequence: Sequence<'_>) -> Vec<u32> {
    let mut upcoming = vec![NEVER; sequence.footprint];
    let mut next = vec![NEVER; sequence.numbers.len()];
    for (at, &number) in sequence.numbers.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut upcoming[number as usize], at as u32);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::{Sequence, fifo, lru, opt};

    /// The sequence that shows Belady's anomaly.
    const ANOMALY: [u32; 12] = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];

    fn hits(numbers: &[u32], capacity: usize) -> [u64; 3] {
        let sequence = Sequence::new(numbers, 6);
        [fifo, lru, opt].map(|policy| policy(sequence, capacity))
    }

    #[test]
    fn belady_s_anomaly_is_reproduced() {
        // FIFO faults 9 times with 3 frames and 10 times with 4; LRU 10 and 8; OPT 7 and 6.
        assert_eq!(hits(&ANOMALY, 3), [3, 2, 5]);
        assert_eq!(hits(&ANOMALY, 4), [2, 4, 6]);
    }

    #[test]
    fn a_loop_one_too_long_defeats_all_but_the_optimum() {
        // OPT keeps 0 and 1 and lets 2 pass.
        assert_eq!(hits(&[0, 1, 2, 0, 1, 2, 0, 1, 2], 2), [0, 0, 4]);
    }

    #[test]
    fn a_read_saves_an_entry_from_lru_and_not_from_fifo() {
        assert_eq!(hits(&[0, 1, 0, 2, 0], 2), [1, 2, 2]);
    }

    #[test]
    fn all_is_kept_where_all_fits() {
        assert_eq!(hits(&[0, 1, 2, 2, 1, 0], 3), [3, 3, 3]);
    }

    #[test]
    fn the_optimum_is_above_both_on_random_sequences() {
        let mut rng = crate::rng::Rng::new(5);
        for _ in 0..200 {
            let numbers: Vec<u32> = (0..200).map(|_| rng.below(6)).collect();
            let [fifo, lru, opt] = hits(&numbers, 1 + rng.below(5) as usize);
            assert!(opt >= fifo.max(lru));
        }
    }
}
