//! Construction of a cache.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{Cache, Shared};
use crate::keyspace::Keyspace;
use crate::stats::Counters;
use crate::{CacheBackend, DynBackend, Ttl};

impl<V: Send + Sync + 'static> Cache<V> {
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
        Self::builder(backend).build()
    }

    /// Starts a cache over `backend` whose defaults differ from the backend's.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32> = Cache::builder(LocalBackend::default()).default_ttl(30).build();
    /// cache.set("answer", 42u32).await?;
    /// assert_eq!(cache.ttl("answer").await?, Some(30));
    /// # Ok(()) }
    /// ```
    pub fn builder(backend: impl CacheBackend<V>) -> CacheBuilder<V> {
        CacheBuilder::with_backend(DynBackend::new(backend))
    }
}

impl<V: Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
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
        CacheBuilder::with_backend(backend).build()
    }
}

/// Builds a [`Cache`] whose defaults differ from its backend's; see [`Cache::builder`].
#[must_use]
pub struct CacheBuilder<V, B = DynBackend<V>> {
    backend: B,
    default_ttl: Ttl,
    value: PhantomData<fn(V) -> V>,
}

impl<V: Send + Sync + 'static, B: CacheBackend<V>> CacheBuilder<V, B> {
    /// Starts a cache that keeps the type of its backend.
    ///
    /// ```
    /// use cache_core::{Cache, CacheBuilder};
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32, LocalBackend<u32>> =
    ///     CacheBuilder::with_backend(LocalBackend::default()).default_ttl(30).build();
    /// ```
    pub fn with_backend(backend: B) -> Self {
        let default_ttl = backend.default_ttl().map_or(Ttl::NEVER, Ttl::from);
        Self {
            backend,
            default_ttl,
            value: PhantomData,
        }
    }

    /// Sets the time to live of writes that name none, in place of the backend's default.
    ///
    /// A time that is out of range fails those writes, with an error that names `default_ttl`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::Cache;
    /// use cache_local::LocalBackend;
    ///
    /// let cache: Cache<u32> = Cache::builder(LocalBackend::default()).default_ttl(0).build();
    /// let error = cache.set("answer", 42u32).await.unwrap_err();
    /// assert!(error.to_string().contains("default_ttl is zero"));
    /// # Ok(()) }
    /// ```
    pub fn default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into();
        self
    }

    /// Creates the cache.
    #[must_use]
    pub fn build(self) -> Cache<V, B> {
        let Self {
            backend,
            default_ttl,
            ..
        } = self;
        Cache {
            shared: Arc::new(Shared {
                backend,
                default_ttl,
                counters: Counters::default(),
            }),
            keyspace: Keyspace::default(),
            value: PhantomData,
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
