//! A lock that is held: its renewal, and what it tells when it is lost.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{Timeout, Unavailable};
use crate::facade::Shared;
use crate::timer::{sleep, timeout};
use crate::{Acquired, CacheBackend, Clock, LockToken, Locks, Result};

/// Renewed this many times before it would end.
const RENEWALS: u32 = 3;
/// A renewal that failed is tried again this many times as often.
const HASTE: u32 = 4;

/// Stands for the end of a lock that is lost.
const LOST: u64 = 0;

/// What came of asking for a lock once.
pub(super) enum Attempt {
    Got(Lock),
    HeldFor(Duration),
}

/// Asks for a lock once.
pub(super) async fn acquire<V, B>(
    shared: &Arc<Shared<V, B>>,
    name: &str,
    ttl: Duration,
) -> Result<Attempt>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    // The time runs from before the store began to count it.
    let asked = shared.clock.nanos_with_suspend();
    match shared.backend_locks()?.acquire(name, ttl).await? {
        Acquired::Held(left) => Ok(Attempt::HeldFor(left)),
        Acquired::Granted(token) => {
            let tenure = Arc::new(Tenure {
                owner: Arc::clone(shared) as Arc<dyn Owner>,
                name: name.to_owned(),
                token,
                ttl,
                clock: shared.clock.clone(),
                until: AtomicU64::new(end_of(asked, ttl)),
                is_lost: Notify::new(),
            });
            let renewal = tokio::spawn(renew(Arc::clone(&tenure)));
            let renewal = renewal.abort_handle();
            Ok(Attempt::Got(Lock { tenure, renewal }))
        }
    }
}

fn end_of(asked: u64, ttl: Duration) -> u64 {
    asked.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX))
}

/// Whose locks these are, whatever the values of the cache.
trait Owner: Send + Sync {
    fn locks(&self) -> Result<&dyn Locks>;
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Owner for Shared<V, B> {
    fn locks(&self) -> Result<&dyn Locks> {
        self.backend_locks()
    }
}

/// What a holder and its renewal share.
struct Tenure {
    owner: Arc<dyn Owner>,
    name: String,
    token: LockToken,
    ttl: Duration,
    clock: Clock,
    /// Until when the lock is sure to be held, in nanoseconds of the clock, or [`LOST`].
    until: AtomicU64,
    is_lost: Notify,
}

impl Tenure {
    /// Returns how long the lock is sure to be held.
    fn left(&self) -> Duration {
        let until = self.until.load(Ordering::Acquire);
        Duration::from_nanos(until.saturating_sub(self.clock.nanos_with_suspend()))
    }

    /// Notes that the store has let the lock last when it was asked at this time, and tells whether the
    /// lock was not lost before the answer came.
    fn lasts_from(&self, asked: u64) -> bool {
        let until = end_of(asked, self.ttl);
        // The answers may come in another order than they were asked for. What is lost stays so: whoever was
        // told has stopped.
        let later = |known: u64| (known != LOST).then_some(known.max(until));
        let updated = self
            .until
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
        updated.is_ok()
    }

    fn lose(&self) {
        self.until.store(LOST, Ordering::Release);
        self.is_lost.notify_waiters();
    }

    /// Asks the store to let the lock last for its whole time, and tells whether it does.
    async fn extend(&self) -> Result<bool> {
        let asked = self.clock.nanos_with_suspend();
        let locks = self.owner.locks()?;
        if locks.extend(&self.name, self.token, self.ttl).await? {
            return Ok(self.lasts_from(asked));
        }
        self.lose();
        Ok(false)
    }

    async fn release(&self) -> Result<bool> {
        self.owner.locks()?.release(&self.name, self.token).await
    }
}

/// Extends a lock again and again, until it is lost.
async fn renew(tenure: Arc<Tenure>) {
    let pause = tenure.ttl / RENEWALS;
    let mut next = pause;
    loop {
        let left = tenure.left();
        if left.is_zero() {
            return tenure.lose();
        }
        sleep(next.min(left)).await;
        let left = tenure.left();
        if left.is_zero() {
            return tenure.lose();
        }
        // An answer that comes when the time is over comes too late.
        next = match timeout(left, pin!(tenure.extend())).await {
            Ok(Ok(true)) => pause,
            Ok(Ok(false)) => return,
            // The store may be reachable again before the time is over.
            Ok(Err(_)) | Err(_) => pause / HASTE,
        };
    }
}

/// A lock that is held, and renewed in the background after each third of its time.
///
/// Made by [`LockRequest::acquire`](super::LockRequest::acquire). Dropped, it is given back in the
/// background, if a Tokio runtime is there to do it; otherwise it ends when its time is over.
///
/// It saves work and does not keep two holders apart at any price, see [`Cache::lock`](crate::Cache::lock).
#[must_use = "it is given back when it is dropped"]
pub struct Lock {
    tenure: Arc<Tenure>,
    renewal: AbortHandle,
}

impl Lock {
    /// Returns a number that is higher than that of every earlier holder of the lock.
    ///
    /// Hand it to what you change under the lock, and have that refuse a lower one than it has seen: then a
    /// holder that was too slow does no harm. It grows also when clocks are set back and when the process
    /// starts anew, unless a server that fails over loses the last holder.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let first = cache.lock("import").acquire().await?.expect("nobody has it");
    /// let token = first.fencing_token();
    /// first.release().await?;
    /// let second = cache.lock("import").acquire().await?.expect("nobody has it");
    /// assert!(second.fencing_token() > token);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.tenure.token.fencing_token()
    }

