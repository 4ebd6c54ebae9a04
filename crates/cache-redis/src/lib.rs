//! The Redis and Valkey backend of Buildscale Cache.
//!
//! | you want to | look at |
//! |---|---|
//! | connect | [`RedisStore::connect`], [`RedisConfig`] |
//! | cache typed values | [`RedisBackend`]: a [`RedisStore`] and a codec |
//! | share connections between caches | [`RedisStore::partition`] |
//! | use a client of your own | [`RedisStore::from_client`], [`fred`] |
//! | keep a cache in memory true to the store | [`TrackingBus`]; [`PubSubBus`] for servers without client tracking |
//! | let one of many processes do some work | [`Cache::lock`](cache_core::Cache::lock) |
//! | know how the servers are | [`RedisStore::ping`], [`RedisStore::state`], [`RedisStore::wire_stats`] |
//!
//! It needs Redis 6.2 or later, or Valkey, and a Tokio runtime.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `rustls` | TLS through rustls |
//! | `native-tls` | TLS through the system's library |
//! | `serde` | `Deserialize` for [`RedisConfig`] and [`BusConfig`] |
//!
//! Features only add items; none changes what another does.
//!
//! # Observability
//!
//! Each operation runs in a [`tracing`] span `redis` at the level `DEBUG` with the field `operation`.
//! Neither spans nor errors hold keys, values or passwords.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bus;
mod client;
mod config;
mod keys;
mod lease;
mod locks;
mod placeholder;
mod random;
mod stats;
mod store;
mod tagged;

/// The client library, for [`RedisStore::from_client`] alone.
pub use fred;

pub use self::bus::{BusConfig, PubSubBus, TrackingBus};
pub use self::client::ConnectionState;
pub use self::config::{Credentials, DEFAULT_NAMESPACE, Protocol, RedisConfig, Tls};
pub use self::store::RedisStore;

/// A backend for values of a codec `C`, in Redis.
pub type RedisBackend<C> = cache_core::EncodedBackend<RedisStore, C>;
