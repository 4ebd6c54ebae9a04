//! Locks: one holder at a time of all who share a backend.

use std::fmt::{self, Debug};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::Result;

/// Gives each lock to one holder at a time.
///
/// This is the API of people who **write** a backend: [`CacheBackend::abilities`] hands it out, and
/// [`Cache::lock`](crate::Cache::lock) calls it. A lock is no entry: it has names of its own, `scan` does
/// not return it, and `clear`, tags and the bound of the backend do not concern it.
///
/// A lock ends when it is released, and by itself when its time is over. A store that loses acknowledged
/// writes in a failover can lose a lock with them; then two holders believe that they have it, and the
/// fencing token tells who came later.
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[async_trait]
pub trait Locks: Send + Sync {
    /// Takes the lock for `ttl`, or tells for how long somebody else has it; in one atomic step.
    ///
    /// A call that fails or is dropped on its way may have taken the lock all the same. It is then
    /// nobody's, until its time is over.
    async fn acquire(&self, name: &str, ttl: Duration) -> Result<Acquired>;

    /// Lets the lock last for `ttl` from now, and tells whether it was still this holder's.
    async fn extend(&self, name: &str, token: LockToken, ttl: Duration) -> Result<bool>;

    /// Gives the lock up, and tells whether it was still this holder's.
    async fn release(&self, name: &str, token: LockToken) -> Result<bool>;

    /// Returns when the lock may be free, at the latest after `at_most`.
    ///
    /// It may return earlier: [`acquire`](Self::acquire) again to know. Dropping it is harmless. It runs in
    /// a Tokio runtime.
    async fn released(&self, name: &str, at_most: Duration);
}

/// The answer of [`Locks::acquire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "the lock is free or it is not")]
pub enum Acquired {
    /// The lock is the caller's.
    Granted(LockToken),
    /// Somebody else has the lock, for this long at most unless they extend it.
    Held(Duration),
}

/// What tells one holder of a lock from all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockToken {
    fencing_token: u64,
    nonce: u64,
}

impl LockToken {
    /// Joins the number that a store has given and a random number that no other holder has.
    ///
    /// ```
    /// let token = cache_core::LockToken::new(7, 42);
    /// assert_eq!((token.fencing_token(), token.nonce()), (7, 42));
    /// ```
    #[must_use]
    pub const fn new(fencing_token: u64, nonce: u64) -> Self {
        Self {
            fencing_token,
            nonce,
        }
    }

    /// Joins a random number and a number above the last one that was given: the microseconds of the system's
    /// clock, or one more than the last. So it also grows where the last one is forgotten.
    ///
    /// ```
    /// use cache_core::LockToken;
    ///
    /// let first = LockToken::after(0, 42);
    /// let second = LockToken::after(first.fencing_token(), 43);
    /// assert!(second.fencing_token() > first.fencing_token());
    /// assert_eq!(LockToken::after(u64::MAX - 1, 44).fencing_token(), u64::MAX);
    /// ```
    #[must_use]
    pub fn after(last: u64, nonce: u64) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let micros = since_epoch.map_or(0, |time| time.as_micros());
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Self::new(micros.max(last.saturating_add(1)), nonce)
    }

    /// Returns a number that is higher than that of every earlier holder of the lock.
    #[must_use]
    pub const fn fencing_token(self) -> u64 {
        self.fencing_token
    }

    /// Returns the random number.
    #[must_use]
    pub const fn nonce(self) -> u64 {
        self.nonce
    }
}

// Written by hand: whoever knows the random number can give the lock up.
impl Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockToken")
            .field("fencing_token", &self.fencing_token)
            .finish_non_exhaustive()
    }
}
