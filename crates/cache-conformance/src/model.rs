//! Random operations on a backend and on a map that knows the contract, side by side.

mod operation;
mod oracle;

use std::time::Duration;

use futures_util::future::join_all;

use self::operation::{KEYS, Operation};
use self::oracle::Oracle;
use crate::Fixture;
use crate::probe::Probe;
use crate::probe::scope;
use crate::random::Random;

/// After how many steps all keys are compared, besides the answers of each step.
const COMPARE_EVERY: usize = 10;

/// Asserts that a backend answers `steps` random operations as the contract says.
///
/// The seed chooses the operations: a few keys, in nested namespaces, through single and bulk
/// calls, scans, clears and, with a manual clock, times to live and the passing of time. The
/// message of a failure holds the seed and the step, and the same seed repeats it.
///
/// # Panics
/// If the backend answers differently from the model.
pub async fn agrees_with_the_model<F: Fixture>(fixture: &F, seed: u64, steps: usize) {
    let probe = Probe::fresh(fixture).await;
    let scopes = [
        scope(&[], ""),
        scope(&[], "a"),
        scope(&[], "a*"),
        scope(&[], "@"),
        scope(&["n"], ""),
        scope(&["n"], "a"),
        scope(&["n", "m"], ""),
    ];
    let mut random = Random::new(seed);
    let mut oracle = Oracle::default();
    for step in 0..steps {
        let operation = Operation::random(&mut random, step, &probe, &scopes);
        let expected = oracle.perform(&operation);
        let answer = operation.perform(&probe).await;
        assert_eq!(
            answer, expected,
            "the model disagrees: seed {seed}, step {step}, {operation:?}"
        );
        if step % COMPARE_EVERY == 0 || step + 1 == steps {
            compare(&probe, &oracle, &format!("seed {seed}, step {step}")).await;
        }
    }
}

/// Asserts that all reads of all keys see what the model holds.
async fn compare<F: Fixture>(probe: &Probe<'_, F>, oracle: &Oracle, when: &str) {
    // Side by side, as each waits for a server most of the time.
    let seen = join_all(KEYS.map(|key| probe.observe(key))).await;
    for (key, seen) in KEYS.into_iter().zip(seen) {
        let expected = oracle.entry(key);
        assert_eq!(seen, expected, "the model disagrees about {key:?}: {when}");
    }
}

/// How far time passes in one step at most: little, so that steps often meet a deadline exactly.
const MOST_MILLIS: u64 = 8;

fn some_millis(random: &mut Random) -> Duration {
    Duration::from_millis(1 + random.below(MOST_MILLIS))
}
