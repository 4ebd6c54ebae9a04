//! Tasks that use a client side by side, and what that takes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{BATCH, Contender, Operation, Payload};

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// What the tasks do.
    pub operation: Operation,
    /// Bytes of a value, as it is encoded.
    pub size: usize,
    /// How many tasks there are.
    pub tasks: usize,
}

impl Load {
    /// Describes a load.
    #[must_use]
    pub const fn new(operation: Operation, size: usize, tasks: usize) -> Self {
        Self {
            operation,
            size,
            tasks,
        }
    }
}

/// What one operation takes, in nanoseconds.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Sample {
    /// Of the time of all tasks together.
    pub wall: f64,
    /// Of the processors, for all threads of this process: the server is another one.
    pub cpu: f64,
}

/// Measures a turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    start: Instant,
    cpu_at_start: Duration,
    span: Duration,
}

impl Meter {
    /// Starts a turn that is to take so long.
    pub(super) fn start(span: Duration) -> Self {
        Self {
            start: Instant::now(),
            cpu_at_start: cpu_time(),
            span,
        }
    }

    /// Returns when no operation begins any more.
    pub(super) fn deadline(&self) -> Instant {
        self.start + self.span
    }

    /// Ends the turn, in which so many operations were done.
    pub(super) fn sample(&self, operations: usize) -> Sample {
        let of_each = |total: Duration| total.as_nanos() as f64 / operations as f64;
        Sample {
            wall: of_each(self.start.elapsed()),
            cpu: of_each(cpu_time().saturating_sub(self.cpu_at_start)),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Writes all keys, so that they are there while others read them.
pub async fn fill<C: Contender>(client: &C, keys: &[String], size: usize) {
    let value = C::Value::of_size(size);
    for batch in keys.chunks(BATCH) {
        let entries = batch.iter().map(|key| (key.as_str(), value.clone()));
        client.set_many(entries.collect()).await;
    }
}

/// Lets tasks use a client until the time is over.
///
/// # Panics
/// If an operation fails.
pub async fn run<C: Contender>(
    client: &Arc<C>,
    load: Load,
    keys: &Arc<[String]>,
    span: Duration,
) -> Sample {
    let meter = Meter::start(span);
    let tasks: Vec<_> = (0..load.tasks)
        .map(|task| {
            let (client, keys) = (Arc::clone(client), Arc::clone(keys));
            let until = meter.deadline();
            tokio::spawn(async move { one_task(&*client, load, &keys, task, until).await })
        })
        .collect();
    let mut operations = 0;
    for task in tasks {
        operations += task.await.expect("no failure");
    }
    meter.sample(operations)
}

/// Walks over the keys, and returns how many operations were done.
async fn one_task<C: Contender>(
    client: &C,
    load: Load,
    keys: &[String],
    task: usize,
    until: Instant,
) -> usize {
    let value = C::Value::of_size(load.size);
    // Tasks begin at different keys, and the step brings them over all of them.
    let mut place = task * 31;
    let mut done = 0;
    while Instant::now() < until {
        place = (place + 7) % (keys.len() - BATCH);
        once(client, load.operation, &keys[place..place + BATCH], &value).await;
        done += 1;
    }
    done
}

/// Does an operation with the first key or with all of them.
///
/// # Panics
/// If it fails.
pub async fn once<C: Contender>(
    client: &C,
    operation: Operation,
    keys: &[String],
    value: &C::Value,
) {
    match operation {
        Operation::Get => drop(black_box(client.get(&keys[0]).await)),
        // A program has a value of its own to write; the copy stands for its making.
        Operation::Set => client.set(&keys[0], value.clone()).await,
        Operation::GetMany => {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            assert_eq!(black_box(client.get_many(&keys).await).len(), keys.len());
        }
        Operation::SetMany => {
            let entries = keys.iter().map(|key| (key.as_str(), value.clone()));
            client.set_many(entries.collect()).await;
        }
    }
}
