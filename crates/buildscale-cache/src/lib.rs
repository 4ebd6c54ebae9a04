//! An async cache that starts in one process and grows to a fleet without a change of code.
//!
//! ```
//! use buildscale_cache::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
//! # #[cfg(feature = "local")] {
//! let cache: Cache<String> = Cache::new_local(CacheConfig::default());
//!
//! cache.set("user:123", "Alice").await?;
//! cache.set_ex("session:abc", "active", 300).await?;
//!
//! assert_eq!(cache.get("user:123").await?, Some("Alice".to_string()));
//! assert_eq!(cache.ttl("session:abc").await?, Some(300));
//! # }
//! # Ok(()) }
//! ```
//!
//! # Concepts
//!
//! [`Cache<V>`](Cache) is the one type to know: typed values, a Redis-like API, cheap clones.
//! Behind it stands a *backend*. Every backend keeps the same contract, checked by the same
//! published test suite (the crate `cache-conformance`), so changing it changes one line:
//!
//! | constructor | backend | feature |
//! |---|---|---|
//! | [`Cache::new_local(config)`](LocalExt::new_local) | in this process | `local` |
//! | [`Cache::new_redis(url, config).await?`](RedisExt::new_redis) | Redis or Valkey | `redis` |
//! | [`Cache::new_tiered(url, config).await?`](TieredExt::new_tiered) | memory in front of Redis | `tiered` |
//! | [`Cache::from_env(config).await?`](EnvExt::from_env) | what the environment says | |
//! | [`Cache::from_settings(settings).await?`](SettingsExt::from_settings) | what a configuration file says | |
//! | [`Cache::builder_from_settings(settings).await?`](SettingsExt::builder_from_settings) | the same, and what only code can say | |
//! | [`Cache::new(backend)`](Cache::new) | any, your own included | |
//!
//! # Loading
//!
//! [`Cache::get_or_insert_with`] asks for a key and brings a loader: of all that want the key at the
//! same time, one loads it. [`LoadOptions`] says for how long values are kept, and what is served
//! while they are loaded or cannot be. The guide is `docs/loading.md` in the repository.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `local` | yes | [`LocalBackend`], [`Cache::new_local`](LocalExt::new_local) |
//! | `redis` | | [`RedisStore`], [`RedisConfig`], [`Cache::new_redis`](RedisExt::new_redis) |
//! | `tiered` | | [`TieredBackend`], [`Cache::new_tiered`](TieredExt::new_tiered); brings `local` and `redis` |
//! | `rustls` | | TLS to Redis through rustls |
//! | `native-tls` | | TLS to Redis through the system's library |
//! | `replicas` | | reads from the replicas of a cluster |
//! | `json` | | [`JsonCodec`] |
//! | `msgpack` | | [`MsgPackCodec`] |
//! | `lz4` | | [`Compression::lz4`] |
//! | `zstd` | | [`Compression::zstd`] |
//! | `metrics` | | [`CacheMetrics`], for the `metrics` facade |
//! | `serde` | | `Deserialize` for [`CacheSettings`] and the configurations of backends |
//! | `full` | | all of the above but `native-tls` and `replicas` |
//!
//! Features only add items; none changes what another does. With none of them, this crate is
//! `cache-core` alone.
//!
//! # Writing a backend
//!
//! Implement [`CacheBackend`], whose documentation is the contract, and run the suite on it:
//! the guide is `docs/custom_backend.md` in the repository.
//!
//! # Rust version
//!
//! 1.88. Raising it is not a breaking change; it stays at least six months behind the newest.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod advice;
mod env;
#[cfg(feature = "local")]
mod local;
pub mod prelude;
#[cfg(feature = "redis")]
mod redis;
mod settings;
#[cfg(feature = "tiered")]
mod tiered;

#[cfg(feature = "json")]
#[doc(inline)]
pub use cache_core::JsonCodec;
#[cfg(feature = "msgpack")]
#[doc(inline)]
pub use cache_core::MsgPackCodec;
#[doc(inline)]
pub use cache_core::{
    Abilities, BackendEntry, BackendStats, BackendWrite, ByteStore, Cache, CacheBackend,
    CacheBuilder, CacheConfig, CacheStats, Capabilities, Claim, Clock, Codec, CodecError, CodecId,
    Compression, Condition, Count, CounterGroup, Counters, Cursor, DEFAULT_MAX_VALUE_BYTES,
    DynBackend, EncodedBackend, Error, ErrorKind, Expiry, Flights, FlushCause, Hit, Invalidation,
    InvalidationBus, InvalidationListener, Layer, LoadContext, LoadError, LoadLease, LoadLeases,
    LoadOptions, LoadReason, LoadStats, Loaded, MAX_COUNT, MAX_KEY_BYTES, MAX_NAMESPACE_BYTES,
    MAX_TAG_BYTES, MAX_TAGS, MAX_TRANSACTION_KEYS, MAX_TTL, ManualClock, Page, Permit, ReadNow,
    Result, Scope, SetOptions, StoreId, TagTicket, Tagging, Tags, TierStats, Transaction,
    TransactionWrite, Transactions, Ttl, Updated, Version, Versioned, WarmError, WarmOptions,
    Watch, Window, WireStats, backend, bus, counter_key, is_tag_key, tag_keys,
};
#[cfg(feature = "local")]
#[doc(inline)]
pub use cache_local::{LocalBackend, LocalConfig, LocalOptions, Removal, RemovalCause};
#[cfg(feature = "metrics")]
#[doc(inline)]
pub use cache_metrics::CacheMetrics;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use cache_redis::{
    BusConfig, ConnectionState, Credentials, DEFAULT_NAMESPACE, Protocol, PubSubBus, RedisBackend,
    RedisConfig, RedisStore, Tls, TrackingBus,
};
#[cfg(feature = "tiered")]
#[doc(inline)]
pub use cache_tiered::{
    Invalidator, MemoryBus, OnBusLoss, OnL2Error, Promoted, RelayBus, TieredBackend, TieredConfig,
    WritePolicy,
};

pub use self::advice::Advice;
pub use self::env::EnvExt;
#[cfg(feature = "local")]
pub use self::local::LocalExt;
#[cfg(feature = "redis")]
pub use self::redis::RedisExt;
pub use self::settings::{BackendKind, CacheSettings, CodecKind, CompressionKind, SettingsExt};
#[cfg(feature = "tiered")]
pub use self::settings::{BusKind, BusSettings};
#[cfg(feature = "tiered")]
pub use self::tiered::TieredExt;
