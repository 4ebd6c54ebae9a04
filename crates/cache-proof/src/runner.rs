//! A run, from its servers to its report.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cache_testbed::Flavor;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::checker::{Limits, check};
use crate::fleet::{Worker, source_in};
use crate::history::{History, Kind, Nanos, Operation, Outcome, RUNNER, write};
use crate::nemesis;
use crate::observer::Observer;
use crate::plan::{BOUND, COMMAND_TIMEOUT};
use crate::topology::Topology;
use crate::worker::{FINISH, QUIET, Source, all_keys, watch_stalls};
use crate::{Mode, Plan, Report, Setup};

const MS: Nanos = 1_000_000;

/// Starts servers and workers, makes faults, and checks what was seen.
///
/// The history of a run in which something is found, or which panics, is kept.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut folder = Folder::new();
    let history = runtime.block_on(record(plan, folder.path()));
    let mut report = check(&history, &limits(plan));
    if !report.violations.is_empty() {
        let of_the_runner = folder.path().join("history-runner");
        write(&of_the_runner, history.of_the_runner()).expect("the history is written");
        report.history = folder.keep();
    }
    report
}

/// Where the histories of a run are.
struct Folder(Option<TempDir>);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("proof-").tempdir();
        Self(Some(folder.expect("a folder is made")))
    }

    fn path(&self) -> &Path {
        self.0.as_ref().expect("it was not given away").path()
    }

    fn keep(&mut self) -> Option<PathBuf> {
        self.0.take().map(TempDir::keep)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(kept) = self.keep()
        {
            eprintln!("what the workers saw is in {}", kept.display());
        }
    }
}

async fn record(plan: &Plan, dir: &Path) -> History {
    let flavors = Flavor::ALL;
    let flavor = flavors[usize::try_from(plan.seed % flavors.len() as u64).unwrap_or(0)];
    let topology = Topology::start(plan.setup, flavor);
    let made = Source::create(&source_in(dir), all_keys(plan.keys));
    made.expect("a file is made");
    let mut workers = Vec::new();
    for process in 0..plan.processes {
        workers.push(Worker::start(plan, &topology, process, dir).await);
    }
    for worker in &workers {
        worker.wait_until_ready().await;
    }
    let stalls = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&stalls);
    let canary = tokio::spawn(watch_stalls(RUNNER, move |stall| {
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push(stall);
    }));
    let observer = match &topology {
        Topology::Standalone(server) => Some(Observer::start(server.address(), plan.keys)),
        // Which server is the right one is not known while another takes over.
        _ => None,
    };

    sleep(plan.warm_up).await;
    let damage = nemesis::rage(plan, &topology, &workers).await;
    workers.iter().for_each(|worker| worker.tell(QUIET));
    sleep(plan.quiet).await;

    let mut history = History {
        faults: damage.faults,
        losses: damage.losses,
        observed: observer.map(Observer::stop).unwrap_or_default(),
        settled: topology.look(plan.keys),
        operations: first_versions(plan.keys).collect(),
        ..History::default()
    };
    workers.iter().for_each(|worker| worker.tell(FINISH));
    for worker in workers {
        worker.finish(&mut history);
    }
    history.settled.extend(topology.look(plan.keys));
    canary.abort();
    let stalls = std::mem::take(&mut *stalls.lock().unwrap_or_else(PoisonError::into_inner));
    history.stalls.extend(stalls);
    history
}

/// Returns the versions that are there to be loaded from the beginning.
fn first_versions(keys: u32) -> impl Iterator<Item = Operation> {
    (keys..all_keys(keys)).map(|key| Operation {
        process: RUNNER,
        key,
        kind: Kind::Renew,
        start: 0,
        end: 0,
        wrote: Some(0),
        ttl: None,
        tagged: false,
        found: None,
        outcome: Outcome::Done,
    })
}

fn limits(plan: &Plan) -> Limits {
    // The bound holds whatever the machine does, as the reader looks at its clock.
    let (bound, slack) = (nanos(BOUND), 20 * MS);
    let (stale, healthy, l1_ratio) = match plan.mode {
        // Nothing is between the reader and the store.
        Mode::Redis => (0, 0, 0.0),
        // The bound is all that it promises, at all times.
        Mode::NoBus => (bound + slack, bound, 0.05),
        Mode::Tracking | Mode::PubSub => (bound + slack, 250 * MS, 0.1),
    };
    let (stale_healthy_p99, recovery) = match (plan.mode, plan.setup) {
        (Mode::NoBus, _) => (bound, 2000 * MS),
        (_, Setup::Standalone) => (20 * MS, 2000 * MS),
        // Clients learn of another master a while after it has taken over.
        _ => (20 * MS, 10_000 * MS),
    };
    Limits {
        stale,
        // Who asks another process may join a load for as long as its lease was not seen to be lost.
        stale_loaded: bound + slack,
        stale_healthy: healthy,
        stale_healthy_p99,
        recovery,
        lifetime_slack: 5 * MS,
        // What has to be deleted first, a write, and messages to others about both.
        deadline: nanos(COMMAND_TIMEOUT) * 4 + 50 * MS,
        // Others load first, or have died while they did.
        load_deadline: 10_000 * MS,
        // Its attempts lie up to 7.5 s apart; then it takes a call, and others hear of it.
        repeat_deletes: (plan.mode != Mode::Redis).then_some(10_000 * MS),
        // Messages between processes die with them.
        tells_of_dead: plan.mode != Mode::PubSub,
        // The first reads of a run find nothing.
        hit_reads: 2_000,
        hit_ratio: plan.least_hits,
        l1_ratio,
    }
}

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).expect("584 years are enough")
}
