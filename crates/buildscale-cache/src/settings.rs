//! One description of a whole cache.

#[cfg(feature = "serde")]
mod file;

use std::time::Duration;

use cache_core::{Cache, CacheBuilder, CacheConfig, Error, ErrorKind, LoadOptions, Result, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Advice;

/// Everything that can be said of a cache without code: which backend it has, and how that is set up.
///
/// With the feature `serde` it can be read from a file in any format that describes itself, such as
/// TOML, YAML or JSON; `docs/configuration.md` in the repository lists all fields. Unknown ones are
/// refused, and no output shows a password.
///
/// ```
/// use std::time::Duration;
///
/// use buildscale_cache::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// # #[cfg(feature = "local")] {
/// let mut settings = CacheSettings::default();
/// settings.default_ttl = Some(Duration::from_secs(300));
/// settings.local.max_entries = Some(10_000);
///
/// let cache: Cache<String> = Cache::from_settings(settings).await?;
/// cache.set("user:123", "Alice").await?;
/// assert_eq!(cache.ttl("user:123").await?, Some(300));
/// # }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CacheSettings {
    /// Which backend. Without it: two tiers if there is a [`tiered`](Self::tiered), Redis if there is
    /// a [`redis`](Self::redis), otherwise local.
    pub backend: Option<BackendKind>,
    /// The namespace of all keys, in place of that of [`redis`](Self::redis).
    pub namespace: Option<String>,
    /// The time to live of writes that name none.
    pub default_ttl: Option<Duration>,
    /// How long an entry lives after each read, in the place of [`default_ttl`](Self::default_ttl):
    /// [`CacheBuilder::time_to_idle`](crate::CacheBuilder::time_to_idle).
    pub time_to_idle: Option<Duration>,
    /// For how long copies of loaded values are kept after their end:
    /// [`CacheBuilder::keep_stale`](crate::CacheBuilder::keep_stale).
    pub keep_stale: Option<Duration>,
    /// How values are loaded unless a call says otherwise.
    pub loading: LoadOptions,
    /// How values are written to Redis.
    pub codec: CodecKind,
    /// How values are made smaller on their way to Redis.
    pub compression: CompressionKind,
    /// Whether values are written to Redis [without an envelope](crate::EncodedBackend::raw).
    pub raw: bool,
    /// The local backend, or the first of two tiers, which holds 100,000 entries unless there is a
    /// [`max_entries`](crate::LocalOptions::max_entries).
    #[cfg(feature = "local")]
    pub local: crate::LocalOptions,
    /// Redis, or the second of two tiers.
    #[cfg(feature = "redis")]
    pub redis: Option<crate::RedisConfig>,
    /// What holds two tiers together; what tells them of changes is said by [`bus`](Self::bus).
    #[cfg(feature = "tiered")]
    pub tiered: Option<crate::TieredConfig>,
    /// What tells two tiers of changes.
    #[cfg(feature = "tiered")]
    pub bus: BusSettings,
}

/// A kind of backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum BackendKind {
    /// In this process.
    Local,
    /// Redis or Valkey.
    Redis,
    /// Memory in front of Redis or Valkey.
    Tiered,
}

/// A format of values in a store of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum CodecKind {
    /// MessagePack.
    #[default]
    MsgPack,
    /// JSON; needs the feature `json`.
    Json,
}

/// An algorithm that makes values smaller in a store of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum CompressionKind {
    /// None.
    #[default]
    None,
    /// LZ4; needs the feature `lz4`.
    Lz4,
    /// Zstandard at level 3; needs the feature `zstd`.
    Zstd,
}

/// What tells two tiers of changes, in [`CacheSettings`].
#[cfg(feature = "tiered")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BusSettings {
    /// Which bus.
    pub kind: BusKind,
    /// How stale memory may be at most, 1 s without it. With a bus from 100 ms to 60 s:
    /// [`BusConfig::bound`](crate::BusConfig::bound); without one
    /// [as long as a value is kept](crate::TieredConfig::without_bus).
    pub bound: Option<Duration>,
    /// How many messages may wait: [`BusConfig::capacity`](crate::BusConfig::capacity).
    pub capacity: Option<usize>,
}

