//! The proof: processes over one store, and everything that can go wrong between them.
//!
//! `PROOF_SECONDS` is how long there are faults in each test, for all modes together, and half of that
//! where the servers need as long again to start and to fail over. Without it a test takes 10
//! seconds and half of the modes, which is a look at them and no proof. Each run
//! prints its seed, and `PROOF_SEED` repeats the choices of one, with `PROOF_MODE` those of one mode.
//! `PROOF_FAULTS=OldSnapshot,FreezeWorker` makes these faults alone.

use std::time::Duration;

use cache_proof::{Fault, Mode, Plan, Report, Setup, run};

const WORKER: &str = env!("CARGO_BIN_EXE_cache-proof-worker");

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// Returns the faults that `PROOF_FAULTS` names, or all.
fn chosen_faults() -> Vec<Fault> {
    let Ok(names) = std::env::var("PROOF_FAULTS") else {
        return Fault::ALL.to_vec();
    };
    let named = |name| {
        let mut faults = Fault::ALL.into_iter();
        let fault = faults.find(|fault| format!("{fault:?}") == name);
        fault.unwrap_or_else(|| panic!("{name:?} is no fault: {:?}", Fault::ALL))
    };
    names.split(',').map(named).collect()
}

/// Plans a run for each mode of a test.
fn plans(modes: &[Mode]) -> Vec<Plan> {
    let (seconds, modes) = match number("PROOF_SECONDS") {
        Some(seconds) => (seconds, modes),
        None => (10, &modes[..modes.len().div_ceil(2)]),
    };
    let only = std::env::var("PROOF_MODE").ok();
    let is_meant = |mode: &Mode| {
        only.as_ref()
            .is_none_or(|only| *only == format!("{mode:?}"))
    };
    let modes: Vec<Mode> = modes.iter().copied().filter(is_meant).collect();
    let share = Duration::from_secs(seconds) / u32::try_from(modes.len().max(1)).unwrap_or(1);
    let faults = chosen_faults();
    let plan = |mode| {
        let mut plan = Plan::new(WORKER, mode, share);
        plan.seed = number("PROOF_SEED").unwrap_or(plan.seed);
        plan.faults = faults.clone();
        plan
    };
    modes.into_iter().map(plan).collect()
}

/// Runs a plan while no other runs: they would feel each other's load.
fn prove(plan: &Plan) -> Report {
    let alone = crate::alone();
    // Before it runs: a harness that panics has a seed as well.
    println!(
        "{:?} on {:?}, PROOF_SEED={}:",
        plan.mode, plan.setup, plan.seed
    );
    let report = run(plan);
    drop(alone);
    println!("{report}");
    report.assert_no_violation();
    report
}

#[test]
fn four_processes_under_random_faults_never_read_beyond_the_bound() {
    let modes = [Mode::Tracking, Mode::PubSub, Mode::NoBus, Mode::Redis];
    for plan in plans(&modes) {
        prove(&plan);
    }
}

#[test]
fn two_processes_on_64_keys_while_the_bus_dies_every_second_see_nothing_stale_and_lose_no_delete() {
    for plan in plans(&[Mode::Tracking, Mode::PubSub]) {
        let mut plan = plan.with_faults(&[Fault::BusDown]);
        plan.processes = 2;
        plan.keys = 64;
        plan.rate = 4000;
        plan.pause_ms = 400..600;
        plan.fault_ms = 400..600;
        // A busy machine needs more than one run for as many.
        let least = match plan.faulty >= Duration::from_secs(30) {
            true => 100_000,
            false => 1,
        };
        let mut operations = 0;
        while operations < least {
            operations += prove(&plan).operations;
        }
    }
}

#[test]
fn four_processes_lose_by_a_failover_of_sentinels_no_more_than_the_last_writes() {
    prove_on(Setup::Sentinels);
}

#[test]
fn four_processes_on_a_cluster_read_nothing_stale_while_slots_move_and_nodes_die() {
    prove_on(Setup::Cluster);
}

fn prove_on(setup: Setup) {
    for mut plan in plans(&[Mode::Tracking, Mode::PubSub]) {
        plan.setup = setup;
        plan.faulty /= 2;
        // What only these servers have comes first.
        let rest = std::mem::take(&mut plan.faults);
        plan.faults = [Fault::Failover, Fault::MoveSlots].repeat(3);
        plan.faults.extend(rest);
        prove(&plan);
    }
}
