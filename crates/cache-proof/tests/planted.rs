//! Checks the checker: each bug that can be planted in the library is found.
//!
//! It needs a build with `RUSTFLAGS="--cfg planted_bugs"`, in which `PLANTED_BUG` of a worker
//! switches one on.
#![cfg(planted_bugs)]

use std::time::{Duration, Instant};

use cache_proof::Fault::{
    BusDown, CutReplies, Delay, Empty, Fade, FreezeWorker, KillListeners, NoMemory, Refuse, Reset,
    Stall,
};
use cache_proof::Rule::{Convergence, Integrity, Lifetime, Order, Staleness, Store};
use cache_proof::{Fault, Mode, Plan, Rule, run};

const WORKER: &str = env!("CARGO_BIN_EXE_cache-proof-worker");
/// Within how long bugs are found, and how many of them at least: faults are random, and a single run of
/// bad luck is no failure of the checker.
const MINUTE: Duration = Duration::from_secs(60);
const WITHIN_A_MINUTE: usize = 14;
/// How long one may hide at most.
const LIMIT: Duration = Duration::from_secs(180);
/// How long there are faults before it is checked whether it was found.
const ROUND: Duration = Duration::from_secs(8);

/// A bug, the cache that has it, the faults that it takes, and the rules that it may break.
type Bug = (&'static str, Mode, &'static [Fault], &'static [Rule]);

const BUGS: &[Bug] = &[
    // What is put in the first tier.
    (
        "detached-fills-kept",
        Mode::Tracking,
        &[Delay, Stall],
        &[Staleness, Order],
    ),
    (
        "flights-outlive-changes",
        Mode::Tracking,
        &[Delay],
        &[Staleness, Order],
    ),
    ("first-tier-outlives-second", Mode::PubSub, &[], &[Lifetime]),
    ("age-ignored", Mode::NoBus, &[], &[Staleness]),
    ("answers-mixed-up", Mode::Tracking, &[], &[Integrity]),
    // What is taken from it.
    ("messages-dropped", Mode::Tracking, &[], &[Staleness]),
    (
        "no-flush-when-connected",
        Mode::Tracking,
        &[BusDown, KillListeners],
        &[Staleness],
    ),
    (
        "no-flush-when-lagged",
        Mode::Tracking,
        &[FreezeWorker],
        &[Staleness],
    ),
    (
        "no-flush-when-emptied",
        Mode::Tracking,
        &[Empty],
        &[Convergence],
    ),
    (
        "generation-ignored",
        Mode::Tracking,
        &[Empty],
        &[Convergence],
    ),
    ("own-writes-not-forgotten", Mode::PubSub, &[Fade], &[Order]),
    ("changes-not-published", Mode::PubSub, &[], &[Staleness]),
    (
        "repeated-deletes-not-told",
        Mode::PubSub,
        &[Refuse, Reset],
        &[Convergence],
    ),
    (
        "invalid-tags-kept",
        Mode::Tracking,
        &[],
        &[Staleness, Order],
    ),
    // For how long it serves.
    (
        "lease-ignored",
        Mode::Tracking,
        &[BusDown, Stall],
        &[Staleness],
    ),
    (
        "lease-doubled",
        Mode::Tracking,
        &[BusDown, Stall],
        &[Staleness],
    ),
    (
        "lease-from-the-answer",
        Mode::Tracking,
        &[Fade],
        &[Staleness],
    ),
    (
        "lease-without-an-answer",
        Mode::Tracking,
        &[Stall],
        &[Staleness],
    ),
    // What is written.
    (
        "failed-writes-kept",
        Mode::Tracking,
        &[NoMemory],
        &[Store, Staleness, Convergence],
    ),
    (
        "writes-sent-twice",
        Mode::Tracking,
        &[CutReplies],
        &[Integrity, Staleness, Store],
    ),
    ("milliseconds-for-seconds", Mode::Redis, &[], &[Lifetime]),
];

fn plan(mode: Mode, faults: &[Fault]) -> Plan {
    let mut plan = Plan::new(WORKER, mode, ROUND).with_faults(faults);
    plan.warm_up = Duration::from_millis(500);
    // Fewer writes of each key, so that what is stale stays so.
    plan.keys = 384;
    plan.rate = 500;
    // More keys, so fewer hits.
    plan.least_hits = 0.1;
    plan.pause_ms = 100..400;
    plan.fault_ms = 300..2500;
    plan
}

/// Looks for a bug until it is found, and says after which time and how.
fn find((name, mode, faults, rules): Bug) -> Option<(Duration, String)> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let mut plan = plan(mode, faults);
        if rules.contains(&Convergence) {
            // The end is what counts.
            plan.faulty = ROUND / 2;
        } else {
            plan.quiet = Duration::from_millis(500);
        }
        plan.planted_bug = Some(name);
        let report = run(&plan);
        let found = rules.iter().map(|rule| (*rule, report.count(*rule)));
        let found: Vec<_> = found.filter(|(_, count)| *count > 0).collect();
        if !found.is_empty() {
            return Some((start.elapsed(), format!("{found:?}")));
        }
    }
    None
}

#[test]
fn nothing_is_found_where_no_bug_is_planted() {
    for mode in [Mode::Tracking, Mode::PubSub, Mode::NoBus, Mode::Redis] {
        let of_mode = BUGS.iter().filter(|bug| bug.1 == mode);
        let faults: Vec<Fault> = of_mode.flat_map(|bug| bug.2).copied().collect();
        run(&plan(mode, &faults)).assert_no_violation();
    }
}

#[test]
fn each_planted_bug_is_found() {
    let only = std::env::var("PROOF_BUG").ok();
    let chosen = |bug: &&Bug| only.as_ref().is_none_or(|only| only == bug.0);
    let (mut hidden, mut quickly) = (Vec::new(), 0);
    for bug in BUGS.iter().filter(chosen) {
        let found = find(*bug);
        println!("{}: {found:?}", bug.0);
        match found {
            Some((after, _)) => quickly += usize::from(after <= MINUTE),
            None => hidden.push(bug.0),
        }
    }
    assert!(hidden.is_empty(), "not found: {hidden:?}");
    assert!(
        only.is_some() || quickly >= WITHIN_A_MINUTE,
        "only {quickly} were found within a minute"
    );
}
