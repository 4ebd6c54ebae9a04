//! Stored values by hand: with a checksum that is right, whatever else is wrong.
#![cfg(all(
    feature = "json",
    feature = "msgpack",
    feature = "lz4",
    feature = "zstd"
))]

use bytes::Bytes;
use cache_core::{
    BackendStats, BackendWrite, CacheBackend, Codec, Condition, EncodedBackend, Expiry,
};
use cache_local::LocalBackend;

pub(crate) const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const PLAIN: u8 = 0;
pub(crate) const LZ4: u8 = 1;
pub(crate) const ZSTD: u8 = 2;

type Encoded<C> = EncodedBackend<LocalBackend<Bytes>, C>;

/// Returns a value of version 1 and codec JSON, with these flags and this length before
/// compression.
pub(crate) fn sealed(flags: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut stored = vec![0xC1, 1, 1, flags, 0, 0, 0, 0];
    stored.extend_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    stored.extend_from_slice(&[0; 4]);
    stored.extend_from_slice(payload);
    reseal(&mut stored);
    stored
}

/// Makes the checksum right again.
pub(crate) fn reseal(stored: &mut [u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&stored[..12]);
    hasher.update(&stored[HEADER_BYTES..]);
    stored[12..HEADER_BYTES].copy_from_slice(&hasher.finalize().to_le_bytes());
}

pub(crate) fn flags_of(stored: &[u8]) -> u8 {
    stored[3]
}

/// Returns what the store is given for a value.
pub(crate) async fn stored_by<V, C>(backend: &Encoded<C>, value: V) -> Bytes
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
{
    backend.set("key", value, ALWAYS).await.unwrap();
    backend.store().get("key").await.unwrap().unwrap()
}

/// Returns what is read when the store holds `stored`, and checks that a miss is counted.
pub(crate) async fn reads<V, C>(backend: &Encoded<C>, stored: impl Into<Bytes>) -> Option<V>
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
{
    let unreadable = || {
        let stats: BackendStats = CacheBackend::<V>::stats(backend);
        stats.unreadable
    };
    let before = unreadable();
    backend
        .store()
        .set("key", stored.into(), ALWAYS)
        .await
        .unwrap();
    let found: Option<V> = backend.get("key").await.unwrap();
    assert_eq!(unreadable() - before, u64::from(found.is_none()));
    found
}