/// A kind of bus.
#[cfg(feature = "tiered")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum BusKind {
    /// The server tells if it can, as with [`Tracking`](Self::Tracking); if it refuses to, nobody does, as with
    /// [`None`](Self::None). Both keep the bound. Which of them it is shows in the log as the cache connects, and in
    /// [`TierStats::permit`](crate::TierStats::permit).
    #[default]
    Auto,
    /// The server tells: [`TrackingBus`](crate::TrackingBus). A server that refuses to is an error.
    Tracking,
    /// Those who change something say so: [`PubSubBus`](crate::PubSubBus).
    PubSub,
    /// Nobody does: [`TieredConfig::without_bus`](crate::TieredConfig::without_bus).
    None,
}

/// Adds [`from_settings`](Self::from_settings) and
/// [`builder_from_settings`](Self::builder_from_settings) to [`Cache`].
pub trait SettingsExt: Sized {
    /// The type of the values.
    type Value;

    /// Creates the cache that the settings describe.
    ///
    /// Each [advice](CacheSettings::advice) is logged once, as a warning of [`tracing`].
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the field, for what cannot work and
    /// for a backend, a codec or an algorithm that this build does not have; and as of
    /// [`new_redis`](crate::RedisExt::new_redis) and [`new_tiered`](crate::TieredExt::new_tiered).
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    fn from_settings(settings: CacheSettings) -> impl Future<Output = Result<Self>> + Send;

    /// Connects to what the settings describe, and starts a cache over it to which code adds what a file
    /// cannot say.
    ///
    /// [`load_options`](CacheBuilder::load_options) of the builder replace all of
    /// [`CacheSettings::loading`]; what these two contradict is refused by
    /// [`build`](CacheBuilder::build). Advice is logged as by [`from_settings`](Self::from_settings).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use buildscale_cache::{Clock, prelude::*};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # #[cfg(feature = "local")] {
    /// let mut settings = CacheSettings::default();
    /// settings.namespace = Some("shop".to_owned());
    /// settings.loading = LoadOptions::new().absent_ttl(Duration::from_secs(60));
    ///
    /// let (clock, hand) = Clock::manual();
    /// let builder = Cache::<u32>::builder_from_settings(settings).await?;
    /// let cache = builder.clock(clock).build()?;
    ///
    /// let nothing = async |_| Ok::<_, Error>(None::<u32>);
    /// assert_eq!(cache.entry("stock").or_load(nothing).await.ok(), Some(None));
    /// let seven = async |_| Ok::<_, Error>(7u32);
    /// assert_eq!(cache.entry("stock").or_load(seven).await.ok(), Some(None));
    /// hand.advance(Duration::from_secs(61));
    /// assert_eq!(cache.entry("stock").or_load(seven).await.ok(), Some(Some(7)));
    /// # }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`from_settings`](Self::from_settings), but for the namespace of a local cache and the load
    /// options, which [`build`](CacheBuilder::build) checks.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    fn builder_from_settings(
        settings: CacheSettings,
    ) -> impl Future<Output = Result<CacheBuilder<Self::Value>>> + Send;
}

impl<V> SettingsExt for Cache<V>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Value = V;

    async fn from_settings(settings: CacheSettings) -> Result<Self> {
        settings.chosen_backend().check_built()?;
        settings.check_loading()?;
        Self::builder_from_settings(settings).await?.build()
    }

    async fn builder_from_settings(settings: CacheSettings) -> Result<CacheBuilder<V>> {
        let backend = settings.chosen_backend();
        backend.check_built()?;
        // Before anything is connected.
        settings.check_default_ttl()?;
        for advice in settings.advice() {
            tracing::warn!(field = advice.field(), "{advice}");
        }
        let (default_ttl, keep_stale) = (settings.default_ttl, settings.keep_stale);
        let time_to_idle = settings.time_to_idle;
        let loading = settings.loading;
        let mut builder = open(backend, settings).await?.load_options(loading);
        if let Some(ttl) = default_ttl {
            builder = builder.default_ttl(ttl);
        }
        if let Some(idle) = time_to_idle {
            builder = builder.time_to_idle(idle);
        }
        if let Some(at_most) = keep_stale {
            builder = builder.keep_stale(at_most);
        }
        Ok(builder)
    }
}

