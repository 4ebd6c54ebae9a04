//! Whatever a store holds is a value or a miss.
#![no_main]

use std::sync::LazyLock;

use buildscale_cache::backend::ReadNow;
use buildscale_cache::{
    BackendWrite, CacheBackend, Condition, EncodedBackend, Expiry, JsonCodec, LocalBackend,
    MsgPackCodec,
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

type Json = EncodedBackend<LocalBackend<Bytes>, JsonCodec>;
type MsgPack = EncodedBackend<LocalBackend<Bytes>, MsgPackCodec>;

// Of a kind that decoders go wrong with: text, lists and numbers.
type Value = Vec<(String, Option<u64>)>;

static STORES: LazyLock<(Json, MsgPack)> = LazyLock::new(|| {
    let most = 1 << 20;
    let json = EncodedBackend::new(LocalBackend::default(), JsonCodec::new());
    let msgpack = EncodedBackend::new(LocalBackend::default(), MsgPackCodec::new());
    (
        json.with_max_value_bytes(most),
        msgpack.with_max_value_bytes(most),
    )
});

fn read<B: CacheBackend<Value>>(backend: &B, store: &LocalBackend<Bytes>, stored: &[u8]) {
    let options = BackendWrite::new(Expiry::Never, Condition::Always);
    let set = CacheBackend::set(store, "key", Bytes::copy_from_slice(stored), options);
    futures_executor::block_on(set).expect("memory takes it");
    let found = match backend.read_now("key") {
        ReadNow::Answer(found) => found,
        _ => futures_executor::block_on(backend.get("key")),
    };
    // A value or a miss, and never an error.
    let _ = found.expect("what cannot be read is a miss");
}

fuzz_target!(|stored: &[u8]| {
    let (json, msgpack) = &*STORES;
    read(json, json.store(), stored);
    read(msgpack, msgpack.store(), stored);
});
