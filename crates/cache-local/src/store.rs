//! The synchronous cache: every operation of the backend, without futures, without guards.

mod commit;

use std::mem;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    BackendStats, Clock, Condition, Count, Cursor, Error, ErrorKind, Expiry, Page, Result, Scope,
    Version, WriteOptions,
};
use crossbeam_utils::CachePadded;

use crate::budget::{Budget, UNBOUNDED};
use crate::config::{Limits, LocalConfig, Weigher};
use crate::counters::CounterTable;
use crate::entry::{Content, Entry, Handle, NEVER};
use crate::removal::{Listener, Outbox, Replaced};
use crate::shard::{Ledger, Locked, Write, Written};
use crate::shards::Shards;
use crate::sync::{AtomicU64, Guarded, Ordering, yield_now};
use crate::tags::{EntryTags, TagTable};

/// Slots that a scan or a clear visits while it holds the locks of a shard.
const SLOTS_PER_HOLD: u32 = 256;
/// Entries that a sweep or a resize removes meanwhile.
const FREED_PER_HOLD: usize = 64;
/// Where the shard begins in the position of a scan; slots need fewer bits.
const SHARD_SHIFT: u32 = 40;

pub(crate) struct Store<V> {
    shards: Shards<V>,
    ledgers: Box<[CachePadded<Guarded<Ledger>>]>,
    budget: Budget,
    clock: Clock,
    weigher: Option<Arc<Weigher<V>>>,
    listener: Option<Arc<Listener<V>>>,
    refused: AtomicU64,
    tags: TagTable,
    counters: CounterTable,
}

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
    pub(crate) fn new(config: LocalConfig<V>, limits: Limits) -> Self {
        let Limits { capacity, shards } = limits;
        Self {
            shards: Shards::new(shards),
            ledgers: (0..shards).map(|_| CachePadded::default()).collect(),
            budget: Budget::new(capacity),
            clock: config.clock,
            weigher: config.weigher,
            listener: config.listener,
            refused: AtomicU64::new(0),
            tags: TagTable::default(),
            counters: CounterTable::new(config.max_counters),
        }
    }

    /// Looks at the live entry of a key, under the shared lock of its shard.
    #[inline]
    fn read<R>(&self, key: &str, look: impl FnOnce(&Handle<V>) -> R) -> Option<R> {
        let hash = self.shards.hash(key);
        self.shards.read(self.shards.of(hash), |table| {
            let entry = table.get(hash, key)?;
            if entry.ended(&self.clock).is_some() {
                return None;
            }
            Some(look(entry))
        })
    }

    pub(crate) fn expiry(&self, key: &str) -> Option<Expiry> {
        let deadline = self.read(key, |entry| entry.deadline())?;
        self.remaining(deadline)
    }

    /// Returns the time until a deadline, or `None` if it has just passed.
    fn remaining(&self, deadline: u64) -> Option<Expiry> {
        if deadline == NEVER {
            return Some(Expiry::Never);
        }
        let left = deadline
            .checked_sub(self.clock.nanos())
            .filter(|left| *left > 0)?;
        Some(Expiry::After(Duration::from_nanos(left)))
    }

    fn deadline(&self, expiry: Expiry) -> u64 {
        match expiry {
            Expiry::Never => NEVER,
            Expiry::After(after) => self.clock.deadline_nanos(after).min(NEVER - 1),
        }
    }

    /// Runs `change` with the locks of a shard, and deals with what it removed after them.
    fn locked<R>(&self, shard: usize, change: impl FnOnce(&mut Locked<'_, V>) -> R) -> R {
        let mut outbox = Outbox::new();
        let result = self.lock(shard, &mut outbox, change);
        self.deliver(&outbox, []);
        result
    }

    /// Runs `change` with the locks of a shard; the caller delivers the outbox.
    #[inline]
    fn lock<R>(
        &self,
        shard: usize,
        outbox: &mut Outbox<V>,
        change: impl FnOnce(&mut Locked<'_, V>) -> R,
    ) -> R {
        let (share, invalidations) = (self.share(), self.tags.now());
        self.shards.write(shard, |table| {
            let mut ledger = self.ledgers[shard].lock();
            change(&mut Locked {
                table,
                ledger: &mut ledger,
                outbox,
                budget: &self.budget,
                clock: &self.clock,
                share,
                invalidations,
            })
        })
    }

    /// Tells the listener what was removed, then what writes replaced under their keys. If it
    /// panics, it hears of the rest all the same.
    fn deliver<'r>(
        &self,
        outbox: &Outbox<V>,
        replaced: impl IntoIterator<Item = (&'r str, &'r Replaced<V>)>,
    ) where
        V: 'r,
    {
        let Some(listener) = self.listener.as_deref() else {
            return;
        };
        let guarded = |tell: &dyn Fn()| catch_unwind(AssertUnwindSafe(tell)).err();
        let mut first = None;
        for removed in outbox.iter() {
            first = first.or(guarded(&|| removed.tell(listener)));
        }
        for (key, replaced) in replaced {
            first = first.or(guarded(&|| replaced.tell(key, listener)));
        }
        if let Some(panic) = first {
            resume_unwind(panic);
        }
    }

    /// The weight of a shard that has its fair share of the capacity.
    fn share(&self) -> u64 {
        // The number of shards is a power of two.
        (self.budget.capacity() >> self.ledgers.len().trailing_zeros()).max(1)
    }

    /// Weighs a value, and refuses one that can never fit.
    pub(crate) fn weigh(&self, key: &str, value: &V) -> Result<u32> {
        let weight = self.weigher.as_ref().map_or(1, |weigh| weigh(key, value));
        let limit = self.budget.capacity();
        if u64::from(weight) > limit {
            return Err(self.refuse(weight.into(), limit));
        }
        Ok(weight)
    }

    pub(crate) const fn tags(&self) -> &TagTable {
        &self.tags
    }

    pub(crate) fn set(&self, key: &str, value: V, options: WriteOptions) -> Result<bool> {
        self.set_tagged(key, value, options, None)
    }

    #[inline]
    pub(crate) fn set_tagged(
        &self,
        key: &str,
        value: V,
        options: WriteOptions,
        tags: Option<Box<EntryTags>>,
    ) -> Result<bool> {
        let weight = self.weigh(key, &value)?;
        let content = Some(Content { value, tags });
        let mut write = self.plan(key, content, weight, options);
        self.write(&mut write)
    }

    fn plan<'k>(
        &self,
        key: &'k str,
        content: Option<Content<V>>,
        weight: u32,
        options: WriteOptions,
    ) -> Write<'k, V> {
        let (hash, deadline) = (self.shards.hash(key), self.deadline(options.expiry));
        Write {
            key,
            hash,
            content,
            weight,
            deadline,
            keeps_deadline: options.keeps_expiry,
            condition: options.condition,
            credit: 0,
            replaced: None,
        }
    }

    /// Does a write and tells whether its condition held.
    fn write(&self, write: &mut Write<'_, V>) -> Result<bool> {
        let shard = self.shards.of(write.hash);
        let mut outbox = Outbox::new();
        let written = loop {
            let need = match self.lock(shard, &mut outbox, |locked| locked.write(write)) {
                Written::Done => break Ok(true),
                Written::Refused => break Ok(false),
                Written::NoRoom(need) => need,
            };
            let (weight, limit) = (write.weight.into(), self.budget.capacity());
            if weight > limit {
                // The capacity was lowered meanwhile.
                break Err(self.refuse(weight, limit));
            }
            if !self.evict_elsewhere(shard, need, write, &mut outbox) {
                // All there is belongs to writes that are under way. Whoever holds on to a part
                // of it while waiting for more may wait for ever.
                self.budget.release(mem::take(&mut write.credit));
                yield_now();
            }
        };
        // Nothing is reserved any more when the user's code runs.
        self.budget.release(mem::take(&mut write.credit));
        self.deliver(&outbox, write.replaced());
        written
    }

    fn refuse(&self, weight: u64, limit: u64) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::new(ErrorKind::TooLarge { weight, limit })
    }

    /// Writes all pairs, of which each is weighed first, so that none is written if one can
    /// never fit.
    pub(crate) fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        let weigh = |(key, value): &(&str, V)| self.weigh(key, value);
        let weights = entries.iter().map(weigh).collect::<Result<Vec<u32>>>()?;
        for ((key, value), weight) in entries.into_iter().zip(weights) {
            let content = Some(Content { value, tags: None });
            let options = WriteOptions::new(expiry, Condition::Always);
            self.write(&mut self.plan(key, content, weight, options))?;
        }
        Ok(())
    }

    /// Evicts until the credit of a write reaches `need`, or every shard had its turn: first
    /// from those that have enough, then from any. Tells whether that raised the credit.
    fn evict_elsewhere(
        &self,
        from: usize,
        need: u64,
        write: &mut Write<'_, V>,
        outbox: &mut Outbox<V>,
    ) -> bool {
        let (count, before) = (self.ledgers.len(), write.credit);
        for last in [false, true] {
            for step in 1..=count {
                let enough = self.lock((from + step) % count, outbox, |locked| {
                    let own = locked.slot(write.hash, write.key);
                    locked.make_room(need, &mut write.credit, own, last)
                });
                if enough {
                    return true;
                }
            }
        }
        write.credit > before
    }

    pub(crate) fn delete(&self, key: &str, condition: &Condition) -> bool {
        let hash = self.shards.hash(key);
        self.locked(self.shards.of(hash), |locked| {
            locked.delete(hash, key, condition)
        })
    }

    pub(crate) fn set_expiry(&self, key: &str, expiry: Expiry) -> bool {
        let hash = self.shards.hash(key);
        let deadline = self.deadline(expiry);
        self.locked(self.shards.of(hash), |locked| {
            locked.set_deadline(hash, key, deadline)
        })
    }

    /// Returns one page of a scan: the keys in the next slots of one shard.
    pub(crate) fn scan(&self, scope: &Scope, cursor: &Cursor, limit: usize) -> Page {
        let position = match cursor {
            Cursor::Position(position) => *position,
            _ => 0,
        };
        let shard = (position >> SHARD_SHIFT) as usize;
        if shard >= self.ledgers.len() {
            return Page::new(Vec::new(), None);
        }
        let first = (position & ((1 << SHARD_SHIFT) - 1)) as u32;
        let visit = u32::try_from(limit)
            .unwrap_or(u32::MAX)
            .clamp(1, SLOTS_PER_HOLD);
        let (keys, more) = self.shards.read(shard, |table| {
            let ledger = self.ledgers[shard].lock();
            let end = first.saturating_add(visit).min(ledger.policy.slots());
            let entries = (first..end).filter_map(|slot| table.at(ledger.policy.hash(slot)?, slot));
            let live = entries.filter(|entry| entry.ended(&self.clock).is_none());
            let keys = live.filter(|entry| scope.contains(entry.key()));
            (
                keys.map(|entry| entry.key().to_owned()).collect(),
                end < ledger.policy.slots(),
            )
        });
        let next = match more {
            true => position + u64::from(visit),
            false => (shard as u64 + 1) << SHARD_SHIFT,
        };
        let done = !more && shard + 1 == self.ledgers.len();
        Page::new(keys, (!done).then_some(Cursor::Position(next)))
    }

    /// Removes the entries of a scope from the slots of one lock hold, and returns how many were
    /// live; `None` after the last one.
    pub(crate) fn clear_some(&self, scope: &Scope, progress: &mut Progress) -> Option<u64> {
        while progress.slots.is_empty() {
            let shard = progress.next_shard;
            let ledger = self.ledgers.get(shard)?;
            // Slots that appear later hold entries that are newer than the call.
            progress.slots = 0..self.shards.read(shard, |_| ledger.lock().policy.slots());
            progress.next_shard += 1;
        }
        let Range { start, end } = progress.slots;
        let stop = end.min(start.saturating_add(SLOTS_PER_HOLD));
        progress.slots = stop..end;
        Some(self.locked(progress.next_shard - 1, |locked| {
            locked.clear(scope, start..stop)
        }))
    }

    fn shards(&self) -> usize {
        self.ledgers.len()
    }

    pub(crate) fn count(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        self.counters.add(name, by, window, &self.clock)
    }

    pub(crate) fn count_of(&self, name: &str) -> Option<Count> {
        self.counters.get(name, &self.clock)
    }

    pub(crate) fn reset_count(&self, name: &str) -> bool {
        self.counters.reset(name, &self.clock)
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn counters_held(&self) -> u64 {
        self.counters.held()
    }

    /// Returns how many parts a sweep has: the shards of the entries and those of the counters.
    pub(crate) fn parts(&self) -> usize {
        self.shards() + self.counters.shards()
    }

    /// Frees some of what is absent in one part; returns how many entries, and whether there may be more.
    pub(crate) fn sweep_part(&self, part: usize, invalidations: u64) -> (u64, bool) {
        match part.checked_sub(self.shards()) {
            None => self.sweep_some(part, invalidations),
            Some(shard) => (0, self.counters.sweep_some(shard, &self.clock)),
        }
    }

    /// Frees absent entries of a shard for one lock hold: expired ones, and those that the first so
    /// many invalidations of tags concern; returns how many, and whether there may be more.
    fn sweep_some(&self, shard: usize, invalidations: u64) -> (u64, bool) {
        self.locked(shard, |locked| {
            let (expired, more_expired) = locked.expire(FREED_PER_HOLD);
            let (invalidated, more) = locked.free_invalidated(invalidations, SLOTS_PER_HOLD);
            (expired + invalidated, more_expired || more)
        })
    }

    /// Frees the entries and counters that are absent, and returns how many entries there were.
    ///
    /// The shards take turns: one that is locked again and again leaves its readers no gap.
    pub(crate) fn sweep(&self) -> u64 {
        let (mut freed, invalidations) = (0, self.tags.now());
        let mut busy: Vec<usize> = (0..self.parts()).collect();
        while !busy.is_empty() {
            busy.retain(|part| {
                let (some, more) = self.sweep_part(*part, invalidations);
                freed += some;
                more
            });
        }
        freed
    }

    /// Changes the capacity, and evicts what exceeds it.
    pub(crate) fn resize(&self, capacity: u64) {
        self.budget.set_capacity(capacity);
        let count = self.ledgers.len();
        let mut idle = 0;
        for shard in (0..count).cycle() {
            if !self.budget.is_exceeded() {
                return;
            }
            let evicted = self.locked(shard, |locked| locked.shrink(FREED_PER_HOLD));
            idle = if evicted { 0 } else { idle + 1 };
            if idle >= count {
                // All there is belongs to writes that are under way.
                yield_now();
            }
        }
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.budget.capacity() != UNBOUNDED
    }

    pub(crate) fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::default();
        let mut entries = 0;
        for (shard, ledger) in self.ledgers.iter().enumerate() {
            self.shards.read(shard, |_| {
                let ledger = ledger.lock();
                entries += ledger.policy.len();
                stats.evicted_for_capacity += ledger.evicted_for_capacity;
                stats.evicted_by_resize += ledger.evicted_by_resize;
                stats.expired += ledger.expired;
            });
        }
        stats.refused = self.refused.load(Ordering::Relaxed);
        // One number for all shards, which never exceeds the bound; a sum over shards that
        // change meanwhile could.
        let weight = self.budget.used();
        stats.weight = Some(weight);
        stats.entries = Some(if self.weigher.is_none() {
            weight
        } else {
            entries
        });
        stats
    }
}

