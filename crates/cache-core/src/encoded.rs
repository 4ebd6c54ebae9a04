//! Stores of bytes, and the adapter that gives them types.

mod codec;
mod compression;
mod convert;
mod encoded_leases;
mod encoded_tags;
mod encoded_transactions;
mod entry_locks;
mod envelope;
mod scratch;
mod text_counters;
mod verifier;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

#[cfg(feature = "json")]
pub use self::codec::JsonCodec;
#[cfg(feature = "msgpack")]
pub use self::codec::MsgPackCodec;
pub use self::codec::{Codec, CodecError, CodecId};
pub use self::compression::Compression;
use self::verifier::Verifier;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind;
use crate::{
    Abilities, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities, Condition,
    Cursor, Expiry, Page, ReadNow, Result, Scope, StoreId, Versioned,
};

/// A backend that keeps bytes: the same contract, for `V = Bytes`.
///
/// There is nothing to implement beyond [`CacheBackend<Bytes>`], so a store of bytes is checked
/// by the same conformance suite as every other backend.
pub trait ByteStore: CacheBackend<Bytes> {}

impl<S: CacheBackend<Bytes>> ByteStore for S {}

/// The longest payload that an [`EncodedBackend`] writes and reads unless it is told otherwise:
/// 16 MiB, before compression.
pub const DEFAULT_MAX_VALUE_BYTES: usize = 16 << 20;

/// Gives a store of bytes a type: encodes on writes, decodes on reads.
///
/// Values are stored in an envelope: a header of 16 bytes with a version, the codec, the
/// schema, the length and a checksum. Whatever cannot be read back (foreign, cut off, corrupt,
/// written by a newer version, of another codec or schema) is a miss, is counted in
/// [`unreadable`](BackendStats::unreadable), and is replaced by the next write. Until then its key
/// is there: `exists` says so, and a write that wants it absent is refused. Payloads of JSON and
/// MessagePack without an envelope are read too, so that other programs can write them.
///
/// # Values that do not come back
///
/// Serde encodes some values that it does not decode, or decodes as others: addresses, 128-bit integers and maps
/// with numbers as keys in tagged and flattened types, `Some(())`, and more that the codecs name
/// ([JSON](crate::JsonCodec), [MessagePack](crate::MsgPackCodec)). A cache of them would miss for ever. So a value is
/// [verified](Codec::verify) before it is written:
/// - by a [strict](Self::with_strict) backend at each write: a value that does not come back is refused as
///   [`Encode`](ErrorKind::Encode), with the name of its type and the reason. Backends are strict in debug builds;
/// - otherwise at the first write of a type, and at the next one after a value was found that cannot be
///   read: what does not come back is written all the same.
///
/// In both cases it is counted in [`lossy_writes`](BackendStats::lossy_writes), and the first one is logged as a
/// warning.
///
/// # Damage
///
/// Damage is found by the checksum; it is no defence against somebody who can write to the store.
/// What such a person can do is bounded all the same: nothing longer than
/// [the limit](Self::with_max_value_bytes) is ever decoded or decompressed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # #[cfg(feature = "json")] {
/// use cache_core::{Cache, EncodedBackend, JsonCodec};
/// use cache_local::LocalBackend; // of bytes, in the place of a remote store
///
/// let backend = EncodedBackend::new(LocalBackend::default(), JsonCodec::new());
/// let cache: Cache<Vec<u32>> = Cache::new(backend);
/// cache.set("primes", [2, 3, 5]).await?;
/// assert_eq!(cache.get("primes").await?, Some(vec![2, 3, 5]));
/// # }
/// # Ok(()) }
/// ```
pub struct EncodedBackend<S, C> {
    store: S,
    codec: C,
    schema: u32,
    raw: bool,
    compression: Option<Compression>,
    max_value_bytes: u32,
    unreadable: AtomicU64,
    verifier: Verifier,
}

