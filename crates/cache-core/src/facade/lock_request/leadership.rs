//! Leadership: a lock that is held for as long as a process lives.

use std::fmt;
use std::time::Duration;

use super::{Lock, LockRequest};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, Unsupported};
use crate::timer::sleep;
use crate::{Cache, CacheBackend, DynBackend, Result, Ttl};

/// How long a leader leads that nobody hears of.
const DEFAULT_TTL: Duration = Duration::from_secs(15);
/// The first random pause after a store could not be asked; it doubles up to the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Names an election, in which one of all processes that share the backend leads at a time.
    ///
    /// Under it lies the [`lock`](Self::lock) of the same name, with the same limits.
    ///
    /// ```
    /// # async fn schedule() {}
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let scheduler = cache.leadership("scheduler").ttl(10);
    /// // A service does this in a loop.
    /// let term = scheduler.campaign().await?;
    /// tokio::select! {
    ///     () = schedule() => {}
    ///     () = term.lost() => println!("somebody else leads"),
    /// }
    /// term.resign().await?;
    /// # Ok(()) }
    /// ```
    pub fn leadership(&self, name: impl Into<String>) -> Leadership<V, B> {
        Leadership(self.lock(name).wait_forever().ttl(DEFAULT_TTL))
    }
}

/// An election; made by [`Cache::leadership`].
#[must_use = "nobody leads who does not campaign"]
pub struct Leadership<V, B = DynBackend<V>>(LockRequest<V, B>);

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Leadership<V, B> {
    /// Sets how soon somebody else leads when the leader dies or cannot reach the store: 15 seconds unless
    /// set.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let term = cache.leadership("scheduler").ttl(5).campaign().await?;
    /// assert!(term.is_leader());
    /// # Ok(()) }
    /// ```
    pub fn ttl(self, ttl: impl Into<Ttl>) -> Self {
        Self(self.0.ttl(ttl))
    }

    /// Waits until this process leads.
    ///
    /// While the store cannot be reached it tries again, with growing random pauses.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let term = cache.leadership("scheduler").campaign().await?;
    /// println!("leads with the token {}", term.fencing_token());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] and [`Unsupported`] as of [`LockRequest::acquire`], and what else does not pass by
    /// itself.
    ///
    /// # Cancel safety
    /// As of [`LockRequest::acquire`].
    pub async fn campaign(&self) -> Result<Term> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.0.acquire_once().await {
                Ok(Some(lock)) => return Ok(Term(lock)),
                // A request without end is not refused, but for a clock that cannot count so far.
                Ok(None) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
            sleep(pause.mul_f64(fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl<V, B> fmt::Debug for Leadership<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&self.0).finish()
    }
}

/// The time in which a process leads; made by [`Leadership::campaign`].
///
/// It renews itself. Dropped, it is given up in the background.
#[derive(Debug)]
#[must_use = "it is given up when it is dropped"]
pub struct Term(Lock);

impl Term {
    /// Returns a number that is higher than that of every earlier leader, see [`Lock::fencing_token`].
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.fencing_token()
    }

    /// Tells whether this process is sure to lead at this moment, without asking the store.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.is_held()
    }

    /// Returns when this process leads no more: stop, and campaign again.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing changes.
    pub async fn lost(&self) {
        self.0.lost().await;
    }

    /// Renews the term at once, and tells whether this process still led.
    ///
    /// # Errors
    /// What the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: the term lasts as long as before or is renewed.
    pub async fn renew(&self) -> Result<bool> {
        self.0.renew().await
    }

    /// Lets another process lead, and tells whether this one led until now.
    ///
    /// # Errors
    /// What the backend reports. It is then tried once more in the background.
    ///
    /// # Cancel safety
    /// Cancel safe: the term is given up in the background.
    pub async fn resign(self) -> Result<bool> {
        self.0.release().await
    }
}