impl<V: Clone> Store<V> {
    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        self.copy(key, |entry| entry.value.clone())
    }

    pub(crate) fn get_entry(&self, key: &str) -> Option<cache_core::Entry<V>> {
        let copy = |entry: &Entry<V>| (entry.value.clone(), entry.deadline(), entry.tags());
        let (version, held) = self.read(key, |handle| {
            handle.hit();
            (handle.version(), handle.hold(copy))
        })?;
        let (value, deadline, tags) = held.unwrap_or_else(|entry| copy(&entry));
        let expiry = self.remaining(deadline)?;
        let version = Version::from_number(version.into());
        let entry = cache_core::Entry::new(value, expiry).with_version(version);
        Some(entry.with_tags(tags))
    }

    /// Copies what is wanted of the entry of a key, and counts the hit.
    ///
    /// `Clone` is the user's code, so it runs after the lock, but for plain data: see [`Handle`].
    #[inline]
    fn copy<R>(&self, key: &str, copy: impl Fn(&Entry<V>) -> R) -> Option<R> {
        let held = self.read(key, |handle| {
            handle.hit();
            handle.hold(&copy)
        })?;
        Some(held.unwrap_or_else(|entry| copy(&entry)))
    }

    /// Removes the entry of a key and returns its value.
    pub(crate) fn take(&self, key: &str) -> Option<V> {
        self.copy_and(key, |locked, hash| {
            locked.delete(hash, key, &Condition::Always);
        })
    }

    /// Changes the expiry of an entry and returns its value.
    pub(crate) fn get_ex(&self, key: &str, expiry: Expiry) -> Option<V> {
        let deadline = self.deadline(expiry);
        self.copy_and(key, |locked, hash| {
            locked.set_deadline(hash, key, deadline);
        })
    }

    /// Returns the value of a key and changes its entry, in one step.
    fn copy_and(&self, key: &str, change: impl FnOnce(&mut Locked<'_, V>, u64)) -> Option<V> {
        let hash = self.shards.hash(key);
        let copy = |entry: &Entry<V>| entry.value.clone();
        let held = self.locked(self.shards.of(hash), |locked| {
            let held = locked.look(hash, key, |handle| {
                handle.hit();
                handle.hold(copy)
            })?;
            change(locked, hash);
            Some(held)
        })?;
        Some(held.unwrap_or_else(|entry| copy(&entry)))
    }

    pub(crate) fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        let weight = self.weigh(key, &value)?;
        let content = Some(Content { value, tags: None });
        let options = WriteOptions::new(expiry, Condition::Always);
        let mut write = self.plan(key, content, weight, options);
        self.write(&mut write)?;
        Ok(write.replaced.map(Replaced::into_value))
    }
}
