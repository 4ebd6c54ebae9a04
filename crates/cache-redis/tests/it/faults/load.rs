//! Tasks that write and read.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_core::{BackendWrite, CacheBackend, Condition, Expiry, Result};
use cache_redis::RedisStore;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::faults::LIMIT;
use crate::faults::report::{Outcome, Record, Report, last_failure, summary, works_from};

/// Few enough that two cores are not what the operations wait for.
const TASKS: usize = 4;
/// Each task writes keys of its own, so that it knows what it wrote last; it reads those of all.
const KEYS_PER_TASK: usize = 10;
const KEYS_PER_TAG: usize = 4;
pub(crate) const KEYS: usize = TASKS * KEYS_PER_TASK;
const PAUSE: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(5);

/// What the tasks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// One key at a time.
    Single,
    /// Also many at once, in every form of a bulk operation.
    Bulk,
}

/// What the servers may lose of what they acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A server that restarts is empty, and one that takes over lacks the latest.
    Allowed,
    Never,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    store: RedisStore,
    loss: Loss,
    stop: AtomicBool,
    /// The counter of the latest value of each key that was sent, and that was acknowledged.
    issued: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    records: Mutex<Vec<Record>>,
    stalls: Mutex<Vec<(Instant, Instant)>>,
}

/// Returns the name of a key; those of one tag share a slot, and so a command, in a cluster.
pub(crate) fn key(index: usize) -> String {
    format!("key-{{{}}}-{index}", index / KEYS_PER_TAG)
}

/// A value that tells whose it is: no two keys or counters have the same.
pub(crate) fn value(key: &str, counter: u64) -> Bytes {
    let padding = "x".repeat(usize::try_from(counter % 200).unwrap_or_default());
    let body = format!("{key} {counter} {padding}");
    format!("{:016x} {body}", checksum(&body)).into()
}

/// Returns the counter of a value if it is a whole one of this key.
pub(crate) fn counter_of(key: &str, value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let (sum, body) = text.split_once(' ')?;
    let counter = body.strip_prefix(key)?.strip_prefix(' ')?;
    let counter = counter.split(' ').next()?.parse().ok()?;
    (u64::from_str_radix(sum, 16) == Ok(checksum(body))).then_some(counter)
}

/// FNV-1a.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Starts the tasks, and waits until every key was written and read.
    pub(crate) async fn start(store: &RedisStore, work: Work, loss: Loss) -> Self {
        let counters = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            store: store.clone(),
            loss,
            stop: AtomicBool::new(false),
            issued: counters(),
            acknowledged: counters(),
            records: Mutex::default(),
            stalls: Mutex::default(),
        });
        let mut tasks = vec![tokio::spawn(feel_stalls(Arc::clone(&shared)))];
        for task in 0..TASKS {
            tasks.push(tokio::spawn(operate(Arc::clone(&shared), task, work)));
        }
        let load = Self { shared, tasks };
        load.until_well(Instant::now()).await;
        load
    }

    /// Waits until an operation that began after this moment has failed.
    pub(crate) async fn until_felt(&self, since: Instant) {
        self.until("fault", since, |records| {
            let mut after = records.iter().filter(|record| record.start >= since);
            after.any(|record| record.outcome != Outcome::Done)
        })
        .await;
    }

    /// Waits until every key was read and written after the last failure since this moment.
    pub(crate) async fn until_well(&self, since: Instant) {
        self.until("recovery", since, |records| {
            let from = last_failure(records).unwrap_or(since).max(since);
            works_from(records, from)
        })
        .await;
    }

    async fn until(&self, what: &str, since: Instant, met: impl Fn(&[Record]) -> bool) {
        // Longer than is allowed, so that the report can tell how long it took.
        let limit = LIMIT * 3;
        loop {
            if met(&locked(&self.shared.records)) {
                return;
            }
            if since.elapsed() > limit {
                let records = locked(&self.shared.records).clone();
                panic!("no {what} within {limit:?}: {}", summary(&records));
            }
            sleep(TICK).await;
        }
    }

    /// Ends the tasks after what they do now.
    pub(crate) async fn stop(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no task panics");
        }
        Report {
            records: std::mem::take(&mut *locked(&self.shared.records)),
            stalls: std::mem::take(&mut *locked(&self.shared.stalls)),
        }
    }
}

/// Notes when the machine does not run a task that should run: that is nobody's timeout.
async fn feel_stalls(shared: Arc<Shared>) {
    while !shared.stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        sleep(TICK).await;
        let due = start + TICK * 2;
        let now = Instant::now();
        if now > due {
            locked(&shared.stalls).push((due, now));
        }
    }
}

