//! `Cache::new_tiered`.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Cache, CacheBuilder, CacheConfig, Codec, Error, ErrorKind, MsgPackCodec, Result};
use cache_local::LocalBackend;
use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore, TrackingBus};
use cache_tiered::{TieredBackend, TieredConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{BusKind, BusSettings, CacheSettings, CodecKind, redis};

/// How many entries the first tier holds unless it is told otherwise.
const L1_ENTRIES: u64 = 100_000;
/// How stale memory may be unless it is told otherwise, as with a bus.
pub(crate) const DEFAULT_BOUND: Duration = Duration::from_secs(1);

/// Adds [`new_tiered`](Self::new_tiered) to [`Cache`].
pub trait TieredExt: Sized {
    /// Connects to a Redis or Valkey as [`new_redis`](crate::RedisExt::new_redis) does, and keeps
    /// what is read in the memory of this process as well.
    ///
    /// What memory serves is never older than one second: whoever changes a key, other programs
    /// included, the server tells every process of it. Where a server refuses to tell, as some managed services do,
    /// memory keeps values for one second alone, and the log says so. `docs/consistency.md` in the repository says
    /// what is promised under which faults. Memory holds at most 100,000 entries, for 60 seconds
    /// each; other limits, bounds and policies can be said in [`CacheSettings`],
    /// and for all else the parts are put together as the example of [`TieredBackend`] does.
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
    /// As of [`new_redis`](crate::RedisExt::new_redis).
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
        let mut settings = CacheSettings::from(config);
        settings.redis = Some(RedisConfig::from_url(url)?);
        open(settings).await?.build()
    }
}

/// Starts what settings say of a cache of two tiers.
pub(crate) async fn open<V>(settings: CacheSettings) -> Result<CacheBuilder<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    match settings.codec {
        CodecKind::MsgPack => join(settings, MsgPackCodec::new()).await,
        #[cfg(feature = "json")]
        CodecKind::Json => join(settings, crate::JsonCodec::new()).await,
        #[cfg(not(feature = "json"))]
        CodecKind::Json => Err(redis::not_built("codec", "json")),
    }
}

/// Connects both tiers.
async fn join<V, C>(settings: CacheSettings, codec: C) -> Result<CacheBuilder<V>>
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
{
    let mut options = settings.local.clone();
    options.max_entries.get_or_insert(L1_ENTRIES);
    // First what can be refused without a server.
    let l1 = LocalBackend::new(options.into())?;
    let (config, of_bus) = checked(&settings)?;
    let l2 = redis::connect(&settings, codec).await?;
    let config = attach(config, &settings.bus, of_bus, l2.store()).await?;
    Ok(Cache::builder(TieredBackend::new(l1, l2, config)?))
}

/// Returns what two tiers without a bus and a bus are told, or says what cannot work.
fn checked(settings: &CacheSettings) -> Result<(TieredConfig, BusConfig)> {
    let bus = &settings.bus;
    let bound = bus.bound.unwrap_or(DEFAULT_BOUND);
    let mut of_bus = BusConfig::new().bound(bound);
    if let Some(capacity) = bus.capacity {
        of_bus = of_bus.capacity(capacity);
    }
    if bus.kind != BusKind::None {
        of_bus.check().map_err(name_section)?;
    }
    let config = settings.tiered.clone().unwrap_or_default().no_bus(bound);
    config.check().map_err(name_section)?;
    Ok((config, of_bus))
}

/// Says in which section the field of an error is.
fn name_section(error: Error) -> Error {
    let ErrorKind::InvalidInput { field, problem } = error.kind() else {
        return error;
    };
    let section = match &**field {
        "bound" | "capacity" => "bus",
        _ => "tiered",
    };
    Error::invalid(format!("{section}.{field}"), problem.clone())
}

async fn attach(
    config: TieredConfig,
    bus: &BusSettings,
    of_bus: BusConfig,
    store: &RedisStore,
) -> Result<TieredConfig> {
    Ok(match bus.kind {
        BusKind::Auto | BusKind::Tracking => match TrackingBus::connect(store, of_bus).await {
            Ok(tracking) => config.bus(Arc::new(tracking)),
            Err(error) if bus.kind == BusKind::Auto && is_refusal(&error) => {
                let bound = bus.bound.unwrap_or(DEFAULT_BOUND);
                tracing::warn!(?bound, %error, "memory keeps no value for longer than the bound: no bus tells of changes");
                config
            }
            Err(error) => return Err(error),
        },
        BusKind::PubSub => config.bus(Arc::new(PubSubBus::connect(store, of_bus).await?)),
        BusKind::None => config,
    })
}

/// Tells whether servers that work refuse to tell of changes.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported { .. } | ErrorKind::Unauthorized
    )
}
