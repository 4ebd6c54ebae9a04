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
use crate::rows::{Queue, Rows};

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

    /// Takes a newcomer in: gives it a slot and a place in a queue; `None` if no slot is left.
    #[inline]
    pub(crate) fn admit<V>(
        &mut self,
        rows: &mut Rows<V>,
        hash: u64,
        weight: u64,
    ) -> Option<(u32, Line)> {
        let slot = rows.take(hash)?;
        let line = match self.ghosts.recall(hash) {
            None => Line::Small,
            Some(left) => {
                self.learn(left);
                Line::Main
            }
        };
        self.queue(line).push(rows, slot, weight);
        Some((slot, line))
    }

    /// While there is room, lets what the small queue holds too much of grow the main queue.
    pub(crate) fn settle<V>(&mut self, rows: &mut Rows<V>, share: u64) {
        for _ in 0..2 {
            if self.small.weight <= self.small_target(share) {
                return;
            }
            let Some(slot) = self.small.oldest() else {
                return;
            };
            self.promote(rows, slot, 0);
        }
    }

    /// Picks the entry to evict, never the one in the slot `except`, and remembers it unless it is
    /// absent already; the caller removes it.
    pub(crate) fn victim<V>(
        &mut self,
        rows: &mut Rows<V>,
        share: u64,
        except: Option<u32>,
    ) -> Option<u32> {
        if self.len() <= u64::from(except.is_some()) {
            return None;
        }
        let target = self.small_target(share);
        for moves in 0.. {
            let spared_alone = except.is_some() && self.main.len == 1;
            let main_is_used_up =
                self.main.len == 0 || (spared_alone && self.main.oldest() == except);
            let from_small = self.small.len > 0 && (self.small.weight > target || main_is_used_up);
            let line = if from_small { Line::Small } else { Line::Main };
            let slot = self.queue(line).oldest()?;
            let entry = rows.at(slot)?;
            let spared = Some(slot) == except;
            if !spared && entry.is_invalidated() {
                return Some(slot);
            }
            match (line, entry.hits()) {
                (Line::Small, hits) if spared => self.promote(rows, slot, hits),
                (Line::Main, _) if spared => self.main.rotate(rows),
                (Line::Small, PROMOTION_HITS..) if moves < MAX_MOVES => {
                    self.promote(rows, slot, 0);
                }
                (Line::Main, hits @ 1..) if moves < MAX_MOVES => {
                    entry.requeue(Line::Main, hits - 1);
                    self.main.rotate(rows);
                }
                _ => {
                    self.ghosts.remember(rows.hash(slot), line, self.len());
                    return Some(slot);
                }
            }
        }
        None
    }

    /// Forgets an entry that was removed from the table.
    pub(crate) fn remove<V>(&mut self, rows: &mut Rows<V>, entry: &Entry<V>) {
        let queue = self.queue(entry.line());
        queue.unlink(rows, entry.slot(), entry.weight());
        rows.give_back(entry.slot());
    }

    /// Takes an entry out of its queue, so that it is not evicted. Its slot stays its own.
    pub(crate) fn lift<V>(&mut self, rows: &mut Rows<V>, slot: u32) {
        if let Some(entry) = rows.at(slot) {
            let (line, weight) = (entry.line(), entry.weight());
            self.queue(line).unlink(rows, slot, weight);
        }
    }

    /// Puts an entry that was lifted at the end of its queue.
    pub(crate) fn put_back<V>(&mut self, rows: &mut Rows<V>, slot: u32) {
        if let Some(entry) = rows.at(slot) {
            let (line, weight) = (entry.line(), entry.weight());
            self.queue(line).push(rows, slot, weight);
        }
    }

    /// Takes note that an entry weighs something else now.
    pub(crate) fn reweigh<V>(&mut self, entry: &Entry<V>, old: u64) {
        let queue = self.queue(entry.line());
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

    fn queue(&mut self, line: Line) -> &mut Queue {
        match line {
            Line::Small => &mut self.small,
            Line::Main => &mut self.main,
        }
    }

    /// Moves an entry from the small queue to the main one, with so many hits left.
    fn promote<V>(&mut self, rows: &mut Rows<V>, slot: u32, hits: u8) {
        let Some(entry) = rows.at(slot) else {
            return;
        };
        let weight = entry.weight();
        entry.requeue(Line::Main, hits);
        self.small.unlink(rows, slot, weight);
        self.main.push(rows, slot, weight);
    }
}