    /// Tells whether the lock is sure to be held at this moment, without asking the store.
    ///
    /// Its time runs from the last renewal that succeeded, also while the process stands still or the
    /// machine is suspended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").acquire().await?.expect("nobody has it");
    /// assert!(lock.is_held());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.tenure.left().is_zero()
    }

    /// Returns when the lock is lost: somebody else may have it from now on, so stop.
    ///
    /// A lock is lost when the store says that it is gone, or when its time is over before it could be
    /// renewed. While it is held, this waits without end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// # async fn import() {}
    /// let lock = cache.lock("import").acquire().await?.expect("nobody has it");
    /// tokio::select! {
    ///     () = import() => println!("imported"),
    ///     () = lock.lost() => println!("somebody else goes on"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    /// Cancel safe: nothing changes.
    pub async fn lost(&self) {
        loop {
            let lost = self.tenure.is_lost.notified();
            let left = self.tenure.left();
            if left.is_zero() {
                return;
            }
            // The runtime that renews it may have ended: then nobody says so.
            let _ = timeout(left, pin!(lost)).await;
        }
    }

    /// Renews the lock at once, and tells whether it was still this holder's.
    ///
    /// After `true` it lasts for its whole time to live from the moment of the call.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").acquire().await?.expect("nobody has it");
    /// assert!(lock.renew().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the backend reports. The lock may then have been renewed or not.
    ///
    /// # Cancel safety
    /// Cancel safe: the lock lasts as long as before or is renewed.
    pub async fn renew(&self) -> Result<bool> {
        let renewed = self.tenure.extend().await;
        renewed.map_err(|error| error.during("renew").for_key(&self.tenure.name))
    }

    /// Gives the lock back, and tells whether it was this holder's until now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").acquire().await?.expect("nobody has it");
    /// assert!(lock.release().await?);
    /// assert!(cache.lock("import").acquire().await?.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What the backend reports. It is then tried once more in the background.
    ///
    /// # Cancel safety
    /// Cancel safe: the lock is given back in the background.
    pub async fn release(self) -> Result<bool> {
        self.renewal.abort();
        let released = self.tenure.release().await;
        if released.is_ok() {
            self.tenure.lose();
        }
        released.map_err(|error| error.during("release").for_key(&self.tenure.name))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
        if !self.is_held() {
            return;
        }
        // Without a runtime its time ends it.
        if let Ok(runtime) = Handle::try_current() {
            let tenure = Arc::clone(&self.tenure);
            runtime.spawn(async move { tenure.release().await });
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("fencing_token", &self.fencing_token())
            .field("left", &self.tenure.left())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::FutureExt;
    use tokio::sync::{Notify, Semaphore};

    use super::{Owner, Tenure, end_of};
    use crate::{Acquired, Clock, LockToken, Locks, ManualClock, Result};

    const TTL: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    /// A store that extends every lock, and answers when it is let.
    struct Slow(Arc<Semaphore>);

    impl Owner for Slow {
        fn locks(&self) -> Result<&dyn Locks> {
            Ok(self)
        }
    }

    #[async_trait]
    impl Locks for Slow {
        async fn acquire(&self, _name: &str, ttl: Duration) -> Result<Acquired> {
            Ok(Acquired::Held(ttl))
        }

        async fn extend(&self, _name: &str, _token: LockToken, _ttl: Duration) -> Result<bool> {
            let answer = self.0.acquire().await;
            answer.expect("it is never closed").forget();
            Ok(true)
        }

        async fn release(&self, _name: &str, _token: LockToken) -> Result<bool> {
            Ok(true)
        }

        async fn released(&self, _name: &str, _at_most: Duration) {}
    }

    fn held() -> (Tenure, Arc<Semaphore>, ManualClock) {
        let (clock, hand) = Clock::manual();
        let answers = Arc::new(Semaphore::new(0));
        let tenure = Tenure {
            owner: Arc::new(Slow(Arc::clone(&answers))),
            name: "job".to_owned(),
            token: LockToken::new(1, 1),
            ttl: TTL,
            until: AtomicU64::new(end_of(clock.nanos_with_suspend(), TTL)),
            clock,
            is_lost: Notify::new(),
        };
        (tenure, answers, hand)
    }

    #[tokio::test]
    async fn a_late_answer_does_not_give_back_a_lock_that_was_lost() {
        let (tenure, answers, hand) = held();
        let mut renewal = pin!(tenure.extend());
        assert!(renewal.as_mut().now_or_never().is_none());
        hand.advance(SECOND);
        tenure.lose();
        answers.add_permits(1);
        assert!(!renewal.await.unwrap(), "whoever was told has stopped");
        assert_eq!(tenure.left(), Duration::ZERO);
    }

    #[test]
    fn the_answer_to_an_older_renewal_does_not_shorten_a_newer_one() {
        let (tenure, _answers, hand) = held();
        let older = tenure.clock.nanos_with_suspend();
        hand.advance(SECOND);
        tenure.lasts_from(tenure.clock.nanos_with_suspend());
        tenure.lasts_from(older);
        assert_eq!(tenure.left(), TTL);
    }
}
