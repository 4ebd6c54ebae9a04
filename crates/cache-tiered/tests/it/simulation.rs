//! Some nodes over one store, with random delays, losses and restarts, in simulated time.
//!
//! Each key has one writer, which numbers what it writes. Every read is held against what was
//! acknowledged before it began.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::{Fault, FaultyBackend};
use cache_core::{
    CacheBackend, Clock, Condition, ErrorKind, FlushCause, Invalidation, InvalidationBus,
    InvalidationListener, Result,
};
use cache_local::LocalBackend;
use cache_tiered::{TieredBackend, TieredConfig};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{Network, Tiered, always, local};

const NODES: usize = 3;
const KEYS: usize = 8;
const BOUND: Duration = Duration::from_millis(200);
const RUN: Duration = Duration::from_secs(6);
/// The grain of the simulated clock.
const TICK: Duration = Duration::from_millis(1);

/// What the store tells of, as a server does that tracks its clients.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn len(&self) -> usize {
        self.0.lock().expect("no holder panics").len()
    }

    fn slice(&self, from: usize, to: usize) -> Vec<String> {
        self.0.lock().expect("no holder panics")[from..to].to_vec()
    }
}

/// A bus that is late, out of order and twice, and that loses its connection.
struct Unreliable {
    log: Arc<Log>,
    random: Mutex<Rng>,
}

impl Unreliable {
    fn below(&self, bound: u64) -> u64 {
        self.random.lock().expect("no holder panics").u64(..bound)
    }

    async fn pause(&self, longest: Duration) {
        let micros = longest.as_micros() as u64;
        sleep(Duration::from_micros(self.below(micros))).await;
    }
}

#[async_trait]
impl InvalidationBus for Unreliable {
    fn bound(&self) -> Duration {
        BOUND
    }

    fn needs_publish(&self) -> bool {
        false
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        loop {
            // A new connection: what was said before is lost.
            let mut told = self.log.len();
            listener.flush(FlushCause::Connected).await;
            for _ in 0..=self.below(40) {
                let moment = listener.now();
                self.pause(BOUND / 8).await;
                let target = self.log.len();
                let mut news = self.log.slice(told, target);
                if told > 0 && self.below(3) == 0 {
                    news.extend(self.log.slice(told - 1, told));
                }
                self.random
                    .lock()
                    .expect("no holder panics")
                    .shuffle(&mut news);
                for key in news {
                    self.pause(TICK).await;
                    listener.changed(&Invalidation::Keys(vec![key])).await;
                }
                told = target;
                self.pause(BOUND / 8).await;
                listener.caught_up(moment);
            }
            // Nothing is heard for a while, perhaps for longer than the bound.
            self.pause(BOUND * 3).await;
        }
    }

    async fn publish(&self, _: &Invalidation) -> Result<()> {
        unreachable!("the store tells of changes itself")
    }
}

impl fmt::Debug for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreliable")
    }
}

/// What is known of the writes of a key.
#[derive(Default)]
struct Truth {
    /// The number of the last write that was begun.
    issued: u64,
    /// When each acknowledged write had ended.
    acknowledged: Vec<(u64, Instant)>,
}

struct World {
    truth: Vec<Mutex<Truth>>,
    log: Arc<Log>,
    /// How stale the stalest read was.
    worst: Mutex<Duration>,
    reads: Mutex<u64>,
}

fn version(value: Option<&str>) -> Option<u64> {
    let number = |value: &str| value.split_once(' ')?.1.parse().ok();
    value.map(|value| number(value).expect("every value has its number"))
}

/// A random network: mostly quick, sometimes slow, sometimes broken before or after the effect.
fn network_faults(random: &mut Rng) -> Fault {
    let kind = ErrorKind::Timeout;
    let late = Duration::from_micros(random.u64(..20_000));
    match random.u64(..20) {
        0 => Fault::Fail(kind),
        1 => Fault::LoseReply(kind),
        2..=4 => Fault::Delay(late),
        5..=7 => Fault::DelayReply(late),
        8..=9 => Fault::Yield,
        _ => Fault::None,
    }
}

impl World {
    /// Writes the next version of a key of this node, or deletes it.
    async fn write(&self, node: &Tiered, key: usize, random: &mut Rng) {
        let name = format!("key{key}");
        let version = {
            let mut truth = self.truth[key].lock().expect("no holder panics");
            truth.issued += 1;
            truth.issued
        };
        let done = if random.u64(..4) == 0 {
            node.delete(&name, Condition::Always).await.map(drop)
        } else {
            let value = format!("{name} {version}");
            node.set(&name, value, always()).await.map(drop)
        };
        // The server tells of it whenever it happens; here, once it is known whether it has.
        self.log.0.lock().expect("no holder panics").push(name);
        if done.is_ok() {
            let mut truth = self.truth[key].lock().expect("no holder panics");
            truth.acknowledged.push((version, Instant::now()));
        }
    }

