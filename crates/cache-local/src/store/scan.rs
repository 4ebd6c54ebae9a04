//! Scans and clears, a part of a shard at a time.

use std::ops::Range;

use cache_core::{Cursor, Page, Scope};

use super::{SLOTS_PER_HOLD, Store};
use crate::shards::Shard;

/// Where the shard begins in the position of a scan; slots need fewer bits.
const SHARD_SHIFT: u32 = 40;

/// How far a clear has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    next_shard: usize,
    slots: Range<u32>,
}

impl Progress {
    /// Tells whether slots of the present shard are left.
    pub(crate) fn is_long(&self) -> bool {
        !self.slots.is_empty()
    }
}

impl<V> Store<V> {
    /// Returns one page of a scan: the keys in the next slots of one shard.
    pub(crate) fn scan(&self, scope: &Scope, cursor: &Cursor, limit: usize) -> Page {
        let position = match cursor {
            Cursor::Position(position) => *position,
            _ => 0,
        };
        let shard = (position >> SHARD_SHIFT) as usize;
        if shard >= self.shards.len() {
            return Page::new(Vec::new(), None);
        }
        let first = (position & ((1 << SHARD_SHIFT) - 1)) as u32;
        let visit = u32::try_from(limit)
            .unwrap_or(u32::MAX)
            .clamp(1, SLOTS_PER_HOLD);
        let (keys, more) = self.shards.read(shard, |Shard { table, .. }| {
            let end = first.saturating_add(visit).min(table.rows.slots());
            let entries = (first..end).filter_map(|slot| table.rows.at(slot));
            let live = entries.filter(|entry| entry.ended(&self.clock).is_none());
            let keys = live.filter(|entry| scope.contains(entry.key()));
            (
                keys.map(|entry| entry.key().to_owned()).collect(),
                end < table.rows.slots(),
            )
        });
        let next = match more {
            true => position + u64::from(visit),
            false => (shard as u64 + 1) << SHARD_SHIFT,
        };
        let done = !more && shard + 1 == self.shards.len();
        Page::new(keys, (!done).then_some(Cursor::Position(next)))
    }

    /// Removes the entries of a scope from the slots of one lock hold, and returns how many were
    /// live; `None` after the last one.
    pub(crate) fn clear_some(&self, scope: &Scope, progress: &mut Progress) -> Option<u64> {
        while progress.slots.is_empty() {
            let shard = progress.next_shard;
            if shard >= self.shards.len() {
                return None;
            }
            // Slots that appear later hold entries that are newer than the call.
            progress.slots = 0..self.shards.read(shard, |shard| shard.table.rows.slots());
            progress.next_shard += 1;
        }
        let Range { start, end } = progress.slots;
        let stop = end.min(start.saturating_add(SLOTS_PER_HOLD));
        progress.slots = stop..end;
        Some(self.locked(progress.next_shard - 1, |locked| {
            locked.clear(scope, start..stop)
        }))
    }
}
