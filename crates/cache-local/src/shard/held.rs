//! Several shards while their locks are held: a commit compares what was watched and writes, in one step.

use cache_core::Clock;

use super::{EVICTED_PER_WRITE, FREED_PER_WRITE, Locked, Write};
use crate::budget::Budget;
use crate::removal::{Outbox, RemovalCause};
use crate::shards::Shard;

/// A key that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) key: Box<str>,
    pub(crate) hash: u64,
    pub(crate) state: State,
}

/// What a watched key was when it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    /// There, with this version.
    Present(u32),
    /// Absent, after so many [`Arrivals`](super::arrivals::Arrivals).
    Absent(u32),
}

/// Writes that are to be done together, unless a watched key has changed.
pub(crate) struct Commit<'k, V> {
    /// The numbers of the shards of all keys; they ascend.
    pub(crate) shards: Vec<usize>,
    /// Each with the place of its shard in `shards`.
    pub(crate) watched: Vec<(usize, Watched)>,
    /// The same for the writes, each of another key. One without content is a delete.
    pub(crate) writes: Vec<(usize, Write<'k, V>)>,
    /// What all new values weigh together.
    pub(crate) weight: u64,
    /// Weight that is reserved for them already.
    pub(crate) credit: u64,
}

/// What became of a [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    Done,
    /// A watched key has changed.
    Conflict,
    /// The cache is full and these shards have too little to give, or have given enough for one lock
    /// hold: raise the credit to this elsewhere, then try again. If it is that high already, clear the outbox first.
    NoRoom(u64),
}

/// An entry that is spared while others are evicted: place of its shard, slot.
type Spared = (usize, u32);

pub(crate) struct Held<'a, V> {
    pub(crate) shards: Vec<&'a mut Shard<V>>,
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

