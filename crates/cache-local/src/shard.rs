//! One shard while its locks are held: table, eviction policy and timers change together.

mod arrivals;
mod held;
mod walk;

use std::mem;
use std::ops::Range;

use cache_core::{Clock, Condition, Scope, Version};

use self::arrivals::Arrivals;
pub(crate) use self::held::{Commit, Committed, Held, State, Watched};
use self::walk::Walk;
use crate::budget::Budget;
use crate::entry::{Content, Entry, Handle, NEVER, Place};
use crate::policy::Policy;
use crate::removal::{Outbox, RemovalCause, Removed, Replaced};
use crate::shards::Table;
use crate::timers::Timers;

/// Expired entries that one write frees on the side.
const FREED_PER_WRITE: usize = 8;

/// Slots in which one write that needs room looks for entries of which a tag was invalidated.
const WALKED_PER_WRITE: u32 = 64;

/// Times that one write evicts, or frees expired entries, while it holds the locks of a shard.
const EVICTED_PER_WRITE: usize = 64;

/// What a shard knows of its entries beyond the table.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) policy: Policy,
    pub(crate) timers: Timers,
    walk: Walk,
    pub(crate) arrivals: Arrivals,
    pub(crate) evicted_for_capacity: u64,
    pub(crate) evicted_by_resize: u64,
    pub(crate) expired: u64,
    /// The number of writes so far, by which entries of one key are told apart.
    writes: u32,
}

impl Ledger {
    const fn next_version(&mut self) -> u32 {
        self.writes = self.writes.wrapping_add(1);
        self.writes
    }

    /// Puts what a write brings into the entry of its key; it has credit enough.
    #[inline]
    fn replace<V>(&mut self, write: &mut Write<'_, V>, entry: &mut Handle<V>, clock: &Clock) {
        let old = entry.deadline();
        if write.keeps_deadline {
            write.deadline = old;
        }
        let weight = write.overwrite(entry, self.next_version());
        self.timers.set(entry.slot(), old, write.deadline, clock);
        self.policy.reweigh(entry, weight);
    }
}

/// A write that is to be done.
pub(crate) struct Write<'a, V> {
    pub(crate) key: &'a str,
    pub(crate) hash: u64,
    /// Taken when the write is done.
    pub(crate) content: Option<Content<V>>,
    pub(crate) weight: u32,
    pub(crate) deadline: u64,
    /// Whether an entry that is there keeps its own deadline.
    pub(crate) keeps_deadline: bool,
    pub(crate) condition: Condition,
    /// Weight that is reserved for this write already.
    pub(crate) credit: u64,
    /// What the write has replaced.
    pub(crate) replaced: Option<Replaced<V>>,
}

impl<V> Write<'_, V> {
    /// Returns what the write has replaced, and under which key.
    pub(crate) fn replaced(&self) -> Option<(&str, &Replaced<V>)> {
        let replaced = self.replaced.as_ref();
        replaced.map(|replaced| (self.key, replaced))
    }

    /// Puts value, weight and deadline into an entry of the same key, and returns the weight
    /// that it had.
    #[inline]
    fn overwrite(&mut self, entry: &mut Handle<V>, version: u32) -> u64 {
        let weight = entry.weight();
        let Some(content) = self.content.take() else {
            return weight;
        };
        entry.hit();
        let place = Place {
            weight: self.weight,
            deadline: self.deadline,
            ..entry.place()
        };
        self.replaced = Some(entry.replace(content, place, version));
        // What the old value had and the new one does not need goes back with the credit.
        self.credit = self.credit + weight - u64::from(self.weight);
        weight
    }
}

/// What became of a [`Write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// Its condition does not hold.
    Refused,
    /// The cache is full and this shard has too little to give, or has given enough for one lock
    /// hold: raise the credit to this elsewhere, then try again. If it is that high already, clear the outbox first.
    NoRoom(u64),
}

/// Tells whether the condition of a write of a live entry holds.
#[inline]
fn holds<V>(condition: &Condition, entry: &Handle<V>) -> bool {
    condition.holds(Some(&Version::from_number(entry.version().into())))
}

pub(crate) struct Locked<'a, V> {
    pub(crate) table: &'a mut Table<V>,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) outbox: &'a mut Outbox<V>,
    pub(crate) budget: &'a Budget,
    pub(crate) clock: &'a Clock,
    /// The weight of a shard that holds its fair share.
    pub(crate) share: u64,
    /// How many invalidations of tags there were.
    pub(crate) invalidations: u64,
    /// Whether values are cloned after the lock.
    pub(crate) clones_after: bool,
}

