//! Two tiers over real servers: what outsiders do, what fails, and how long it takes.

mod faults;
mod leases;
mod loads;
mod outsiders;
mod runtime;
mod scale;
mod shared;
mod transfers;
mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::{CacheBackend, EncodedBackend, MsgPackCodec, ReadNow, TierStats};
use cache_local::LocalBackend;
use cache_redis::{BusConfig, PubSubBus, RedisBackend, RedisConfig, RedisStore, TrackingBus};
use cache_testbed::Server;
use cache_tiered::{Promoted, TieredBackend, TieredConfig};

/// The bound of these tests.
const BOUND: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_millis(500);

type Tiered = TieredBackend<String, LocalBackend<Promoted<String>>, RedisBackend<MsgPackCodec>>;

#[derive(Clone, Copy)]
enum Bus {
    Tracking,
    PubSub,
}

async fn connect(server: &Server) -> Arc<Tiered> {
    connect_with(server.port(), Bus::Tracking).await
}

async fn connect_with(port: u16, bus: Bus) -> Arc<Tiered> {
    let config = RedisConfig::standalone("127.0.0.1", port).command_timeout(TIMEOUT);
    let store = RedisStore::connect(config)
        .await
        .expect("there is a server");
    let options = BusConfig::new().bound(BOUND);
    let config = match bus {
        Bus::Tracking => TrackingBus::connect(&store, options)
            .await
            .map(TieredConfig::with_bus),
        Bus::PubSub => PubSubBus::connect(&store, options)
            .await
            .map(TieredConfig::with_bus),
    };
    let l2 = EncodedBackend::new(store, MsgPackCodec::new());
    let config = config.expect("the server can do it");
    let tiered = TieredBackend::new(LocalBackend::default(), l2, config);
    let tiered = Arc::new(tiered.expect("the options are right"));
    tiered.ready().await;
    tiered
}

/// Returns what the first tier serves at once.
fn held(tiered: &Tiered, key: &str) -> Option<String> {
    match CacheBackend::read_now(tiered, key) {
        ReadNow::Answer(answer) => answer.expect("memory does not fail"),
        ReadNow::WouldWait => None,
    }
}

/// Reads keys until the first tier holds all of them.
async fn warm(tiered: &Tiered, keys: &[&str]) {
    eventually(Duration::from_secs(5), || async {
        for key in keys {
            tiered.get(key).await.expect("the server answers");
        }
        keys.iter().all(|key| held(tiered, key).is_some())
    })
    .await;
}

/// Waits until something is so, and returns how long it took.
async fn eventually<F: Future<Output = bool>>(
    limit: Duration,
    mut so: impl FnMut() -> F,
) -> Duration {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < limit, "it is not so within {limit:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

fn stats(tiered: &Tiered) -> TierStats {
    tiered.stats().tiers.expect("there are two tiers")
}
