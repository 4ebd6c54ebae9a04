//! `Cache::new_redis`.

use cache_core::{Cache, CacheConfig, EncodedBackend, MsgPackCodec, Result};
use cache_redis::{RedisConfig, RedisStore};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Adds [`new_redis`](Self::new_redis) to [`Cache`].
pub trait RedisExt: Sized {
    /// Connects to a Redis or Valkey, a cluster or Sentinels, and stores values as MessagePack.
    ///
    /// [`RedisConfig::from_url`] lists the forms of the URL. Keys are stored in the namespace
    /// [`DEFAULT_NAMESPACE`](crate::DEFAULT_NAMESPACE), which every cache made this way shares: give
    /// each its own with [`namespace`](Cache::namespace). For other codecs, compression, timeouts,
    /// certificates and several caches over one pool there is [`RedisStore`]:
    /// `Cache::new(EncodedBackend::new(RedisStore::connect(config).await?, JsonCodec::new()))`.
    ///
    /// ```
    /// use buildscale_cache::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url(); // such as redis://127.0.0.1:6379
    /// let cache: Cache<String> = Cache::new_redis(&url, CacheConfig::default()).await?;
    /// cache.set("user:123", "Alice").await?;
    /// assert_eq!(cache.get("user:123").await?, Some("Alice".to_string()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a URL that is none,
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) for credentials that are refused,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) or [`Timeout`](crate::ErrorKind::Timeout) if
    /// the servers cannot be reached.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    fn new_redis(url: &str, config: CacheConfig) -> impl Future<Output = Result<Self>> + Send;
}

impl<V> RedisExt for Cache<V>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn new_redis(url: &str, config: CacheConfig) -> Result<Self> {
        connect(RedisConfig::from_url(url)?.with_cache_config(config)).await
    }
}

/// Connects as `config` says; the one place that chooses the format.
pub(crate) async fn connect<V>(config: RedisConfig) -> Result<Cache<V>>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let store = RedisStore::connect(config).await?;
    Ok(Cache::new(EncodedBackend::new(store, MsgPackCodec::new())))
}
