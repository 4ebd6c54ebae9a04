//! What leaves the cache, and who is told.

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::entry::{Entry, Handle};

/// Why an entry left the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// Its time was over.
    Expired,
    /// It was deleted by key.
    Deleted,
    /// A new value was written under its key.
    Replaced,
    /// The cache was full.
    Capacity,
    /// The capacity was lowered.
    Resized,
    /// The cache or its namespace was cleared.
    Cleared,
    /// One of its tags was invalidated. It was absent since then, and is told of when it is found.
    Invalidated,
}

/// One entry that left the cache, as a removal listener sees it.
///
/// Each stored entry leaves exactly once, with one cause. Entries that are there when the cache
/// itself is dropped are not reported.
#[non_exhaustive]
pub struct Removal<'a, V> {
    /// The key, as the backend knows it (a namespace is part of it).
    pub key: &'a str,
    /// The value that was stored.
    pub value: &'a V,
    /// Why it left.
    pub cause: RemovalCause,
}

// Written by hand: the derived form would print key and value.
impl<V> fmt::Debug for Removal<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

pub(crate) type Listener<V> = dyn Fn(Removal<'_, V>) + Send + Sync;

/// An entry on its way out. Nothing of it is dropped or shown to anyone before the locks are
/// released, because both run the user's code.
pub(crate) struct Removed<V> {
    entry: Handle<V>,
    cause: RemovalCause,
}

impl<V> Removed<V> {
    pub(crate) const fn new(entry: Handle<V>, cause: RemovalCause) -> Self {
        Self { entry, cause }
    }

    pub(crate) fn tell(&self, listener: &Listener<V>) {
        listener(Removal {
            key: self.entry.key(),
            value: &self.entry.value,
            cause: self.cause,
        });
    }
}

/// What a write has replaced under its key, kept back like a [`Removed`].
pub(crate) enum Replaced<V> {
    Value(V),
    /// As it stood in the table, because a reader held on to it.
    Entry(Arc<Entry<V>>),
}

impl<V> Replaced<V> {
    pub(crate) fn tell(&self, key: &str, listener: &Listener<V>) {
        let value = match self {
            Self::Value(value) => value,
            Self::Entry(entry) => &entry.value,
        };
        listener(Removal {
            key,
            value,
            cause: RemovalCause::Replaced,
        });
    }
}

impl<V: Clone> Replaced<V> {
    pub(crate) fn into_value(self) -> V {
        match self {
            Self::Value(value) => value,
            Self::Entry(entry) => entry.value.clone(),
        }
    }
}

/// So many removed entries are much: they are dropped before the write is done that has displaced them.
const MUCH: usize = 16;

/// How often a write drops what it has displaced before it is done. The room is others' meanwhile, so a write that did it
/// whenever there is much might never be done.
const CLEARINGS: u8 = 4;

/// What one call removed, in order. The common case, one entry, allocates nothing.
pub(crate) struct Outbox<V> {
    first: Option<Removed<V>>,
    more: Vec<Removed<V>>,
    /// How often it may still be cleared.
    clearings: u8,
}

impl<V> Outbox<V> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            more: Vec::new(),
            clearings: CLEARINGS,
        }
    }

    /// Tells whether there is so much that it is to be cleared before the write is done.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.more.len() >= MUCH && self.clearings > 0
    }

    /// Takes out all there is.
    pub(crate) fn clear(&mut self) -> Self {
        let clearings = self.clearings.saturating_sub(1);
        let empty = Self {
            clearings,
            ..Self::new()
        };
        mem::replace(self, empty)
    }

    pub(crate) fn put(&mut self, removed: Removed<V>) {
        if self.first.is_none() {
            self.first = Some(removed);
        } else {
            self.more.push(removed);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Removed<V>> {
        self.first.iter().chain(&self.more)
    }
}
