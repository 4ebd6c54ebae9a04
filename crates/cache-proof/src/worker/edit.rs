//! How a task changes keys: one, several, or all that belong together.

use std::pin::Pin;
use std::time::Duration;

use cache_core::{Cache, Result, SetOptions, Ttl};

use super::ask::{Patience, ask, call};
use super::cache::name;
use super::nanos;
use super::shared::{Held, Shared};
use super::task::Task;
use crate::history::{Kind, Operation, Outcome};
use crate::payload::Payload;

/// How many keys a call changes at most.
const MOST_KEYS: usize = 5;

/// A change, before its keys have versions.
pub(super) struct Edit {
    kind: Kind,
    ttl: Option<Duration>,
    patience: Patience,
}

/// What a call has done, and what was there before.
type Done = (Outcome, Option<Payload>);
type Performing<'a> = Pin<Box<dyn Future<Output = Result<Done>> + Send + 'a>>;

impl Edit {
    pub(super) const fn new(kind: Kind, ttl: Option<Duration>, patience: Patience) -> Self {
        Self {
            kind,
            ttl,
            patience,
        }
    }

    /// Tells whether its values carry the tags of the task: those of several keys may be of other tasks.
    const fn is_tagged(&self) -> bool {
        matches!(self.kind, Kind::Set | Kind::SetIfAbsent | Kind::Update)
    }

    const fn is_of_many(&self) -> bool {
        matches!(self.kind, Kind::SetMany | Kind::DeleteMany)
    }
}

impl Task {
    /// Changes own keys, those excepted that are being changed.
    pub(super) async fn edit(&mut self, edit: Edit) {
        let keys = if edit.is_of_many() {
            self.several_keys()
        } else {
            let skewed = self.random.f64() * self.random.f64() * self.own.len() as f64;
            self.own.get(skewed as usize).copied().into_iter().collect()
        };
        let shared = &self.shared;
        let held = keys.into_iter().filter_map(|key| shared.hold(key));
        let mut held: Vec<Held<'_>> = held.collect();
        let calls = begin(shared, &mut held, edit.kind, |call| {
            call.ttl = edit.ttl.map(nanos);
            call.tagged = edit.is_tagged();
        });
        if !calls.is_empty() {
            let answer = ask(edit.patience, self.perform(&edit, &calls)).await;
            let ended = calls.into_iter().map(|call| {
                answer.of(call, |call, (outcome, replaced)| {
                    call.outcome = outcome.clone();
                    call.found = replaced.as_ref().map(Payload::seen);
                })
            });
            shared.journal.end(ended);
        }
    }

    /// Chooses keys of one namespace: of the task in its own, or of all tasks of this process.
    fn several_keys(&mut self) -> Vec<u32> {
        let shared = &self.shared;
        let mut keys: Vec<u32> = if self.random.u8(..3) == 0 {
            self.own.clone()
        } else {
            shared.own_keys().collect()
        };
        if !keys.is_empty() {
            let namespace = shared.namespace_of(keys[self.random.usize(..keys.len())]);
            let is_of_others = |key: &u32| namespace.is_some() && !self.own.contains(key);
            keys.retain(|key| shared.namespace_of(*key) == namespace && !is_of_others(key));
        }
        self.random.shuffle(&mut keys);
        keys.truncate(MOST_KEYS);
        keys
    }

    /// Invalidates a tag of the own keys of one namespace, which is a delete of each value that carries it, or
    /// clears the namespace: one call in any case.
    pub(super) async fn remove_many(&mut self, patience: Patience) {
        let Some(&any) = self.own.get(self.random.usize(..self.own.len().max(1))) else {
            return;
        };
        let shared = &self.shared;
        let (cache, namespace) = (shared.cache_of(any).clone(), shared.namespace_of(any));
        let clears = namespace.is_some() && self.random.bool();
        let kind = if clears {
            Kind::Clear
        } else {
            Kind::Invalidate
        };
        let tag = self.tags[self.random.usize(..self.tags.len())].clone();
        let removed = self.own.iter().copied();
        let removed = removed.filter(|key| shared.namespace_of(*key) == namespace);
        // All or none: what is removed has a version.
        let held: Option<Vec<Held<'_>>> = removed.map(|key| shared.hold(key)).collect();
        let Some(mut held) = held else {
            return;
        };
        let calls = begin(shared, &mut held, kind, |_| {});
        let answer = ask(patience, async move {
            match clears {
                true => cache.clear().await.map(drop),
                false => cache.delete_by_tag(tag).await,
            }
        });
        let answer = answer.await;
        let ended = calls.into_iter().map(|call| answer.of(call, |_, ()| {}));
        shared.journal.end(ended);
    }

    /// Boxed: the compiler does not see by itself that it may go from one thread to another.
    fn perform<'a>(&'a self, edit: &'a Edit, calls: &'a [Operation]) -> Performing<'a> {
        Box::pin(async move {
            let cache = self.shared.cache_of(calls[0].key);
            let pairs = calls.iter().map(|call| {
                let value = self.shared.payload(call);
                (name(call.key), value)
            });
            let mut pairs: Vec<(String, Payload)> = pairs.collect();
            match edit.kind {
                Kind::SetMany => {
                    let options = SetOptions::new().ttl(edit.ttl.map_or(Ttl::DEFAULT, Ttl::from));
                    cache.mset_with(pairs, options).await?;
                    Ok((Outcome::Done, None))
                }
                Kind::DeleteMany => {
                    let names: Vec<String> = pairs.into_iter().map(|(name, _)| name).collect();
                    cache.mdelete(&names).await?;
                    Ok((Outcome::Done, None))
                }
                _ => {
                    let (name, value) = pairs.remove(0);
                    self.perform_one(edit, cache, &name, value).await
                }
            }
        })
    }

    async fn perform_one(
        &self,
        edit: &Edit,
        cache: &Cache<Payload>,
        key: &str,
        value: Payload,
    ) -> Result<Done> {
        let tags = self.tags.each_ref().map(String::as_str);
        let tagged = SetOptions::new().tags(&tags);
        let replaced = match edit.kind {
            Kind::Delete => {
                cache.delete(key).await?;
                None
            }
            Kind::Take => cache.take(key).await?,
            Kind::Swap => cache.get_and_set(key, value).await?,
            Kind::UpdateKeeping => cache.update(key, |_| value.clone()).await?.old,
            Kind::Update => {
                let options = tagged.ttl(edit.ttl.map_or(Ttl::NEVER, Ttl::from));
                cache
                    .update_with(key, options, |_| value.clone())
                    .await?
                    .old
            }
            kind => {
                let options = match (kind, edit.ttl) {
                    (Kind::SetIfAbsent, _) => tagged.if_absent(),
                    (_, Some(ttl)) => tagged.ttl(ttl),
                    (_, None) => tagged,
                };
                let is_written = cache.set_with(key, value, options).await?;
                let refused = (!is_written).then_some(Outcome::Refused);
                return Ok((refused.unwrap_or(Outcome::Done), None));
            }
        };
        Ok((Outcome::Done, replaced))
    }
}

/// Gives each key that is held a new version, and writes down that it is being changed.
pub(super) fn begin(
    shared: &Shared,
    held: &mut [Held<'_>],
    kind: Kind,
    note: impl Fn(&mut Operation),
) -> Vec<Operation> {
    let calls = held.iter_mut().map(|held| {
        let mut call = call(&shared.order, held.key, kind);
        call.wrote = Some(held.next_version());
        note(&mut call);
        call
    });
    let calls: Vec<Operation> = calls.collect();
    shared.journal.begin(&calls);
    calls
}
