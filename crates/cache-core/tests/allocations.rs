//! What writes and reads allocate. One test in a program of its own, because it counts what the
//! whole program does.
#![cfg(all(
    feature = "json",
    feature = "msgpack",
    feature = "lz4",
    feature = "zstd"
))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::hint::black_box;

use bytes::Bytes;
use cache_core::{
    BackendWrite, Cache, CacheBackend, Codec, Compression, Condition, EncodedBackend, Expiry,
    JsonCodec, MsgPackCodec, SetOptions, Ttl,
};
use cache_local::LocalBackend;
use futures_util::FutureExt as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ALWAYS: BackendWrite = BackendWrite::new(Expiry::Never, Condition::Always);
const NUMBERS: [u32; 32] = [1_000_000; 32];

/// Returns how often `work` allocates and how many bytes: the least of some runs, because the
/// test runner has a thread of its own.
fn cost(mut work: impl FnMut()) -> (usize, usize) {
    let runs = (0..10).map(|_| {
        let region = Region::new(ALLOCATOR);
        work();
        let change = region.change();
        let calls = change.allocations + change.reallocations;
        (calls, change.bytes_allocated)
    });
    runs.min().unwrap()
}

fn ready<T>(answer: impl Future<Output = cache_core::Result<T>>) -> T {
    answer.now_or_never().unwrap().unwrap()
}

fn cost_of_a_write<C: Codec<[u32; 32]>>(codec: C, compression: Option<Compression>) -> usize {
    let backend = EncodedBackend::new(LocalBackend::<Bytes>::default(), codec);
    let backend = match compression {
        Some(compression) => backend.with_compression(compression),
        None => backend,
    };
    let write = || assert!(ready(backend.set("key", NUMBERS, ALWAYS)));
    write();
    let with_codec = cost(write).0;

    // What the store allocates for itself is not the codec's.
    let stored = ready(backend.store().get("key")).unwrap();
    let of_store = cost(|| {
        assert!(ready(backend.store().set("key", stored.clone(), ALWAYS)));
    });
    with_codec - of_store.0
}

fn cost_of_a_hostile_read(length: u32, flags: u8, payload: &[u8], limit: usize) -> usize {
    let mut stored = vec![0xC1, 1, 1, flags, 0, 0, 0, 0];
    stored.extend_from_slice(&length.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&stored);
    hasher.update(payload);
    stored.extend_from_slice(&hasher.finalize().to_le_bytes());
    stored.extend_from_slice(payload);
    let store = LocalBackend::<Bytes>::default();
    ready(store.set("key", stored.into(), ALWAYS));
    let backend = EncodedBackend::new(store, JsonCodec::new()).with_max_value_bytes(limit);
    let read = || {
        let found: Option<u32> = ready(backend.get("key"));
        assert_eq!(black_box(found), None);
    };
    read();
    cost(read).1
}

/// Returns the allocations of a call.
fn of(call: impl Fn()) -> usize {
    call();
    cost(call).0
}

fn of_calls_in_memory() {
    let cache: Cache<u64> = Cache::new(LocalBackend::default());
    let inner = cache.namespace("inner").unwrap();
    let never = || SetOptions::new().ttl(Ttl::NEVER);
    for cache in [&cache, &inner] {
        let entry = || cache.entry("key").tags(["tag"]);
        let calls = [
            ("set", of(|| ready(cache.set("key", 1_u64)))),
            ("set_ex", of(|| ready(cache.set_ex("key", 2_u64, 60)))),
            (
                "set_with",
                of(|| assert!(ready(cache.set_with("key", 3_u64, never())))),
            ),
            ("get", of(|| assert_eq!(ready(cache.get("key")), Some(3)))),
            (
                "or_insert_with",
                of(|| assert_eq!(ready(entry().or_insert_with(async || 4)), 3)),
            ),
        ];
        for (call, allocations) in calls {
            assert_eq!(allocations, 0, "{call} behind an erased backend");
        }
    }
}

#[test]
fn a_write_allocates_what_it_hands_over_and_a_read_never_more_than_the_limit() {
    of_calls_in_memory();
    assert_eq!(cost_of_a_write(JsonCodec::new(), None), 1);
    assert_eq!(cost_of_a_write(MsgPackCodec::new(), None), 1);
    for (compression, own) in [(Compression::lz4(), 1), (Compression::zstd(3), 0)] {
        // LZ4 has a table of its own; Zstandard's memory is that of a C library.
        let compression = compression.above(64);
        assert_eq!(
            cost_of_a_write(JsonCodec::new(), Some(compression)),
            1 + own
        );
    }

    const LIMIT: usize = 1 << 20;
    let bomb = vec![b'1'; 64 << 20];
    let lz4 = lz4_flex::block::compress(&bomb);
    let zstd = zstd::bulk::compress(&bomb, 1).unwrap();
    assert!(lz4.len() < bomb.len() / 250 && zstd.len() < bomb.len() / 8_000);
    for (flags, payload) in [(0, &bomb), (1, &lz4), (2, &zstd)] {
        for length in [LIMIT + 1, bomb.len(), 0xFFFF_FFFF] {
            let length = u32::try_from(length).unwrap();
            assert_eq!(cost_of_a_hostile_read(length, flags, payload, LIMIT), 0);
        }
        for length in [1, 1_000, LIMIT] {
            let stated = u32::try_from(length).unwrap();
            let bytes = cost_of_a_hostile_read(stated, flags, payload, LIMIT);
            // An error of Zstandard has a text.
            assert!(bytes <= length + 100, "{bytes} bytes for {length}");
        }
    }
    // The limit allows for it, the few bytes do not.
    for flags in [1, 2] {
        assert_eq!(
            cost_of_a_hostile_read(1 << 24, flags, &[0xF0; 16], 1 << 24),
            0
        );
    }
}
