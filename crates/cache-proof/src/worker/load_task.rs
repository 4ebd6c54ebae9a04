//! How keys are loaded that are a cache of a source.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{LoadError, LoadOptions, Loaded, Result, SetOptions};
use fastrand::Rng;
use tokio::time::sleep;

use super::ask::{Patience, ask, call};
use super::cache::{is_loaded_with_tag, name};
use super::edit::begin;
use super::shared::{Held, Shared};
use super::task::{any_key, get, get_many};
use super::{Phase, TASKS};
use crate::history::{Kind, Operation};
use crate::payload::Payload;

/// How many tasks of a process load.
pub(super) const LOAD_TASKS: u32 = 4;
/// How long others wait for a process that has died while it loaded.
pub(super) const LEASE: Duration = Duration::from_secs(1);
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
            0..42 => {
                let key = any();
                self.load(key, patience).await;
            }
            42..50 => {
                let keys = some(any);
                self.load_many(&keys, patience).await;
            }
            50..70 => get(&shared, any(), Kind::Get, patience).await,
            70..75 => {
                get_many(&shared, &some(any), patience).await;
            }
            75..94 => self.renew(Kind::Renew, patience).await,
            94..98 => self.renew(Kind::RenewByTag, patience).await,
            _ => self.renew(Kind::Set, patience).await,
        }
    }

    /// Loads keys with one call of a loader.
    async fn load_many(&mut self, keys: &[u32], patience: Patience) {
        let takes = self.takes(keys.iter().any(|key| self.is_tagged(*key)));
        let shared = &self.shared;
        let load = async |missing: Vec<String>| {
            let missing = keys.iter().filter(|key| missing.contains(&name(**key)));
            let read = |key: &u32| {
                let payload = Payload::new(*key, shared.source.get(*key), shared.order.process);
                let tags = self.is_tagged(*key).then(|| self.tag_of(*key));
                (name(*key), Loaded::value(payload).tags(tags))
            };
            let read: Vec<_> = missing.map(read).collect();
            sleep(takes).await;
            Ok::<_, Infallible>(read)
        };
        let names: Vec<String> = keys.iter().map(|key| name(*key)).collect();
        let begun = keys.iter().map(|key| call(&shared.order, *key, Kind::Load));
        let begun: Vec<Operation> = begun.collect();
        let answer = ask(patience, async {
            let answers = shared.cache.get_many_or_load(&names, load).await?;
            answers
                .into_iter()
                .map(of_cache)
                .collect::<Result<Vec<_>>>()
        });
        let answer = answer.await;
        let ended = begun.into_iter().enumerate().map(|(place, call)| {
            answer.of(call, |call, found| {
                call.found = found[place].as_ref().map(Payload::seen);
            })
        });
        shared.journal.end(ended);
    }

    fn is_tagged(&self, key: u32) -> bool {
        is_loaded_with_tag(key, self.shared.order.keys)
    }

    /// Returns how long a loader takes.
    fn takes(&mut self, is_tagged: bool) -> Duration {
        let takes = match self.random.u8(..20) {
            // Who has asked before a tag is invalidated may wait for it for as long as it takes.
            0 if !is_tagged => LONG,
            _ => SHORT,
        };
        takes.mul_f64(self.random.f64())
    }

    async fn load(&mut self, key: u32, patience: Patience) {
        let is_tagged = self.is_tagged(key);
        let takes = self.takes(is_tagged);
        let ttl = self.random.u64(TTL_MS);
        let is_new = is_refreshed(key) && self.random.u8(..4) == 0;
        let shared = &self.shared;
        let options = LoadOptions::new();
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
            of_cache(match is_new {
                true => entry.refresh(load).await,
                false => entry.or_load(load).await,
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
        let kind = match chosen[..] {
            [key] if kind == Kind::Set && is_refreshed(key) => Kind::Renew,
            _ => kind,
        };
        let held: Option<Vec<Held<'_>>> = chosen.iter().map(|key| shared.hold(*key)).collect();
        let (Some(mut held), Some(&key)) = (held, chosen.first()) else {
            return;
        };
        let is_tagged = self.is_tagged(key);
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

/// Tells whether a key is refreshed at times. A refresh whose value cannot be stored deletes the older one, so what
/// was set there would be gone without a call that says so: nobody sets these keys.
fn is_refreshed(key: u32) -> bool {
    key.is_multiple_of(2)
}

/// Chooses up to three keys.
fn some(mut any: impl FnMut() -> u32) -> Vec<u32> {
    let mut keys = vec![any(), any(), any()];
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Returns the answer to a load whose loader cannot fail.
fn of_cache<T>(answer: Result<T, LoadError<Infallible>>) -> Result<T> {
    answer.map_err(|error| match error {
        LoadError::Cache(error) => error,
        LoadError::Loader(never) => match *never {},
    })
}
