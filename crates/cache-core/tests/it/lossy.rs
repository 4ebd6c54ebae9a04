//! Values that serde writes and does not read as what they were: those that can come back do, and of the
//! others it is said.
#![cfg(all(feature = "json", feature = "msgpack"))]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error as _;
use std::fmt::{self, Debug};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Codec, Condition, EncodedBackend, ErrorKind, Expiry,
    JsonCodec, MsgPackCodec, Result,
};
use cache_local::LocalBackend;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

type Over<C> = EncodedBackend<LocalBackend<Bytes>, C>;

fn over<C>(codec: C) -> Over<C> {
    EncodedBackend::new(LocalBackend::default(), codec)
}

/// Writes a value and reads it.
async fn round_trip<V, C>(backend: Over<C>, value: V) -> Result<Option<V>>
where
    V: Clone + Send + Sync + 'static,
    C: Codec<V>,
{
    backend.set("key", value, ALWAYS).await?;
    backend.get("key").await
}

async fn comes_back<V>(value: V)
where
    V: Clone + Debug + PartialEq + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    for strict in [false, true] {
        let json = over(JsonCodec::new()).with_strict(strict);
        let back = round_trip(json, value.clone()).await.unwrap();
        assert_eq!(back.as_ref(), Some(&value), "JSON");
        let msgpack = over(MsgPackCodec::new()).with_strict(strict);
        let back = round_trip(msgpack, value.clone()).await.unwrap();
        assert_eq!(back.as_ref(), Some(&value), "MessagePack");
    }
}

/// A value that is told by a tag, which serde keeps in a buffer until it has found the tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Event {
    Login {
        from: IpAddr,
    },
    Bound {
        to: SocketAddr,
        hosts: BTreeMap<String, IpAddr>,
    },
    Logout,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Peer {
    Number(u32),
    Host(IpAddr),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    host: Host,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Host {
    address: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Audit {
    host: IpAddr,
    events: Vec<Event>,
    peer: Peer,
    flat: Flat,
}

#[tokio::test]
async fn an_address_comes_back_wherever_it_is() {
    for address in [V4, V6] {
        let flat = Flat {
            id: 7,
            host: Host { address },
        };
        let bound = Event::Bound {
            to: SocketAddr::new(address, 80),
            hosts: BTreeMap::from([("a".to_string(), V4), ("b".to_string(), V6)]),
        };
        comes_back(Event::Login { from: address }).await;
        comes_back(bound.clone()).await;
        comes_back(vec![Event::Logout, Event::Login { from: address }]).await;
        comes_back(flat.clone()).await;
        comes_back(Peer::Host(address)).await;
        comes_back(Audit {
            host: address,
            events: vec![bound, Event::Logout],
            peer: Peer::Host(address),
            flat,
        })
        .await;
    }
}

/// As a UUID it has a form for people and one for programs.
#[derive(Debug, Clone, PartialEq)]
struct Id([u8; 4]);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&u32::from_be_bytes(self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let number: u32 = text.parse().map_err(de::Error::custom)?;
            return Ok(Self(number.to_be_bytes()));
        }
        deserializer.deserialize_bytes(IdBytes)
    }
}

struct IdBytes;

impl de::Visitor<'_> for IdBytes {
    type Value = Id;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("four bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Id, E> {
        bytes.try_into().map(Id).map_err(de::Error::custom)
    }
}

#[tokio::test]
async fn an_id_with_two_forms_is_compact_where_that_comes_back() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Change {
        Added { id: Id },
    }
    let id = Id([1, 2, 3, 4]);
    comes_back(id.clone()).await;
    comes_back(Change::Added { id: id.clone() }).await;
    comes_back((id.clone(), Change::Added { id: id.clone() })).await;

    let mut bytes = vec![7];
    MsgPackCodec::new().encode(&id, &mut bytes).unwrap();
    // What was in the buffer, and four bytes as they are.
    assert_eq!(bytes, [7, 0xC4, 4, 1, 2, 3, 4]);
    let mut bytes = vec![7];
    MsgPackCodec::new()
        .encode(&Change::Added { id }, &mut bytes)
        .unwrap();
    let text = [&[7, 0x82][..], b"\xA4type\xA5Added\xA2id\xA816909060"];
    assert_eq!(bytes, text.concat());
}

