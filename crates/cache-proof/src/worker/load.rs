//! What the tasks of a worker do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Cache, Error, Result, SetOptions};
use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::cache::{WRITERS, is_cleared, name};
use super::{Phase, TASKS, nanos};
use crate::history::{Kind, Operation, Outcome, now};
use crate::payload::Payload;
use crate::plan::Order;

/// How long to wait for a call before it is said to hang.
const HUNG: Duration = Duration::from_secs(15);
const KEYS_PER_CALL: usize = 8;
/// The times to live of short-lived values, in milliseconds.
const SHORT_MS: std::ops::Range<u64> = 50..1500;

/// What the tasks have in common.
pub(super) struct Shared {
    pub(super) cache: Cache<Payload>,
    /// A namespace for each writer.
    pub(super) namespaces: Vec<Cache<Payload>>,
    pub(super) order: Order,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Shared {
    /// Returns the cache that has a key.
    fn cache_of(&self, key: u32) -> &Cache<Payload> {
        match self.namespace_of(key) {
            Some(number) => &self.namespaces[number as usize],
            None => &self.cache,
        }
    }

    /// Returns the number of the namespace of a key, if it is in one.
    fn namespace_of(&self, key: u32) -> Option<u32> {
        is_cleared(key, self.order.keys).then_some(key % WRITERS)
    }
}

/// A task, which alone writes some of the keys, and reads all.
pub(super) struct Task {
    shared: Arc<Shared>,
    random: Rng,
    own: Vec<u32>,
    /// What its values are tagged with. Each invalidation is of one of them.
    tags: [String; 2],
    versions: HashMap<u32, u64>,
    log: Vec<Operation>,
}

/// A write, before it has a version.
struct Write {
    kind: Kind,
    ttl: Option<Duration>,
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>, number: u32) -> Self {
        let order = &shared.order;
        let (this, all) = (order.process * TASKS + number, order.processes * TASKS);
        assert_eq!(WRITERS % all, 0, "a namespace has one writer");
        let seed = order.seed.wrapping_add(u64::from(this) << 32);
        Self {
            shared: Arc::clone(shared),
            random: Rng::with_seed(seed),
            own: (0..order.keys).filter(|key| key % all == this).collect(),
            tags: ["first", "second"].map(|tag| format!("{tag}:{this}")),
            versions: HashMap::new(),
            log: Vec::new(),
        }
    }

