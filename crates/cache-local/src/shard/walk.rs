//! The search for entries of which a tag was invalidated: slot by slot, a few at a time.

use super::Locked;
use crate::removal::RemovalCause;

/// How far the entries were looked through for those of which a tag was invalidated.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// How many invalidations there were when the last walk began that has ended.
    done: u64,
    /// How many there were when the present one began.
    aim: u64,
    next_slot: u32,
}

impl<V> Locked<'_, V> {
    /// Looks through the next `limit` slots for entries of which a tag was invalidated, unless that
    /// was done since the first so many invalidations; returns how many it freed and whether there
    /// may be more.
    pub(crate) fn free_invalidated(&mut self, invalidations: u64, limit: u32) -> (u64, bool) {
        let walk = &mut self.ledger.walk;
        if walk.done >= invalidations {
            return (0, false);
        }
        if walk.next_slot == 0 {
            walk.aim = invalidations;
        }
        let first = walk.next_slot;
        let end = first.saturating_add(limit).min(self.table.rows.slots());
        let mut freed = 0;
        for slot in first..end {
            let entry = self.table.rows.at(slot);
            if entry.is_some_and(|entry| entry.is_invalidated()) {
                self.remove(slot, RemovalCause::Invalidated);
                freed += 1;
            }
        }
        let walk = &mut self.ledger.walk;
        if end == self.table.rows.slots() {
            (walk.done, walk.next_slot) = (walk.aim, 0);
        } else {
            walk.next_slot = end;
        }
        (freed, walk.done < invalidations)
    }
}