#[tokio::test]
async fn what_has_no_order_and_what_has_nothing_comes_back_and_is_never_refused() {
    let numbers = (0..1_000).map(|number| (number, number.to_string()));
    comes_back(numbers.collect::<HashMap<u32, String>>()).await;
    comes_back((0..1_000).collect::<HashSet<u64>>()).await;
    comes_back(vec![None, Some(0)]).await;
    comes_back(((), None::<()>, Vec::<Option<String>>::new())).await;
    comes_back(u128::MAX).await;
    comes_back(Some(i128::MIN)).await;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Counts { of: BTreeMap<u32, u32> },
    Wide { number: u128 },
    Plain,
}

fn wide() -> Tagged {
    Tagged::Wide { number: u128::MAX }
}

/// Asserts that a value is refused where that is asked for, and is written, counted and said where not.
async fn is_lossy<V, C>(codec: C, value: V, reason: &str)
where
    V: Clone + Debug + PartialEq + Send + Sync + 'static,
    C: Codec<V> + Copy,
{
    let strict = over(codec).with_strict(true);
    let error = strict.set("key", value.clone(), ALWAYS).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Encode);
    let cause = error.source().unwrap().to_string();
    let name = std::any::type_name::<V>();
    assert_eq!(
        cause,
        format!("a value of the type {name} does not come back: {reason}")
    );
    assert!(strict.store().get("key").await.unwrap().is_none());
    assert_eq!(strict.stats().lossy_writes, 1);

    let lenient = over(codec).with_strict(false);
    for written in 1..4 {
        lenient.set("key", value.clone(), ALWAYS).await.unwrap();
        assert_eq!(lenient.stats().lossy_writes, written);
    }
    assert!(lenient.store().get("key").await.unwrap().is_some());
    assert_ne!(lenient.get("key").await.unwrap(), Some(value));
}

const OTHER_JSON: &str = "the JSON is of another type";
const OTHER_MSGPACK: &str = "the bytes are not MessagePack of this type";
const PARTS: &str = "a part of it is lost";

#[tokio::test]
async fn a_value_that_is_not_decoded_is_found_at_its_first_write() {
    let counts = Tagged::Counts {
        of: BTreeMap::from([(1, 2)]),
    };
    is_lossy(JsonCodec::new(), counts, OTHER_JSON).await;
    is_lossy(JsonCodec::new(), wide(), OTHER_JSON).await;
    is_lossy(MsgPackCodec::new(), wide(), OTHER_MSGPACK).await;
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Wide { number: u128 },
    Counts { of: BTreeMap<u32, u32> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Inner {
    of: BTreeMap<u32, u32>,
    number: Option<i128>,
}

/// Told by a tag beside the content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of")]
enum Beside {
    Wide { number: u128, address: IpAddr },
    Counts(BTreeMap<u32, u32>),
}

/// The form of an enum without attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Bare {
    Wide(u128, IpAddr),
    Counts(BTreeMap<u32, u32>),
}

#[tokio::test]
async fn what_the_guide_says_of_the_kinds_of_types_is_so() {
    let of = || BTreeMap::from([(1, 2), (3, 4)]);
    let msgpack = MsgPackCodec::new;
    // Maps with numbers as keys are lost in JSON alone.
    let counts = Untagged::Counts { of: of() };
    is_lossy(JsonCodec::new(), counts.clone(), OTHER_JSON).await;
    assert_eq!(
        round_trip(over(msgpack()), counts.clone()).await.unwrap(),
        Some(counts)
    );
    let counts = Tagged::Counts { of: of() };
    assert_eq!(
        round_trip(over(msgpack()), counts.clone()).await.unwrap(),
        Some(counts)
    );
    let flattened = |number| Flattened {
        inner: Inner { of: of(), number },
    };
    let (none, some) = (flattened(None), flattened(Some(-1)));
    is_lossy(JsonCodec::new(), none.clone(), OTHER_JSON).await;
    assert_eq!(
        round_trip(over(msgpack()), none.clone()).await.unwrap(),
        Some(none)
    );
    // Integers of 128 bits are lost in both.
    is_lossy(JsonCodec::new(), some.clone(), OTHER_JSON).await;
    is_lossy(msgpack(), some, OTHER_MSGPACK).await;
    let wide = Untagged::Wide { number: 1 };
    is_lossy(JsonCodec::new(), wide.clone(), OTHER_JSON).await;
    is_lossy(msgpack(), wide, OTHER_MSGPACK).await;
    // What needs no buffer loses nothing.
    for address in [V4, V6] {
        let number = u128::MAX;
        comes_back(Beside::Wide { number, address }).await;
        comes_back(Bare::Wide(number, address)).await;
    }
    comes_back(Beside::Counts(of())).await;
    comes_back(Bare::Counts(of())).await;
}

/// Of which the first form that fits is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Point { x: u32 },
    Sized { x: u32, size: u32 },
}

