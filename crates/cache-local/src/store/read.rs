//! Reads, and what they change on their way.

use std::time::Duration;

use cache_core::{BackendEntry, Condition, Expiry, Layer, Version};

use super::Store;
use crate::entry::{Entry, Handle};
use crate::shard::Locked;

impl<V> Store<V> {
    /// Looks at the live entry of a key, under the shared lock of its shard.
    #[inline]
    fn read<R>(&self, key: &str, look: impl FnOnce(&Handle<V>) -> R) -> Option<R> {
        let hash = self.shards.hash(key);
        self.shards.read(self.shards.of(hash), |shard| {
            let entry = shard.table.get(hash, key)?;
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
}

impl<V: Clone> Store<V> {
    #[inline]
    pub(crate) fn get(&self, key: &str) -> Option<V> {
        self.copy(key, |entry| entry.value.clone())
    }

    /// Returns what a key holds, or `None` if that has less than `least` time left.
    pub(crate) fn get_lasting(&self, key: &str, least: Duration) -> Option<Option<V>> {
        let copy = |entry: &Entry<V>| entry.value.clone();
        let least = u64::try_from(least.as_nanos()).unwrap_or(u64::MAX);
        let found = self.read(key, |handle| {
            let left = handle.deadline().saturating_sub(self.clock.coarse_nanos());
            (left >= least).then(|| {
                handle.hit();
                handle.hold(copy)
            })
        });
        match found {
            None => Some(None),
            Some(held) => held.map(|held| Some(held.unwrap_or_else(|entry| copy(&entry)))),
        }
    }

    pub(crate) fn get_entry(&self, key: &str) -> Option<BackendEntry<V>> {
        let copy = |entry: &Entry<V>| (entry.value.clone(), entry.deadline(), entry.tags());
        let (version, held) = self.read(key, |handle| {
            handle.hit();
            (handle.version(), handle.hold(copy))
        })?;
        let (value, deadline, tags) = held.unwrap_or_else(|entry| copy(&entry));
        let expiry = self.remaining(deadline)?;
        let version = Version::from_number(version.into());
        let entry = BackendEntry::new(value, expiry).with_version(version);
        Some(entry.with_tags(tags).found_in(Layer::Memory))
    }

    /// Copies what is wanted of the entry of a key, and counts the hit.
    ///
    /// `Clone` is the user's code, and runs under the lock unless the cache is told otherwise: see [`Handle`].
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
}
