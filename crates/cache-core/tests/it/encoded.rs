//! What a store of bytes may hold, and what comes of it.
#![cfg(all(feature = "json", feature = "msgpack"))]

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Codec, Condition, EncodedBackend, ErrorKind, Expiry,
    JsonCodec, MsgPackCodec,
};
use cache_local::LocalBackend;
use serde::{Deserialize, Serialize};

use crate::plain::Plain;

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
}

fn json() -> EncodedBackend<LocalBackend<Bytes>, JsonCodec> {
    EncodedBackend::new(LocalBackend::default(), JsonCodec::new())
}

fn alice() -> User {
    User {
        id: 7,
        name: "Alice".to_string(),
    }
}

async fn stored_by<C: Codec<User>>(backend: &EncodedBackend<LocalBackend<Bytes>, C>) -> Bytes {
    backend.set("key", alice(), ALWAYS).await.unwrap();
    backend.store().get("key").await.unwrap().unwrap()
}

/// Asserts that these bytes are a miss that is counted, and that the next write repairs it.
async fn is_a_counted_miss<C>(backend: EncodedBackend<LocalBackend<Bytes>, C>, bytes: Bytes)
where
    C: Codec<User>,
{
    backend.store().set("key", bytes, ALWAYS).await.unwrap();
    let cache: Cache<User, _> = Cache::with_backend(backend);
    assert_eq!(cache.get("key").await.unwrap(), None);
    assert_eq!(cache.stats().backend.unreadable, 1);
    assert_eq!(cache.mget(&["key"]).await.unwrap(), [None]);
    assert_eq!(cache.get_and_set("key", alice()).await.unwrap(), None);
    assert_eq!(cache.stats().backend.unreadable, 3);
    assert_eq!(cache.get("key").await.unwrap(), Some(alice()));
}

