//! Locks for work that only one of many should do, and leadership over them.

mod held_lock;
mod leadership;

use std::fmt;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use self::held_lock::Attempt;
pub use self::held_lock::Lock;
pub use self::leadership::{Leadership, Term};
use super::{Cache, Shared};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, Timeout, Unavailable, Unsupported};
use crate::keyspace::check_bytes;
use crate::{CacheBackend, DynBackend, Error, Expiry, Locks, Result, Ttl};

/// The longest name of a lock, in bytes.
pub const MAX_LOCK_NAME_BYTES: usize = 512;
/// How long a lock lasts that nobody renews.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Names a lock, which one holder has at a time: in this process, or, if the backend is shared, in all
    /// processes that share it.
    ///
    /// A lock saves work that others do already. It does not keep two holders apart at any price: a holder
    /// may stall for longer than the lock lasts, and a store may lose its last writes when a server fails
    /// over. Where that matters, hand the [fencing token](Lock::fencing_token) to what you change.
    ///
    /// Locks are no entries: `keys` does not list them and `clear` leaves them. Each namespace has its own.
    ///
    /// ```
    /// # async fn report() {}
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// if let Some(lock) = cache.lock("nightly-report").acquire().await? {
    ///     assert!(cache.lock("nightly-report").acquire().await?.is_none(), "one holder at a time");
    ///     report().await;
    ///     lock.release().await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn lock(&self, name: impl Into<String>) -> LockRequest<V, B> {
        LockRequest {
            cache: self.clone(),
            name: name.into(),
            ttl: Ttl::from(DEFAULT_TTL),
            wait: Some(Duration::ZERO),
        }
    }
}

/// A lock that is asked for; made by [`Cache::lock`].
#[must_use = "nothing is locked before it is acquired"]
pub struct LockRequest<V, B = DynBackend<V>> {
    cache: Cache<V, B>,
    name: String,
    ttl: Ttl,
    /// `None` waits without end.
    wait: Option<Duration>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> LockRequest<V, B> {
    /// Sets how long the lock lasts if its holder dies or cannot reach the store: 30 seconds unless set.
    ///
    /// A holder that lives renews it in the background after each third of this time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").ttl(5).acquire().await?.expect("nobody has it");
    /// assert!(lock.is_held());
    /// # Ok(()) }
    /// ```
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets how long to wait for a lock that somebody else has: not at all unless set.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::time::Duration;
    ///
    /// let held = cache.lock("import").acquire().await?.expect("nobody has it");
    /// let waiting = cache.lock("import").wait(Duration::from_secs(60));
    /// let (released, acquired) = tokio::join!(held.release(), waiting.acquire());
    /// assert!(released? && acquired?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn wait(mut self, at_most: Duration) -> Self {
        self.wait = Some(at_most);
        self
    }

    /// Waits without end for a lock that somebody else has.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").wait_forever().acquire().await?;
    /// assert!(lock.is_some());
    /// # Ok(()) }
    /// ```
    pub fn wait_forever(mut self) -> Self {
        self.wait = None;
        self
    }

    /// Takes the lock, or returns `None` if somebody else has had it for as long as this may wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let lock = cache.lock("import").acquire().await?.expect("nobody has it");
    /// assert!(cache.lock("import").acquire().await?.is_none());
    /// drop(lock);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a name that is empty or longer than [`MAX_LOCK_NAME_BYTES`], for a time to live
    /// of zero, above [`MAX_TTL`](crate::MAX_TTL) or without end, and outside of a Tokio runtime;
    /// [`Unsupported`] if the backend has no locks; otherwise what it reports. After [`Timeout`] or
    /// [`Unavailable`] the lock may be taken by nobody, until its time is over.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it has taken nothing. Dropped while the store is asked, the lock may be taken
    /// by nobody, until its time is over.
    pub async fn acquire(self) -> Result<Option<Lock>> {
        self.acquire_once().await
    }

    async fn acquire_once(&self) -> Result<Option<Lock>> {
        let acquire = async {
            let ttl = self.checked_ttl()?;
            let raw = self.checked_name()?;
            Handle::try_current()
                .map_err(|_| Error::invalid("runtime", "is missing: a lock needs Tokio"))?;
            self.acquire_raw(&raw, ttl).await
        };
        acquire
            .await
            .map_err(|error: Error| error.during("lock").for_key(&self.name))
    }

    async fn acquire_raw(&self, raw: &str, ttl: Duration) -> Result<Option<Lock>> {
        // A wait that no clock can end is one without end.
        let until = self.wait.and_then(|wait| Instant::now().checked_add(wait));
        loop {
            let held = match held_lock::acquire(&self.cache.shared, raw, ttl).await? {
                Attempt::Got(lock) => return Ok(Some(lock)),
                Attempt::HeldFor(left) => left,
            };
            let left = until.map(|until| until.duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let at_most = left.map_or(held, |left| left.min(held));
            let locks = self.cache.shared.backend_locks()?;
            locks.released(raw, at_most).await;
        }
    }

    fn checked_ttl(&self) -> Result<Duration> {
        match self.ttl.resolve(self.cache.default_ttl)? {
            Expiry::After(ttl) => Ok(ttl),
            Expiry::Never => Err(Error::invalid(
                "ttl",
                "is without end, the most is 100 years",
            )),
        }
    }

    fn checked_name(&self) -> Result<String> {
        check_bytes("name", &self.name, MAX_LOCK_NAME_BYTES)?;
        Ok(self.cache.keyspace.encode(&self.name)?.into_owned())
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Shared<V, B> {
    fn backend_locks(&self) -> Result<&dyn Locks> {
        let locks = self.backend.abilities().locks;
        locks.ok_or_else(|| Error::unsupported("locks by this backend"))
    }
}

impl<V, B> fmt::Debug for LockRequest<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockRequest")
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
