//! What is compressed, what is not, and who can read it.
#![cfg(all(
    feature = "json",
    feature = "msgpack",
    feature = "lz4",
    feature = "zstd"
))]

use bytes::Bytes;
use cache_core::{CacheBackend, Codec, Compression, EncodedBackend, JsonCodec, MsgPackCodec};
use cache_local::LocalBackend;

use crate::plain::Plain;

use crate::sealed::{ALWAYS, HEADER_BYTES, LZ4, PLAIN, ZSTD, flags_of, reads, stored_by};

const BOTH: [(u8, Compression); 2] = [(LZ4, Compression::lz4()), (ZSTD, Compression::zstd(3))];

fn json() -> EncodedBackend<LocalBackend<Bytes>, JsonCodec> {
    EncodedBackend::new(LocalBackend::default(), JsonCodec::new())
}

/// A text that is `length` bytes of JSON, quotes included, and that compresses well.
fn text(length: usize) -> String {
    "so it goes ".chars().cycle().take(length - 2).collect()
}

/// Numbers without a pattern, from a generator that is the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn a_payload_is_compressed_from_one_byte_above_the_threshold_on() {
    for (flags, compression) in BOTH {
        for (threshold, compression) in [(1024, compression), (200, compression.above(200))] {
            for (length, expected) in [
                (threshold - 1, PLAIN),
                (threshold, PLAIN),
                (threshold + 1, flags),
            ] {
                let value = text(length);
                let backend = json().with_compression(compression);
                let stored = stored_by(&backend, value.clone()).await;
                assert_eq!(flags_of(&stored), expected, "{length} of {threshold}");
                assert_eq!(stored[8..12], u32::try_from(length).unwrap().to_le_bytes());
                assert_eq!(
                    stored.len() < HEADER_BYTES + length,
                    expected != PLAIN,
                    "{length} of {threshold}"
                );
                assert_eq!(reads(&backend, stored).await, Some(value));
            }
        }
    }
}

#[tokio::test]
async fn what_does_not_get_smaller_is_stored_as_it_is() {
    for (_, compression) in BOTH {
        for length in [0, 1, 2, 12, 5_000] {
            let value = Bytes::from(noise(length));
            let backend = EncodedBackend::new(LocalBackend::default(), Plain);
            let backend = backend.with_compression(compression.above(0));
            let stored = stored_by(&backend, value.clone()).await;
            assert_eq!(flags_of(&stored), PLAIN, "{length}");
            assert_eq!(stored[HEADER_BYTES..], value);
            assert_eq!(reads(&backend, stored).await, Some(value));
        }
    }
}

#[tokio::test]
async fn a_reader_without_the_setting_or_with_another_one_reads_all() {
    let value = text(4_000);
    for (flags, compression) in BOTH {
        let stored = stored_by(&json().with_compression(compression), value.clone()).await;
        assert_eq!(flags_of(&stored), flags);
        for reader in [
            json(),
            json().raw(),
            json().with_compression(Compression::lz4()),
            json().with_compression(Compression::zstd(19).above(9_999)),
        ] {
            assert_eq!(
                reads(&reader, stored.clone()).await,
                Some(value.clone()),
                "{flags}"
            );
        }
        // And the other way round: compression may be turned on while plain values are stored.
        let plain = stored_by(&json(), value.clone()).await;
        let reader = json().with_compression(compression);
        assert_eq!(reads(&reader, plain).await, Some(value.clone()));
    }
}

#[tokio::test]
async fn raw_payloads_are_never_compressed_in_whichever_order_it_was_said() {
    let value = text(4_000);
    for (_, compression) in BOTH {
        for backend in [
            json().raw().with_compression(compression),
            json().with_compression(compression).raw(),
        ] {
            let stored = stored_by(&backend, value.clone()).await;
            assert_eq!(stored, format!("\"{value}\""));
            assert_eq!(reads(&backend, stored).await, Some(value.clone()));
        }
    }
}

#[tokio::test]
async fn values_of_every_size_and_level_come_back() {
    let levels = [i32::MIN, -1, 0, 1, 3, 19, 22, i32::MAX];
    let all = levels.map(Compression::zstd);
    for compression in all.into_iter().chain([Compression::lz4()]) {
        for length in [2, 15, 1_000, 70_000, 300_000] {
            let value = text(length);
            let backend = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new())
                .with_compression(compression.above(0));
            let stored = stored_by(&backend, value.clone()).await;
            assert_eq!(
                reads(&backend, stored).await,
                Some(value),
                "{compression:?}, {length}"
            );
        }
    }
}

#[tokio::test]
async fn all_that_reads_decompresses() {
    use cache_core::{BackendEntry, Cache, Expiry};

    let backend = json().with_compression(Compression::zstd(3));
    let value = text(4_000);
    backend
        .set_many(
            vec![("a", value.clone()), ("b", value.clone())],
            Expiry::Never,
        )
        .await
        .unwrap();
    let cache: Cache<String, _> = Cache::with_backend(backend);
    assert_eq!(
        flags_of(&cache.backend().store().get("b").await.unwrap().unwrap()),
        ZSTD
    );
    assert_eq!(
        cache.mget(&["a", "b"]).await.unwrap(),
        vec![Some(value.clone()); 2]
    );
    let entry: Option<BackendEntry<String>> = cache.backend().get_entry("a").await.unwrap();
    assert_eq!(entry.unwrap().value, value);
    assert_eq!(cache.get_and_set("a", "b").await.unwrap(), Some(value));
    assert_eq!(cache.stats().backend.unreadable, 0);
}

/// A codec that itself writes to and reads from a cache, as one that looks up a dictionary does.
#[derive(Debug)]
struct Nested(EncodedBackend<LocalBackend<Bytes>, JsonCodec>);

impl Codec<String> for Nested {
    fn id(&self) -> cache_core::CodecId {
        cache_core::CodecId::custom(2)
    }
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), cache_core::CodecError> {
        out.extend_from_slice(b"before ");
        ready(self.0.set("inner", value.clone(), ALWAYS));
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<String, cache_core::CodecError> {
        let inner: Option<String> = ready(self.0.get("inner"));
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text, format!("before {}", inner.unwrap()));
        Ok(text)
    }
}

fn ready<T>(answer: impl Future<Output = cache_core::Result<T>>) -> T {
    futures_util::FutureExt::now_or_never(answer)
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_codec_may_use_a_cache_itself() {
    let compression = Compression::lz4();
    let codec = Nested(json().with_compression(compression));
    let backend = EncodedBackend::new(LocalBackend::default(), codec);
    let backend = backend.with_compression(compression);
    for length in [10, 4_000, 100_000] {
        let value = text(length);
        let stored = stored_by(&backend, value.clone()).await;
        assert_eq!(
            reads(&backend, stored).await,
            Some(format!("before {value}"))
        );
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_come_back_from_every_algorithm(
        piece in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
        times in 1_usize..40,
        level in -3..22_i32,
    ) {
        let value = Bytes::from(piece.repeat(times));
        for compression in [Compression::lz4(), Compression::zstd(level)] {
            let backend = EncodedBackend::new(LocalBackend::default(), Plain);
            let backend = backend.with_compression(compression.above(0));
            ready(backend.set("key", value.clone(), ALWAYS));
            proptest::prop_assert_eq!(ready(backend.get("key")), Some(value.clone()));
        }
    }
}
