//! What two tiers cost: a hit in the first beside a cache in memory alone, with and without metrics and
//! spans, and what goes to the second beside the Redis backend alone and beside the client that it is
//! made of.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_benches::alloc::{Counting, INSTRUMENTED_SYSTEM, check_counting, counted};
use cache_benches::is_trial;
use cache_benches::paired::{Rival, Turns, interleave};
use cache_benches::ready::ready;
use cache_benches::remote::{
    Bulk, Fred, Load, Operation, Ours, Record, Sample, Target, fill, run, tiered_hits,
};
use cache_benches::workload::{Key, keys};
use cache_core::Cache;
use cache_local::LocalBackend;
use cache_metrics::CacheMetrics;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::runtime::Runtime;
use tracing::Dispatch;

#[global_allocator]
static ALLOCATOR: Counting = &INSTRUMENTED_SYSTEM;

const RESIDENT: u32 = 1_000;
const TASKS: [usize; 3] = [1, 16, 64];
const SIZE: usize = 100;
/// Longer than any run.
const LONG: Duration = Duration::from_secs(3600);

/// Hits in memory, in every form.
struct Hits {
    keys: Vec<Key>,
    forms: [(&'static str, Cache<u64>); 3],
    observer: Observer,
}

/// The places of the forms that are also read while somebody observes.
const LOCAL: usize = 0;
const TIERED: usize = 2;

/// What a program has that looks at everything: a recorder, and a subscriber to all spans and events.
struct Observer {
    recorder: PrometheusRecorder,
    subscriber: Dispatch,
    metrics: CacheMetrics,
}

impl Observer {
    fn new() -> Self {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(std::io::sink);
        Self {
            recorder: PrometheusBuilder::new().build_recorder(),
            subscriber: Dispatch::new(subscriber.finish()),
            metrics: CacheMetrics::new("users"),
        }
    }

    fn observe<T>(&self, run: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.subscriber, || {
            metrics::with_local_recorder(&self.recorder, run)
        })
    }
}

impl Hits {
    fn filled(runtime: &Runtime, target: &Target) -> Self {
        let keys = keys(RESIDENT);
        let forms = [
            ("local", Cache::new(LocalBackend::default())),
            ("local, with a TTL", Cache::new(LocalBackend::default())),
            ("tiered, first tier", runtime.block_on(tiered_hits(target))),
        ];
        runtime.block_on(async {
            for (at, (_, cache)) in forms.iter().enumerate() {
                for (number, key) in (0u64..).zip(&keys) {
                    match at {
                        1 => cache.set_ex(&**key, number, LONG).await,
                        _ => cache.set(&**key, number).await,
                    }
                    .expect("it fits");
                }
                // The second time is a hit.
                for key in &keys {
                    cache.get(&**key).await.expect("no failure");
                }
            }
        });
        let observer = Observer::new();
        Self {
            keys,
            forms,
            observer,
        }
    }

    /// Reads every key once, many times, and returns the nanoseconds of a read.
    fn pass(&self, form: usize, passes: u32) -> f64 {
        let cache = &self.forms[form].1;
        let start = Instant::now();
        for _ in 0..passes {
            for key in &self.keys {
                let found = ready(cache.get(black_box(&**key))).expect("no failure");
                black_box(found.expect("the key is there"));
            }
        }
        start.elapsed().as_nanos() as f64 / f64::from(passes * RESIDENT)
    }

    /// The same while somebody observes, and looks at the counters at the end: far more often than
    /// anybody scrapes.
    fn observed_pass(&self, form: usize, passes: u32) -> f64 {
        let cache = &self.forms[form].1;
        self.observer.observe(|| {
            let start = Instant::now();
            self.pass(form, passes);
            self.observer.metrics.record(&cache.stats());
            start.elapsed().as_nanos() as f64 / f64::from(passes * RESIDENT)
        })
    }

    /// Prints what observing adds to a hit.
    fn compare_observed(&self) {
        let (rounds, passes) = if is_trial() { (1, 1) } else { (51, 200) };
        println!("the same hits with a metrics recorder and a subscriber to all spans");
        println!("  {:<20}{:>10}{:>14}", "", "added ns", "allocations");
        for form in [LOCAL, TIERED] {
            let name = self.forms[form].0;
            let mut rivals: [Rival<'_>; 2] = [
                (name, Box::new(|| self.pass(form, passes))),
                ("observed", Box::new(|| self.observed_pass(form, passes))),
            ];
            let turns = interleave(rounds, &mut rivals);
            let (_, all) = self.observer.observe(|| counted(|| self.pass(form, 1)));
            let added = turns.difference(1, 0);
            println!("  {name:<20}{added:>10.2}{:>14}", all.calls);
            assert_eq!(all.calls, 0, "{name}: observing allocates");
        }
    }

