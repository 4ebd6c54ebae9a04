//! A process that reads and writes until it is told to stop, and writes down what it saw.

mod ask;
mod cache;
mod edit;
mod journal;
mod load_task;
mod shared;
mod source;
mod task;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cache_core::Cache;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) use self::cache::{all_keys, build_cache, stored_name};
use self::load_task::{LOAD_TASKS, LoadTask};
use self::shared::Shared;
pub(crate) use self::source::Source;
use self::task::Task;
use crate::history::{Nanos, Record, Sample, Stall, now};
use crate::payload::Payload;
use crate::plan::{COMMAND_TIMEOUT, Order};

/// How many tasks of a process read and write: so many that some do while others wait.
const TASKS: u32 = 16;
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(5);

/// What the runner says, a line each.
pub(crate) const QUIET: &str = "quiet";
pub(crate) const FINISH: &str = "finish";
/// What a worker says.
pub(crate) const READY: &str = "ready";

/// What the tasks have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    All,
    ReadsOnly,
    Nothing,
}

/// Does what an order says, and returns when the runner has heard all.
///
/// An order is what [`run`](crate::run) gives to the program of the workers as its argument.
pub fn work(order: &str) {
    let order: Order = serde_json::from_str(order).expect("the order is one of the runner");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(carry_out(order));
}

async fn carry_out(order: Order) {
    let cache = connect(&order).await;
    say(READY);
    let (phase, of_tasks) = watch::channel(Phase::All);
    let shared = Arc::new(Shared::new(order, cache, of_tasks));
    let watchers = [
        tokio::spawn(feel_stalls(Arc::clone(&shared))),
        tokio::spawn(count(Arc::clone(&shared))),
    ];
    let writers = (0..TASKS).map(|number| tokio::spawn(Task::new(&shared, number).run()));
    let loaders = (0..LOAD_TASKS).map(|number| tokio::spawn(LoadTask::new(&shared, number).run()));
    let tasks: Vec<_> = writers.chain(loaders).collect();

    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut is_complete = false;
    // A run that is torn down says nothing more, and the servers may be gone by then.
    while let Some(line) = orders.next_line().await.expect("the pipe can be read") {
        match line.as_str() {
            QUIET => phase.send_replace(Phase::ReadsOnly),
            FINISH => {
                is_complete = true;
                break;
            }
            other => panic!("{other:?} is no order"),
        };
    }
    phase.send_replace(Phase::Nothing);
    for task in tasks {
        task.await.expect("no task panics");
    }
    if is_complete {
        task::read_all(&shared).await;
    }
    for watcher in watchers {
        watcher.abort();
    }
    shared.journal.flush();
}

/// Connects before anything is measured, as often as a busy machine makes it necessary.
async fn connect(order: &Order) -> Cache<Payload> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match build_cache(order, COMMAND_TIMEOUT).await {
            Ok(cache) => return cache,
            // A process that takes the place of one that has died begins amid other faults.
            Err(_) if Instant::now() < limit => sleep(TICK).await,
            Err(error) => panic!("the cache does not connect: {error:?}"),
        }
    }
}

fn say(word: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{word}").expect("the runner listens");
    out.flush().expect("the runner listens");
}

async fn feel_stalls(shared: Arc<Shared>) {
    let note = |stall| shared.journal.note(&Record::Stall(stall));
    watch_stalls(shared.order.process, note).await;
}

/// Notes when the machine does not run a task that should run: that is nobody's delay.
pub(crate) async fn watch_stalls(process: u32, mut note: impl FnMut(Stall)) {
    let slack = nanos(TICK) * 2;
    loop {
        let start = now();
        sleep(TICK).await;
        let (due, end) = (start + slack, now());
        if end > due {
            note(Stall {
                process,
                start: due,
                end,
            });
        }
    }
}

async fn count(shared: Arc<Shared>) {
    loop {
        let stats = shared.cache.stats();
        // With a single tier, the first is what there is.
        let (l1_hits, l2_hits) = stats.hits_by_tier().unwrap_or((stats.hits, 0));
        let sample = Sample {
            process: shared.order.process,
            at: now(),
            l1_hits,
            l2_hits,
            misses: stats.misses,
        };
        shared.journal.note(&Record::Sample(sample));
        shared.journal.flush();
        sleep(SAMPLE_EVERY).await;
    }
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).expect("584 years are enough")
}
