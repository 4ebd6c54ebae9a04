//! How keys are loaded that are a cache of a source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{LoadError, LoadOptions, SetOptions};
use fastrand::Rng;
use tokio::time::sleep;

use super::ask::{Patience, ask, call};
use super::cache::{is_loaded_with_tag, name};
use super::edit::begin;
use super::shared::{Held, Shared};
use super::task::{any_key, get, get_many};
use super::{Phase, TASKS};
use crate::history::Kind;
use crate::payload::Payload;

/// How many tasks of a process load.
pub(super) const LOAD_TASKS: u32 = 4;
/// How long others wait for a process that has died while it loaded.
const LEASE: Duration = Duration::from_secs(1);
/// How long a loader takes at most, and one of a few: so long that its lease has to be extended.
const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_millis(2500);
/// The times to live of what is loaded, in milliseconds.
const TTL_MS: std::ops::Range<u64> = 300..5000;

/// A task that loads all the keys that are loaded, and changes some of them in the source.
pub(super) struct LoadTask {
    shared: Arc<Shared>,
    random: Rng,
    own: Vec<u32>,
    /// The number of the task, among those of all processes.
    number: u32,
}

impl LoadTask {
    pub(super) fn new(shared: &Arc<Shared>, number: u32) -> Self {
        let order = &shared.order;
        let (this, all) = (
            order.place() * LOAD_TASKS + number,
            order.processes * LOAD_TASKS,
        );
        let own = shared.loaded_keys();
        let own = own.filter(|key| (key - order.keys) % all == this);
        Self {
            shared: Arc::clone(shared),
            random: shared.random(TASKS + number),
            own: own.collect(),
            number: this,
        }
    }

    pub(super) async fn run(mut self) {
        while let Some(phase) = self.shared.next_turn(&mut self.random).await {
            self.step(phase == Phase::ReadsOnly).await;
        }
    }

    async fn step(&mut self, reads_only: bool) {
        let most = if reads_only { 75 } else { 100 };
        let patience = Patience::any(&mut self.random);
        let shared = Arc::clone(&self.shared);
        let choice = self.random.u32(..most);
        let mut any = || any_key(&mut self.random, shared.loaded_keys());
        match choice {
            0..50 => {
                let key = any();
                self.load(key, patience).await;
            }
            50..70 => get(&shared, any(), Kind::Get, patience).await,
            70..75 => {
                let mut keys = vec![any(), any(), any()];
                keys.sort_unstable();
                keys.dedup();
                get_many(&shared, &keys, patience).await;
            }
            75..94 => self.renew(Kind::Renew, patience).await,
            94..98 => self.renew(Kind::RenewByTag, patience).await,
            _ => self.renew(Kind::Set, patience).await,
        }
    }

    async fn load(&mut self, key: u32, patience: Patience) {
        let shared = &self.shared;
        let is_tagged = is_loaded_with_tag(key, shared.order.keys);
        let takes = match self.random.u8(..20) {
            // Who has asked before a tag is invalidated may wait for it for as long as it takes.
            0 if !is_tagged => LONG,
            _ => SHORT,
        };
        let takes = takes.mul_f64(self.random.f64());
        let ttl = self.random.u64(TTL_MS);
        let options = LoadOptions::new().lease_ttl(LEASE);
        let options = match self.random.bool() {
            true => options.ttl(Duration::from_millis(ttl)),
            false => options,
        };
        let tags = is_tagged.then(|| self.tag_of(key));
        let entry_key = name(key);
        let entry = shared.cache.entry(&entry_key).options(options).tags(tags);
        let of_loader = Arc::clone(shared);
        let load = async move |_| {
            let version = of_loader.source.get(key);
            sleep(takes).await;
            Ok::<_, Infallible>(Payload::new(key, version, of_loader.order.process))
        };
        let begun = call(&shared.order, key, Kind::Load);
        let answer = ask(patience, async {
            entry.or_load(load).await.map_err(|error| match error {
                LoadError::Cache(error) => error,
                LoadError::Loader(never) => match *never {},
            })
        });
        let ended = answer.await.of(begun, |call, found| {
            call.found = found.as_ref().map(Payload::seen);
        });
        shared.journal.end([ended]);
    }

    /// Returns the tag of a key, which is that of the task that changes it.
    fn tag_of(&self, key: u32) -> String {
        let order = &self.shared.order;
        let task = (key - order.keys) % (order.processes * LOAD_TASKS);
        format!("source:{task}")
    }

    /// Changes own keys in the source, and then in the cache: one, or all that have the tag.
    async fn renew(&mut self, kind: Kind, patience: Patience) {
        let shared = &self.shared;
        let keys = shared.order.keys;
        let chosen: Vec<u32> = match kind {
            Kind::RenewByTag => {
                let own = self.own.iter().copied();
                own.filter(|key| is_loaded_with_tag(*key, keys)).collect()
            }
            _ => self.random.choice(&self.own).copied().into_iter().collect(),
        };
        let held: Option<Vec<Held<'_>>> = chosen.iter().map(|key| shared.hold(*key)).collect();
        let (Some(mut held), Some(&key)) = (held, chosen.first()) else {
            return;
        };
        let is_tagged = is_loaded_with_tag(key, keys);
        let calls = begin(shared, &mut held, kind, |call| {
            call.tagged = is_tagged && kind == Kind::Set;
        });
        for call in &calls {
            shared.source.put(call.key, call.wrote.unwrap_or_default());
        }
        let tag = format!("source:{}", self.number);
        let (cache, entry_key) = (&shared.cache, name(key));
        let answer = ask(patience, async {
            match kind {
                Kind::RenewByTag => cache.delete_by_tag(tag).await,
                Kind::Renew => cache.delete(entry_key).await.map(drop),
                _ => {
                    let tags = [&*tag];
                    let tags = if is_tagged { &tags[..] } else { &[] };
                    let options = SetOptions::new().tags(tags);
                    let set = cache.set_with(entry_key, shared.payload(&calls[0]), options);
                    set.await.map(drop)
                }
            }
        });
        let answer = answer.await;
        let ended = calls.into_iter().map(|call| answer.of(call, |_, ()| {}));
        shared.journal.end(ended);
        drop(held);
        if self.random.bool() {
            // From here on nobody of this process joins a load that began before.
            self.load(key, Patience::Endless).await;
        }
    }
}