    fn compare(&self, runtime: &Runtime) {
        let (rounds, passes) = if is_trial() { (1, 1) } else { (51, 200) };
        // Echoes of the writes have been heard, and the lease is held all the time.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
        self.refill(runtime);
        let pass = |form: usize| -> Rival<'_> {
            let name = self.forms[form].0;
            (name, Box::new(move || self.pass(form, passes)))
        };
        let turns = interleave(rounds, &mut [pass(0), pass(1), pass(2)]);
        println!("hits in memory through the erased facade, {RESIDENT} keys");
        println!(
            "  {:<20}{:>8}{:>10}{:>14}",
            "", "ns", "/ local", "allocations"
        );
        for (at, name) in turns.names().iter().enumerate() {
            let (_, all) = counted(|| self.pass(at, 1));
            println!(
                "  {name:<20}{:>8.1}{:>10.2}{:>14}",
                turns.time(at),
                turns.ratio(at, 0),
                all.calls
            );
        }
    }

    fn refill(&self, runtime: &Runtime) {
        runtime.block_on(async {
            for key in &self.keys {
                self.forms[2].1.get(&**key).await.expect("no failure");
            }
        });
    }
}

/// Who reads and writes over the network.
struct Remote {
    plain: Arc<Ours>,
    tiered: Arc<Ours>,
    fred: Arc<Fred<Record>>,
    keys: Arc<[String]>,
}

impl Remote {
    async fn connect(target: &Target) -> Self {
        let remote = Self {
            plain: Arc::new(Ours::connect(target).await),
            // It keeps nothing, so that every hit is one in the second tier.
            tiered: Arc::new(Ours::connect_tiered(target).await),
            fred: Arc::new(Fred::connect(target, Bulk::Script).await),
            keys: (0..1_000)
                .map(|number| format!("user:{number:08}"))
                .collect(),
        };
        fill(&*remote.plain, &remote.keys, SIZE).await;
        fill(&*remote.fred, &remote.keys, SIZE).await;
        remote
    }

    fn compare(&self, runtime: &Runtime, load: Load) -> Turns<Sample> {
        let (rounds, span) = match is_trial() {
            true => (1, Duration::from_millis(2)),
            false => (11, Duration::from_millis(100)),
        };
        let keys = &self.keys;
        interleave(
            rounds,
            &mut [
                (
                    "redis backend",
                    Box::new(|| runtime.block_on(run(&self.plain, load, keys, span))),
                ),
                (
                    "tiered",
                    Box::new(|| runtime.block_on(run(&self.tiered, load, keys, span))),
                ),
                (
                    "fred",
                    Box::new(|| runtime.block_on(run(&self.fred, load, keys, span))),
                ),
            ],
        )
    }
}

fn main() {
    check_counting();
    let runtime = Runtime::new().expect("there are threads");
    let target = Target::start();
    let hits = Hits::filled(&runtime, &target);
    hits.compare(&runtime);
    hits.compare_observed();
    let remote = runtime.block_on(Remote::connect(&target));
    println!(
        "\nwhat goes to the second tier, {SIZE} B; time and CPU of an operation beside the Redis \
         backend alone\n  {:<10}{:>6}  {:<16}{:>10}{:>9}{:>9}",
        "", "tasks", "", "us", "time x", "CPU x"
    );
    for operation in [Operation::Get, Operation::Set, Operation::GetMany] {
        for tasks in TASKS {
            runtime.block_on(fill(&*remote.plain, &remote.keys, SIZE));
            let turns = remote.compare(&runtime, Load::new(operation, SIZE, tasks));
            let (wall, cpu) = (turns.figure(|it| it.wall), turns.figure(|it| it.cpu));
            for (at, name) in wall.names().iter().enumerate() {
                println!(
                    "  {:<10}{tasks:>6}  {name:<16}{:>10.2}{:>9.2}{:>9.2}",
                    operation.name(),
                    wall.time(at) / 1e3,
                    wall.ratio(at, 0),
                    cpu.ratio(at, 0),
                );
            }
        }
    }
}
