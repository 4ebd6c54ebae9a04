//! Tasks that count side by side.

use std::sync::Arc;
use std::time::Duration;

use cache_core::CounterGroup;

use super::load::Meter;
use super::{Fred, Ours, Payload, Record, Sample, TTL};

/// A client of Redis that counts.
pub trait Counting: Send + Sync + 'static {
    /// Adds one to what `key` counts, and returns the new count.
    fn add(&self, key: &str) -> impl Future<Output = i64> + Send;
}

/// Counters with a window, which tell what is left of it.
#[derive(Debug)]
pub struct Windows(CounterGroup<Record>);

impl Windows {
    /// Counts in a cache.
    #[must_use]
    pub fn of(ours: &Ours) -> Self {
        Self(ours.0.counters("bench"))
    }
}

impl Counting for Windows {
    async fn add(&self, key: &str) -> i64 {
        let count = self.0.add(key, 1, TTL).await;
        count.expect("no failure").value
    }
}

/// `INCR` alone: nothing ends.
#[derive(Debug)]
pub struct Incr<V>(Arc<Fred<V>>);

impl<V> Incr<V> {
    /// Counts over a client.
    #[must_use]
    pub const fn new(client: Arc<Fred<V>>) -> Self {
        Self(client)
    }
}

impl<V: Payload> Counting for Incr<V> {
    async fn add(&self, key: &str) -> i64 {
        self.0.incr(key).await
    }
}

/// `INCR` and `EXPIRE` with `NX` in one pipeline, as programs do that have no script.
#[derive(Debug)]
pub struct IncrAndExpire<V>(Arc<Fred<V>>);

impl<V> IncrAndExpire<V> {
    /// Counts over a client.
    #[must_use]
    pub const fn new(client: Arc<Fred<V>>) -> Self {
        Self(client)
    }
}

impl<V: Payload> Counting for IncrAndExpire<V> {
    async fn add(&self, key: &str) -> i64 {
        self.0.incr_and_expire(key).await
    }
}

/// Lets tasks count until the time is over.
///
/// # Panics
/// If a count is not above zero.
pub async fn count<C: Counting>(
    client: &Arc<C>,
    tasks: usize,
    keys: &Arc<[String]>,
    span: Duration,
) -> Sample {
    let meter = Meter::start(span);
    let until = meter.deadline();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let (client, keys) = (Arc::clone(client), Arc::clone(keys));
            tokio::spawn(async move {
                let mut done = 0;
                while std::time::Instant::now() < until {
                    let key = &keys[(task * 31 + done * 7) % keys.len()];
                    assert!(client.add(key).await > 0);
                    done += 1;
                }
                done
            })
        })
        .collect();
    let mut operations = 0;
    for task in tasks {
        operations += task.await.expect("no failure");
    }
    meter.sample(operations)
}
