//! What encoding and decoding cost: JSON and MessagePack over bytes in memory, beside the same
//! values kept as they are.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use cache_benches::ready::ready;
use cache_core::{Cache, CacheBackend, Codec, EncodedBackend, JsonCodec, MsgPackCodec};
use cache_local::LocalBackend;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    mail: String,
    active: bool,
    score: f64,
}

impl User {
    fn new(id: u64) -> Self {
        Self {
            id,
            name: format!("User Number {id}"),
            mail: format!("user.{id}@example.com"),
            active: id.is_multiple_of(2),
            score: id as f64 / 7.0,
        }
    }
}

/// A page of users: about 4 KiB of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Page {
    users: Vec<User>,
}

/// Times `set` and `get` of one value in one cache.
fn both<V, B>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, backend: B, value: &V)
where
    V: Clone + PartialEq + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    let cache = Cache::with_backend(backend);
    ready(cache.set("key", value.clone())).expect("the value can be encoded");
    let found = ready(cache.get("key")).expect("a local read never fails");
    assert!(
        found.as_ref() == Some(value),
        "{name} does not give back what it was given"
    );
    group.bench_function(format!("{name}/set"), |bencher| {
        let set = |value| ready(cache.set("key", value));
        bencher.iter_batched(|| value.clone(), set, criterion::BatchSize::SmallInput);
    });
    group.bench_function(format!("{name}/get"), |bencher| {
        bencher.iter(|| black_box(ready(cache.get("key"))));
    });
}

fn length<V>(codec: &impl Codec<V>, value: &V) -> usize {
    let mut bytes = Vec::new();
    let encoded = codec.encode(value, &mut bytes);
    encoded.expect("the value can be encoded");
    bytes.len()
}

fn compare<V>(criterion: &mut Criterion, name: &str, value: &V)
where
    V: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    println!(
        "{name}: {} bytes of JSON, {} bytes of MessagePack",
        length(&JsonCodec::new(), value),
        length(&MsgPackCodec::new(), value)
    );
    let mut group = criterion.benchmark_group(format!("codec/{name}"));
    let store = LocalBackend::<Bytes>::default;
    both(&mut group, "typed", LocalBackend::default(), value);
    both(
        &mut group,
        "json",
        EncodedBackend::new(store(), JsonCodec::new()),
        value,
    );
    both(
        &mut group,
        "msgpack",
        EncodedBackend::new(store(), MsgPackCodec::new()),
        value,
    );
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    compare(&mut criterion, "small", &User::new(1_234));
    let users = (0..36).map(|id| User::new(1_000 + id)).collect();
    compare(&mut criterion, "4 KiB", &Page { users });
    criterion.final_summary();
}
