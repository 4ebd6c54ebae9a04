//! H10: without faults, what several tasks see of a key has an order in which each answer is right.

use std::sync::Arc;

use cache_conformance::linearizability::{Answer, Operation, Recorder, check};
use cache_core::{Cache, EncodedBackend, MsgPackCodec};
use cache_local::LocalBackend;
use cache_redis::{RedisConfig, RedisStore};
use cache_testbed::{Flavor, Server};
use fastrand::Rng;
use tokio::runtime::Runtime;

const KEYS: u64 = 100;
const TASKS: u64 = 4;
const CALLS: u64 = 8;

async fn call(cache: &Cache<u64>, key: &str, operation: Operation) -> cache_core::Result<Answer> {
    Ok(match operation {
        Operation::Get => Answer::Found(cache.get(key).await?),
        Operation::Set(new) => {
            cache.set(key, new).await?;
            Answer::Did(true)
        }
        Operation::SetIfAbsent(new) => Answer::Did(cache.set_nx(key, new).await?),
        Operation::Swap(new) => Answer::Found(cache.get_and_set(key, new).await?),
        _ => Answer::Did(cache.delete(key).await?),
    })
}

async fn write_and_read(cache: Cache<u64>, key: String, recorder: Arc<Recorder>, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for number in 0..CALLS {
        let new = seed * CALLS + number;
        let operation = match random.u32(..7) {
            0..3 => Operation::Get,
            3 => Operation::Set(new),
            4 => Operation::SetIfAbsent(new),
            5 => Operation::Swap(new),
            _ => Operation::Delete,
        };
        let running = recorder.call(operation);
        let answer = call(&cache, &key, operation)
            .await
            .expect("nothing is wrong");
        recorder.returned(running, answer);
    }
}

async fn every_key_is_linearizable(cache: &Cache<u64>) {
    for key in 0..KEYS {
        let recorder = Arc::new(Recorder::default());
        let tasks = (0..TASKS).map(|task| {
            let recorder = Arc::clone(&recorder);
            let run = write_and_read(
                cache.clone(),
                format!("key:{key}"),
                recorder,
                key * TASKS + task,
            );
            tokio::spawn(run)
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
        if let Err(error) = check(None, &recorder.history()) {
            panic!("key {key}: {error}");
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let _load = crate::beside_others();
    let runtime = Runtime::new().expect("the system has threads to give");
    runtime.block_on(test);
}

#[test]
fn keys_of_a_local_cache_are_linearizable() {
    run(async { every_key_is_linearizable(&Cache::new(LocalBackend::default())).await });
}

#[test]
fn keys_of_a_shared_cache_are_linearizable() {
    let server = Server::builder(Flavor::Valkey9).start();
    run(async {
        let config = RedisConfig::from_url(&server.url()).expect("the URL is right");
        let store = RedisStore::connect(config).await;
        let store = store.expect("the server is there");
        let backend = EncodedBackend::new(store, MsgPackCodec::new());
        every_key_is_linearizable(&Cache::new(backend)).await;
    });
}
