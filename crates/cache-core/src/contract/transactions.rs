//! Transactions: writes that happen together, if what they were decided by still holds.

use std::any::Any;
use std::fmt;

use async_trait::async_trait;

use crate::{Error, Expiry, Result};

/// The most keys of one transaction, watched and written ones together.
pub const MAX_TRANSACTION_KEYS: usize = 1024;

/// Makes several writes in one step, unless a key has changed on which they depend.
///
/// This is the API of people who **write** a backend: [`CacheBackend::abilities`] hands it out, and
/// the facade calls it. Nothing is locked between the calls: who comes first has written, and the others
/// are told.
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[async_trait]
pub trait Transactions<V: Send + Sync + 'static>: Send + Sync {
    /// Reads `keys`, which are at least one, and watches them from this moment on.
    ///
    /// What it takes to watch is given back when the watch is dropped.
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)>;

    /// Makes all `writes`, each of another key, in one step; or none of them, and fails as
    /// [`Conflict`](crate::ErrorKind::Conflict), if a watched key has changed.
    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()>;
}

/// What a transaction does to a key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionWrite<V> {
    /// Stores a value with an expiry, whatever was there.
    Set(V, Expiry),
    /// Removes the entry, if there is one.
    Delete,
}

impl<V> TransactionWrite<V> {
    /// Returns the value that is written, if one is.
    #[must_use]
    pub const fn value(&self) -> Option<&V> {
        match self {
            Self::Set(value, _) => Some(value),
            Self::Delete => None,
        }
    }
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for TransactionWrite<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(_, expiry) => f.debug_tuple("Set").field(expiry).finish(),
            Self::Delete => f.write_str("Delete"),
        }
    }
}

/// What a backend keeps of the keys that it watches. Only the backend that has made it can read it.
pub struct Watch(Box<dyn Any + Send + Sync>);

impl Watch {
    /// Makes a watch of what a backend has to keep.
    ///
    /// ```
    /// let watch = cache_core::Watch::new([("key", 7_u64)]);
    /// assert_eq!(watch.into_inner::<[(&str, u64); 1]>()?, [("key", 7)]);
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    #[must_use]
    pub fn new(kept: impl Any + Send + Sync) -> Self {
        Self(Box::new(kept))
    }

    /// Returns what it was made of.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for what another backend has made.
    pub fn into_inner<T: Any>(self) -> Result<T> {
        let kept = self.0.downcast().map(|kept| *kept);
        kept.map_err(|_| Error::invalid("watch", "is of another backend"))
    }
}

// Written by hand: what a backend keeps may hold keys.
impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