impl<V> Held<'_, V> {
    fn at(&mut self, place: usize) -> Locked<'_, V> {
        let Shard { table, ledger } = &mut *self.shards[place];
        Locked {
            table,
            ledger,
            outbox: self.outbox,
            budget: self.budget,
            clock: self.clock,
            share: self.share,
            invalidations: self.invalidations,
            clones_after: self.clones_after,
        }
    }

    /// Does all writes, as far as these shards can; otherwise none.
    ///
    /// In the `last` resort watched entries are evicted too, since all else is gone; but only if
    /// that is enough, because they could not be compared again.
    pub(crate) fn commit(&mut self, commit: &mut Commit<'_, V>, last: bool) -> Committed {
        let has_changed =
            |(place, watched): &(usize, Watched)| self.at(*place).has_changed(watched);
        if commit.watched.iter().any(has_changed) {
            return Committed::Conflict;
        }
        for place in 0..self.shards.len() {
            self.at(place).expire(FREED_PER_WRITE);
        }
        let old = |(place, write): &(usize, Write<'_, V>)| {
            let mut locked = self.at(*place);
            locked.live(write.hash, write.key);
            let entry = locked.table.get(write.hash, write.key);
            entry.map_or(0, |entry| entry.weight())
        };
        let old: u64 = commit.writes.iter().map(old).sum();
        let need = commit.weight.saturating_sub(old);
        // Watched entries that have left in the last resort could not be compared again.
        let may_return = !last || commit.watched.is_empty();
        if !self.make_room(need, commit, last) || (may_return && self.outbox.is_due()) {
            return Committed::NoRoom(need);
        }
        for (place, write) in &mut commit.writes {
            self.at(*place).put_committed(write);
        }
        // What the old entries weighed more than the new ones goes back with the credit.
        commit.credit = commit.credit + old - commit.weight;
        Committed::Done
    }

    fn make_room(&mut self, need: u64, commit: &mut Commit<'_, V>, last: bool) -> bool {
        if commit.credit < need && !self.reserve(need, commit) {
            let spared = self.spared(commit, last);
            for (place, slot) in &spared {
                self.at(*place).lift(*slot);
            }
            self.evict(need, commit, last);
            for (place, slot) in &spared {
                self.at(*place).put_back(*slot);
            }
        }
        commit.credit >= need
    }

    /// Takes what is missing from the budget, if it is there.
    fn reserve(&mut self, need: u64, commit: &mut Commit<'_, V>) -> bool {
        let is_there = self.budget.reserve(need - commit.credit);
        if is_there {
            commit.credit = need;
            for place in 0..self.shards.len() {
                let locked = self.at(place);
                let rows = &mut locked.table.rows;
                locked.ledger.policy.settle(rows, locked.share);
            }
        }
        is_there
    }

    /// Returns the entries that are written, each once; and unless this is the `last` resort, those
    /// that are watched.
    fn spared(&mut self, commit: &Commit<'_, V>, last: bool) -> Vec<Spared> {
        let written = commit.writes.iter();
        let written = written.map(|(place, write)| (*place, write.hash, write.key));
        let watched = commit.watched.iter().filter(|_| !last);
        let watched = watched.map(|(place, watched)| (*place, watched.hash, &*watched.key));
        let spared = written.chain(watched).filter_map(|(place, hash, key)| {
            let slot = self.at(place).slot(hash, key)?;
            Some((place, slot))
        });
        let mut spared: Vec<Spared> = spared.collect();
        spared.sort_unstable();
        spared.dedup();
        spared
    }

    /// Returns what each shard holds.
    fn weights(&self) -> impl Iterator<Item = u64> {
        let weight = |shard: &&mut Shard<V>| shard.ledger.policy.weight();
        self.shards.iter().map(weight)
    }

    /// Evicts until the credit is enough: from the shard that holds most, of those that have enough.
    fn evict(&mut self, need: u64, commit: &mut Commit<'_, V>, last: bool) {
        if last {
            commit.credit += self.budget.reserve_most(need - commit.credit);
            let held: u64 = self.weights().sum();
            if commit.credit.saturating_add(held) < need {
                return;
            }
        }
        let limit = if last { usize::MAX } else { EVICTED_PER_WRITE };
        for _ in 0..limit {
            if commit.credit >= need || self.budget.reserve(need - commit.credit) {
                commit.credit = commit.credit.max(need);
                return;
            }
            let Some((fullest, _)) = self.weights().enumerate().max_by_key(|(_, weight)| *weight)
            else {
                return;
            };
            let mut locked = self.at(fullest);
            if !last && !locked.is_well_filled() {
                return;
            }
            match locked.evict(RemovalCause::Capacity, None) {
                Some(weight) => commit.credit += weight,
                None => return,
            }
        }
    }
}

impl<V> Locked<'_, V> {
    fn has_changed(&mut self, watched: &Watched) -> bool {
        match watched.state {
            State::Present(version) => {
                let entry = self.table.get(watched.hash, &watched.key);
                !entry.is_some_and(|entry| {
                    entry.version() == version && entry.ended(self.clock).is_none()
                })
            }
            State::Absent(arrivals) => self.ledger.arrivals.count(watched.hash) != arrivals,
        }
    }

    fn lift(&mut self, slot: u32) {
        self.ledger.policy.lift(&mut self.table.rows, slot);
    }

    fn put_back(&mut self, slot: u32) {
        self.ledger.policy.put_back(&mut self.table.rows, slot);
    }

    /// Does a write of a commit, for which all is reserved that it needs.
    fn put_committed(&mut self, write: &mut Write<'_, V>) {
        let Some(entry) = self.table.get_mut(write.hash, write.key) else {
            while write.content.is_some() {
                write.credit = write.weight.into();
                if self.insert(write) {
                    return;
                }
                // Every slot of the shard is taken.
                let left = self.evict(RemovalCause::Capacity, None);
                self.budget.release(left.unwrap_or_default());
            }
            return;
        };
        if write.content.is_some() {
            write.credit = write.weight.into();
            self.ledger.replace(write, entry, self.clock);
            write.credit = 0;
            return;
        }
        let slot = entry.slot();
        if let Some(entry) = self.unlink(slot) {
            self.put_out(entry, RemovalCause::Deleted);
        }
    }
}
