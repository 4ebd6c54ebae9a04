//! The transactions of the reference: each write has a number, by which it is known again.

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{ErrorKind, Result, TransactionWrite, Transactions, Watch};
use tokio::task::yield_now;

use super::Bug;
use super::backend::{Reference, Slots};

/// The keys, which write each entry was, and which one was the last of an absent key.
type Watched = Vec<(String, [Option<u64>; 2])>;

impl<V: TestValue> Reference<V> {
    fn numbers(&self, slots: &Slots<V>, key: &str) -> [Option<u64>; 2] {
        let slot = match self.bug {
            Some(Bug::CommitIgnoresExpiry) => slots.get(key),
            _ => self.live(slots, key),
        };
        let written = self.written.lock().expect("no call panics");
        let forgets = slot.is_some() || self.has(Bug::CommitForgetsAbsence);
        let last = written.get(key).filter(|_| !forgets);
        [slot.map(|slot| slot.number), last.copied()]
    }

    /// Evicts what is not written, for all that is.
    fn make_room(&self, slots: &mut Slots<V>, writes: &[(&str, TransactionWrite<V>)]) {
        let sets = writes.iter().filter(|(_, write)| write.value().is_some());
        let new = sets.filter(|(key, _)| !slots.contains_key(*key)).count();
        while slots.len() + new > self.bound && !self.has(Bug::CommitEvictsItsOwn) {
            let is_other = |key: &&String| writes.iter().all(|(written, _)| written != key);
            let Some(other) = slots.keys().find(is_other).cloned() else {
                return;
            };
            slots.remove(&other);
        }
    }

    fn check_watched(&self, slots: &Slots<V>, watched: &Watched) -> Result<()> {
        let has_changed = |(key, numbers): &(String, _)| self.numbers(slots, key) != *numbers;
        if watched.iter().any(has_changed) && !self.has(Bug::CommitIgnoresChanges) {
            return Err(ErrorKind::Conflict.into());
        }
        Ok(())
    }

    fn make(&self, slots: &mut Slots<V>, key: &str, write: TransactionWrite<V>) {
        match write {
            TransactionWrite::Set(value, expiry) => {
                self.put(slots, key, self.slot(value, expiry));
            }
            TransactionWrite::Delete if self.has(Bug::CommitKeepsDeleted) => {}
            TransactionWrite::Delete => {
                self.remove(slots, key);
            }
            _ => unreachable!("the facade has no other"),
        }
    }
}

#[async_trait]
impl<V: TestValue> Transactions<V> for Reference<V> {
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)> {
        let slots = self.slots();
        let value = |key: &&str| self.live(&slots, key).map(|slot| slot.value.clone());
        let watched = |key: &&str| ((*key).to_owned(), self.numbers(&slots, key));
        let watched: Watched = keys.iter().map(watched).collect();
        Ok((keys.iter().map(value).collect(), Watch::new(watched)))
    }

    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        let watched = watch.into_inner()?;
        for (place, (key, write)) in writes.iter().enumerate() {
            let Some(Err(error)) = write.value().map(|value| self.check_size(key, value)) else {
                continue;
            };
            if self.has(Bug::CommitWeighsTooLate) {
                for (key, write) in writes.into_iter().take(place) {
                    self.make(&mut self.slots(), key, write);
                }
            }
            return Err(error);
        }
        if self.has(Bug::CommitNotAtomic) {
            self.check_watched(&self.slots(), &watched)?;
            yield_now().await;
        } else if self.has(Bug::CommitInParts) {
            self.check_watched(&self.slots(), &watched)?;
            for (key, write) in writes {
                self.make(&mut self.slots(), key, write);
                yield_now().await;
            }
            return Ok(());
        }
        let mut slots = self.slots();
        let mut checked = match self.bug {
            Some(Bug::CommitNotAtomic) => Ok(()),
            _ => self.check_watched(&slots, &watched),
        };
        if self.has(Bug::CommitStopsHalfWay) && writes.len() > 1 {
            for (key, write) in writes.into_iter().take(1) {
                self.make(&mut slots, key, write);
            }
            return checked;
        }
        checked = checked.map(|()| {
            self.make_room(&mut slots, &writes);
            for (key, write) in writes {
                self.make(&mut slots, key, write);
            }
        });
        checked
    }
}
