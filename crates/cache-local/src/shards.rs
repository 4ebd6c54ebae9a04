//! The map: DashMap's shards, reached by hash, one closure at a time.
//!
//! This file alone knows the map of the entries. It is used through its raw shards, so that a key is hashed
//! once, and one lock covers "find, decide, write"; no guard leaves it.

use std::hash::{BuildHasher, Hash};

use dashmap::SharedValue;
use foldhash::fast::RandomState;
use hashbrown::raw::RawTable;

use crate::entry::Handle;

#[cfg(not(shuttle))]
type Map<V> = dashmap::DashMap<Handle<V>, (), RandomState>;
#[cfg(shuttle)]
type Map<V> = Box<[shuttle::sync::RwLock<RawTable<Row<V>>>]>;

type Row<V> = (Handle<V>, SharedValue<()>);

pub(crate) struct Shards<V> {
    map: Map<V>,
    /// DashMap has two shards at least; a cache that wants one uses the first alone.
    mask: usize,
    hasher: RandomState,
}

impl<V> Shards<V> {
    /// Creates `count` shards, a power of two.
    pub(crate) fn new(count: usize) -> Self {
        let hasher = RandomState::default();
        #[cfg(not(shuttle))]
        let map = Map::with_capacity_and_hasher_and_shard_amount(0, hasher.clone(), count.max(2));
        #[cfg(shuttle)]
        let map = (0..count)
            .map(|_| shuttle::sync::RwLock::new(RawTable::new()))
            .collect();
        Self {
            map,
            mask: count - 1,
            hasher,
        }
    }

    pub(crate) fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the number of the shard that a hash belongs to.
    #[inline]
    pub(crate) fn of(&self, hash: u64) -> usize {
        #[cfg(not(shuttle))]
        return self.map.determine_shard(hash as usize) & self.mask;
        #[cfg(shuttle)]
        return (hash >> 40) as usize & self.mask;
    }

    /// Runs `look` on a shard that others may read at the same time.
    #[inline]
    pub(crate) fn read<R>(&self, shard: usize, look: impl FnOnce(Table<'_, V>) -> R) -> R {
        #[cfg(not(shuttle))]
        let guard = self.map.shards()[shard].read();
        #[cfg(shuttle)]
        let guard = self.map[shard].read().unwrap();
        look(Table(&guard))
    }

    /// Runs `change` on a shard that nobody else can reach meanwhile.
    #[inline]
    pub(crate) fn write<R>(&self, shard: usize, change: impl FnOnce(TableMut<'_, V>) -> R) -> R {
        #[cfg(not(shuttle))]
        let mut guard = self.map.shards()[shard].write();
        #[cfg(shuttle)]
        let mut guard = self.map[shard].write().unwrap();
        change(TableMut {
            rows: &mut guard,
            hasher: &self.hasher,
        })
    }

    /// Runs `look` on several shards at one moment; their numbers ascend, as for everyone who takes
    /// more than one lock.
    pub(crate) fn read_all<R>(
        &self,
        shards: &[usize],
        look: impl FnOnce(&[Table<'_, V>]) -> R,
    ) -> R {
        #[cfg(not(shuttle))]
        let guard = |shard: &usize| self.map.shards()[*shard].read();
        #[cfg(shuttle)]
        let guard = |shard: &usize| self.map[*shard].read().unwrap();
        let guards: Vec<_> = shards.iter().map(guard).collect();
        let tables: Vec<_> = guards.iter().map(|guard| Table(guard)).collect();
        look(&tables)
    }

    /// Runs `change` on several shards that nobody else can reach meanwhile; their numbers ascend.
    pub(crate) fn write_all<R>(
        &self,
        shards: &[usize],
        change: impl FnOnce(Vec<TableMut<'_, V>>) -> R,
    ) -> R {
        #[cfg(not(shuttle))]
        let guard = |shard: &usize| self.map.shards()[*shard].write();
        #[cfg(shuttle)]
        let guard = |shard: &usize| self.map[*shard].write().unwrap();
        let mut guards: Vec<_> = shards.iter().map(guard).collect();
        let table = |rows| TableMut {
            rows,
            hasher: &self.hasher,
        };
        change(guards.iter_mut().map(|guard| table(&mut **guard)).collect())
    }
}

/// A shard to read.
pub(crate) struct Table<'a, V>(&'a RawTable<Row<V>>);

impl<'a, V> Table<'a, V> {
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &str) -> Option<&'a Handle<V>> {
        self.0
            .get(hash, |(entry, _)| entry.is_for(key))
            .map(|(entry, _)| entry)
    }

    /// Finds the entry that the eviction policy knows by its slot.
    pub(crate) fn at(&self, hash: u64, slot: u32) -> Option<&'a Handle<V>> {
        self.0
            .get(hash, |(entry, _)| entry.slot() == slot)
            .map(|(entry, _)| entry)
    }
}

/// A shard to change.
pub(crate) struct TableMut<'a, V> {
    rows: &'a mut RawTable<Row<V>>,
    hasher: &'a RandomState,
}

impl<V> TableMut<'_, V> {
    pub(crate) const fn reborrow(&mut self) -> TableMut<'_, V> {
        TableMut {
            rows: self.rows,
            hasher: self.hasher,
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> Table<'_, V> {
        Table(self.rows)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, hash: u64, key: &str) -> Option<&mut Handle<V>> {
        self.rows
            .get_mut(hash, |(entry, _)| entry.is_for(key))
            .map(|(entry, _)| entry)
    }

    #[inline]
    pub(crate) fn insert(&mut self, hash: u64, entry: Handle<V>) {
        let hasher = self.hasher;
        self.rows
            .insert(hash, (entry, SharedValue::new(())), |(entry, _)| {
                hasher.hash_one(entry.key())
            });
    }

    #[inline]
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) -> Option<Handle<V>> {
        self.rows
            .remove_entry(hash, |(entry, _)| entry.slot() == slot)
            .map(|(entry, _)| entry)
    }
}

// DashMap asks these of its keys; an entry is found by its key alone.
impl<V> Hash for Handle<V> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl<V> PartialEq for Handle<V> {
    fn eq(&self, other: &Self) -> bool {
        self.is_for(other.key())
    }
}

impl<V> Eq for Handle<V> {}
