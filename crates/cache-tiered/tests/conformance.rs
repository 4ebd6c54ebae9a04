//! The contract, clause by clause, on two tiers of several kinds.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_conformance::{Fixture, conformance_tests};
use cache_core::{Clock, EncodedBackend, ManualClock, MsgPackCodec};
use cache_local::{LocalBackend, LocalConfig};
use cache_redis::{BusConfig, PubSubBus, RedisBackend, RedisConfig, RedisStore, TrackingBus};
use cache_testbed::{Flavor, Server};
use cache_tiered::{MemoryBus, Promoted, TieredBackend, TieredConfig};

type Local<V> = LocalBackend<V>;
type OverLocal = TieredBackend<String, Local<Promoted<String>>, Local<String>>;
type OverRedis = TieredBackend<String, Local<Promoted<String>>, RedisBackend<MsgPackCodec>>;
type OverBoth = TieredBackend<String, Local<Promoted<String>>, OverRedis>;

const BOUND: Duration = Duration::from_secs(1);

/// Two tiers in memory, of which the time stands still.
struct TwoLocals {
    clock: Clock,
    hand: ManualClock,
    config: fn() -> TieredConfig,
}

impl TwoLocals {
    fn new(config: fn() -> TieredConfig) -> Self {
        let (clock, hand) = Clock::manual();
        Self {
            clock,
            hand,
            config,
        }
    }

    fn local<V>(&self, config: LocalConfig<V>) -> Local<V> {
        LocalBackend::new(config.clock(self.clock.clone())).expect("the options are right")
    }

    fn over(&self, l2: Local<String>) -> OverLocal {
        let config = (self.config)().clock(self.clock.clone());
        let l1 = self.local(LocalConfig::new());
        TieredBackend::new(l1, l2, config).expect("the options are right")
    }
}

impl Fixture for TwoLocals {
    type Value = String;
    type Backend = OverLocal;

    async fn fresh(&self) -> OverLocal {
        self.over(self.local(LocalConfig::new()))
    }

    async fn oversized(&self) -> Option<(OverLocal, String)> {
        let weigh = |_: &str, value: &String| value.len() as u32;
        let l2 = self.local(LocalConfig::new().max_weight(1_000, weigh));
        Some((self.over(l2), "x".repeat(1_001)))
    }

    async fn advance(&self, by: Duration) {
        self.hand.advance(by);
    }

    fn granularity(&self) -> Duration {
        Duration::ZERO
    }
}

/// A store with a namespace of its own, in each database in turn: a scan walks the keys of all tests that are in
/// the same.
async fn redis() -> RedisBackend<MsgPackCodec> {
    const DATABASES: u64 = 16;
    static SERVER: LazyLock<Server> = LazyLock::new(|| Server::builder(Flavor::Redis7).start());
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // Many tests run at once; a loaded machine is not what they are about.
    let patience = Duration::from_secs(10);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let config = RedisConfig::standalone("127.0.0.1", SERVER.port())
        .namespace(format!("t{number}"))
        .database((number % DATABASES) as u8)
        .command_timeout(patience)
        .connect_timeout(patience);
    let store = RedisStore::connect(config).await;
    EncodedBackend::new(store.expect("the server is there"), MsgPackCodec::new())
}

async fn over_redis(news: News) -> OverRedis {
    let l2 = redis().await;
    let config = news.of(l2.store()).await;
    let tiered = TieredBackend::new(Local::default(), l2, config);
    let tiered = tiered.expect("the options are right");
    tiered.ready().await;
    tiered
}

/// How the first tier of one over a server hears of changes.
#[derive(Clone, Copy)]
enum News {
    Tracking,
    PubSub,
    Age,
}

impl News {
    async fn of(self, store: &RedisStore) -> TieredConfig {
        let options = BusConfig::new();
        match self {
            Self::Tracking => {
                let bus = TrackingBus::connect(store, options).await;
                TieredConfig::with_bus(bus.expect("the server tracks"))
            }
            Self::PubSub => {
                let bus = PubSubBus::connect(store, options).await;
                TieredConfig::with_bus(bus.expect("the server publishes"))
            }
            Self::Age => without_bus(),
        }
    }
}

/// Two tiers of which the second is a server.
struct Redis(News);

impl Fixture for Redis {
    type Value = String;
    type Backend = OverRedis;

    async fn fresh(&self) -> OverRedis {
        over_redis(self.0).await
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(40)
    }
}

/// Three tiers.
struct Nested;

impl Fixture for Nested {
    type Value = String;
    type Backend = OverBoth;

    async fn fresh(&self) -> OverBoth {
        let inner = over_redis(News::Tracking).await;
        let bus = inner.relay().expect("they have a bus");
        let outer = TieredBackend::new(Local::default(), inner, TieredConfig::with_bus(bus));
        outer.expect("the options are right")
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(40)
    }
}

fn without_bus() -> TieredConfig {
    TieredConfig::without_bus(BOUND)
}

fn with_bus() -> TieredConfig {
    TieredConfig::with_bus(MemoryBus::new(BOUND))
}

conformance_tests!(two_locals, TwoLocals::new(with_bus));
conformance_tests!(
    two_locals_without_bus,
    TwoLocals::new(without_bus),
    erased = false
);
conformance_tests!(local_and_redis, Redis(News::Tracking));
conformance_tests!(
    local_and_redis_by_pub_sub,
    Redis(News::PubSub),
    erased = false
);
conformance_tests!(
    #[ignore = "repeats two_locals_without_bus and local_and_redis; run by ./scripts/test --long"]
    local_and_redis_without_bus,
    Redis(News::Age),
    erased = false
);
conformance_tests!(three_tiers, Nested, erased = false);
