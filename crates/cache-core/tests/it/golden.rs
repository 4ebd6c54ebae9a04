//! Bytes that released versions have written. They are never changed, only added to: a version
//! that cannot read them loses every cache on the day it is deployed.
#![cfg(all(feature = "json", feature = "msgpack"))]

use std::net::IpAddr;

use bytes::Bytes;
use cache_core::{
    BackendWrite, CacheBackend, Codec, Condition, EncodedBackend, Expiry, JsonCodec, MsgPackCodec,
};
use cache_local::LocalBackend;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u32,
    name: String,
    score: f64,
}

fn alice() -> User {
    User {
        id: 7,
        name: "Alice".to_string(),
        score: 0.5,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Bytes {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Reads golden bytes back through the backend, and checks that it still writes the same.
async fn check<C: Codec<User>>(backend: EncodedBackend<LocalBackend<Bytes>, C>, golden: &str) {
    let always = BackendWrite::new(Expiry::Never, Condition::Always);
    backend
        .store()
        .set("old", from_hex(golden), always.clone())
        .await
        .unwrap();
    let read: Option<User> = backend.get("old").await.unwrap();
    assert_eq!(read, Some(alice()));

    backend.set("new", alice(), always).await.unwrap();
    let written = backend.store().get("new").await.unwrap().unwrap();
    assert_eq!(hex(&written), golden);
}

#[tokio::test]
async fn version_1_json() {
    let golden = "c10101000000000023000000650405527b226964223a372c226e616d65223a22416c696365222c22\
        73636f7265223a302e357d";
    check(
        EncodedBackend::new(LocalBackend::default(), JsonCodec::new()),
        golden,
    )
    .await;
}

#[tokio::test]
async fn version_1_json_with_a_schema() {
    let golden = "c10101009624104c230000009abefdbb7b226964223a372c226e616d65223a22416c696365222c22\
        73636f7265223a302e357d";
    let backend = EncodedBackend::new(LocalBackend::default(), JsonCodec::new());
    check(backend.with_schema("user/1"), golden).await;
}

#[tokio::test]
async fn version_1_messagepack() {
    let golden = "c1010200000000001f000000018574c783a2696407a46e616d65a5416c696365a573636f7265cb3f\
        e0000000000000";
    check(
        EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new()),
        golden,
    )
    .await;
}

/// What is not tagged is written in the compact form of an address.
#[tokio::test]
async fn version_1_messagepack_of_an_address() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Host {
        address: IpAddr,
    }
    let host = Host {
        address: IpAddr::from([192, 0, 2, 7]),
    };
    let golden = "81a76164647265737381a2563494ccc0000207";
    let backend = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new()).raw();
    let always = BackendWrite::new(Expiry::Never, Condition::Always);
    let old = backend.store().set("old", from_hex(golden), always.clone());
    old.await.unwrap();
    assert_eq!(backend.get("old").await.unwrap(), Some(host.clone()));
    backend.set("new", host, always).await.unwrap();
    let written = backend.store().get("new").await.unwrap().unwrap();
    assert_eq!(hex(&written), golden);
}

#[tokio::test]
async fn version_1_bare_json() {
    let golden = hex(br#"{"id":7,"name":"Alice","score":0.5}"#);
    check(
        EncodedBackend::new(LocalBackend::default(), JsonCodec::new()).raw(),
        &golden,
    )
    .await;
}

/// Payloads that get smaller.
#[cfg(all(feature = "lz4", feature = "zstd"))]
mod compressed {
    use super::{
        Bytes, CacheBackend, Codec, EncodedBackend, JsonCodec, LocalBackend, MsgPackCodec, User,
        from_hex, hex,
    };
    use crate::sealed::{ALWAYS, flags_of, stored_by};
    use cache_core::Compression;

    fn alices() -> User {
        User {
            id: 7,
            name: "Alice ".repeat(20),
            score: 0.5,
        }
    }

    fn json() -> EncodedBackend<LocalBackend<Bytes>, JsonCodec> {
        EncodedBackend::new(LocalBackend::default(), JsonCodec::new())
    }

    fn msgpack() -> EncodedBackend<LocalBackend<Bytes>, MsgPackCodec> {
        EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new())
    }

    async fn reads<C: Codec<User>>(
        backend: EncodedBackend<LocalBackend<Bytes>, C>,
        flags: u8,
        golden: &str,
    ) {
        let golden = from_hex(golden);
        assert_eq!(flags_of(&golden), flags);
        backend.store().set("old", golden, ALWAYS).await.unwrap();
        let read: Option<User> = backend.get("old").await.unwrap();
        assert_eq!(read, Some(alices()));
    }

    #[tokio::test]
    async fn version_1_json_lz4() {
        let golden = "c10101010000000096000000d3e2e1a4ff077b226964223a372c226e616d65223a22416c696365\
        2006005fe0222c2273636f7265223a302e357d";
        reads(json(), 1, golden).await;
        let backend = json().with_compression(Compression::lz4().above(64));
        assert_eq!(hex(&stored_by(&backend, alices()).await), golden);
    }

    #[tokio::test]
    async fn version_1_messagepack_lz4() {
        let golden = "c1010201000000009300000062f22c82ff0383a2696407a46e616d65d978416c6963652006005f\
        f000a573636f7265cb3fe0000000000000";
        reads(msgpack(), 1, golden).await;
        let backend = msgpack().with_compression(Compression::lz4().above(64));
        assert_eq!(hex(&stored_by(&backend, alices()).await), golden);
    }

    // Another version of the library may write other bytes for the same value, so for Zstandard
    // only reading is held.
    #[tokio::test]
    async fn version_1_json_zstd() {
        let golden = "c101010200000000960000009c2b9bea28b52ffd209665010044027b226964223a372c226e616d\
        65223a22416c69636520222c2273636f7265223a302e357d01005ed2d204";
        reads(json(), 2, golden).await;
    }

    #[tokio::test]
    async fn version_1_messagepack_zstd() {
        let golden = "c101020200000000930000003828335f28b52ffd20934d0100140283a2696407a46e616d65d978\
        416c69636520a573636f7265cb3fe000000000000001005ed21206";
        reads(msgpack(), 2, golden).await;
    }
}