#[tokio::test]
async fn a_value_that_comes_back_as_another_is_found_at_its_first_write() {
    is_lossy(JsonCodec::new(), Some(()), PARTS).await;
    is_lossy(MsgPackCodec::new(), Some(()), PARTS).await;
    is_lossy(JsonCodec::new(), Some(serde_json::Value::Null), PARTS).await;
    is_lossy(MsgPackCodec::new(), Some(serde_json::Value::Null), PARTS).await;
    is_lossy(JsonCodec::new(), vec![Some(None), Some(Some(1))], PARTS).await;
    is_lossy(MsgPackCodec::new(), vec![Some(None), Some(Some(1))], PARTS).await;
    is_lossy(JsonCodec::new(), Shape::Sized { x: 1, size: 2 }, PARTS).await;
    is_lossy(MsgPackCodec::new(), Shape::Sized { x: 1, size: 2 }, PARTS).await;
}

#[tokio::test]
async fn after_a_value_that_could_not_be_read_the_next_write_is_looked_at_again() {
    let backend = over(JsonCodec::new()).with_strict(false);
    backend.set("key", Tagged::Plain, ALWAYS).await.unwrap();
    // Its type has been looked at.
    backend.set("key", wide(), ALWAYS).await.unwrap();
    assert_eq!(CacheBackend::<Tagged>::stats(&backend).lossy_writes, 0);
    let found: Option<Tagged> = backend.get("key").await.unwrap();
    assert_eq!(found, None);
    backend.set("key", wide(), ALWAYS).await.unwrap();
    let stats = CacheBackend::<Tagged>::stats(&backend);
    assert_eq!((stats.unreadable, stats.lossy_writes), (1, 1));
    // The types that share a backend are looked at one by one.
    backend.set("other", 7_u8, ALWAYS).await.unwrap();
    backend.set("other", Some(()), ALWAYS).await.unwrap();
    assert_eq!(CacheBackend::<Tagged>::stats(&backend).lossy_writes, 2);
}

#[tokio::test]
async fn a_load_of_what_does_not_come_back_is_counted_whether_or_not_it_is_stored() {
    // The second load finds that its key is taken, by what cannot be read, and writes over that.
    for (strict, lossy_writes, not_stored) in [(true, 2, 2), (false, 3, 0)] {
        let backend = over(JsonCodec::new()).with_strict(strict);
        let cache: Cache<Tagged> = Cache::new(backend);
        for _ in 0..2 {
            let loaded = cache.get_or_insert_with("key", async || wide()).await;
            assert_eq!(loaded.unwrap(), wide());
        }
        let stats = cache.stats();
        assert_eq!(stats.backend.lossy_writes, lossy_writes, "{strict}");
        assert_eq!(stats.loads.not_stored, not_stored);
    }
}

#[tokio::test]
async fn a_backend_is_strict_in_debug_builds_unless_it_is_told() {
    let written = over(JsonCodec::new()).set("key", Some(()), ALWAYS).await;
    assert_eq!(written.is_err(), cfg!(debug_assertions));
}
