//! The map: shards, each with a lock of its own, reached by hash, one closure at a time.
//!
//! A key is hashed once, and one lock covers "find, decide, write"; no guard leaves this file.

use std::hash::BuildHasher;

use crossbeam_utils::CachePadded;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::entry::Handle;
use crate::rows::Rows;
use crate::shard::Ledger;
use crate::sync::RwLock;

pub(crate) struct Shards<V> {
    /// As many as a power of two.
    shards: Box<[CachePadded<RwLock<Shard<V>>>]>,
    hasher: RandomState,
}

/// What one lock guards.
pub(crate) struct Shard<V> {
    pub(crate) table: Table<V>,
    pub(crate) ledger: Ledger,
}

impl<V> Shards<V> {
    /// Creates `count` shards, a power of two.
    pub(crate) fn new(count: usize) -> Self {
        let shard = || Shard {
            table: Table::default(),
            ledger: Ledger::default(),
        };
        Self {
            shards: (0..count)
                .map(|_| CachePadded::new(RwLock::new(shard())))
                .collect(),
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the number of the shard that a hash belongs to.
    #[inline]
    pub(crate) fn of(&self, hash: u64) -> usize {
        // Neither the place in the table, nor the tag there, nor a fingerprint is made of these bits.
        (hash >> SHARD_SHIFT) as usize & (self.shards.len() - 1)
    }

    /// Runs `look` on a shard that others may read at the same time.
    #[inline]
    pub(crate) fn read<R>(&self, shard: usize, look: impl FnOnce(&Shard<V>) -> R) -> R {
        look(&self.shards[shard].read())
    }

    /// Runs `change` on a shard that nobody else can reach meanwhile.
    #[inline]
    pub(crate) fn write<R>(&self, shard: usize, change: impl FnOnce(&mut Shard<V>) -> R) -> R {
        change(&mut self.shards[shard].write())
    }

    /// Runs `look` on several shards at one moment; their numbers ascend, as for everyone who takes
    /// more than one lock.
    pub(crate) fn read_all<R>(&self, shards: &[usize], look: impl FnOnce(&[&Shard<V>]) -> R) -> R {
        let guard = |shard: &usize| self.shards[*shard].read();
        let guards: Vec<_> = shards.iter().map(guard).collect();
        let shards: Vec<_> = guards.iter().map(|guard| &**guard).collect();
        look(&shards)
    }

    /// Runs `change` on several shards that nobody else can reach meanwhile; their numbers ascend.
    pub(crate) fn write_all<R>(
        &self,
        shards: &[usize],
        change: impl FnOnce(Vec<&mut Shard<V>>) -> R,
    ) -> R {
        let guard = |shard: &usize| self.shards[*shard].write();
        let mut guards: Vec<_> = shards.iter().map(guard).collect();
        change(guards.iter_mut().map(|guard| &mut **guard).collect())
    }
}

/// Where the bits of a hash begin that choose the shard.
const SHARD_SHIFT: u32 = 47;

/// The entries of a shard, and how they are found by key.
pub(crate) struct Table<V> {
    /// The slots of the entries.
    index: HashTable<u32>,
    pub(crate) rows: Rows<V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            rows: Rows::default(),
        }
    }
}

impl<V> Table<V> {
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &str) -> Option<&Handle<V>> {
        let mut found = None;
        self.index.find(hash, |slot| {
            found = self.rows.at(*slot).filter(|entry| entry.is_for(key));
            found.is_some()
        });
        found
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, hash: u64, key: &str) -> Option<&mut Handle<V>> {
        let is_for = |slot: &u32| self.rows.at(*slot).is_some_and(|entry| entry.is_for(key));
        let slot = *self.index.find(hash, is_for)?;
        self.rows.at_mut(slot)
    }

    /// Puts an entry into the slot that was taken for it.
    #[inline]
    pub(crate) fn insert(&mut self, slot: u32, entry: Handle<V>) {
        let Self { index, rows } = self;
        rows.fill(slot, entry);
        index.insert_unique(rows.hash(slot), slot, |slot| rows.hash(*slot));
    }

    /// Takes an entry out, whose slot is to be given back.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Handle<V>> {
        let entry = self.rows.empty(slot)?;
        let hash = self.rows.hash(slot);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        Some(entry)
    }
}
