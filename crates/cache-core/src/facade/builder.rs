//! Construction of a cache.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Cache, Shared, Turns};
use crate::keyspace::Keyspace;
use crate::load::LoadCounters;
use crate::stats::Counters;
use crate::{CacheBackend, Clock, DynBackend, Error, LoadOptions, MAX_TTL, Result, Ttl};

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Creates a cache over `backend` and erases the type of the backend.
    ///
    /// A [`DynBackend`] is erased already: it goes through [`with_backend`](Self::with_backend).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// let cache: cache_core::Cache<u32> = cache_core::Cache::new(cache_local::LocalBackend::default());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn new(backend: impl CacheBackend<V>) -> Self {
        Self::builder(backend).unchecked()
    }

    /// Starts a cache over `backend` with defaults of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32> = Cache::builder(LocalBackend::default()).default_ttl(30).build()?;
    /// cache.set("answer", 42u32).await?;
    /// assert_eq!(cache.ttl("answer").await?, Some(30));
    /// # Ok(()) }
    /// ```
    pub fn builder(backend: impl CacheBackend<V>) -> CacheBuilder<V> {
        CacheBuilder::with_backend(DynBackend::new(backend))
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Creates a cache that keeps the type of its backend, as `HashMap::with_hasher` does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32, LocalBackend<u32>> = Cache::with_backend(LocalBackend::default());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_backend(backend: B) -> Self {
        CacheBuilder::with_backend(backend).unchecked()
    }
}

/// For how long values are kept at the most.
const MAX_KEEP: Duration = Duration::from_secs(MAX_TTL.as_secs() / 2);

/// Builds a [`Cache`] with defaults of its own; see [`Cache::builder`].
#[must_use]
pub struct CacheBuilder<V, B = DynBackend<V>> {
    backend: B,
    default_ttl: Ttl,
    load_options: LoadOptions,
    keep_stale: Option<Duration>,
    time_to_idle: Option<Ttl>,
    clock: Clock,
    namespace: Option<String>,
    value: PhantomData<fn(V) -> V>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> CacheBuilder<V, B> {
    /// Starts a cache that keeps the type of its backend.
    ///
    /// ```
    /// use cache_core::{Cache, CacheBuilder};
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32, LocalBackend<u32>> =
    ///     CacheBuilder::with_backend(LocalBackend::default()).default_ttl(30).build()?;
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    pub fn with_backend(backend: B) -> Self {
        Self {
            backend,
            default_ttl: Ttl::NEVER,
            load_options: LoadOptions::new(),
            keep_stale: None,
            time_to_idle: None,
            clock: Clock::system(),
            namespace: None,
            value: PhantomData,
        }
    }

    /// Sets the time to live of writes that name none; without it they never expire.
    ///
    /// ```
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let builder = Cache::<u32>::builder(LocalBackend::default()).default_ttl(0);
    /// let error = builder.build().unwrap_err();
    /// assert_eq!(error.to_string(), "default_ttl is zero, the least is 1 ms");
    /// ```
    pub fn default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into();
        self
    }

    /// Gives each entry that is read this time to live again: it expires when nobody has read it for so long.
    ///
    /// Writes that name no time to live take this one. A read is `get`, `mget`, `get_entry` and what the loading
    /// verbs find; `exists`, `ttl` and scans are none. An entry that has more time left, or never expires, is left
    /// as it is, and so is one of which less than a tenth of the time is over: reads that follow each other
    /// closely cost no write each. An entry that was written with a shorter time to live is lengthened too:
    /// entries that have to expire at a fixed time belong in a cache without a time to idle.
    ///
    /// In memory a hit costs a comparison more. In Redis a read asks for the time that is left as well, and once
    /// in a tenth of the time it is followed by a write; two tiers answer from memory while the second one needs
    /// no such write. A read whose value is there succeeds though the write fails; the next read tries again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use std::time::Duration;
    ///
    /// use cache_core::{Cache, Clock};
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let (clock, hand) = Clock::manual();
    /// let backend = LocalBackend::new(LocalConfig::new().clock(clock))?;
    /// let sessions: Cache<u32> = Cache::builder(backend).time_to_idle(60).build()?;
    /// sessions.set("abc", 7u32).await?;
    /// for _ in 0..3 {
    ///     hand.advance(Duration::from_secs(50));
    ///     assert_eq!(sessions.get("abc").await?, Some(7));
    /// }
    /// hand.advance(Duration::from_secs(60));
    /// assert_eq!(sessions.get("abc").await?, None);
    /// # Ok(()) }
    /// ```
    pub fn time_to_idle(mut self, idle: impl Into<Ttl>) -> Self {
        self.time_to_idle = Some(idle.into());
        self
    }

    /// Sets how values are loaded unless a call says otherwise.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::{Cache, LoadOptions};
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32> = Cache::builder(LocalBackend::default())
    ///     .load_options(LoadOptions::new().ttl(30))
    ///     .build()?;
    /// cache.get_or_insert_with("answer", async || 42).await?;
    /// assert_eq!(cache.ttl("answer").await?, Some(30));
    /// # Ok(()) }
    /// ```
    pub const fn load_options(mut self, options: LoadOptions) -> Self {
        self.load_options = options;
        self
    }

