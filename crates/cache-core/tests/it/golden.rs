//! Bytes that released versions have written. They are never changed, only added to: a version
//! that cannot read them loses every cache on the day it is deployed.
#![cfg(all(feature = "json", feature = "msgpack"))]

use bytes::Bytes;
use cache_core::{
    CacheBackend, Codec, Condition, EncodedBackend, Expiry, JsonCodec, MsgPackCodec, WriteOptions,
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
    let always = WriteOptions::new(Expiry::Never, Condition::Always);
    backend
        .store()
        .set("old", from_hex(golden), always)
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

#[tokio::test]
async fn version_1_bare_json() {
    let golden = hex(br#"{"id":7,"name":"Alice","score":0.5}"#);
    check(
        EncodedBackend::new(LocalBackend::default(), JsonCodec::new()).raw(),
        &golden,
    )
    .await;
}
