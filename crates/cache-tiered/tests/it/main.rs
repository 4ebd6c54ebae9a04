//! What two tiers promise beyond the contract, step by step.

mod bus;
mod coherence;
mod commits;
mod config;
mod counting;
mod invalidator;
mod loading;
mod outage;
mod promotion;
mod recovery;
mod redis;
mod runtime;
mod simulation;
mod stats;
mod tags;
mod three_tiers;

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::{Fault, FaultyBackend};
use cache_core::{BackendWrite, CacheBackend, Clock, Condition, Expiry, ManualClock, TierStats};
use cache_local::{LocalBackend, LocalConfig};
use cache_tiered::{MemoryBus, Promoted, TieredBackend, TieredConfig};

const BOUND: Duration = Duration::from_secs(1);

/// A second tier that several nodes share, each over a network of its own.
type Network = Arc<FaultyBackend<Arc<LocalBackend<String>>>>;
type Tiered = TieredBackend<String, LocalBackend<Promoted<String>>, Network>;

/// Nodes over one store and one bus, whose time only moves by hand.
struct Fleet {
    store: Arc<LocalBackend<String>>,
    bus: MemoryBus,
    clock: Clock,
    hand: ManualClock,
}

/// One of them, with the faults of its network.
struct Node {
    tiered: Arc<Tiered>,
    network: Network,
}

impl Fleet {
    fn new() -> Self {
        let (clock, hand) = Clock::manual();
        Self {
            store: Arc::new(local(&clock)),
            bus: MemoryBus::new(BOUND),
            clock,
            hand,
        }
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            bus: MemoryBus::with_capacity(BOUND, capacity),
            ..Self::new()
        }
    }

    fn config(&self) -> TieredConfig {
        TieredConfig::with_bus(self.bus.another())
    }

    async fn node(&self) -> Node {
        self.node_with(self.config()).await
    }

    async fn node_with(&self, config: TieredConfig) -> Node {
        let network = Arc::new(FaultyBackend::new(Arc::clone(&self.store)));
        let config = config.clock(self.clock.clone());
        let tiered = TieredBackend::new(local(&self.clock), Arc::clone(&network), config);
        let tiered = Arc::new(tiered.expect("the options are right"));
        tiered.ready().await;
        Node { tiered, network }
    }

    /// Lets time pass for the tiers and for the runtime.
    async fn pass(&self, time: Duration) {
        self.hand.advance(time);
        tokio::time::sleep(time).await;
    }
}

impl Node {
    async fn get(&self, key: &str) -> Option<String> {
        self.tiered.get(key).await.expect("the store answers")
    }

    async fn set(&self, key: &str, value: &str) {
        let set = self.tiered.set(key, value.to_owned(), always());
        assert!(set.await.expect("the store answers"));
    }

    /// Returns what the first tier would serve at once.
    fn held(&self, key: &str) -> Option<String> {
        match CacheBackend::read_now(&*self.tiered, key) {
            cache_core::ReadNow::Answer(answer) => answer.expect("memory does not fail"),
            cache_core::ReadNow::WouldWait => None,
        }
    }

    /// Reads a key in a task of its own, of which the reply comes late.
    fn slow_get(&self, key: &'static str, late: Duration) -> Pending {
        self.network.script([Fault::DelayReply(late)]);
        let tiered = Arc::clone(&self.tiered);
        tokio::spawn(async move { tiered.get(key).await.expect("the store answers") })
    }

    fn stats(&self) -> TierStats {
        self.tiered.stats().tiers.expect("there are two tiers")
    }
}

type Pending = tokio::task::JoinHandle<Option<String>>;

fn local<V>(clock: &Clock) -> LocalBackend<V> {
    let config = LocalConfig::new().clock(clock.clone());
    LocalBackend::new(config).expect("the options are right")
}

fn always() -> BackendWrite {
    BackendWrite::new(Expiry::Never, Condition::Always)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Lets other tasks run until all of them wait.
async fn settle() {
    tokio::time::sleep(Duration::from_micros(1)).await;
}
