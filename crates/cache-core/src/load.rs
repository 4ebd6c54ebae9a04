//! What a load is told, what it gives back, and what is asked of it.

#[cfg(feature = "serde")]
mod deserialize;
mod fill;
pub(crate) mod flights;
mod lead;
mod leased;
mod load_counters;
mod load_error;
mod load_options;
mod loader;
pub(crate) mod lookup;
mod many;
mod rights;
mod waiting;

use std::fmt;

pub(crate) use self::load_counters::LoadCounters;
pub use self::load_counters::LoadStats;
pub use self::load_error::LoadError;
pub use self::load_options::LoadOptions;
use crate::Ttl;

/// Why a loader runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadReason {
    /// The key is absent.
    Miss,
    /// The key is absent, but its last value has been kept.
    Stale,
    /// The key is there and will soon end.
    Ahead,
    /// The caller asked for it.
    Refresh,
}

/// What a loader is told.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadContext<V> {
    /// The key, as the caller gave it.
    pub key: String,
    /// Why the loader runs.
    pub reason: LoadReason,
    /// The last value, if there is one: to ask a server whether it has changed, say.
    pub last: Option<V>,
    /// The [fencing token](crate::LoadLease::fencing_token) of the lease, if the store has leases.
    pub fencing_token: Option<u64>,
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for LoadContext<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext")
            .field("reason", &self.reason)
            .field("has_last", &self.last.is_some())
            .field("fencing_token", &self.fencing_token)
            .finish_non_exhaustive()
    }
}

/// What a loader gives back: a value, and how it is to be stored.
///
/// A `V` and an `Option<V>` are turned into it.
///
/// ```
/// use cache_core::Loaded;
///
/// let short = Loaded::value("token").ttl(5);
/// let once = Loaded::value("nonce").not_stored();
/// let none = Loaded::<&str>::absent();
/// let also_none = Loaded::<&str>::from(None);
/// ```
#[must_use]
pub struct Loaded<V> {
    pub(crate) what: What<V>,
    pub(crate) ttl: Option<Ttl>,
    pub(crate) tags: Vec<String>,
}

pub(crate) enum What<V> {
    Value(V),
    NotStored(V),
    Absent,
    Unchanged,
}

impl<V> Loaded<V> {
    const fn new(what: What<V>) -> Self {
        Self {
            what,
            ttl: None,
            tags: Vec::new(),
        }
    }

    /// A value, to be stored with the time to live of the options.
    pub const fn value(value: V) -> Self {
        Self::new(What::Value(value))
    }

    /// There is nothing for the key.
    ///
    /// The caller gets `None`. With [`LoadOptions::absent_ttl`] the loader is not asked again for a
    /// while.
    pub const fn absent() -> Self {
        Self::new(What::Absent)
    }

    /// The [last value](LoadContext::last) is still right: it is stored again with a whole time to
    /// live, and with the tags that it had unless others are given.
    ///
    /// Without a last value it is the same as [`absent`](Self::absent).
    pub const fn unchanged() -> Self {
        Self::new(What::Unchanged)
    }

    /// Gives the value a time to live of its own.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Gives the value tags, by which [`Cache::delete_by_tag`](crate::Cache::delete_by_tag) finds it.
    ///
    /// If one of them is invalidated while the loader runs, the value is not stored; those who have
    /// waited for it get it. Limits are as of [`SetOptions::tags`](crate::SetOptions::tags). That there
    /// is nothing for a key is not [remembered](LoadOptions::absent_ttl) if it has tags.
    ///
    /// ```
    /// use cache_core::Loaded;
    ///
    /// let user = Loaded::value("Alice").tags(["team:7"]);
    /// ```
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Adds tags to those that the value has.
    pub(crate) fn and_tags(mut self, tags: Vec<String>) -> Self {
        if self.tags.is_empty() {
            self.tags = tags;
        } else {
            self.tags.extend(tags);
        }
        self
    }

    /// Gives the value to those who wait for it, and does not store it, as a time to live of zero does.
    ///
    /// What is older is not served any more: the value that a [`refresh`](crate::KeyEntry::refresh) has found,
    /// and the one that the cache [keeps](crate::CacheBuilder::keep_stale), are removed.
    pub fn not_stored(mut self) -> Self {
        self.what = match self.what {
            What::Value(value) => What::NotStored(value),
            other => other,
        };
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::value(value)
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(found: Option<V>) -> Self {
        found.map_or_else(Self::absent, Self::value)
    }
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for Loaded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Value(_) => "Value",
            What::NotStored(_) => "NotStored",
            What::Absent => "Absent",
            What::Unchanged => "Unchanged",
        };
        f.debug_struct("Loaded")
            .field("what", &what)
            .field("ttl", &self.ttl)
            .field("tags", &self.tags.len())
            .finish()
    }
}
