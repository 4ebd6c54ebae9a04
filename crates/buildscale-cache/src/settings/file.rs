//! The settings that a file can hold.

use cache_core::LoadOptions;
use cache_settings::{HumanDuration, put, read};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{BackendKind, CacheSettings, CodecKind, CompressionKind};

#[cfg(feature = "tiered")]
use super::{BusKind, BusSettings};

#[derive(Deserialize)]
#[cfg_attr(
    not(feature = "tiered"),
    expect(
        dead_code,
        reason = "sections that have no use are refused when they are read"
    )
)]
struct Table {
    backend: Option<BackendKind>,
    namespace: Option<String>,
    default_ttl: Option<HumanDuration>,
    time_to_idle: Option<HumanDuration>,
    keep_stale: Option<HumanDuration>,
    codec: Option<CodecKind>,
    compression: Option<CompressionKind>,
    raw: Option<bool>,
    loading: Option<LoadOptions>,
    local: Option<Local>,
    redis: Option<Redis>,
    tiered: Option<Tiered>,
    bus: Option<Bus>,
}

#[cfg(feature = "local")]
type Local = crate::LocalOptions;
#[cfg(not(feature = "local"))]
type Local = NotBuilt;
#[cfg(feature = "redis")]
type Redis = crate::RedisConfig;
#[cfg(not(feature = "redis"))]
type Redis = NotBuilt;
#[cfg(feature = "tiered")]
type Tiered = crate::TieredConfig;
#[cfg(not(feature = "tiered"))]
type Tiered = NotBuilt;
#[cfg(feature = "tiered")]
type Bus = BusSettings;
#[cfg(not(feature = "tiered"))]
type Bus = NotBuilt;

impl<'de> Deserialize<'de> for CacheSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table: Table = read(deserializer)?;
        let mut settings = Self::default();
        put(&mut settings.backend, table.backend.map(Some));
        put(&mut settings.namespace, table.namespace.map(Some));
        put(&mut settings.default_ttl, table.default_ttl);
        put(&mut settings.time_to_idle, table.time_to_idle);
        put(&mut settings.keep_stale, table.keep_stale);
        put(&mut settings.codec, table.codec);
        put(&mut settings.compression, table.compression);
        put(&mut settings.raw, table.raw);
        put(&mut settings.loading, table.loading);
        #[cfg(feature = "local")]
        put(&mut settings.local, table.local);
        #[cfg(feature = "redis")]
        put(&mut settings.redis, table.redis.map(Some));
        #[cfg(feature = "tiered")]
        put(&mut settings.tiered, table.tiered.map(Some));
        #[cfg(feature = "tiered")]
        put(&mut settings.bus, table.bus);
        settings.check_default_ttl().map_err(D::Error::custom)?;
        Ok(settings)
    }
}

#[cfg(feature = "tiered")]
impl<'de> Deserialize<'de> for BusSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            kind: Option<BusKind>,
            bound: Option<HumanDuration>,
            capacity: Option<usize>,
        }

        let table: Table = read(deserializer)?;
        let mut settings = Self {
            capacity: table.capacity,
            ..Self::default()
        };
        put(&mut settings.kind, table.kind);
        put(&mut settings.bound, table.bound);
        Ok(settings)
    }
}

/// A section that this build has no use for: refused, because what it asks for would not be done.
#[cfg(not(all(feature = "local", feature = "tiered")))]
struct NotBuilt;

#[cfg(not(all(feature = "local", feature = "tiered")))]
impl<'de> Deserialize<'de> for NotBuilt {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "needs a backend whose feature is not built in",
        ))
    }
}