impl<S: ByteStore, C> EncodedBackend<S, C> {
    /// Joins a store and a codec.
    #[must_use]
    pub const fn new(store: S, codec: C) -> Self {
        Self {
            store,
            codec,
            schema: 0,
            raw: false,
            compression: None,
            max_value_bytes: DEFAULT_MAX_VALUE_BYTES as u32,
            unreadable: AtomicU64::new(0),
            verifier: Verifier::new(),
        }
    }

    /// Names the shape of the values, such as `"user/2"`.
    ///
    /// Values of another schema are misses. Change the name when old values must not be read
    /// as new ones although their bytes would decode.
    #[must_use]
    pub fn with_schema(mut self, schema: &str) -> Self {
        // Zero stands for "no schema named".
        self.schema = crc32fast::hash(schema.as_bytes()).max(1);
        self
    }

    /// Compresses payloads on their way to the store.
    ///
    /// A payload that is short or does not get smaller is stored as it is. Readers need no
    /// setting: they decompress what they find, with the algorithms whose features they are built
    /// with; what they are not built with is a miss. [`raw`](Self::raw) payloads have no place to
    /// say that they are compressed, and never are.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # #[cfg(all(feature = "json", feature = "lz4"))] {
    /// use cache_core::{Cache, CacheBackend, Compression, EncodedBackend, JsonCodec};
    /// use cache_local::LocalBackend;
    ///
    /// let store = LocalBackend::default();
    /// let backend = EncodedBackend::new(store, JsonCodec::new())
    ///     .with_compression(Compression::lz4());
    /// let cache: Cache<String, _> = Cache::with_backend(backend);
    /// cache.set("page", "so it goes ".repeat(1_000)).await?;
    ///
    /// let stored = cache.backend().store().get("page").await?;
    /// assert!(stored.is_some_and(|bytes| bytes.len() < 200));
    /// # }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Limits the length of a payload, in bytes before compression.
    ///
    /// A write of more fails with [`TooLarge`](ErrorKind::TooLarge) and changes nothing. A read
    /// that finds more is a miss, found out before anything is allocated for it.
    ///
    /// [`DEFAULT_MAX_VALUE_BYTES`] unless it is set; at most 4 GiB less one byte, which is what
    /// more than that is taken as.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # #[cfg(feature = "json")] {
    /// use cache_core::{Cache, EncodedBackend, ErrorKind, JsonCodec};
    /// use cache_local::LocalBackend;
    ///
    /// let store = LocalBackend::default();
    /// let backend = EncodedBackend::new(store, JsonCodec::new()).with_max_value_bytes(6);
    /// let cache: Cache<String> = Cache::new(backend);
    ///
    /// assert!(cache.set("key", "four").await.is_ok());
    /// let refused = cache.set("key", "fives").await.unwrap_err();
    /// assert_eq!(refused.kind(), &ErrorKind::TooLarge { weight: 7, limit: 6 });
    /// # }}
    /// ```
    #[must_use]
    pub const fn with_max_value_bytes(mut self, bytes: usize) -> Self {
        // The header has 32 bits for it.
        self.max_value_bytes = if bytes > u32::MAX as usize {
            u32::MAX
        } else {
            bytes as u32
        };
        self
    }

    /// Writes payloads without an envelope, for readers in other languages.
    ///
    /// This gives up the checksum, the guard against other codecs and schemas, and compression.
    #[must_use]
    pub const fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Sets whether each value is verified, and refused if it would
    /// [not come back](Self#values-that-do-not-come-back).
    ///
    /// A verified write costs about as much more as a read and half a write. Unless it is set, a backend is
    /// strict in debug builds alone.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # #[cfg(feature = "json")] {
    /// use cache_core::{Cache, EncodedBackend, ErrorKind, JsonCodec};
    /// use cache_local::LocalBackend;
    ///
    /// let store = LocalBackend::default();
    /// let backend = EncodedBackend::new(store, JsonCodec::new()).with_strict(true);
    /// let cache: Cache<Option<()>> = Cache::new(backend);
    ///
    /// // JSON has one `null`, which comes back as `None`.
    /// let refused = cache.set("key", Some(())).await.unwrap_err();
    /// assert_eq!(refused.kind(), &ErrorKind::Encode);
    /// cache.set("key", None).await?;
    /// # }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub const fn with_strict(mut self, strict: bool) -> Self {
        self.verifier.strict = strict;
        self
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }
}

