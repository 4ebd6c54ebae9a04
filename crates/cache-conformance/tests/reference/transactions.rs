//! The transactions of the reference: each write has a number, by which it is known again.

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{ErrorKind, Result, TransactionWrite, Transactions, Watch};
use tokio::task::yield_now;

use super::Bug;
use super::backend::{Reference, Slots};

/// The keys, and which write each entry was.
type Watched = Vec<(String, Option<u64>)>;

impl<V: TestValue> Reference<V> {
    fn number(&self, slots: &Slots<V>, key: &str) -> Option<u64> {
        let slot = match self.bug {
            Some(Bug::CommitIgnoresExpiry) => slots.get(key),
            _ => self.live(slots, key),
        };
        slot.map(|slot| slot.number)
    }

    fn check_watched(&self, slots: &Slots<V>, watched: &Watched) -> Result<()> {
        let has_changed = |(key, number): &(String, _)| self.number(slots, key) != *number;
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
        let watched = |key: &&str| ((*key).to_owned(), self.number(&slots, key));
        let watched: Watched = keys.iter().map(watched).collect();
        Ok((keys.iter().map(value).collect(), Watch::new(watched)))
    }

    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        let watched = watch.into_inner()?;
        for (key, write) in &writes {
            if let Some(value) = write.value() {
                self.check_size(key, value)?;
            }
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
            for (key, write) in writes {
                self.make(&mut slots, key, write);
            }
        });
        checked
    }
}
