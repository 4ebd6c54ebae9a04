//! Writes: what they need is reserved first, and made free elsewhere if need be.

use std::mem;
use std::panic::resume_unwind;

use cache_core::{BackendWrite, Condition, Error, ErrorKind, Expiry, Result};

use super::{Panic, Store};
use crate::entry::Content;
use crate::removal::{Outbox, Replaced};
use crate::shard::{Write, Written};
use crate::sync::{Ordering, yield_now};
use crate::tags::EntryTags;

impl<V> Store<V> {
    pub(crate) fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        self.set_tagged(key, value, options, None)
    }

    #[inline]
    pub(crate) fn set_tagged(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tags: Option<Box<EntryTags>>,
    ) -> Result<bool> {
        let weight = self.weigh(key, &value)?;
        let content = Some(Content { value, tags });
        let mut write = self.plan(key, content, weight, options);
        self.write(&mut write)
    }

    /// Writes all pairs, of which each is weighed first, so that none is written if one can
    /// never fit.
    pub(crate) fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        let weigh = |(key, value): &(&str, V)| self.weigh(key, value);
        let weights = entries.iter().map(weigh).collect::<Result<Vec<u32>>>()?;
        for ((key, value), weight) in entries.into_iter().zip(weights) {
            let content = Some(Content { value, tags: None });
            let options = BackendWrite::new(expiry, Condition::Always);
            self.write(&mut self.plan(key, content, weight, options))?;
        }
        Ok(())
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

    #[inline]
    pub(super) fn plan<'k>(
        &self,
        key: &'k str,
        content: Option<Content<V>>,
        weight: u32,
        options: BackendWrite,
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
    #[inline]
    fn write(&self, write: &mut Write<'_, V>) -> Result<bool> {
        let shard = self.shards.of(write.hash);
        let (mut outbox, mut panic) = (Outbox::new(), None);
        let written = match self.lock(shard, &mut outbox, |locked| locked.write(write)) {
            Written::Done => Ok(true),
            Written::Refused => Ok(false),
            Written::NoRoom(need) => {
                self.write_with_room(shard, need, write, &mut outbox, &mut panic)
            }
        };
        // Nothing is reserved any more when the user's code runs.
        self.budget.release(mem::take(&mut write.credit));
        self.deliver(&outbox, write.replaced());
        match panic {
            Some(panic) => resume_unwind(panic),
            None => written,
        }
    }

    /// Raises the credit of a write to `need`, and then does it.
    #[cold]
    fn write_with_room(
        &self,
        shard: usize,
        mut need: u64,
        write: &mut Write<'_, V>,
        outbox: &mut Outbox<V>,
        panic: &mut Option<Panic>,
    ) -> Result<bool> {
        loop {
            let (weight, limit) = (write.weight.into(), self.budget.capacity());
            if weight > limit {
                // The capacity was lowered meanwhile.
                return Err(self.refuse(weight, limit));
            }
            if write.credit >= need {
                let thrown = self.clear_out(&mut write.credit, outbox);
                *panic = panic.take().or(thrown);
            } else if !self.evict_elsewhere(shard, need, write, outbox) {
                // All there is belongs to writes that are under way. Whoever holds on to a part
                // of it while waiting for more may wait for ever.
                self.budget.release(mem::take(&mut write.credit));
                yield_now();
            }
            need = match self.lock(shard, outbox, |locked| locked.write(write)) {
                Written::Done => return Ok(true),
                Written::Refused => return Ok(false),
                Written::NoRoom(need) => need,
            };
        }
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
        let (count, before) = (self.shards.len(), write.credit);
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

    /// Weighs a value, and refuses one that can never fit.
    pub(crate) fn weigh(&self, key: &str, value: &V) -> Result<u32> {
        let weight = self.weigher.as_ref().map_or(1, |weigh| weigh(key, value));
        let limit = self.budget.capacity();
        if u64::from(weight) > limit {
            return Err(self.refuse(weight.into(), limit));
        }
        Ok(weight)
    }

    pub(super) fn refuse(&self, weight: u64, limit: u64) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::new(ErrorKind::TooLarge { weight, limit })
    }
}

impl<V: Clone> Store<V> {
    pub(crate) fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        let weight = self.weigh(key, &value)?;
        let content = Some(Content { value, tags: None });
        let options = BackendWrite::new(expiry, Condition::Always);
        let mut write = self.plan(key, content, weight, options);
        self.write(&mut write)?;
        Ok(write.replaced.map(Replaced::into_value))
    }
}