impl<V, S, C> CacheBackend<V> for EncodedBackend<S, C>
where
    V: Clone + Send + Sync + 'static,
    S: ByteStore,
    C: Codec<V>,
{
    fn read_now(&self, key: &str) -> ReadNow<V> {
        self.decode_now(self.store.read_now(key))
    }

    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        self.decode_now(self.store.read_now_lasting(key, least))
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        Ok(self
            .store
            .get(key)
            .await?
            .and_then(|stored| self.decode(&stored)))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        let stored = self.store.get_entry(key).await?;
        Ok(stored.and_then(|entry| self.decode_entry(entry)))
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        let stored = self.encode(&value)?;
        self.store.set(key, stored, options).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        let stored = self.encode(&value)?;
        let replaced = self.store.swap(key, stored, expiry).await?;
        Ok(replaced.and_then(|stored| self.decode(&stored)))
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.store.delete(key, condition).await
    }

    /// What cannot be read has a version all the same, so that it can be replaced.
    async fn get_versioned(&self, key: &str) -> Result<Versioned<V>> {
        let Versioned { entry, version } = self.store.get_versioned(key).await?;
        let entry = entry.and_then(|entry| self.decode_entry(entry));
        Ok(Versioned::new(entry, version))
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        let taken = self.store.take(key).await?;
        Ok(taken.and_then(|stored| self.decode(&stored)))
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        let found = self.store.get_ex(key, expiry).await?;
        Ok(found.and_then(|stored| self.decode(&stored)))
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.store.expiry(key).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.store.set_expiry(key, expiry).await
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        let found = self.store.get_many(keys).await?;
        Ok(found
            .into_iter()
            .map(|stored| self.decode(&stored?))
            .collect())
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        let found = self.store.get_entries(keys).await?;
        Ok(found
            .into_iter()
            .map(|stored| self.decode_entry(stored?))
            .collect())
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        // All are encoded before any is written.
        let encode = |(key, value)| Ok((key, self.encode(&value)?));
        let entries = entries.into_iter().map(encode).collect::<Result<_>>()?;
        self.store.set_many(entries, expiry).await
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        self.store.delete_many(keys).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.store.scan(scope, cursor, limit).await
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        self.store.clear(scope).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn stats(&self) -> BackendStats {
        let mut stats = self.store.stats();
        stats.unreadable += self.unreadable.load(Ordering::Relaxed);
        stats.lossy_writes += self.verifier.lossy_writes();
        stats
    }

    fn store_id(&self) -> Option<StoreId> {
        self.store.store_id()
    }

    fn abilities(&self) -> Abilities<'_, V> {
        let (of_store, mut abilities) = (self.store.abilities(), Abilities::none());
        abilities.transactions = of_store.transactions.map(|_| self as _);
        abilities.counters = of_store.counters.or(Some(self));
        abilities.flights = of_store.flights;
        // Readers in other languages would take a lease or a lock for a payload, and could not tell the tags
        // from it.
        abilities.locks = of_store.locks;
        if !self.raw {
            abilities.locks = of_store.locks.or(Some(self));
            abilities.leases = of_store.leases.map(|_| self as _);
            abilities.tags = of_store.tags.map(|_| self as _);
        }
        abilities
    }
}

impl<S: fmt::Debug, C: fmt::Debug> fmt::Debug for EncodedBackend<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedBackend")
            .field("store", &self.store)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