impl<V> Locked<'_, V> {
    /// Does a write, as far as this shard can.
    pub(crate) fn write(&mut self, write: &mut Write<'_, V>) -> Written {
        let is_over = write.content.as_ref().is_some_and(Content::is_over);
        let written = self.put(write);
        if is_over && written == Written::Done {
            // It has replaced what was there, and is absent itself. No walk would come for it.
            self.live(write.hash, write.key);
        }
        written
    }

    #[inline]
    fn put(&mut self, write: &mut Write<'_, V>) -> Written {
        self.expire(FREED_PER_WRITE);
        loop {
            let Some(place) = self.table.get_mut(write.hash, write.key) else {
                if !write.condition.holds(None) {
                    return Written::Refused;
                }
                let need = write.weight.into();
                if !self.has_room(need, &mut write.credit, None) {
                    return Written::NoRoom(need);
                }
                if self.insert(write) {
                    return Written::Done;
                }
                // Every slot of the shard is taken.
                write.credit += self.evict(RemovalCause::Capacity, None).unwrap_or_default();
                continue;
            };
            if let Some(cause) = place.ended(self.clock) {
                let slot = place.slot();
                self.remove(slot, cause);
                continue;
            }
            if !holds(&write.condition, place) {
                return Written::Refused;
            }
            let need = u64::from(write.weight).saturating_sub(place.weight());
            if write.credit >= need && !self.outbox.is_due() {
                self.ledger.replace(write, place, self.clock);
                return Written::Done;
            }
            let own = Some(place.slot());
            if !self.has_room(need, &mut write.credit, own) {
                return Written::NoRoom(need);
            }
        }
    }

    /// Tells whether a write may be done: it has its room, and what it has displaced is not much.
    #[inline]
    fn has_room(&mut self, need: u64, credit: &mut u64, own: Option<u32>) -> bool {
        (*credit >= need || self.make_room(need, credit, own, false)) && !self.outbox.is_due()
    }

    /// Finds the slot of a key, whatever the state of its entry.
    pub(crate) fn slot(&self, hash: u64, key: &str) -> Option<u32> {
        self.table.get(hash, key).map(|entry| entry.slot())
    }

    /// Finds the slot of a key; an entry that is absent is removed instead.
    fn live(&mut self, hash: u64, key: &str) -> Option<u32> {
        let entry = self.table.get(hash, key)?;
        let slot = entry.slot();
        if let Some(cause) = entry.ended(self.clock) {
            self.remove(slot, cause);
            return None;
        }
        Some(slot)
    }

    /// Removes the live entry of a key on a condition, and tells whether it did.
    pub(crate) fn delete(&mut self, hash: u64, key: &str, condition: &Condition) -> bool {
        let Some(slot) = self.live(hash, key) else {
            return false;
        };
        let is_due = match condition {
            Condition::Always => true,
            condition => {
                let entry = self.table.get(hash, key);
                entry.is_some_and(|entry| holds(condition, entry))
            }
        };
        if is_due {
            self.remove(slot, RemovalCause::Deleted);
        }
        is_due
    }

    /// Looks at the live entry of a key.
    pub(crate) fn look<R>(
        &mut self,
        hash: u64,
        key: &str,
        look: impl FnOnce(&Handle<V>) -> R,
    ) -> Option<R> {
        self.live(hash, key)?;
        self.table.get(hash, key).map(look)
    }

    /// Changes the deadline of a live entry, and tells whether that changed anything.
    pub(crate) fn set_deadline(&mut self, hash: u64, key: &str, deadline: u64) -> bool {
        let Some(slot) = self.live(hash, key) else {
            return false;
        };
        let Some(entry) = self.table.get_mut(hash, key) else {
            return false;
        };
        let old = entry.deadline();
        entry.set_deadline(deadline);
        self.ledger.timers.set(slot, old, deadline, self.clock);
        deadline != NEVER || old != NEVER
    }

    /// Removes an entry by slot, whatever its state.
    pub(crate) fn remove(&mut self, slot: u32, cause: RemovalCause) {
        if let Some(entry) = self.unlink(slot) {
            self.budget.release(entry.weight());
            self.put_out(entry, cause);
        }
    }

    /// Deals with at most `limit` timers; returns how many entries it freed and whether there
    /// may be more.
    #[inline]
    pub(crate) fn expire(&mut self, limit: usize) -> (u64, bool) {
        if self.ledger.timers.is_empty() {
            return (0, false);
        }
        self.fire(limit)
    }

    fn fire(&mut self, limit: usize) -> (u64, bool) {
        // A little late is early enough for what is absent already.
        let now = self.clock.coarse_nanos();
        let mut removed = 0;
        // Timers that are filed again count as work too.
        for _ in 0..limit {
            let Some(slot) = self.ledger.timers.next_fired(now) else {
                return (removed, false);
            };
            let Some(entry) = self.table.rows.at(slot) else {
                continue;
            };
            match entry.deadline() {
                NEVER => {}
                deadline if deadline > now => self.ledger.timers.file(slot, deadline, self.clock),
                _ => {
                    self.remove(slot, RemovalCause::Expired);
                    removed += 1;
                }
            }
        }
        (removed, true)
    }

    /// Removes the entries of a scope in some slots and returns how many were live.
    pub(crate) fn clear(&mut self, scope: &Scope, slots: Range<u32>) -> u64 {
        let mut cleared = 0;
        for slot in slots {
            let Some(entry) = self.table.rows.at(slot) else {
                continue;
            };
            if !scope.contains(entry.key()) {
                continue;
            }
            let ended = entry.ended(self.clock);
            self.remove(slot, ended.unwrap_or(RemovalCause::Cleared));
            cleared += u64::from(ended.is_none());
        }
        cleared
    }

    /// Removes at most `limit` entries while the capacity is exceeded, expired ones first, and
    /// tells whether there was one to remove.
    pub(crate) fn shrink(&mut self, limit: usize) -> bool {
        let (mut removed, _) = self.expire(limit);
        while removed < limit as u64 && self.budget.is_exceeded() {
            let Some(weight) = self.evict(RemovalCause::Resized, None) else {
                break;
            };
            self.budget.release(weight);
            removed += 1;
        }
        removed > 0
    }

    /// Evicts an entry, but not the one in the slot `except`, and returns its weight, which
    /// stays reserved.
    fn evict(&mut self, cause: RemovalCause, except: Option<u32>) -> Option<u64> {
        let rows = &mut self.table.rows;
        let slot = self.ledger.policy.victim(rows, self.share, except)?;
        let entry = self.unlink(slot)?;
        let cause = entry.ended(self.clock).unwrap_or(cause);
        let weight = entry.weight();
        self.put_out(entry, cause);
        Some(weight)
    }

    /// Tells whether this shard holds at least half of its fair share.
    fn is_well_filled(&self) -> bool {
        self.ledger.policy.weight().saturating_mul(2) >= self.share
    }

    /// Raises the credit of a write to `need`, as far as one lock hold may go: from the budget,
    /// from expired entries, then by eviction. The slot `own`, which is written to, stays.
    ///
    /// A shard that has too little gives nothing more unless it is the `last` resort.
    #[inline]
    pub(crate) fn make_room(
        &mut self,
        need: u64,
        credit: &mut u64,
        own: Option<u32>,
        last: bool,
    ) -> bool {
        let mut is_walked = false;
        for _ in 0..EVICTED_PER_WRITE {
            if *credit >= need {
                return true;
            }
            if self.budget.reserve(need - *credit) {
                *credit = need;
                self.ledger.policy.settle(&mut self.table.rows, self.share);
                return true;
            }
            if self.expire(FREED_PER_WRITE).0 > 0 {
                continue;
            }
            if !mem::replace(&mut is_walked, true)
                && self
                    .free_invalidated(self.invalidations, WALKED_PER_WRITE)
                    .0
                    > 0
            {
                continue;
            }
            if !last && !self.is_well_filled() {
                return false;
            }
            match self.evict(RemovalCause::Capacity, own) {
                Some(weight) => *credit += weight,
                None => return false,
            }
        }
        *credit >= need
    }

    #[inline]
    fn insert(&mut self, write: &mut Write<'_, V>) -> bool {
        let (rows, weight) = (&mut self.table.rows, write.weight.into());
        let Some((slot, line)) = self.ledger.policy.admit(rows, write.hash, weight) else {
            return false;
        };
        let Some(content) = write.content.take() else {
            return false;
        };
        let Write {
            weight, deadline, ..
        } = *write;
        let place = Place {
            slot,
            line,
            hits: 0,
            weight,
            deadline,
        };
        self.ledger.arrivals.note(write.hash);
        let version = self.ledger.next_version();
        let shared = self.clones_after;
        let entry = Handle::new(Entry::new(write.key, content, place), version, shared);
        self.table.insert(slot, entry);
        self.ledger
            .timers
            .set(slot, NEVER, write.deadline, self.clock);
        write.credit -= u64::from(weight);
        true
    }

    /// Takes an entry out of table, policy and timers.
    #[inline]
    fn unlink(&mut self, slot: u32) -> Option<Handle<V>> {
        let entry = self.table.remove(slot)?;
        self.ledger.policy.remove(&mut self.table.rows, &entry);
        self.ledger.timers.clear(slot);
        Some(entry)
    }

    /// Counts an entry that was taken out, and keeps it for the listener.
    #[inline]
    fn put_out(&mut self, entry: Handle<V>, cause: RemovalCause) {
        match cause {
            RemovalCause::Capacity => self.ledger.evicted_for_capacity += 1,
            RemovalCause::Resized => self.ledger.evicted_by_resize += 1,
            RemovalCause::Expired => self.ledger.expired += 1,
            _ => {}
        }
        self.outbox.put(Removed::new(entry, cause));
    }
}
