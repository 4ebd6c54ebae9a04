//! `Cache::new_tiered`.

use cache_core::{Cache, CacheConfig, EncodedBackend, MsgPackCodec, Result};
use cache_local::{LocalBackend, LocalConfig};
use cache_redis::{BusConfig, RedisConfig, RedisStore, TrackingBus};
use cache_tiered::{TieredBackend, TieredConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How many entries the first tier holds.
const L1_ENTRIES: u64 = 100_000;

/// Adds [`new_tiered`](Self::new_tiered) to [`Cache`].
pub trait TieredExt: Sized {
    /// Connects to a Redis or Valkey as [`new_redis`](crate::RedisExt::new_redis) does, and keeps
    /// what is read in the memory of this process as well.
    ///
    /// What memory serves is never older than one second: whoever changes a key, other programs
    /// included, the server tells every process of it. `docs/consistency.md` in the repository says
    /// what is promised under which faults. Memory holds at most 100,000 entries, for 60 seconds
    /// each; for other limits, bounds and policies put the parts together as the example of
    /// [`TieredBackend`] does.
    ///
    /// ```
    /// use buildscale_cache::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url(); // such as redis://127.0.0.1:6379
    /// let cache: Cache<String> = Cache::new_tiered(&url, CacheConfig::default()).await?;
    /// cache.set("user:123", "Alice").await?;
    /// for _ in 0..3 {
    ///     assert_eq!(cache.get("user:123").await?.as_deref(), Some("Alice"));
    /// }
    /// println!("hits in memory and in Redis: {:?}", cache.stats().hits_by_tier());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`new_redis`](crate::RedisExt::new_redis), and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a server without client tracking: for
    /// these there is [`PubSubBus`](crate::PubSubBus).
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    fn new_tiered(url: &str, config: CacheConfig) -> impl Future<Output = Result<Self>> + Send;
}

impl<V> TieredExt for Cache<V>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn new_tiered(url: &str, config: CacheConfig) -> Result<Self> {
        let settings = RedisConfig::from_url(url)?.with_cache_config(config);
        connect(settings, config).await
    }
}

/// Connects both tiers; the one place that chooses their limits and the format.
pub(crate) async fn connect<V>(settings: RedisConfig, config: CacheConfig) -> Result<Cache<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let store = RedisStore::connect(settings).await?;
    let bus = TrackingBus::connect(&store, BusConfig::new()).await?;
    let l1 = LocalBackend::new(LocalConfig::from(config).max_entries(L1_ENTRIES))?;
    let l2 = EncodedBackend::new(store, MsgPackCodec::new());
    let tiered = TieredBackend::new(l1, l2, TieredConfig::with_bus(bus))?;
    Ok(Cache::new(tiered))
}
