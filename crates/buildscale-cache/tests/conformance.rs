//! The contract, clause by clause, on values that zstd has made smaller, in Redis.
//!
//! It is not beside the other formats in `cache-redis`: there the C library would be built by everybody
//! who runs an example or the everyday tests.
#![cfg(all(feature = "redis", feature = "zstd"))]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buildscale_cache::{
    Compression, EncodedBackend, MsgPackCodec, RedisBackend, RedisConfig, RedisStore,
};
use cache_conformance::{Fixture, conformance_tests};
use cache_testbed::{Flavor, Server};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::builder(Flavor::Redis7).start());

/// Stores on one server, each with a namespace of its own.
struct Zstd;

impl Fixture for Zstd {
    type Value = String;
    type Backend = RedisBackend<MsgPackCodec>;

    async fn fresh(&self) -> Self::Backend {
        connect(config()).await
    }

    async fn oversized(&self) -> Option<(Self::Backend, String)> {
        // Noise, which no compression makes smaller.
        let noise = (0..2_000_u64).map(|i| {
            char::from(b'a' + (i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 16) as u8 % 26)
        });
        let backend = connect(config().max_value_bytes(1_000)).await;
        Some((backend, noise.collect()))
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(40)
    }
}

fn config() -> RedisConfig {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let config = RedisConfig::from_url(&SERVER.url()).expect("the URL is right");
    // The suite runs many tests at once; a loaded machine is not what it is about.
    let patience = Duration::from_secs(10);
    let config = config.command_timeout(patience).connect_timeout(patience);
    config.namespace(format!("conformance-{number}"))
}

async fn connect(config: RedisConfig) -> RedisBackend<MsgPackCodec> {
    let store = RedisStore::connect(config).await;
    let store = store.expect("the server is there");
    EncodedBackend::new(store, MsgPackCodec::new()).with_compression(Compression::zstd(3).above(0))
}

conformance_tests!(in_redis, Zstd, erased = false);
