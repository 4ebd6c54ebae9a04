//! `Cache::new_local`.

use cache_core::{Cache, CacheBuilder, CacheConfig, Result};
use cache_local::LocalBackend;

use crate::CacheSettings;

/// Adds [`new_local`](Self::new_local) to [`Cache`].
pub trait LocalExt: Sized {
    /// Creates a cache in this process, without a bound.
    ///
    /// For a bound, eviction and a removal listener there is [`LocalConfig`](crate::LocalConfig):
    /// `Cache::new(LocalBackend::new(LocalConfig::new().max_entries(10_000))?)`.
    ///
    /// ```
    /// use buildscale_cache::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// let config = CacheConfig { cleanup_interval_seconds: 60, default_ttl_seconds: Some(3600) };
    /// let cache: Cache<String> = Cache::new_local(config);
    /// cache.set("user:123", "Alice").await?;
    /// assert_eq!(cache.ttl("user:123").await?, Some(3600));
    /// # Ok(()) }
    /// ```
    #[must_use]
    fn new_local(config: CacheConfig) -> Self;
}

impl<V: Clone + Send + Sync + 'static> LocalExt for Cache<V> {
    fn new_local(config: CacheConfig) -> Self {
        let interval = config.cleanup_interval().unwrap_or_default();
        let backend = LocalBackend::unbounded(interval);
        match config.default_ttl() {
            Some(ttl) => Self::new(backend).with_default_ttl(ttl),
            None => Self::new(backend),
        }
    }
}

/// Starts what settings say of a local cache.
pub(crate) fn open<V: Clone + Send + Sync + 'static>(
    settings: CacheSettings,
) -> Result<CacheBuilder<V>> {
    let builder = Cache::builder(LocalBackend::new(settings.local.into())?);
    Ok(match settings.namespace {
        Some(name) => builder.namespace(name),
        None => builder,
    })
}
