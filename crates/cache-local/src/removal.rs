//! What leaves the cache, and who is told.

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::entry::Entry;

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
    body: Body<V>,
    cause: RemovalCause,
}

enum Body<V> {
    /// As it stood in the table; a reader may still hold on to it.
    Shared(Arc<Entry<V>>),
    /// Taken out of its allocation, which lives on with another entry.
    Owned(Entry<V>),
}

impl<V> Removed<V> {
    pub(crate) const fn shared(entry: Arc<Entry<V>>, cause: RemovalCause) -> Self {
        Self {
            body: Body::Shared(entry),
            cause,
        }
    }

    /// Puts `fresh` in the place of the entry that `place` holds, in the same allocation unless
    /// a reader holds on to it.
    pub(crate) fn replacing(
        place: &mut Arc<Entry<V>>,
        fresh: Entry<V>,
        cause: RemovalCause,
    ) -> Self {
        let body = match Arc::get_mut(place) {
            Some(entry) => Body::Owned(mem::replace(entry, fresh)),
            None => Body::Shared(mem::replace(place, Arc::new(fresh))),
        };
        Self { body, cause }
    }

    pub(crate) fn tell(&self, listener: &Listener<V>) {
        let entry = match &self.body {
            Body::Shared(entry) => entry,
            Body::Owned(entry) => entry,
        };
        listener(Removal {
            key: entry.key(),
            value: &entry.value,
            cause: self.cause,
        });
    }
}

impl<V: Clone> Removed<V> {
    pub(crate) fn into_value(self) -> V {
        match self.body {
            Body::Shared(entry) => Arc::try_unwrap(entry)
                .map_or_else(|shared| shared.value.clone(), |entry| entry.value),
            Body::Owned(entry) => entry.value,
        }
    }
}

/// What one call removed, in order. The common case, one entry, allocates nothing.
pub(crate) struct Outbox<V> {
    first: Option<Removed<V>>,
    more: Vec<Removed<V>>,
}

impl<V> Outbox<V> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            more: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, removed: Removed<V>) {
        if self.first.is_none() {
            self.first = Some(removed);
        } else {
            self.more.push(removed);
        }
    }

    /// Makes an entry, in the allocation of one that has just left if nobody else holds it.
    pub(crate) fn recycle(&mut self, fresh: Entry<V>) -> Arc<Entry<V>> {
        match self.first.take() {
            Some(Removed {
                body: Body::Shared(mut place),
                cause,
            }) => {
                self.first = Some(Removed::replacing(&mut place, fresh, cause));
                place
            }
            other => {
                self.first = other;
                Arc::new(fresh)
            }
        }
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = Removed<V>> {
        self.first.into_iter().chain(self.more)
    }
}
