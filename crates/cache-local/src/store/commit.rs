//! Transactions: what is watched, and the writes that happen together.

use std::mem;
use std::panic::resume_unwind;

use cache_core::{BackendWrite, Condition, Error, ErrorKind, Expiry, Result, TransactionWrite};

use super::{Panic, Store};
use crate::entry::{Content, Entry, Handle};
use crate::removal::Outbox;
use crate::shard::{Commit, Committed, Held, State, Watched, Write};
use crate::sync::yield_now;

impl<V> Store<V> {
    /// Runs `change` with the locks of several shards, whose numbers ascend; the caller delivers the
    /// outbox.
    fn hold<R>(
        &self,
        shards: &[usize],
        outbox: &mut Outbox<V>,
        change: impl FnOnce(&mut Held<'_, V>) -> R,
    ) -> R {
        let (share, invalidations) = (self.share(), self.tags.now());
        self.shards.write_all(shards, |shards| {
            change(&mut Held {
                shards,
                outbox,
                budget: &self.budget,
                clock: &self.clock,
                share,
                invalidations,
                clones_after: self.clones_after,
            })
        })
    }

    /// Makes all writes in one step, unless a watched key has changed.
    pub(crate) fn commit(
        &self,
        watched: Vec<Watched>,
        writes: Vec<(&str, TransactionWrite<V>)>,
    ) -> Result<()> {
        let mut commit = self.plan_all(watched, writes)?;
        let (mut outbox, mut panic) = (Outbox::new(), None);
        let committed = self.write_all(&mut commit, &mut outbox, &mut panic);
        // Nothing is reserved any more when the user's code runs.
        self.budget.release(mem::take(&mut commit.credit));
        let writes = commit.writes.iter();
        self.deliver(&outbox, writes.filter_map(|(_, write)| write.replaced()));
        match panic {
            Some(panic) => resume_unwind(panic),
            None => committed,
        }
    }

    /// Weighs all values, and refuses them if they can never be there together.
    fn plan_all<'k>(
        &self,
        watched: Vec<Watched>,
        mut writes: Vec<(&'k str, TransactionWrite<V>)>,
    ) -> Result<Commit<'k, V>> {
        // Of the writes of one key the last one counts.
        writes.reverse();
        writes.sort_by_key(|(key, _)| *key);
        writes.dedup_by_key(|(key, _)| *key);
        let plan = |(key, write)| self.plan_one(key, write);
        let writes: Vec<Write<'k, V>> = writes.into_iter().map(plan).collect::<Result<_>>()?;
        let weight = writes.iter().map(|write| u64::from(write.weight)).sum();
        self.check_weight(weight)?;
        let hashes = writes.iter().map(|write| write.hash);
        let hashes = hashes.chain(watched.iter().map(|watched| watched.hash));
        let shards = self.shards_of(hashes);
        let place = |hash| place_of(&shards, self.shards.of(hash));
        let watched = watched.into_iter().map(|key| (place(key.hash), key));
        let writes = writes.into_iter().map(|write| (place(write.hash), write));
        Ok(Commit {
            watched: watched.collect(),
            writes: writes.collect(),
            weight,
            credit: 0,
            shards,
        })
    }

