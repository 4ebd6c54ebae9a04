//! What the tasks of a worker have in common.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use cache_core::Cache;
use fastrand::Rng;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::sleep;

use super::cache::{WRITERS, all_keys, is_cleared, namespace};
use super::journal::Journal;
use super::source::Source;
use super::{Phase, TASKS};
use crate::history::{History, Operation};
use crate::payload::Payload;
use crate::plan::Order;

/// What the tasks have in common.
pub(super) struct Shared {
    pub(super) cache: Cache<Payload>,
    /// A namespace for each writer.
    namespaces: Vec<Cache<Payload>>,
    pub(super) order: Order,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) journal: Journal,
    pub(super) source: Source,
    /// The last version of each key, which is held during a write: there is one at a time.
    versions: Vec<Mutex<u64>>,
}

/// A key that is being written, and its last version.
pub(super) struct Held<'s> {
    pub(super) key: u32,
    version: MutexGuard<'s, u64>,
}

impl Shared {
    pub(super) fn new(order: Order, cache: Cache<Payload>, phase: watch::Receiver<Phase>) -> Self {
        let namespaces = (0..WRITERS).map(|writer| cache.namespace(namespace(writer)));
        let namespaces: Result<_, _> = namespaces.collect();
        let used = used_versions(&order);
        let last = |key| Mutex::new(used.get(&key).copied().unwrap_or_default());
        Self {
            namespaces: namespaces.expect("their names are good"),
            versions: (0..all_keys(order.keys)).map(last).collect(),
            journal: Journal::create(&order.history),
            source: Source::open(&order.source).expect("the runner has made it"),
            cache,
            order,
            phase,
        }
    }

    /// Waits until a task acts next, and returns the phase; `None` if nothing more is to be done.
    pub(super) async fn next_turn(&self, random: &mut Rng) -> Option<Phase> {
        let pause = Duration::from_secs(1) * TASKS / self.order.rate.max(1);
        // Uneven, so that tasks do not keep in step.
        sleep(pause.mul_f64(random.f64() * 2.0)).await;
        let phase = *self.phase.borrow();
        (phase != Phase::Nothing).then_some(phase)
    }

    /// Returns the choices of one of the tasks.
    pub(super) fn random(&self, task: u32) -> Rng {
        let Order { seed, process, .. } = self.order;
        Rng::with_seed(seed.wrapping_add(u64::from(process * 1000 + task) << 32))
    }

    pub(super) fn all_keys(&self) -> Range<u32> {
        0..all_keys(self.order.keys)
    }

    pub(super) fn loaded_keys(&self) -> Range<u32> {
        self.order.keys..all_keys(self.order.keys)
    }

    /// Returns the keys that the tasks of this process write.
    pub(super) fn own_keys(&self) -> impl Iterator<Item = u32> {
        let (place, all) = (self.order.place(), self.order.processes * TASKS);
        (0..self.order.keys).filter(move |key| key % all / TASKS == place)
    }

    /// Returns the value of a write.
    pub(super) fn payload(&self, call: &Operation) -> Payload {
        Payload::new(call.key, call.wrote.unwrap_or_default(), call.process)
    }

    /// Returns the cache that has a key.
    pub(super) fn cache_of(&self, key: u32) -> &Cache<Payload> {
        match self.namespace_of(key) {
            Some(number) => &self.namespaces[number as usize],
            None => &self.cache,
        }
    }

    /// Returns the number of the namespace of a key, if it is in one.
    pub(super) fn namespace_of(&self, key: u32) -> Option<u32> {
        is_cleared(key, self.order.keys).then_some(key % WRITERS)
    }

    /// Returns a key to write, unless it is being written: nobody waits for another.
    pub(super) fn hold(&self, key: u32) -> Option<Held<'_>> {
        let version = self.versions[key as usize].try_lock().ok()?;
        Some(Held { key, version })
    }
}

impl Held<'_> {
    pub(super) fn next_version(&mut self) -> u64 {
        *self.version += 1;
        *self.version
    }
}

/// Returns the last version of each key that processes have used which have died.
fn used_versions(order: &Order) -> BTreeMap<u32, u64> {
    let mut used = BTreeMap::new();
    for path in &order.before {
        let mut history = History::default();
        let read = history.read(path, Some(0));
        read.expect("the one before has written it");
        for call in history.operations {
            let last = used.entry(call.key).or_default();
            *last = call.wrote.unwrap_or_default().max(*last);
        }
    }
    used
}