    /// Holds a read against what was acknowledged before it.
    fn check(&self, key: usize, start: Instant, found: Option<u64>, seen: &mut u64, own: bool) {
        let Some(found) = found else {
            return;
        };
        let truth = self.truth[key].lock().expect("no holder panics");
        assert!(found <= truth.issued, "a version that was never written");
        let later = truth
            .acknowledged
            .iter()
            .find(|(version, _)| *version > found);
        if let Some((version, end)) = later
            && *end < start
        {
            let stale = start - *end;
            assert!(!own, "key{key}: {found} after the own write of {version}");
            assert!(
                stale <= BOUND + TICK * 2,
                "key{key}: {found} is stale by {stale:?}"
            );
            let mut worst = self.worst.lock().expect("no holder panics");
            *worst = stale.max(*worst);
        }
        assert!(
            found >= *seen,
            "key{key}: {found} after {seen} in the same process"
        );
        *seen = found;
    }
}

/// One process: it writes its own keys and reads all.
async fn process(world: Arc<World>, node: Arc<Tiered>, network: Network, number: usize, seed: u64) {
    let mut random = Rng::with_seed(seed * 1_000 + number as u64);
    let mut seen: HashMap<usize, u64> = HashMap::new();
    let end = Instant::now() + RUN;
    while Instant::now() < end {
        let more: Vec<Fault> = (0..4).map(|_| network_faults(&mut random)).collect();
        network.heal();
        network.script(more);
        let key = random.usize(..KEYS);
        let own = key % NODES == number;
        if own && random.u64(..3) == 0 {
            world.write(&node, key, &mut random).await;
        }
        let start = Instant::now();
        let name = format!("key{key}");
        let read = if random.bool() {
            node.get(&name).await
        } else {
            let other = format!("key{}", random.usize(..KEYS));
            let found = node.get_many(&[&name, &other]).await;
            found.map(|mut found| found.swap_remove(0))
        };
        if let Ok(found) = read {
            *world.reads.lock().expect("no holder panics") += 1;
            let found = version(found.as_deref());
            world.check(key, start, found, seen.entry(key).or_default(), own);
        }
        sleep(Duration::from_micros(random.u64(..3_000))).await;
    }
}

/// Runs a world and returns how many reads there were and how stale the worst was.
async fn simulate(seed: u64) -> (u64, Duration) {
    let (clock, hand) = Clock::manual();
    let ticking = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            hand.advance(TICK);
        }
    });
    let store: Arc<LocalBackend<String>> = Arc::new(local(&clock));
    let world = Arc::new(World {
        truth: (0..KEYS).map(|_| Mutex::default()).collect(),
        log: Arc::default(),
        worst: Mutex::default(),
        reads: Mutex::default(),
    });
    let processes: Vec<_> = (0..NODES)
        .map(|number| {
            let bus = Unreliable {
                log: Arc::clone(&world.log),
                random: Mutex::new(Rng::with_seed(seed + number as u64)),
            };
            let network: Network = Arc::new(FaultyBackend::new(Arc::clone(&store)));
            let config = TieredConfig::with_bus(bus).clock(clock.clone());
            let node = TieredBackend::new(local(&clock), Arc::clone(&network), config);
            let node = Arc::new(node.expect("the options are right"));
            tokio::spawn(process(Arc::clone(&world), node, network, number, seed))
        })
        .collect();
    for process in processes {
        process
            .await
            .unwrap_or_else(|_| panic!("seed {seed} fails"));
    }
    ticking.abort();
    let (reads, worst) = (
        *world.reads.lock().expect("no holder panics"),
        *world.worst.lock().expect("no holder panics"),
    );
    (reads, worst)
}

/// As many seeds as `SEEDS` says, or some.
fn seeds() -> u64 {
    std::env::var("SEEDS").map_or(200, |seeds| seeds.parse().expect("SEEDS is a number"))
}

#[test]
fn no_read_is_staler_than_the_bound_and_none_goes_back_in_time() {
    let (mut reads, mut worst) = (0, Duration::ZERO);
    for seed in 0..seeds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime starts");
        let (more, stale) = runtime.block_on(simulate(seed));
        reads += more;
        worst = stale.max(worst);
    }
    println!(
        "{reads} reads in {} worlds, the worst stale by {worst:?}",
        seeds()
    );
    assert!(reads > 100 * seeds(), "the nodes have read");
    // Otherwise nothing was put to the test.
    assert!(worst > BOUND / 4, "no read was stale at all: {worst:?}");
}
