//! What the tasks of a worker do.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::ask::{Patience, ask, call};
use super::cache::{WRITERS, name};
use super::edit::Edit;
use super::shared::Shared;
use super::{Phase, TASKS};
use crate::history::{Kind, Operation};
use crate::payload::Payload;

const KEYS_PER_CALL: usize = 8;
/// The times to live of short-lived values, in milliseconds.
const SHORT_MS: std::ops::Range<u64> = 50..1500;

/// A task, which has some of the keys, and reads all.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) random: Rng,
    /// Those of which it alone clears the namespace, and invalidates the tags.
    pub(super) own: Vec<u32>,
    /// What its values are tagged with. Each invalidation is of one of them.
    pub(super) tags: [String; 2],
}

impl Task {
    pub(super) fn new(shared: &Arc<Shared>, number: u32) -> Self {
        let order = &shared.order;
        let (this, all) = (order.place() * TASKS + number, order.processes * TASKS);
        assert_eq!(WRITERS % all, 0, "a namespace has one writer");
        Self {
            shared: Arc::clone(shared),
            random: shared.random(number),
            own: (0..order.keys).filter(|key| key % all == this).collect(),
            tags: ["first", "second"].map(|tag| format!("{tag}:{this}")),
        }
    }

    /// Reads and writes until the phase says otherwise.
    pub(super) async fn run(mut self) {
        while let Some(phase) = self.shared.next_turn(&mut self.random).await {
            self.step(phase == Phase::ReadsOnly).await;
        }
    }

    async fn step(&mut self, reads_only: bool) {
        let most = if reads_only { 70 } else { 100 };
        let patience = Patience::any(&mut self.random);
        let ttl = Some(Duration::from_millis(self.random.u64(SHORT_MS)));
        let sometimes = ttl.filter(|_| self.random.u8(..4) == 0);
        let (kind, ttl) = match self.random.u32(..most) {
            0..60 => {
                let key = any_key(&mut self.random, 0..self.shared.order.keys);
                return get(&self.shared, key, Kind::Get, patience).await;
            }
            60..70 => return self.get_many(patience).await,
            // It deletes many keys.
            97 if self.random.bool() => return self.remove_many(patience).await,
            70..82 => (Kind::Set, None),
            82..85 => (Kind::SetMany, sometimes),
            85..89 => (Kind::Set, ttl),
            89 => (Kind::Update, sometimes),
            90 | 97 => (Kind::UpdateKeeping, None),
            95 if self.random.bool() => (Kind::DeleteMany, None),
            91..95 => (Kind::Delete, None),
            95 | 96 => (Kind::Take, None),
            98 => (Kind::Swap, None),
            _ => (Kind::SetIfAbsent, None),
        };
        self.edit(Edit::new(kind, ttl, patience)).await;
    }

    async fn get_many(&mut self, patience: Patience) {
        let of_all = 0..self.shared.order.keys;
        let any = |_| any_key(&mut self.random, of_all.clone());
        let mut keys: Vec<u32> = (0..KEYS_PER_CALL).map(any).collect();
        keys.sort_unstable();
        keys.dedup();
        // A call is for keys of one namespace.
        let chosen = keys[self.random.usize(..keys.len())];
        let chosen = self.shared.namespace_of(chosen);
        keys.retain(|key| self.shared.namespace_of(*key) == chosen);
        get_many(&self.shared, &keys, patience).await;
    }
}

/// Chooses a key to read: every second time one of a few favourites.
pub(super) fn any_key(random: &mut Rng, keys: std::ops::Range<u32>) -> u32 {
    if random.bool() {
        return random.u32(keys);
    }
    let skewed = f64::from(keys.end - keys.start) * random.f64().powi(4);
    (keys.start + skewed as u32).min(keys.end - 1)
}

pub(super) async fn get_many(shared: &Shared, keys: &[u32], patience: Patience) {
    let names: Vec<String> = keys.iter().map(|key| name(*key)).collect();
    let begun: Vec<Operation> = keys
        .iter()
        .map(|key| call(&shared.order, *key, Kind::GetMany))
        .collect();
    let answer = ask(patience, shared.cache_of(keys[0]).mget(&names)).await;
    let ended = begun.into_iter().enumerate().map(|(place, call)| {
        answer.of(call, |call, found| {
            call.found = found[place].as_ref().map(Payload::seen);
        })
    });
    shared.journal.end(ended);
}

pub(super) async fn get(shared: &Shared, key: u32, kind: Kind, patience: Patience) {
    let begun = call(&shared.order, key, kind);
    let answer = ask(patience, shared.cache_of(key).get(name(key))).await;
    let ended = answer.of(begun, |call, found| {
        call.found = found.as_ref().map(Payload::seen);
    });
    shared.journal.end([ended]);
}

/// Reads all keys once more, when everything should agree.
pub(super) async fn read_all(shared: &Shared) {
    for key in shared.all_keys() {
        get(shared, key, Kind::Last, Patience::Endless).await;
    }
}
