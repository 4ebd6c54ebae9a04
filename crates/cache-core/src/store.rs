//! Stores of bytes, and the adapter that gives them types.

mod envelope;
mod scratch;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use self::envelope::Envelope;
use crate::{
    BackendStats, CacheBackend, Capabilities, Codec, Cursor, Entry, Error, ErrorKind, Expiry, Page,
    ReadNow, Result, Scope, WriteOptions,
};

/// A backend that keeps bytes: the same contract, for `V = Bytes`.
///
/// There is nothing to implement beyond [`CacheBackend<Bytes>`], so a store of bytes is checked
/// by the same conformance suite as every other backend.
pub trait ByteStore: CacheBackend<Bytes> {}

impl<S: CacheBackend<Bytes>> ByteStore for S {}

/// Gives a store of bytes a type: encodes on writes, decodes on reads.
///
/// Values are stored in an envelope: a header of 16 bytes with a version, the codec, the
/// schema, the length and a checksum. Whatever cannot be read back (foreign, cut off, corrupt,
/// written by a newer version, of another codec or schema) is a miss, is counted in
/// [`unreadable`](BackendStats::unreadable), and is replaced by the next write. Until then its key
/// is there: `exists` says so, and a write that wants it absent is refused. Payloads of JSON and
/// MessagePack without an envelope are read too, so that other programs can write them.
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
    unreadable: AtomicU64,
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
            unreadable: AtomicU64::new(0),
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

    /// Writes payloads without an envelope, for readers in other languages.
    ///
    /// This gives up the checksum and the guard against other codecs and schemas.
    #[must_use]
    pub const fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    fn encode<V>(&self, value: &V) -> Result<Bytes>
    where
        C: Codec<V>,
    {
        scratch::with(|payload| {
            let encoded = self.codec.encode(value, payload);
            encoded.map_err(|cause| Error::new(ErrorKind::Encode).with_source(cause))?;
            if self.raw {
                return Ok(Bytes::copy_from_slice(payload));
            }
            Envelope {
                codec: self.codec.id(),
                schema: self.schema,
            }
            .seal(payload)
        })
    }

    /// Decodes what the store holds; what cannot be read is a miss that is counted.
    fn decode<V>(&self, stored: &[u8]) -> Option<V>
    where
        C: Codec<V>,
    {
        let envelope = Envelope {
            codec: self.codec.id(),
            schema: self.schema,
        };
        let payload = if self.raw && !envelope.is_told_from_bare() {
            Some(stored)
        } else {
            envelope.open(stored)
        };
        let value = payload.and_then(|payload| self.codec.decode(payload).ok());
        if value.is_none() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        value
    }
}

impl<V, S, C> CacheBackend<V> for EncodedBackend<S, C>
where
    V: Send + Sync + 'static,
    S: ByteStore,
    C: Codec<V>,
{
    fn read_now(&self, key: &str) -> ReadNow<V> {
        match self.store.read_now(key) {
            ReadNow::Answer(found) => {
                ReadNow::Answer(found.map(|stored| self.decode(stored?.as_ref())))
            }
            ReadNow::WouldWait => ReadNow::WouldWait,
        }
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        Ok(self
            .store
            .get(key)
            .await?
            .and_then(|stored| self.decode(&stored)))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<Entry<V>>> {
        let Some(entry) = self.store.get_entry(key).await? else {
            return Ok(None);
        };
        Ok(self
            .decode(&entry.value)
            .map(|value| Entry::new(value, entry.expiry)))
    }

    async fn set(&self, key: &str, value: V, options: WriteOptions) -> Result<bool> {
        let stored = self.encode(&value)?;
        self.store.set(key, stored, options).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        let stored = self.encode(&value)?;
        let replaced = self.store.swap(key, stored, expiry).await?;
        Ok(replaced.and_then(|stored| self.decode(&stored)))
    }

    async fn delete(&self, key: &str) -> Result<bool> {
        self.store.delete(key).await
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

    fn default_ttl(&self) -> Option<Duration> {
        self.store.default_ttl()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn stats(&self) -> BackendStats {
        let mut stats = self.store.stats();
        stats.unreadable += self.unreadable.load(Ordering::Relaxed);
        stats
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
