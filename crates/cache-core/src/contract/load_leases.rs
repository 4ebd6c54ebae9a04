//! Load leases: one load of a key for all processes that share a store.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;

use crate::{Expiry, Result};

/// Lets one process at a time load a key of a shared store.
///
/// This is the API of people who **write** a backend: [`CacheBackend::abilities`] hands it out, and the
/// facade calls it. A lease is a promise of work, not of a value: to every read and write its key
/// is absent, `keys` does not list it and `clear` does not count it.
///
/// A lease ends when it is filled or released, when its time is over, and when the key is written,
/// deleted or cleared meanwhile, by whomever. What is filled in after that is not stored: a late
/// load never brings back what was deleted, nor replaces what is newer.
///
/// A store that loses acknowledged writes in a failover can lose a lease with them. Then a key is
/// loaded twice; what the first of the two brings is not stored.
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[async_trait]
pub trait LoadLeases<V: Send + Sync + 'static>: Send + Sync {
    /// Finds the value of `key`, takes the lease for `ttl`, or tells who holds the lease and for how long; in
    /// one atomic step.
    ///
    /// A claim that fails or is dropped on its way may have taken the lease all the same. It is then
    /// nobody's, until its time is over.
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<V>>;

    /// Lets a lease last for `ttl` from now, and tells whether it was still there.
    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool>;

    /// Stores `value` in the place of the lease if that is still there, and tells whether it was;
    /// in one atomic step.
    async fn fill(&self, key: &str, lease: LoadLease, value: V, expiry: Expiry) -> Result<bool>;

    /// Gives a lease up without a value, if it is still there.
    ///
    /// So does a load that must not wait for the holder, with the lease that a [`claim`](Self::claim) has found
    /// [held](Claim::Held): what the holder fills in then is not stored.
    async fn release(&self, key: &str, lease: LoadLease) -> Result<()>;

    /// Removes `value` if it is still what `key` holds; in one atomic step.
    ///
    /// This is how an adapter makes a key absent that holds what it cannot read, so that the key
    /// can be claimed, without harm to what others have put there since.
    async fn discard(&self, key: &str, value: V) -> Result<()>;

    /// Returns when the lease of `key` may have ended, at the latest after `at_most`.
    ///
    /// It may return earlier: claim again to know. Dropping it is harmless.
    async fn ended(&self, key: &str, at_most: Duration);
}

/// The answer of [`LoadLeases::claim`].
#[must_use]
#[non_exhaustive]
pub enum Claim<V> {
    /// The lease is ours: load the value, then [`fill`](LoadLeases::fill) or
    /// [`release`](LoadLeases::release).
    Granted(LoadLease),
    /// Somebody else has the lease.
    Held {
        /// The time that it has left, unless its holder extends it.
        left: Duration,
        /// The lease, if the store knows it. It may be one of this very task, which would then wait for
        /// itself.
        lease: Option<LoadLease>,
    },
    /// The key holds a value.
    Found(V),
}

// Written by hand: the derived form would print the value.
impl<V> Debug for Claim<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted(lease) => f.debug_tuple("Granted").field(lease).finish(),
            Self::Held { left, lease } => f
                .debug_struct("Held")
                .field("left", left)
                .field("lease", lease)
                .finish(),
            Self::Found(_) => f.write_str("Found(..)"),
        }
    }
}

/// The right to load one key, as the store has granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoadLease {
    fencing_token: u64,
    nonce: u64,
}

impl LoadLease {
    /// Joins the token that a store has given and a random number that no other lease has.
    ///
    /// ```
    /// let lease = cache_core::LoadLease::new(7, 42);
    /// assert_eq!((lease.fencing_token(), lease.nonce()), (7, 42));
    /// ```
    #[must_use]
    pub const fn new(fencing_token: u64, nonce: u64) -> Self {
        Self {
            fencing_token,
            nonce,
        }
    }

    /// Returns a number that grows with every grant of one key.
    ///
    /// A system that is written to under a lease can keep the highest one it has seen and refuse
    /// lower ones: those of holders that were too slow. The store says how far it grows across
    /// failovers.
    #[must_use]
    pub const fn fencing_token(self) -> u64 {
        self.fencing_token
    }

    /// Returns the random number that tells this lease from all others.
    #[must_use]
    pub const fn nonce(self) -> u64 {
        self.nonce
    }
}
