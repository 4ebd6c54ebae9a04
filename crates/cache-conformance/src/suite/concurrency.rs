//! Concurrency: C22 to C24, with tasks on several threads.
//!
//! These need a multi-threaded tokio runtime, because they spawn tasks.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::probe::{Probe, ok};
use crate::{Fixture, TestValue};

pub(super) const TASKS: usize = 8;
/// How many keys the tasks race for, one after the other.
pub(super) const ROUNDS: usize = 100;

/// Runs `task` in several tasks that start together, and returns what they return, in any order.
///
/// The first task that panics ends the others, which may be waiting for it, and the race.
pub(super) async fn race<T, Run>(tasks: usize, task: impl Fn(usize) -> Run) -> Vec<T>
where
    T: Send + 'static,
    Run: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(tasks));
    let mut running = JoinSet::new();
    for number in 0..tasks {
        let (start, task) = (Arc::clone(&start), task(number));
        running.spawn(async move {
            start.wait().await;
            task.await
        });
    }
    let mut results = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => results.push(result),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
    results
}

/// Lets all tasks do `step` on one key after the other, together; counts the wins of each key.
pub(super) async fn wins<F, Step, Run>(probe: &Probe<'_, F>, step: Step) -> Vec<usize>
where
    F: Fixture,
    Step: Fn(Arc<F::Backend>, String, usize) -> Run + Copy + Send + Sync + 'static,
    Run: Future<Output = bool> + Send,
{
    let line = Arc::new(Barrier::new(TASKS));
    let results = race(TASKS, |task| {
        let (backend, line) = (Arc::clone(probe.backend()), Arc::clone(&line));
        async move {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                // Else the fastest task wins every key before the others come to it.
                line.wait().await;
                won.push(step(Arc::clone(&backend), format!("key {round}"), task).await);
            }
            won
        }
    })
    .await;
    let winners = |round: usize| results.iter().filter(|won| won[round]).count();
    (0..ROUNDS).map(winners).collect()
}

/// C22: of concurrent `IfAbsent` writes of an absent key exactly one succeeds, and its value stays.
pub async fn c22_one_of_concurrent_if_absent_writes_succeeds<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let winners = wins(&probe, |backend, key, task| async move {
        let value = F::Value::from_text(&task.to_string());
        let options = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
        let written = ok("set", backend.set(&key, value, options)).await;
        let seen = ok("get", backend.get(&key))
            .await
            .map(|value| value.to_text());
        let own = seen == Some(task.to_string());
        assert_eq!(
            own, written,
            "C22: the value of the winner of {key:?} stays"
        );
        written
    })
    .await;
    assert_eq!(
        winners, [1; ROUNDS],
        "C22: one IfAbsent write of each key succeeds"
    );
}

/// C22: an expired entry counts as absent in a race as well.
pub async fn c22_one_of_concurrent_if_absent_writes_replaces_an_expired_entry<F: Fixture>(
    fixture: &F,
) {
    let probe = Probe::fresh(fixture).await;
    let expiry = Expiry::After(probe.short());
    for round in 0..ROUNDS {
        probe.set(&format!("key {round}"), "old", expiry).await;
    }
    probe.outlive(probe.short()).await;
    let winners = wins(&probe, |backend, key, task| async move {
        let value = F::Value::from_text(&task.to_string());
        let options = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
        ok("set", backend.set(&key, value, options)).await
    })
    .await;
    assert_eq!(
        winners, [1; ROUNDS],
        "C22: one write replaces each expired entry"
    );
}

/// C23: every value is returned by exactly one `swap`, but for the one that stays.
pub async fn c23_concurrent_swaps_form_a_chain<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    probe.set("key", "first", Expiry::Never).await;
    let returned = race(TASKS, |task| {
        let backend = Arc::clone(probe.backend());
        async move {
            let mut returned = Vec::new();
            for round in 0..ROUNDS {
                let value = F::Value::from_text(&format!("{task}.{round}"));
                let replaced = ok("swap", backend.swap("key", value, Expiry::Never)).await;
                let replaced = replaced.expect("C23: no swap finds the key absent");
                returned.push(replaced.to_text());
            }
            returned
        }
    })
    .await;
    let last = probe.get("key").await.expect("C23: the last value stays");
    let mut times = BTreeMap::new();
    for value in returned.into_iter().flatten().chain([last]) {
        *times.entry(value).or_insert(0) += 1;
    }
    assert_eq!(
        times.remove("first"),
        Some(1),
        "C23: the first value is returned once"
    );
    assert_eq!(
        times.len(),
        TASKS * ROUNDS,
        "C23: every value is returned or stays"
    );
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times != 1).collect();
    assert!(
        twice.is_empty(),
        "C23: no value is returned twice: {twice:?}"
    );
}

/// C24: of concurrent `delete`s of one entry exactly one returns `true`.
pub async fn c24_one_of_concurrent_deletes_finds_the_entry<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for round in 0..ROUNDS {
        probe
            .set(&format!("key {round}"), "value", Expiry::Never)
            .await;
    }
    let winners = wins(&probe, |backend, key, task| async move {
        if task % 2 == 0 {
            ok("delete", backend.delete(&key, Condition::Always)).await
        } else {
            ok("delete_many", backend.delete_many(&[&key])).await == 1
        }
    })
    .await;
    assert_eq!(
        winners, [1; ROUNDS],
        "C24: one delete of each entry returns true"
    );
}