async fn operate(shared: Arc<Shared>, task: usize, work: Work) {
    let own = task * KEYS_PER_TASK..(task + 1) * KEYS_PER_TASK;
    for round in 0_usize.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let (write, read) = (own.start + round % KEYS_PER_TASK, (task + round) % KEYS);
        shared.write(write).await;
        shared.read(read).await;
        if work == Work::Bulk && round % KEYS_PER_TASK == 0 {
            let expiry = if round % 20 == 0 {
                Expiry::Never
            } else {
                Expiry::After(LIMIT * 60)
            };
            shared.write_many(own.clone(), expiry).await;
            shared.read_many(0..KEYS).await;
            shared.delete_many(task, own.clone()).await;
        }
        sleep(PAUSE).await;
    }
}

impl Shared {
    async fn write(&self, index: usize) {
        let counter = self.issued[index].fetch_add(1, Ordering::SeqCst) + 1;
        let key = key(index);
        let options = BackendWrite::new(Expiry::Never, Condition::Always);
        let written = async { self.store.set(&key, value(&key, counter), options).await };
        let answer = self.record("set", index..index + 1, written, |written| {
            (!written).then(|| "not written".to_owned())
        });
        if answer.await.is_some() {
            self.acknowledged[index].store(counter, Ordering::SeqCst);
        }
    }

    async fn read(&self, index: usize) {
        let least = self.acknowledged[index].load(Ordering::SeqCst);
        let key = key(index);
        let found = async { self.store.get(&key).await };
        self.record("get", index..index + 1, found, |found| {
            self.judge(index, found.as_deref(), least)
        })
        .await;
    }

    async fn write_many(&self, own: std::ops::Range<usize>, expiry: Expiry) {
        let keys: Vec<String> = own.clone().map(key).collect();
        let counters: Vec<u64> = own
            .clone()
            .map(|index| self.issued[index].fetch_add(1, Ordering::SeqCst) + 1)
            .collect();
        let entries = keys.iter().zip(&counters);
        let entries = entries.map(|(key, counter)| (key.as_str(), value(key, *counter)));
        let written = self.store.set_many(entries.collect(), expiry);
        let answer = self.record("set_many", own.clone(), written, |()| None);
        if answer.await.is_some() {
            for (index, counter) in own.zip(counters) {
                self.acknowledged[index].store(counter, Ordering::SeqCst);
            }
        }
    }

    async fn read_many(&self, all: std::ops::Range<usize>) {
        let least = self
            .acknowledged
            .iter()
            .map(|least| least.load(Ordering::SeqCst));
        let least: Vec<u64> = least.collect();
        let keys: Vec<String> = all.clone().map(key).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.record(
            "get_many",
            all.clone(),
            self.store.get_many(&keys),
            |found| {
                let mut judged = all.clone().zip(found);
                judged.find_map(|(index, found)| self.judge(index, found.as_deref(), least[index]))
            },
        )
        .await;
    }

    /// Writes keys that nobody else uses, and removes them.
    async fn delete_many(&self, task: usize, own: std::ops::Range<usize>) {
        let keys: Vec<String> = own
            .clone()
            .map(|index| format!("short-lived-{task}-{{{}}}-{index}", index / KEYS_PER_TAG))
            .collect();
        let entries = keys
            .iter()
            .map(|key| (key.as_str(), value(key, 1)))
            .collect();
        let written = self.store.set_many(entries, Expiry::Never);
        let written = self.record("set_many short-lived", own.clone(), written, |()| None);
        let written = written.await.is_some();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let expected = keys.len() as u64;
        self.record(
            "delete_many",
            own,
            self.store.delete_many(&keys),
            |removed| {
                let lost = written && self.loss == Loss::Never && *removed != expected;
                lost.then(|| format!("{removed} of {expected} removed"))
            },
        )
        .await;
    }

    fn judge(&self, index: usize, found: Option<&[u8]>, least: u64) -> Option<String> {
        let Some(found) = found else {
            let lost = self.loss == Loss::Never && least > 0;
            return lost.then(|| format!("nothing, where {least} was written"));
        };
        let most = self.issued[index].load(Ordering::SeqCst);
        match counter_of(&key(index), found) {
            None => Some("a value of another key, or a broken one".to_owned()),
            Some(counter) if counter > most => Some(format!("{counter}, which was never written")),
            Some(counter) if self.loss == Loss::Never && counter < least => {
                Some(format!("{counter}, where {least} was written"))
            }
            Some(_) => None,
        }
    }

    async fn record<T>(
        &self,
        operation: &'static str,
        keys: std::ops::Range<usize>,
        run: impl Future<Output = Result<T>>,
        judge: impl FnOnce(&T) -> Option<String>,
    ) -> Option<T> {
        let start = Instant::now();
        let answer = run.await;
        let end = Instant::now();
        let outcome = match &answer {
            Ok(answer) => judge(answer).map_or(Outcome::Done, Outcome::Wrong),
            Err(error) => {
                let cause = error.source().map_or(String::new(), ToString::to_string);
                Outcome::Failed(error.kind().clone(), cause)
            }
        };
        locked(&self.records).push(Record {
            operation,
            keys,
            start,
            end,
            outcome,
        });
        answer.ok()
    }
}
