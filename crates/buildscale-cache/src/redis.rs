//! `Cache::new_redis`.

use cache_core::{
    Cache, CacheBuilder, CacheConfig, Compression, EncodedBackend, Error, MsgPackCodec, Result,
};
use cache_redis::{RedisConfig, RedisStore};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CacheSettings, CodecKind, CompressionKind};

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
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn new_redis(url: &str, config: CacheConfig) -> Result<Self> {
        let mut settings = CacheSettings::from(config);
        settings.redis = Some(RedisConfig::from_url(url)?);
        open(settings).await?.build()
    }
}

/// Starts what settings say of a cache in Redis.
pub(crate) async fn open<V>(settings: CacheSettings) -> Result<CacheBuilder<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let settings = &settings;
    match settings.codec {
        CodecKind::MsgPack => Ok(Cache::builder(
            connect(settings, MsgPackCodec::new()).await?,
        )),
        #[cfg(feature = "json")]
        CodecKind::Json => Ok(Cache::builder(
            connect(settings, crate::JsonCodec::new()).await?,
        )),
        #[cfg(not(feature = "json"))]
        CodecKind::Json => Err(not_built("codec", "json")),
    }
}

/// Connects to the servers, and gives the store its format.
pub(crate) async fn connect<C>(
    settings: &CacheSettings,
    codec: C,
) -> Result<EncodedBackend<RedisStore, C>> {
    let compression = compression(settings.compression)?;
    let store = RedisStore::connect(config(settings)?).await?;
    let mut backend = EncodedBackend::new(store, codec);
    if let Some(compression) = compression {
        backend = backend.with_compression(compression);
    }
    Ok(if settings.raw { backend.raw() } else { backend })
}

fn config(settings: &CacheSettings) -> Result<RedisConfig> {
    let Some(mut config) = settings.redis.clone() else {
        let backend = settings.chosen_backend().name();
        let problem = format!("is missing, but the backend is {backend}");
        return Err(Error::invalid("redis", problem));
    };
    if let Some(name) = &settings.namespace {
        if config.get_namespace().is_none() {
            return Err(Error::invalid("namespace", "contradicts redis.bare_keys"));
        }
        config = config.namespace(name);
    }
    Ok(config)
}

fn compression(kind: CompressionKind) -> Result<Option<Compression>> {
    match kind {
        CompressionKind::None => Ok(None),
        #[cfg(feature = "lz4")]
        CompressionKind::Lz4 => Ok(Some(Compression::lz4())),
        #[cfg(feature = "zstd")]
        CompressionKind::Zstd => Ok(Some(Compression::zstd(3))),
        #[cfg(not(feature = "lz4"))]
        CompressionKind::Lz4 => Err(not_built("compression", "lz4")),
        #[cfg(not(feature = "zstd"))]
        CompressionKind::Zstd => Err(not_built("compression", "zstd")),
    }
}

#[cfg(not(all(feature = "json", feature = "lz4", feature = "zstd")))]
pub(crate) fn not_built(field: &'static str, feature: &'static str) -> Error {
    let problem = format!("needs the feature `{feature}`, which is not built in");
    Error::invalid(field, problem)
}
