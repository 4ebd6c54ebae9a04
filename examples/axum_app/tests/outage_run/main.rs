//! A thousand clients with open connections, while the server of the caches is killed and started
//! again three times: no request fails, and none waits for longer than a cache may take.
//!
//! A test binary of its own: nothing else runs beside it. `OUTAGE_SECONDS` says for how long it runs.

mod clients;
#[path = "../shared/process.rs"]
mod process;
mod report;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use cache_testbed::{Flavor, Server};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clients::{Crowd, Phase};
use crate::process::Process;
use crate::report::{Counts, HitRates, Report};

const CLIENTS: usize = 1000;
const KILLS: u32 = 3;

/// How long a request may take while the cache is away. The program waits for 500 ms at most for a
/// command that was sent just before the server died (`command_timeout`); those that come later fail at
/// once. The rest is for the handler: two queries of 20 ms, of the session and of the user, and its turn
/// on processors that the clients use too.
const DEADLINE: Duration = Duration::from_millis(500 + 250);

/// The share of the hit rate that has to be there again: it differs by itself from one moment to another.
const ENOUGH: f64 = 0.8;

/// How long reads are counted to tell which share of them hit.
const WINDOW: Duration = Duration::from_millis(500);

/// How long after the last outage the hit rate may take. Only a slow machine needs so long.
const RECOVERY: Duration = Duration::from_secs(10);

/// Each needs a connection here and one there, and servers, pipes and logs need some.
const FILES: u64 = 2 * CLIENTS as u64 + 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_outages_fail_no_request_of_a_thousand_clients_and_keep_none_waiting() {
    let seconds = match env::var("OUTAGE_SECONDS") {
        Ok(seconds) => seconds.parse().expect("OUTAGE_SECONDS is a number"),
        Err(_) => 15.0,
    };
    let time = Duration::from_secs_f64(seconds);
    allow_files();
    // At the same time, as it is time that this waits for.
    let backends = [("redis", Flavor::Redis8), ("tiered", Flavor::Valkey9)];
    let reports = join_all(backends.map(|(name, flavor)| run(name, flavor, time))).await;
    for report in &reports {
        report.print();
    }
    for report in &reports {
        check(report);
    }
}

/// Opens all connections, kills the server three times, and returns what the clients saw.
async fn run(backend: &'static str, flavor: Flavor, time: Duration) -> Report {
    let server = Arc::new(Server::builder(flavor).start());
    let program = Process::start(backend, Some(&server), &[]);
    let crowd = Crowd::connect(&program.base, CLIENTS).await;
    let cycle = time / KILLS;
    let clients = crowd.run();
    let end = Instant::now() + time;
    let outages = async {
        // They find the caches empty.
        sleep((cycle * 2 / 10).saturating_sub(WINDOW)).await;
        let before = hit_rate(&program).await;
        for kill in 1..=KILLS {
            crowd.enter(Phase::Down);
            on_thread(&server, Server::kill).await;
            sleep(cycle * 4 / 10).await;
            on_thread(&server, Server::restart).await;
            crowd.enter(Phase::Up);
            if kill < KILLS {
                sleep(cycle * 6 / 10).await;
            }
        }
        let back = Instant::now();
        let mut after = hit_rate(&program).await;
        while after < ENOUGH * before && back.elapsed() < RECOVERY {
            after = hit_rate(&program).await;
        }
        let recovery = back.elapsed();
        sleep_until(end).await;
        // Not before all is measured, however late that is: there is no hit rate without clients.
        crowd.end();
        HitRates {
            before,
            after,
            recovery,
        }
    };
    let (answers, hit_rates) = tokio::join!(clients, outages);
    Report::new(backend, answers, hit_rates)
}

fn check(report: &Report) {
    let name = report.backend;
    assert_eq!(report.failures, [""; 0], "{name}: connections hold");
    // Created or told later are answers too; nobody is logged out, and nothing is lost.
    for status in report.statuses.keys() {
        assert!(matches!(status, 200 | 202 | 204), "{name}: {status}");
    }
    let (up, down) = (&report.up, &report.down);
    assert!(up.count > CLIENTS && down.count > CLIENTS, "{name}: few");
    assert!(down.p99 <= DEADLINE, "{name}: {:?}", down.p99);
    let HitRates { before, after, .. } = report.hit_rates;
    assert!(before > 0.3, "{name}: {before}");
    assert!(after >= ENOUGH * before, "{name}: {before}, then {after}");
}

/// Returns the share of reads that hit from now on, for a moment.
async fn hit_rate(program: &Process) -> f64 {
    let first = Counts::of(&program.base).await;
    sleep(WINDOW).await;
    Counts::of(&program.base).await.since(first).rate()
}

async fn on_thread(server: &Arc<Server>, act: fn(&Server)) {
    let server = Arc::clone(server);
    let acted = spawn_blocking(move || act(&server)).await;
    acted.expect("the server does it");
}

/// Lets this process and those that it starts open a file for each connection.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= FILES) {
        return;
    }
    let raised = Rlimit {
        current: Some(FILES),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
        panic!("{CLIENTS} clients need {FILES} open files, see `ulimit -Hn`: {error}")
    });
}