    /// Reads and writes until the phase says otherwise, and returns what it did.
    pub(super) async fn run(mut self) -> Vec<Operation> {
        let pause = Duration::from_secs(1) * TASKS / self.shared.order.rate.max(1);
        let mut phase = self.shared.phase.clone();
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Nothing {
                return self.log;
            }
            self.step(now == Phase::ReadsOnly).await;
            // Uneven, so that tasks do not keep in step.
            sleep(pause.mul_f64(self.random.f64() * 2.0)).await;
        }
    }

    async fn step(&mut self, reads_only: bool) {
        let most = if reads_only { 70 } else { 100 };
        let write = |kind| Write { kind, ttl: None };
        match self.random.u32(..most) {
            0..60 => {
                let key = self.any_key();
                self.log.push(get(&self.shared, key, Kind::Get).await);
            }
            60..70 => self.get_many().await,
            70..85 => self.write(write(Kind::Set)).await,
            85..90 => {
                let ttl = Some(Duration::from_millis(self.random.u64(SHORT_MS)));
                let kind = Kind::Set;
                self.write(Write { kind, ttl }).await;
            }
            // It deletes many keys.
            97 if self.random.bool() => self.remove_many().await,
            90..98 => self.write(write(Kind::Delete)).await,
            98 => self.write(write(Kind::Swap)).await,
            _ => self.write(write(Kind::SetIfAbsent)).await,
        }
    }

    /// Chooses a key to read: every second time one of a few favourites.
    fn any_key(&mut self) -> u32 {
        let keys = self.shared.order.keys;
        if self.random.bool() {
            return self.random.u32(..keys);
        }
        let skewed = f64::from(keys) * self.random.f64().powi(4);
        (skewed as u32).min(keys - 1)
    }

    async fn get_many(&mut self) {
        let mut keys: Vec<u32> = (0..KEYS_PER_CALL).map(|_| self.any_key()).collect();
        keys.sort_unstable();
        keys.dedup();
        // A call is for keys of one namespace.
        let chosen = keys[self.random.usize(..keys.len())];
        let chosen = self.shared.namespace_of(chosen);
        keys.retain(|key| self.shared.namespace_of(*key) == chosen);
        let names: Vec<String> = keys.iter().map(|key| name(*key)).collect();
        let start = now();
        let found = timeout(HUNG, self.shared.cache_of(keys[0]).mget(&names)).await;
        let end = now();
        for (place, key) in keys.into_iter().enumerate() {
            let call = call(&self.shared.order, key, Kind::GetMany, start);
            let call = match &found {
                Ok(Ok(found)) => Operation {
                    found: found[place].as_ref().map(Payload::seen),
                    ..call
                },
                Ok(Err(error)) => failed(call, error),
                Err(_) => hung(call),
            };
            self.log.push(Operation { end, ..call });
        }
    }

    /// Writes one of the own keys. The next write of the key waits for the end of this one.
    async fn write(&mut self, write: Write) {
        let skewed = self.random.f64() * self.random.f64() * self.own.len() as f64;
        let Some(&key) = self.own.get(skewed as usize) else {
            return;
        };
        let version = self.next_version(key);
        let call = Operation {
            wrote: Some(version),
            ttl: write.ttl.map(nanos),
            tagged: matches!(write.kind, Kind::Set | Kind::SetIfAbsent),
            ..call(&self.shared.order, key, write.kind, now())
        };
        let answer = timeout(HUNG, self.perform(&write, key, version)).await;
        let end = now();
        let call = match answer {
            Ok(Ok((outcome, replaced))) => Operation {
                outcome,
                found: replaced.as_ref().map(Payload::seen),
                ..call
            },
            Ok(Err(error)) => failed(call, &error),
            Err(_) => hung(call),
        };
        self.log.push(Operation { end, ..call });
    }

    fn next_version(&mut self, key: u32) -> u64 {
        let version = self.versions.entry(key).or_default();
        *version += 1;
        *version
    }

    /// Invalidates a tag of the own keys of one namespace, which is a delete of each value that carries it, or
    /// clears the namespace: one call in any case.
    async fn remove_many(&mut self) {
        let Some(&any) = self.own.get(self.random.usize(..self.own.len().max(1))) else {
            return;
        };
        let (cache, namespace) = (self.shared.cache_of(any), self.shared.namespace_of(any));
        let clears = namespace.is_some() && self.random.bool();
        let tag = &self.tags[self.random.usize(..self.tags.len())];
        let start = now();
        let answer = timeout(HUNG, async {
            match clears {
                true => cache.clear().await.map(drop),
                false => cache.delete_by_tag(tag).await,
            }
        });
        let answer = answer.await;
        let end = now();
        let kind = if clears {
            Kind::Clear
        } else {
            Kind::Invalidate
        };
        let mut removed = self.own.clone();
        removed.retain(|key| self.shared.namespace_of(*key) == namespace);
        for key in removed {
            let call = Operation {
                wrote: Some(self.next_version(key)),
                ..call(&self.shared.order, key, kind, start)
            };
            let call = match &answer {
                Ok(Ok(())) => call,
                Ok(Err(error)) => failed(call, error),
                Err(_) => hung(call),
            };
            self.log.push(Operation { end, ..call });
        }
    }

    async fn perform(
        &self,
        write: &Write,
        key: u32,
        version: u64,
    ) -> Result<(Outcome, Option<Payload>)> {
        let cache = self.shared.cache_of(key);
        let value = Payload::new(key, version, self.shared.order.process);
        let key = name(key);
        let tags = self.tags.each_ref().map(String::as_str);
        let tagged = SetOptions::new().tags(&tags);
        let options = match (write.kind, write.ttl) {
            (Kind::Delete, _) => {
                cache.delete(key).await?;
                return Ok((Outcome::Done, None));
            }
            (Kind::Swap, _) => {
                let replaced = cache.get_and_set(key, value).await?;
                return Ok((Outcome::Done, replaced));
            }
            (Kind::SetIfAbsent, _) => tagged.if_absent(),
            (_, Some(ttl)) => tagged.ttl(ttl),
            (_, None) => tagged,
        };
        let is_written = cache.set_with(key, value, options).await?;
        let outcome = if is_written {
            Outcome::Done
        } else {
            Outcome::Refused
        };
        Ok((outcome, None))
    }
}

/// Reads all keys once more, when everything should agree.
pub(super) async fn read_all(shared: &Shared) -> Vec<Operation> {
    let mut log = Vec::new();
    for key in 0..shared.order.keys {
        log.push(get(shared, key, Kind::Last).await);
    }
    log
}

async fn get(shared: &Shared, key: u32, kind: Kind) -> Operation {
    let (cache, key_name) = (shared.cache_of(key), name(key));
    let call = call(&shared.order, key, kind, now());
    let found = timeout(HUNG, cache.get(key_name)).await;
    let end = now();
    let call = match found {
        Ok(Ok(found)) => Operation {
            found: found.as_ref().map(Payload::seen),
            ..call
        },
        Ok(Err(error)) => failed(call, &error),
        Err(_) => hung(call),
    };
    Operation { end, ..call }
}

const fn call(order: &Order, key: u32, kind: Kind, start: u64) -> Operation {
    Operation {
        process: order.process,
        key,
        kind,
        start,
        end: start,
        wrote: None,
        ttl: None,
        tagged: false,
        found: None,
        outcome: Outcome::Done,
    }
}

fn failed(mut call: Operation, error: &Error) -> Operation {
    call.outcome = Outcome::Unknown(format!("{:?}", error.kind()));
    call
}

fn hung(mut call: Operation) -> Operation {
    call.outcome = Outcome::Hung;
    call
}
