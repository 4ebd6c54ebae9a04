//! The buses of invalidations, on real servers and under faults.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect;
mod faults;
mod garbage;
mod invariant;
mod lag;
mod nodes;
mod recorder;
mod told;

use std::sync::Arc;
use std::time::Duration;

use cache_core::InvalidationBus;
use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore, TrackingBus};
use tokio::task::JoinHandle;

use crate::bus::recorder::Recorder;

/// The bound of the buses of these tests.
const BOUND: Duration = Duration::from_millis(600);
/// How long after a fault everything may take to work again.
const LIMIT: Duration = Duration::from_secs(8);

/// Which bus is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tracking,
    PubSub,
}

fn config(url: &str) -> RedisConfig {
    RedisConfig::from_url(url).expect("the URL is right")
}

async fn store(url: &str) -> RedisStore {
    let store = RedisStore::connect(config(url)).await;
    store.expect("the servers are there")
}

async fn bus(kind: Kind, store: &RedisStore, config: BusConfig) -> Arc<dyn InvalidationBus> {
    match kind {
        Kind::Tracking => Arc::new(TrackingBus::connect(store, config).await.unwrap()),
        Kind::PubSub => Arc::new(PubSubBus::connect(store, config).await.unwrap()),
    }
}

/// A bus with a recorder that listens to it.
struct Listening {
    bus: Arc<dyn InvalidationBus>,
    recorder: Arc<Recorder>,
    task: JoinHandle<()>,
}

impl Listening {
    /// Starts, and waits until it has caught up.
    async fn start(kind: Kind, url: &str) -> Self {
        let config = BusConfig::new().bound(BOUND);
        Self::with(kind, &store(url).await, config).await
    }

    async fn with(kind: Kind, store: &RedisStore, config: BusConfig) -> Self {
        let bus = bus(kind, store, config).await;
        let recorder = Arc::new(Recorder::new());
        let task = tokio::spawn({
            let (bus, recorder) = (Arc::clone(&bus), Arc::clone(&recorder));
            async move { bus.listen(recorder).await }
        });
        recorder.caught_up().await;
        Self {
            bus,
            recorder,
            task,
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