/// Starts a cache over that backend.
#[cfg_attr(
    not(any(feature = "local", feature = "redis")),
    expect(unused_variables, reason = "without backends there is nothing to open")
)]
async fn open<V>(backend: BackendKind, settings: CacheSettings) -> Result<CacheBuilder<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    match backend {
        #[cfg(feature = "local")]
        BackendKind::Local => crate::local::open(settings),
        #[cfg(feature = "redis")]
        BackendKind::Redis => crate::redis::open(settings).await,
        #[cfg(feature = "tiered")]
        BackendKind::Tiered => crate::tiered::open(settings).await,
        #[cfg(not(feature = "tiered"))]
        other => Err(other.not_built()),
    }
}

impl CacheSettings {
    /// Returns what in these settings contradicts something else in them; for the defaults nothing.
    ///
    /// ```
    /// use buildscale_cache::{Advice, BackendKind, CacheSettings, CompressionKind};
    ///
    /// # #[cfg(feature = "redis")] {
    /// let mut settings = CacheSettings::default();
    /// settings.backend = Some(BackendKind::Redis);
    /// settings.compression = CompressionKind::Lz4;
    /// assert_eq!(settings.advice(), []);
    ///
    /// settings.raw = true;
    /// assert_eq!(settings.advice(), [Advice::RawWithCompression]);
    /// assert_eq!(
    ///     settings.advice()[0].to_string(),
    ///     "compression has no effect with raw: a reader could not tell what is compressed; leave one out"
    /// );
    /// # }
    /// ```
    #[must_use]
    pub fn advice(&self) -> Vec<Advice> {
        crate::advice::on(self)
    }

    fn check_default_ttl(&self) -> Result<()> {
        self.default_ttl
            .map_or(Ttl::NEVER, Ttl::from)
            .check("default_ttl")
    }

    /// Refuses load options outside their limits, and those that need values to be kept for longer.
    fn check_loading(&self) -> Result<()> {
        let checked = self.loading.check(self.keep_stale);
        checked.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput { field, problem } => {
                Error::invalid(format!("loading.{field}"), problem.clone())
            }
            _ => error,
        })
    }

    /// Returns the backend, or what the sections that are there ask for.
    pub(crate) fn chosen_backend(&self) -> BackendKind {
        if let Some(backend) = self.backend {
            return backend;
        }
        #[cfg(feature = "tiered")]
        if self.tiered.is_some() {
            return BackendKind::Tiered;
        }
        #[cfg(feature = "redis")]
        if self.redis.is_some() {
            return BackendKind::Redis;
        }
        BackendKind::Local
    }
}

impl From<CacheConfig> for CacheSettings {
    fn from(config: CacheConfig) -> Self {
        Self {
            default_ttl: config.default_ttl(),
            #[cfg(feature = "local")]
            local: {
                let mut local = crate::LocalOptions::default();
                local.cleanup_interval = config.cleanup_interval().unwrap_or_default();
                local
            },
            ..Self::default()
        }
    }
}

impl BackendKind {
    pub(crate) fn check_built(self) -> Result<()> {
        let is_built = match self {
            Self::Local => cfg!(feature = "local"),
            Self::Redis => cfg!(feature = "redis"),
            Self::Tiered => cfg!(feature = "tiered"),
        };
        if is_built {
            Ok(())
        } else {
            Err(self.not_built())
        }
    }

    fn not_built(self) -> Error {
        let feature = self.name();
        let problem =
            format!("asks for a backend that needs the feature `{feature}`, which is not built in");
        Error::invalid("backend", problem)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis => "redis",
            Self::Tiered => "tiered",
        }
    }
}
