//! Which entry leaves a full shard: an adaptive S3-FIFO.
//!
//! Newcomers enter a small queue. At its end an entry that was read twice moves to the main
//! queue, any other leaves. At the end of the main queue an entry that was read goes round once
//! more for each read, any other leaves. What left is remembered for a while (`Ghosts`), and a
//! newcomer that is remembered goes straight to the main queue.
//!
//! How long the small queue should be depends on the workload, so it learns: a newcomer that
//! left the small queue lately would have been kept by a longer one; a newcomer that left the
//! main queue lately would have been kept by a shorter one.
//!
//! A hit writes two bits in the entry and takes part in nothing else.

mod ghosts;

use self::ghosts::Ghosts;
use crate::entry::{Entry, Line};
use crate::list::{Nodes, Queue};
use crate::shards::Table;

/// Hits after which an entry at the end of the small queue is kept.
const PROMOTION_HITS: u8 = 2;
/// How many entries one eviction may move before it takes the next one whatever its hits: a
/// bound on the work of one write.
const MAX_MOVES: u32 = 64;
/// The part of the shard that the small queue gets at the start, …
const FIRST_SMALL: f64 = 0.1;
/// … and at the most.
const MAX_SMALL: f64 = 0.5;

#[derive(Debug, Default)]
pub(crate) struct Policy {
    nodes: Nodes,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    /// The part of the shard's weight that the small queue should have.
    small_part: Option<f64>,
}

impl Policy {
    pub(crate) fn len(&self) -> u64 {
        self.small.len + self.main.len
    }

    pub(crate) fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// Returns the hash of the entry in a slot, or `None` if the slot is free.
    pub(crate) fn hash(&self, slot: u32) -> Option<u64> {
        self.nodes.hash(slot)
    }

    /// Returns how many slots there are, free ones included.
    pub(crate) fn slots(&self) -> u32 {
        self.nodes.slots()
    }

    /// Takes a newcomer in: gives it a slot and a place in a queue; `None` if no slot is left.
    #[inline]
    pub(crate) fn admit(&mut self, hash: u64, weight: u64) -> Option<(u32, Line)> {
        let slot = self.nodes.take(hash)?;
        let line = match self.ghosts.recall(hash) {
            None => Line::Small,
            Some(left) => {
                self.learn(left);
                Line::Main
            }
        };
        self.push(line, slot, weight);
        Some((slot, line))
    }

    /// While there is room, lets what the small queue holds too much of grow the main queue.
    pub(crate) fn settle<V>(&mut self, table: &Table<'_, V>, share: u64) {
        for _ in 0..2 {
            if self.small.weight <= self.small_target(share) {
                return;
            }
            let Some((slot, hash)) = self.small.oldest(&self.nodes) else {
                return;
            };
            let Some(entry) = table.at(hash, slot) else {
                return;
            };
            self.move_to(Line::Main, entry, 0);
        }
    }

    /// Picks the entry to evict, never the one in the slot `except`, and remembers it unless it is
    /// absent already; the caller removes it.
    pub(crate) fn victim<V>(
        &mut self,
        table: &Table<'_, V>,
        share: u64,
        except: Option<u32>,
    ) -> Option<(u32, u64)> {
        if self.len() <= u64::from(except.is_some()) {
            return None;
        }
        let target = self.small_target(share);
        for moves in 0.. {
            let spared_alone = except.is_some() && self.main.len == 1;
            let main_is_used_up = self.main.len == 0
                || (spared_alone && self.main.oldest(&self.nodes).map(|(slot, _)| slot) == except);
            let from_small = self.small.len > 0 && (self.small.weight > target || main_is_used_up);
            let line = if from_small { Line::Small } else { Line::Main };
            let queue = if from_small { &self.small } else { &self.main };
            let (slot, hash) = queue.oldest(&self.nodes)?;
            let entry = table.at(hash, slot)?;
            let spared = Some(slot) == except;
            if !spared && entry.is_invalidated() {
                return Some((slot, hash));
            }
            match (line, entry.hits()) {
                (Line::Small, hits) if spared => self.move_to(Line::Main, entry, hits),
                (Line::Main, _) if spared => self.main.rotate(&self.nodes),
                (Line::Small, PROMOTION_HITS..) if moves < MAX_MOVES => {
                    self.move_to(Line::Main, entry, 0);
                }
                (Line::Main, hits @ 1..) if moves < MAX_MOVES => {
                    self.main.rotate(&self.nodes);
                    entry.requeue(Line::Main, hits - 1);
                }
                _ => {
                    self.ghosts.remember(hash, line, self.len());
                    return Some((slot, hash));
                }
            }
        }
        None
    }

    /// Forgets an entry that was removed from the table.
    pub(crate) fn remove<V>(&mut self, entry: &Entry<V>) {
        self.unlink(entry.line(), entry.slot(), entry.weight());
        self.nodes.give_back(entry.slot());
    }

    /// Takes an entry out of its queue, so that it is not evicted. Its slot stays its own.
    pub(crate) fn lift<V>(&mut self, entry: &Entry<V>) {
        self.unlink(entry.line(), entry.slot(), entry.weight());
    }

    /// Puts an entry that was lifted at the end of its queue.
    pub(crate) fn put_back<V>(&mut self, entry: &Entry<V>) {
        self.push(entry.line(), entry.slot(), entry.weight());
    }

    /// Takes note that an entry weighs something else now.
    pub(crate) fn reweigh<V>(&mut self, entry: &Entry<V>, old: u64) {
        let queue = match entry.line() {
            Line::Small => &mut self.small,
            Line::Main => &mut self.main,
        };
        queue.weight = queue.weight - old + entry.weight();
    }

    fn small_target(&self, share: u64) -> u64 {
        // At least one entry; the conversion saturates for a share without a bound.
        ((share as f64 * self.small_part.unwrap_or(FIRST_SMALL)) as u64).max(1)
    }

    /// Moves the border between the queues by what one entry that came back has taught.
    fn learn(&mut self, left: Line) {
        let step = 1.0 / self.len().max(1) as f64;
        let part = self.small_part.unwrap_or(FIRST_SMALL);
        let part = match left {
            Line::Small => part + step,
            Line::Main => part - step,
        };
        self.small_part = Some(part.clamp(0.0, MAX_SMALL));
    }

    fn push(&mut self, line: Line, slot: u32, weight: u64) {
        let Self {
            nodes, small, main, ..
        } = self;
        match line {
            Line::Small => small.push(nodes, slot, weight),
            Line::Main => main.push(nodes, slot, weight),
        }
    }

    fn unlink(&mut self, line: Line, slot: u32, weight: u64) {
        let Self {
            nodes, small, main, ..
        } = self;
        match line {
            Line::Small => small.unlink(nodes, slot, weight),
            Line::Main => main.unlink(nodes, slot, weight),
        }
    }

    fn move_to<V>(&mut self, line: Line, entry: &Entry<V>, hits: u8) {
        self.unlink(entry.line(), entry.slot(), entry.weight());
        self.push(line, entry.slot(), entry.weight());
        entry.requeue(line, hits);
    }
}
