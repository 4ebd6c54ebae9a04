//! The user's API: every verb, on every backend, with the same meaning.

mod builder;
mod bulk;
pub(crate) mod by_tag;
mod config;
pub(crate) mod copies;
mod counter_group;
mod expire;
mod get_or_insert;
mod hit;
mod idle;
mod key_entry;
mod keys;
mod lock_request;
mod now_or_later;
pub(crate) mod raw_keys;
mod read;
mod set_options;
mod supersede;
mod transact;
mod ttl;
mod update;
mod warm;
mod write;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub use self::builder::CacheBuilder;
pub use self::config::CacheConfig;
pub use self::counter_group::CounterGroup;
pub use self::hit::{Hit, Layer};
pub use self::key_entry::KeyEntry;
pub use self::lock_request::{Leadership, Lock, LockRequest, MAX_LOCK_NAME_BYTES, Term};
pub use self::set_options::SetOptions;
pub(crate) use self::set_options::When;
pub use self::transact::Transaction;
pub use self::ttl::Ttl;
use self::update::Turns;
pub use self::update::Updated;
pub use self::warm::{WarmError, WarmOptions};
use crate::keyspace::Keyspace;
use crate::load::LoadCounters;
use crate::load::flights::FlightTable;
use crate::stats::Counters;
use crate::{CacheBackend, CacheStats, Clock, DynBackend, LoadOptions, Result};

#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::InvalidInput;

/// A typed cache with a Redis-like API over any backend.
///
/// `Cache<User>` is the type to name in structs and signatures: its backend is erased, and
/// changing the backend changes one line. Code that counts nanoseconds names the backend,
/// `Cache<User, LocalBackend<User>>`, through [`with_backend`](Self::with_backend).
///
/// A clone is the same cache, and cheap. A cache is `Send + Sync`: clone it into tasks, keep
/// it in application state.
///
/// Keys are anything that is `AsRef<str>`, from 1 byte to [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES).
/// Times to live are whole seconds or a [`Duration`], see [`Ttl`]. A key whose time is over is
/// absent for every verb, at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// use cache_core::Cache;
/// use cache_local::LocalBackend;
///
/// let cache: Cache<String> = Cache::new(LocalBackend::default());
/// cache.set("user:123", "Alice").await?;
/// assert_eq!(cache.get("user:123").await?, Some("Alice".to_string()));
/// # Ok(()) }
/// ```
pub struct Cache<V, B = DynBackend<V>> {
    pub(crate) shared: Arc<Shared<V, B>>,
    pub(crate) keyspace: Keyspace,
    pub(crate) default_ttl: Ttl,
}

/// What the clones and the namespaces of a cache have in common.
pub(crate) struct Shared<V, B> {
    pub(crate) backend: B,
    pub(crate) load_options: LoadOptions,
    pub(crate) keep_stale: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) loads: LoadCounters,
    pub(crate) flights: Arc<FlightTable>,
    turns: Turns,
    value: PhantomData<fn(V) -> V>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns a view of this cache with keys of its own.
    ///
    /// The view shares backend, defaults and counters; `keys`, `scan` and `clear` cover it alone.
    /// Whatever characters names and keys hold, one namespace never reaches another.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let sessions = cache.namespace("sessions")?;
    /// sessions.set("abc", "active").await?;
    /// assert_eq!(cache.get("abc").await?, None);
    /// assert_eq!(cache.clear().await?, 0);
    /// assert_eq!(sessions.keys().await?, ["abc"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] unless `name` is 1 to 64 ASCII letters, digits, `-`, `_` and `.`, and not
    /// `_stale`, `_tag` or `_counter`, where [kept values](CacheBuilder::keep_stale), tags and counters are.
    pub fn namespace(&self, name: impl AsRef<str>) -> Result<Self> {
        let keyspace = self.keyspace.named(name.as_ref())?;
        Ok(Self {
            keyspace,
            ..self.clone()
        })
    }

    /// Returns a view of this cache with another time to live for writes that name none.
    ///
    /// The view shares everything else. One that was made of it, by [`namespace`](Self::namespace) or `clone`,
    /// has the same default. A time that is out of range fails the writes that need it;
    /// [`CacheBuilder::default_ttl`] is checked at once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let sessions = cache.namespace("sessions")?.with_default_ttl(1800);
    /// sessions.set("abc", "active").await?;
    /// assert_eq!(sessions.ttl("abc").await?, Some(1800));
    /// cache.set("forever", "x").await?;
    /// assert_eq!(cache.ttl("forever").await?, None);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into();
        self
    }

    /// Returns the counters of this cache, its clones and its namespaces.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:1", "Alice").await?;
    /// cache.get("user:1").await?;
    /// cache.get("user:2").await?;
    /// let stats = cache.stats();
    /// assert_eq!((stats.hits, stats.misses, stats.sets), (1, 1, 1));
    /// assert_eq!(stats.hit_rate(), Some(0.5));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let pending = self.shared.flights.pending(self.shared.clock.nanos());
        CacheStats {
            loads: self.shared.loads.snapshot(pending),
            ..self.shared.counters.snapshot(self.shared.backend.stats())
        }
    }

    /// Returns the backend.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::CacheBackend;
    ///
    /// assert!(!cache.backend().capabilities().shared);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }
}

impl<V, B> Clone for Cache<V, B> {
    /// Returns the same cache.
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            keyspace: self.keyspace.clone(),
            default_ttl: self.default_ttl,
        }
    }
}

impl<V, B: fmt::Debug> fmt::Debug for Cache<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("backend", &self.shared.backend)
            .finish_non_exhaustive()
    }
}
