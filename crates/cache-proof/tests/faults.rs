//! The proof: processes over one store, and everything that can go wrong between them.
//!
//! `PROOF_SECONDS` is how long there are faults, for all modes together; 10 without it. Each run
//! prints its seed, and `PROOF_SEED` repeats the choices of one, with `PROOF_MODE` those of one mode.

use std::time::Duration;

use cache_proof::{Mode, Plan, Report, run};

const WORKER: &str = env!("CARGO_BIN_EXE_cache-proof-worker");

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("it is a number"))
}

fn plan(mode: Mode, share: u32) -> Plan {
    let seconds = Duration::from_secs(number("PROOF_SECONDS").unwrap_or(10));
    let mut plan = Plan::new(WORKER, mode, seconds / share);
    if let Some(seed) = number("PROOF_SEED") {
        plan.seed = seed;
    }
    plan
}

fn prove(plan: &Plan) -> Report {
    let report = run(plan);
    println!(
        "{:?} on {:?}, seed {}:\n{report}",
        plan.mode, plan.setup, plan.seed
    );
    report.assert_no_violation();
    report
}

#[test]
fn four_processes_under_random_faults_never_read_beyond_the_bound() {
    let only = std::env::var("PROOF_MODE").ok();
    for mode in [Mode::Tracking, Mode::PubSub, Mode::NoBus, Mode::Redis] {
        if only
            .as_ref()
            .is_none_or(|only| *only == format!("{mode:?}"))
        {
            prove(&plan(mode, 4));
        }
    }
}