#[tokio::test]
async fn a_truncated_value_is_a_counted_miss_wherever_it_was_cut() {
    let bytes = stored_by(&json()).await;
    for length in 0..bytes.len() {
        is_a_counted_miss(json(), bytes.slice(..length)).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_is_a_counted_miss_wherever_it_is() {
    for msgpack in [false, true] {
        let backend = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
        let bytes = if msgpack {
            stored_by(&backend).await
        } else {
            stored_by(&json()).await
        };
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if msgpack {
                let backend = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
                is_a_counted_miss(backend, flipped.into()).await;
            } else {
                is_a_counted_miss(json(), flipped.into()).await;
            }
        }
    }
}

#[tokio::test]
async fn foreign_bytes_are_counted_misses() {
    let deep = Bytes::from("[".repeat(100_000));
    let huge_array = Bytes::from_static(&[0xdd, 0xff, 0xff, 0xff, 0xff]);
    let trailing = Bytes::from_static(br#"{"id":7,"name":"Alice"} "x""#);
    let missing_field = Bytes::from_static(br#"{"id":7}"#);
    let other_type = Bytes::from_static(br#""Alice""#);
    let twice = Bytes::from_static(br#"{"id":7,"name":"Alice","id":8}"#);
    for bytes in [deep, huge_array, trailing, missing_field, other_type, twice] {
        is_a_counted_miss(json(), bytes).await;
    }
    for bytes in [
        &[0x91; 5_000][..],
        b"\xdd\xff\xff\xff\xff",
        b"\x82\xa1x",
        b"\xc0\xc0",
    ] {
        let backend = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
        is_a_counted_miss(backend, Bytes::copy_from_slice(bytes)).await;
    }
}

#[tokio::test]
async fn a_lying_length_allocates_nothing_and_is_a_counted_miss() {
    let mut bytes = stored_by(&json()).await.to_vec();
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    is_a_counted_miss(json(), bytes.into()).await;
}

#[tokio::test]
async fn a_value_of_another_codec_schema_or_version_is_a_counted_miss() {
    let msgpack = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
    is_a_counted_miss(json(), stored_by(&msgpack).await).await;
    is_a_counted_miss(json().with_schema("user/2"), stored_by(&json()).await).await;
    is_a_counted_miss(json(), stored_by(&json().with_schema("user/1")).await).await;
    let mut newer = stored_by(&json()).await.to_vec();
    newer[1] = 2;
    is_a_counted_miss(json(), newer.into()).await;
}

#[tokio::test]
async fn caches_of_another_codec_or_type_on_the_same_keys_see_misses_and_no_errors() {
    let store = std::sync::Arc::new(LocalBackend::<Bytes>::default());
    let json = EncodedBackend::new(store.clone(), JsonCodec::new());
    let users: Cache<User, _> = Cache::with_backend(json);
    let json = EncodedBackend::new(store.clone(), JsonCodec::new());
    let numbers: Cache<u64, _> = Cache::with_backend(json);
    let msgpack = EncodedBackend::new(store, MsgPackCodec::new());
    let packed: Cache<User, _> = Cache::with_backend(msgpack);

    users.set("key", alice()).await.unwrap();
    assert_eq!(numbers.get("key").await.unwrap(), None);
    assert_eq!(packed.get("key").await.unwrap(), None);
    numbers.set("key", 7_u64).await.unwrap();
    assert_eq!(users.get("key").await.unwrap(), None);
    assert_eq!(packed.get("key").await.unwrap(), None);
    assert_eq!(numbers.get("key").await.unwrap(), Some(7));
    let unreadable = |stats: cache_core::CacheStats| stats.backend.unreadable;
    assert_eq!(unreadable(users.stats()), 1);
    assert_eq!(unreadable(numbers.stats()), 1);
    assert_eq!(unreadable(packed.stats()), 2);
}

/// Writes a value with one type, and returns what another type reads from it, in both codecs.
async fn carried_over<V, W>(value: V) -> [Option<W>; 2]
where
    V: Clone + Send + Sync + Serialize + serde::de::DeserializeOwned + 'static,
    W: Clone + Send + Sync + Serialize + serde::de::DeserializeOwned + 'static,
{
    let json = json();
    json.set("key", value.clone(), ALWAYS).await.unwrap();
    let msgpack = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
    msgpack.set("key", value, ALWAYS).await.unwrap();
    [
        json.get("key").await.unwrap(),
        msgpack.get("key").await.unwrap(),
    ]
}

#[tokio::test]
async fn a_none_is_a_value_and_not_a_miss() {
    let found = carried_over::<Option<u8>, Option<u8>>(None).await;
    assert_eq!(found, [Some(None), Some(None)]);
}

#[tokio::test]
async fn a_field_that_was_added_in_the_middle_is_a_miss_or_its_default() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Added {
        id: u32,
        age: u8,
        name: String,
    }
    assert_eq!(carried_over::<_, Added>(alice()).await, [None, None]);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Defaulted {
        id: u32,
        #[serde(default)]
        age: u8,
        name: String,
    }
    let expected = || {
        Some(Defaulted {
            id: 7,
            age: 0,
            name: "Alice".to_string(),
        })
    };
    assert_eq!(carried_over(alice()).await, [expected(), expected()]);
}

#[tokio::test]
async fn fields_of_one_type_that_swapped_places_keep_their_values() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Before {
        first: String,
        last: String,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        last: String,
        first: String,
    }
    let ada = Before {
        first: "Ada".to_string(),
        last: "Lovelace".to_string(),
    };
    for found in carried_over::<_, After>(ada).await {
        let After { last, first } = found.unwrap();
        assert_eq!([first, last], ["Ada", "Lovelace"]);
    }
}

#[tokio::test]
async fn a_bare_payload_of_another_program_is_read() {
    let backend = json();
    let bare = Bytes::from_static(br#"{"name":"Alice","id":7}"#);
    backend.store().set("key", bare, ALWAYS).await.unwrap();
    let read: Option<User> = backend.get("key").await.unwrap();
    assert_eq!(read, Some(alice()));
}

#[tokio::test]
async fn raw_mode_writes_what_another_program_can_read() {
    let stored = stored_by(&json().raw()).await;
    assert_eq!(stored, br#"{"id":7,"name":"Alice"}"#[..]);
}

#[tokio::test]
async fn nan_is_refused_in_json_and_nothing_is_written() {
    let cache: Cache<f64> = Cache::new(EncodedBackend::new(
        LocalBackend::default(),
        JsonCodec::new(),
    ));
    cache.set("pi", 3.25).await.unwrap();
    for write in [
        cache.set("pi", f64::NAN).await,
        cache.mset([("e", 2.75), ("pi", f64::NAN)]).await,
    ] {
        let error = write.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Encode);
        assert!(!error.is_transient());
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "JSON has no form for a number that is not finite");
    }
    assert_eq!(cache.get("pi").await.unwrap(), Some(3.25));
    assert_eq!(cache.get("e").await.unwrap(), None);
}

/// Nested in every way that decoders count differently.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Nest {
    Leaf,
    List(Vec<Self>),
    Maybe(Option<Box<Self>>),
    Pair(Box<Self>, u8),
    Named { inner: Box<Self> },
}

fn nested(levels: u32, form: u32) -> Nest {
    (0..levels).fold(Nest::Leaf, |inner, level| match (level + form) % 4 {
        0 => Nest::List(vec![inner]),
        1 => Nest::Maybe(Some(Box::new(inner))),
        2 => Nest::Pair(Box::new(inner), 1),
        _ => Nest::Named {
            inner: Box::new(inner),
        },
    })
}

#[tokio::test]
async fn whatever_is_stored_comes_back_however_deep_and_deeper_is_refused() {
    let json: Cache<Nest> = Cache::new(EncodedBackend::new(
        LocalBackend::default(),
        JsonCodec::new(),
    ));
    let msgpack: Cache<Nest> = Cache::new(EncodedBackend::new(
        LocalBackend::default(),
        MsgPackCodec::new(),
    ));
    for cache in [json, msgpack] {
        let mut refused = 0;
        for levels in 0..130 {
            for form in 0..4 {
                let value = nested(levels, form);
                match cache.set("key", value.clone()).await {
                    Ok(()) => assert_eq!(cache.get("key").await.unwrap(), Some(value)),
                    Err(error) => {
                        assert_eq!(error.kind(), &ErrorKind::Encode);
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 100, "only {refused} of 520 were refused");
        let error = cache.set("key", nested(2_000, 0)).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "the value is nested deeper than 120 levels");
    }
}

proptest::proptest! {
    #[test]
    fn every_finite_float_comes_back_from_json_bit_by_bit(bits in proptest::num::u64::ANY) {
        let float = f64::from_bits(bits);
        if float.is_finite() {
            let codec = JsonCodec::new();
            let mut bytes = Vec::new();
            codec.encode(&float, &mut bytes).unwrap();
            let decoded: f64 = codec.decode(&bytes).unwrap();
            proptest::prop_assert_eq!(decoded.to_bits(), bits);
        }
    }
}

#[tokio::test]
async fn a_codec_that_takes_any_bytes_gets_back_exactly_what_it_wrote() {
    let sealed = stored_by(&json()).await;
    for value in [Bytes::new(), Bytes::from_static(&[0xC1]), sealed] {
        for raw in [false, true] {
            let backend = EncodedBackend::new(LocalBackend::default(), Plain);
            let backend = if raw { backend.raw() } else { backend };
            backend.set("key", value.clone(), ALWAYS).await.unwrap();
            assert_eq!(
                backend.get("key").await.unwrap(),
                Some(value.clone()),
                "raw: {raw}"
            );
        }
    }
    // In an envelope, no cut and no flip passes for a payload.
    let backend = EncodedBackend::new(LocalBackend::default(), Plain);
    backend
        .set("key", Bytes::from_static(b"value"), ALWAYS)
        .await
        .unwrap();
    let stored = backend.store().get("key").await.unwrap().unwrap();
    for bit in 0..stored.len() * 8 {
        let mut flipped = stored.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        backend
            .store()
            .set("key", flipped.into(), ALWAYS)
            .await
            .unwrap();
        assert_eq!(backend.get("key").await.unwrap(), None, "bit {bit}");
        backend
            .store()
            .set("key", stored.slice(..bit / 8), ALWAYS)
            .await
            .unwrap();
        assert_eq!(
            backend.get("key").await.unwrap(),
            None,
            "cut to {}",
            bit / 8
        );
    }
}
