//! The contract, the facade and the codecs of Buildscale Cache.
//!
//! Most users depend on the umbrella crate `buildscale-cache`, which re-exports this one.
//! Authors of backends depend on this crate alone: it is the one that stays stable.
//!
//! | you want to | look at |
//! |---|---|
//! | use a cache | [`Cache`] |
//! | load what is absent, once | [`Cache::get_or_insert_with`], [`LoadOptions`] |
//! | fill a cache before it is needed | [`Cache::warm`] |
//! | change a value by what it is | [`Cache::update`] |
//! | write a backend for values in memory | [`CacheBackend`] |
//! | write a backend for bytes in a store | [`ByteStore`] and [`EncodedBackend`] |
//! | store values in another format | [`Codec`] |
//! | tell caches that keys have changed | [`InvalidationBus`] |
//! | load a key once for many processes | [`LoadLeases`] |
//! | read a configuration from a file | the crate `cache-settings` |
//! | make all entries of a tag absent at once | [`Cache::delete_by_tag`], [`Tags`] |
//! | change keys together, or not at all | [`Cache::transaction`], [`Transactions`] |
//! | count, and limit rates | [`Cache::counters`], [`Counters`] |
//! | steer the time in a test | [`Clock`] |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `json` | `JsonCodec` |
//! | `msgpack` | `MsgPackCodec` |
//! | `lz4` | `Compression::lz4` |
//! | `zstd` | `Compression::zstd` |
//! | `serde` | `Deserialize` for [`CacheConfig`] and [`LoadOptions`] |
//!
//! Features only add items; none changes what another does.
//!
//! # Observability
//!
//! Counters: [`Cache::stats`]. Each loader runs in a [`tracing`] span `load` at the level `DEBUG`, with the
//! fields `reason` and `keys`, the number of keys that are loaded. A hit in memory has no span. No span
//! holds keys or values.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod contract;
mod encoded;
mod error;
mod facade;
mod keyspace;
mod load;
mod stats;
#[doc(hidden)]
pub mod timer;

pub use self::clock::{Clock, ManualClock};
pub use self::contract::{
    Abilities, Acquired, BackendEntry, BackendWrite, CacheBackend, Capabilities, Claim, Condition,
    Count, Counters, Cursor, DynBackend, Expiry, Flights, FlushCause, Invalidation,
    InvalidationBus, InvalidationListener, LoadLease, LoadLeases, LockToken, Locks, MAX_COUNT,
    MAX_TAG_BYTES, MAX_TAGS, MAX_TRANSACTION_KEYS, MAX_TTL, Page, ReadNow, Scope, SetNow, StoreId,
    TagTicket, Tagging, Tags, TransactionWrite, Transactions, Version, Versioned, Watch, Window,
    backend, bus,
};
#[cfg(feature = "json")]
pub use self::encoded::JsonCodec;
#[cfg(feature = "msgpack")]
pub use self::encoded::MsgPackCodec;
pub use self::encoded::{
    ByteStore, Codec, CodecError, CodecId, Compression, DEFAULT_MAX_VALUE_BYTES, EncodedBackend,
};
pub use self::error::{Error, ErrorKind, Result};
pub use self::facade::{
    Cache, CacheBuilder, CacheConfig, CounterGroup, Hit, KeyEntry, Layer, Leadership, Lock,
    LockRequest, MAX_LOCK_NAME_BYTES, SetOptions, Term, Transaction, Ttl, Updated, WarmError,
    WarmOptions,
};
pub use self::keyspace::{MAX_KEY_BYTES, MAX_NAMESPACE_BYTES, counter_key, is_tag_key, tag_keys};
pub use self::load::{LoadContext, LoadError, LoadOptions, LoadReason, LoadStats, Loaded};
pub use self::stats::{BackendStats, CacheStats, Permit, TierStats, WireStats};
