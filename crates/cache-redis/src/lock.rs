//! Locks for work that only one of many processes should do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Error, LoadLease, MAX_TTL, Result};
use tokio::runtime::Handle;

use crate::RedisStore;
use crate::client::{ClaimTerms, Claimed, Link, slot};
#[expect(unused_imports, reason = "short names for the docs")]
use cache_core::ErrorKind;

/// How long the last token of a lock is kept.
const TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 512;

impl RedisStore {
    /// Takes a lock that saves work; it does not keep two holders apart when a server fails over or
    /// a holder stalls: check the [fencing token](Lock::fencing_token) where that matters.
    ///
    /// Returns `None` if somebody has the lock. It ends when it is [released](Lock::release) or
    /// dropped, and by itself after `ttl`. Nobody waits here: try again later.
    ///
    /// A lock belongs to the namespace of the store, beside its keys: it is none of them, `keys` does
    /// not list it and `clear` leaves it.
    ///
    /// ```no_run
    /// # async fn report() {}
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::default()).await?;
    /// if let Some(lock) = store.lock("nightly-report", Duration::from_secs(60)).await? {
    ///     report().await;
    ///     lock.release().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty name or one of more than 512 bytes, and
    /// for a `ttl` of zero or more than [`MAX_TTL`];
    /// [`Unsupported`](ErrorKind::Unsupported) for a store with
    /// [bare keys](crate::RedisConfig::bare_keys), and as of any write. After
    /// [`Timeout`](ErrorKind::Timeout) or [`Unavailable`](ErrorKind::Unavailable) the lock may be
    /// taken by nobody, until `ttl` is over.
    ///
    /// # Cancel safety
    /// Not cancel safe: a lock that was taken by a dropped call lasts until `ttl` is over.
    pub async fn lock(&self, name: &str, ttl: Duration) -> Result<Option<Lock>> {
        self.check_lock(name, ttl)?;
        let [key, token] = self.keys().lock(slot(name.as_bytes()), name);
        let terms = ClaimTerms {
            kept: Some((token, TOKENS_KEPT)),
            ..self.leases().terms(ttl)
        };
        let nonce = terms.nonce;
        let payload = (key.clone(), terms);
        let claim = self
            .link()
            .write(payload, |connection, (key, terms)| async move {
                connection.claim(key, terms).await
            });
        let claimed = self.observe("lock", key.len(), claim).await;
        Ok(match claimed.map_err(|error| error.during("lock"))? {
            Claimed::Token(token) => Some(Lock {
                link: Arc::clone(self.link()),
                key,
                lease: self.leases().granted(token, nonce),
                is_over: false,
            }),
            Claimed::Held(_) | Claimed::Value(_) => None,
        })
    }

    fn check_lock(&self, name: &str, ttl: Duration) -> Result<()> {
        if self.keys().are_bare() {
            return Err(Error::unsupported(
                "a lock beside bare keys; choose a namespace",
            ));
        }
        if name.is_empty() {
            return Err(Error::invalid("name", "is empty, the least is 1 byte"));
        }
        if name.len() > MAX_NAME_BYTES {
            let problem = format!("is {} bytes long, the most is {MAX_NAME_BYTES}", name.len());
            return Err(Error::invalid("name", problem));
        }
        check_ttl(ttl)
    }
}

fn check_ttl(ttl: Duration) -> Result<()> {
    if ttl.is_zero() {
        return Err(Error::invalid("ttl", "is zero, the least is 1 ms"));
    }
    if ttl > MAX_TTL {
        let (seconds, most) = (ttl.as_secs(), MAX_TTL.as_secs());
        let problem = format!("is {seconds} seconds, the most is {most} (100 years)");
        return Err(Error::invalid("ttl", problem));
    }
    Ok(())
}

/// A lock that is held; it saves work and does not keep two holders apart at any price, see
/// [`RedisStore::lock`].
///
/// Dropped, it is given back in the background, if a Tokio runtime is there to do it and nobody
/// else has the lock by then. It keeps the connections of its store open.
#[must_use = "it is given back when it is dropped"]
pub struct Lock {
    link: Arc<Link>,
    key: Bytes,
    lease: LoadLease,
    is_over: bool,
}

impl Lock {
    /// Lets the lock last for `ttl` from now, and tells whether it was still ours.
    ///
    /// After `false` somebody else may have it: stop.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::default()).await?;
    /// let minute = Duration::from_secs(60);
    /// if let Some(mut lock) = store.lock("import", minute).await? {
    ///     while lock.extend(minute).await? {
    ///         // Import some more.
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a `ttl` of zero or more than [`MAX_TTL`], and
    /// as of any write.
    ///
    /// # Cancel safety
    /// Cancel safe: the lock lasts as long as before or is extended.
    pub async fn extend(&mut self, ttl: Duration) -> Result<bool> {
        check_ttl(ttl)?;
        let lease = self.lease;
        let extend = self
            .link
            .write(self.key.clone(), |connection, key| async move {
                connection.extend(key, lease, ttl).await
            });
        let extended = self.link.observe("extend lock", self.key.len(), extend);
        extended.await.map_err(|error| error.during("extend lock"))
    }

    /// Returns a number that is higher than that of every earlier holder of the lock.
    ///
    /// Hand it to what you change under the lock, and have that refuse a lower one than it has seen:
    /// then a holder that was too slow does no harm.
    ///
    /// It is the microseconds of the server's clock, or one more than the last one, which the
    /// server keeps for a day. So it grows also when the clock is set back, unless a failover loses
    /// the last token as well.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::default()).await?;
    /// if let Some(lock) = store.lock("import", Duration::from_secs(60)).await? {
    ///     println!("update job set step = 2, token = {0} where token <= {0}", lock.fencing_token());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn fencing_token(&self) -> u64 {
        self.lease.fencing_token()
    }

    /// Gives the lock back, and tells whether it was still ours.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::default()).await?;
    /// if let Some(lock) = store.lock("import", Duration::from_secs(60)).await? {
    ///     let was_ours_all_the_time = lock.release().await?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of any write. It is then tried once more in the background.
    ///
    /// # Cancel safety
    /// Cancel safe: the lock is given back in the background.
    pub async fn release(mut self) -> Result<bool> {
        let released = release(Arc::clone(&self.link), self.key.clone(), self.lease).await;
        self.is_over = released.is_ok();
        released.map_err(|error| error.during("release lock"))
    }
}

async fn release(link: Arc<Link>, key: Bytes, lease: LoadLease) -> Result<bool> {
    let bytes = key.len();
    let release = link.write(key, |connection, key| async move {
        connection.release(key, lease, None).await
    });
    link.observe("release lock", bytes, release).await
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Without a runtime its time ends it.
        if let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) {
            runtime.spawn(release(
                Arc::clone(&self.link),
                self.key.clone(),
                self.lease,
            ));
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("fencing_token", &self.fencing_token())
            .finish_non_exhaustive()
    }
}
