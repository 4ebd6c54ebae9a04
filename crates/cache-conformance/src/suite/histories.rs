//! Histories of one key: C01, C22 to C24, C40 and C41 together, through a linearizability checker.
//!
//! These need a multi-threaded tokio runtime, because they spawn tasks.

use std::sync::Arc;

use cache_core::{BackendWrite, CacheBackend, Condition, Expiry};

use super::concurrency::race;
use crate::linearizability::{Answer, Call, Operation, Recorder};
use crate::probe::{Probe, ok};
use crate::random::Random;
use crate::{Fixture, TestValue};

const HISTORIES: u64 = 60;
const TASKS: usize = 4;
const CALLS: usize = 8;

/// C01: what several tasks see of one key has an order in which every answer is right.
pub async fn c01_the_history_of_a_key_is_linearizable<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for seed in 0..HISTORIES {
        let recorder = Arc::new(Recorder::default());
        race(TASKS, |task| {
            let (backend, recorder) = (Arc::clone(probe.backend()), Arc::clone(&recorder));
            async move {
                let key = format!("key {seed}");
                let mut random = Random::new(seed * TASKS as u64 + task as u64);
                for number in 0..CALLS {
                    let value = (task * CALLS + number) as u64;
                    let call = recorder.call(operation(&mut random, value));
                    let answer = perform::<F>(&backend, &key, call.operation()).await;
                    recorder.returned(call, answer);
                }
            }
        })
        .await;
        let history: Vec<Call> = recorder.history();
        if let Err(error) = crate::linearizability::check(None, &history) {
            panic!("C01: history with seed {seed}: {error}");
        }
    }
}

fn operation(random: &mut Random, value: u64) -> Operation {
    match random.below(10) {
        0..3 => Operation::Get,
        3 => Operation::Set(value),
        4 => Operation::SetIfAbsent(value),
        5 => Operation::SetIfPresent(value),
        6 => Operation::Swap(value),
        7 => Operation::Update(value),
        8 => Operation::Take,
        _ => Operation::Delete,
    }
}

async fn perform<F: Fixture>(backend: &F::Backend, key: &str, operation: Operation) -> Answer {
    let value = |number: u64| F::Value::from_text(&number.to_string());
    let number = |found: Option<F::Value>| {
        // A text that no test wrote becomes a number that no call wrote.
        Answer::Found(found.map(|value| value.to_text().parse().unwrap_or(u64::MAX)))
    };
    let set = |number, condition| {
        let options = BackendWrite::new(Expiry::Never, condition);
        ok("set", backend.set(key, value(number), options))
    };
    match operation {
        Operation::Get => number(ok("get", backend.get(key)).await),
        Operation::Set(new) => Answer::Did(set(new, Condition::Always).await),
        Operation::SetIfAbsent(new) => Answer::Did(set(new, Condition::IfAbsent).await),
        Operation::SetIfPresent(new) => Answer::Did(set(new, Condition::IfPresent).await),
        Operation::Swap(new) => {
            number(ok("swap", backend.swap(key, value(new), Expiry::Never)).await)
        }
        Operation::Delete => {
            let delete = backend.delete(key, Condition::Always);
            Answer::Did(ok("delete", delete).await)
        }
        Operation::Take => number(ok("take", backend.take(key)).await),
        Operation::Update(new) => loop {
            let found = ok("get_versioned", backend.get_versioned(key)).await;
            if set(new, Condition::unchanged(found.version)).await {
                break number(found.entry.map(|entry| entry.value));
            }
        },
        Operation::Add(_) => unreachable!("a value is not counted"),
        Operation::Holds(_) | Operation::DeleteIf(_) => unreachable!("a value is no lock"),
    }
}