    fn plan_one<'k>(&self, key: &'k str, write: TransactionWrite<V>) -> Result<Write<'k, V>> {
        let (content, weight, expiry) = match write {
            TransactionWrite::Set(value, expiry) => {
                let weight = self.weigh(key, &value)?;
                (Some(Content { value, tags: None }), weight, expiry)
            }
            TransactionWrite::Delete => (None, 0, Expiry::Never),
            _ => return Err(Error::unsupported("this write in a transaction")),
        };
        let options = BackendWrite::new(expiry, Condition::Always);
        Ok(self.plan(key, content, weight, options))
    }

    /// Returns the numbers of the shards of some keys, ascending.
    fn shards_of(&self, hashes: impl Iterator<Item = u64>) -> Vec<usize> {
        let mut shards: Vec<usize> = hashes.map(|hash| self.shards.of(hash)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    fn write_all(
        &self,
        commit: &mut Commit<'_, V>,
        outbox: &mut Outbox<V>,
        panic: &mut Option<Panic>,
    ) -> Result<()> {
        let mut last = false;
        loop {
            let (shards, before) = (mem::take(&mut commit.shards), commit.credit);
            let committed = self.hold(&shards, outbox, |held| held.commit(commit, last));
            commit.shards = shards;
            let need = match committed {
                Committed::Done => return Ok(()),
                Committed::Conflict => return Err(ErrorKind::Conflict.into()),
                Committed::NoRoom(need) => need,
            };
            // The capacity may have been lowered meanwhile.
            self.check_weight(commit.weight)?;
            if commit.credit >= need {
                let thrown = self.clear_out(&mut commit.credit, outbox);
                *panic = panic.take().or(thrown);
                continue;
            }
            self.evict_beside(need, commit, outbox);
            let is_progress = commit.credit > before;
            if last && !is_progress {
                // As of a single write.
                self.budget.release(mem::take(&mut commit.credit));
                yield_now();
            }
            last = !is_progress && !last;
        }
    }

    fn check_weight(&self, weight: u64) -> Result<()> {
        let limit = self.budget.capacity();
        if weight > limit {
            return Err(self.refuse(weight, limit));
        }
        Ok(())
    }

    /// Evicts until the credit reaches `need`, or every shard had its turn that the commit does not
    /// concern: first those that have enough, then any.
    fn evict_beside(&self, need: u64, commit: &mut Commit<'_, V>, outbox: &mut Outbox<V>) {
        for last in [false, true] {
            for shard in 0..self.shards.len() {
                if commit.credit >= need {
                    return;
                }
                if commit.shards.binary_search(&shard).is_err() {
                    self.lock(shard, outbox, |locked| {
                        locked.make_room(need, &mut commit.credit, None, last)
                    });
                }
            }
        }
    }
}

impl<V: Clone> Store<V> {
    /// Reads some keys at one moment, and returns what it takes to see that they have changed.
    pub(crate) fn watch(&self, keys: &[&str]) -> (Vec<Option<V>>, Vec<Watched>) {
        let hashes: Vec<u64> = keys.iter().map(|key| self.shards.hash(key)).collect();
        let shards = self.shards_of(hashes.iter().copied());
        let copy = |entry: &Entry<V>| entry.value.clone();
        let held: Vec<_> = self.shards.read_all(&shards, |held| {
            let of = |hash: u64| held[place_of(&shards, self.shards.of(hash))];
            let find = |(key, hash): (&&str, &u64)| of(*hash).table.get(*hash, key);
            let mut found: Vec<_> = keys.iter().zip(&hashes).map(find).collect();
            self.drop_ended(&mut found);
            let hold = |(hash, found): (&u64, Option<&Handle<V>>)| match found {
                Some(handle) => {
                    handle.hit();
                    (Some(handle.hold(copy)), State::Present(handle.version()))
                }
                None => (None, State::Absent(of(*hash).ledger.arrivals.count(*hash))),
            };
            hashes.iter().zip(found).map(hold).collect()
        });
        let watched = keys.iter().zip(hashes).zip(held);
        let watched = watched.map(|((key, hash), (held, state))| {
            let key = (*key).into();
            let value = held.map(|held| held.unwrap_or_else(|entry| copy(&entry)));
            (value, Watched { key, hash, state })
        });
        watched.unzip()
    }

    /// Leaves out the entries that are absent, all at one moment.
    fn drop_ended(&self, found: &mut [Option<&Handle<V>>]) {
        let mut is_changed = true;
        // Under the locks entries end and none begins. Those that are there in a second look were
        // so at the end of the first one.
        while is_changed {
            is_changed = false;
            for found in &mut *found {
                if found.is_some_and(|entry| entry.ended(&self.clock).is_some()) {
                    *found = None;
                    is_changed = true;
                }
            }
        }
    }
}

/// Returns the place of a shard among those that were made of its key and others.
fn place_of(shards: &[usize], shard: usize) -> usize {
    shards.binary_search(&shard).unwrap_or_default()
}
