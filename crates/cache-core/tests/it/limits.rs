//! The limit for the length of a payload.
#![cfg(all(
    feature = "json",
    feature = "msgpack",
    feature = "lz4",
    feature = "zstd"
))]

use bytes::Bytes;
use cache_core::{
    BackendWrite, CacheBackend, Compression, Condition, DEFAULT_MAX_VALUE_BYTES, EncodedBackend,
    ErrorKind, Expiry, JsonCodec,
};
use cache_local::LocalBackend;

use crate::sealed::{ALWAYS, reads, stored_by};

type Json = EncodedBackend<LocalBackend<Bytes>, JsonCodec>;

fn json() -> Json {
    EncodedBackend::new(LocalBackend::default(), JsonCodec::new())
}

fn too_large(weight: u64, limit: u64) -> ErrorKind {
    ErrorKind::TooLarge { weight, limit }
}

async fn read(backend: &Json) -> Option<String> {
    backend.get("key").await.unwrap()
}

/// Backends that accept 10 bytes, each of which is a text of 8 in JSON.
fn of_10_bytes() -> Vec<Json> {
    let limited = || json().with_max_value_bytes(10);
    vec![
        limited(),
        limited().raw(),
        json().raw().with_max_value_bytes(10),
        limited().with_compression(Compression::lz4().above(0)),
        limited().with_compression(Compression::zstd(3).above(0)),
    ]
}

#[tokio::test]
async fn a_value_over_the_limit_is_refused_whatever_the_condition_and_the_old_one_stays() {
    for backend in of_10_bytes() {
        let old = "8 bytes!".to_string();
        backend.set("key", old.clone(), ALWAYS).await.unwrap();
        for condition in [Condition::Always, Condition::IfAbsent, Condition::IfPresent] {
            let options = BackendWrite::new(Expiry::Never, condition);
            let written = backend.set("key", "aaaaaaaaa".to_string(), options).await;
            assert_eq!(written.unwrap_err().kind(), &too_large(11, 10));
        }
        let swapped = backend
            .swap("key", "aaaaaaaaa".to_string(), Expiry::Never)
            .await;
        assert_eq!(swapped.unwrap_err().kind(), &too_large(11, 10));
        assert_eq!(read(&backend).await, Some(old));
    }
}

#[tokio::test]
async fn one_value_over_the_limit_keeps_all_of_a_bulk_write_from_being_written() {
    for backend in of_10_bytes() {
        let entries = vec![("key", "small".to_string()), ("large", "a".repeat(100))];
        let written = backend.set_many(entries, Expiry::Never).await;
        assert_eq!(written.unwrap_err().kind(), &too_large(102, 10));
        assert_eq!(read(&backend).await, None);
        assert_eq!(CacheBackend::<String>::stats(&backend).unreadable, 0);
    }
}

#[tokio::test]
async fn a_stored_value_over_the_limit_is_a_miss() {
    let long = "9 bytes!!".to_string();
    let writers = [
        json(),
        json().raw(),
        json().with_compression(Compression::lz4().above(0)),
        json().with_compression(Compression::zstd(3).above(0)),
    ];
    for writer in writers {
        let stored = stored_by(&writer, long.clone()).await;
        for reader in of_10_bytes() {
            let found: Option<String> = reads(&reader, stored.clone()).await;
            assert_eq!(found, None);
            let reader = reader.with_max_value_bytes(11);
            let found: Option<String> = reads(&reader, stored.clone()).await;
            assert_eq!(found, Some(long.clone()));
        }
    }
}

#[tokio::test]
async fn the_limit_is_16_mib_unless_it_is_set() {
    assert_eq!(DEFAULT_MAX_VALUE_BYTES, 16 * 1024 * 1024);
    let longest = "a".repeat(DEFAULT_MAX_VALUE_BYTES - 2);
    let backend = json();
    backend.set("key", longest.clone(), ALWAYS).await.unwrap();
    let refused = backend.set("key", longest.clone() + "a", ALWAYS).await;
    let limit = 16 << 20;
    assert_eq!(refused.unwrap_err().kind(), &too_large(limit + 1, limit));
    assert_eq!(read(&backend).await, Some(longest));
}

#[tokio::test]
async fn a_limit_beyond_what_the_header_can_say_and_a_limit_of_nothing_work() {
    let backend = json().with_max_value_bytes(usize::MAX);
    backend
        .set("key", "value".to_string(), ALWAYS)
        .await
        .unwrap();
    assert_eq!(read(&backend).await, Some("value".to_string()));
    let backend = json().with_max_value_bytes(0);
    let refused = backend.set("key", String::new(), ALWAYS).await.unwrap_err();
    assert_eq!(refused.kind(), &too_large(2, 0));
}