    /// Keeps a copy of each loaded value for this long after its end, for
    /// [`stale_while_revalidate`](LoadOptions::stale_while_revalidate) and
    /// [`fail_safe`](LoadOptions::fail_safe).
    ///
    /// Only loads see the copies: for all other verbs a value that has ended is absent. A write or
    /// delete of the key removes its copy. Copies take room in the backend, and each load and each
    /// write of a key takes two operations more. All processes that share a store should agree on it;
    /// a program that deletes keys without a `Cache` leaves their copies.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// use cache_core::{Cache, Clock, LoadOptions};
    /// use cache_local::{LocalBackend, LocalConfig};
    ///
    /// let (clock, hand) = Clock::manual();
    /// let backend = LocalBackend::new(LocalConfig::new().clock(clock.clone()))?;
    /// let hour = Duration::from_secs(3600);
    /// let cache: Cache<u32> = Cache::builder(backend)
    ///     .keep_stale(hour)
    ///     .load_options(LoadOptions::new().ttl(30).fail_safe(hour, Duration::from_secs(5)))
    ///     .clock(clock)
    ///     .build()?;
    ///
    /// cache.get_or_insert_with("answer", async || 42).await?;
    /// hand.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get("answer").await?, None);
    /// let failing = async || Err(io::Error::other("the database is down"));
    /// assert_eq!(cache.get_or_try_insert_with("answer", failing).await.ok(), Some(42));
    /// # Ok(()) }
    /// ```
    pub const fn keep_stale(mut self, at_most: Duration) -> Self {
        // So that the end of a copy is within the longest time to live.
        self.keep_stale = Some(if at_most.as_nanos() > MAX_KEEP.as_nanos() {
            MAX_KEEP
        } else {
            at_most
        });
        self
    }

    /// Sets the clock by which loads are left alone after there was nothing or they failed. The
    /// backend has a clock of its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Puts the keys of the cache into a namespace, as [`Cache::namespace`] does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32> = Cache::builder(LocalBackend::default()).namespace("shop").build()?;
    /// cache.set("answer", 42u32).await?;
    /// let root = Cache::<u32, _>::with_backend(cache.backend().clone());
    /// assert!(!root.exists("answer").await?);
    /// assert_eq!(root.namespace("shop")?.get("answer").await?, Some(42));
    /// # Ok(()) }
    /// ```
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Creates the cache.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_core::{Cache, LoadOptions};
    /// use cache_local::LocalBackend;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let stale = LoadOptions::new().stale_while_revalidate(hour);
    /// let builder = Cache::<u32>::builder(LocalBackend::default()).load_options(stale);
    /// let error = builder.build().unwrap_err();
    /// assert_eq!(error.to_string(), "stale_while_revalidate is 3600s, but the cache has keep_stale of 0ns");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a default time to live that is out of range, for
    /// load options outside their limits, for those that need
    /// [`keep_stale`](Self::keep_stale) for longer than it is set, for a [`time_to_idle`](Self::time_to_idle)
    /// that is out of range or stands beside an option that contradicts it, and for a namespace that
    /// [`Cache::namespace`] refuses.
    pub fn build(mut self) -> Result<Cache<V, B>> {
        self.default_ttl.check("default_ttl")?;
        self.load_options.check(self.keep_stale)?;
        let idle = self.checked_idle()?;
        if let Some(idle) = idle {
            self.default_ttl = idle.into();
        }
        let keyspace = match self.namespace.take() {
            Some(name) => Keyspace::default().named(&name)?,
            None => Keyspace::default(),
        };
        Ok(self.assemble(keyspace, idle))
    }

    /// Returns the time to idle, unless it is out of range or another option needs values to age.
    fn checked_idle(&self) -> Result<Option<Duration>> {
        let Some(idle) = self.time_to_idle else {
            return Ok(None);
        };
        let refuse = |problem| Err(Error::invalid("time_to_idle", problem));
        if self.default_ttl != Ttl::NEVER {
            return refuse(
                "contradicts default_ttl: a write that names no time to live takes this one",
            );
        }
        if self.load_options.looks_ahead() {
            return refuse(
                "contradicts refresh_ahead and early_refresh: what is read does not come to its end",
            );
        }
        Ok(idle.resolve_as("time_to_idle")?.remaining())
    }

    /// Creates the cache of options that need no check, in the root of the backend.
    fn unchecked(self) -> Cache<V, B> {
        self.assemble(Keyspace::default(), None)
    }

    fn assemble(self, keyspace: Keyspace, time_to_idle: Option<Duration>) -> Cache<V, B> {
        let flights = self.backend.abilities().flights.cloned();
        Cache {
            shared: Arc::new(Shared {
                backend: self.backend,
                load_options: self.load_options,
                keep_stale: self.keep_stale,
                time_to_idle,
                clock: self.clock,
                counters: Counters::default(),
                loads: LoadCounters::default(),
                flights: flights.unwrap_or_default().0,
                turns: Turns::default(),
                value: PhantomData,
            }),
            keyspace,
            default_ttl: self.default_ttl,
        }
    }
}

impl<V, B: fmt::Debug> fmt::Debug for CacheBuilder<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("backend", &self.backend)
            .field("default_ttl", &self.default_ttl)
            .finish_non_exhaustive()
    }
}
