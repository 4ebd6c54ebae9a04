//! The order of a write: out of the first tier, into the second, out of the first again, told to
//! others.

use std::sync::Arc;
use std::time::Duration;

use cache_core::timer::sleep;
use cache_core::{
    BackendWrite, CacheBackend, Condition, Error, ErrorKind, Expiry, Invalidation, Result, Scope,
    Tagging, is_tag_key,
};

use super::Tiers;
use super::read::nanos;
use crate::config::WritePolicy;
use crate::promoted::{LOCAL_ONLY, Promoted};
use crate::recovery::{Batch, Mark, Recovery, Task};

/// The longest pause between two attempts to do what has failed.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// What a write concerns.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Key(&'a str),
    Keys(&'a [&'a str]),
    Scope(&'a Scope),
}

impl Change<'_> {
    pub(super) fn to_invalidation(self) -> Invalidation {
        match self {
            Self::Key(key) => Invalidation::Keys(vec![key.to_owned()]),
            Self::Keys(keys) => Invalidation::Keys(keys.iter().map(ToString::to_string).collect()),
            Self::Scope(scope) => Invalidation::Scope(scope.clone()),
        }
    }

    fn leave_to(self, recovery: &Recovery, task: Task) {
        match self {
            Self::Key(key) => recovery.add_keys([key], task),
            Self::Keys(keys) => recovery.add_keys(keys.iter().copied(), task),
            Self::Scope(scope) => recovery.add_scope(scope, task),
        }
    }

    fn supersede(self, recovery: &Recovery, mark: Mark) {
        match self {
            Self::Key(key) => recovery.supersede([key], mark),
            Self::Keys(keys) => recovery.supersede(keys.iter().copied(), mark),
            Self::Scope(scope) => recovery.supersede_scope(scope, mark),
        }
    }
}

/// Tells others later of a write that was dropped on its way.
struct Unfinished<'a> {
    recovery: &'a Recovery,
    change: Change<'a>,
    is_armed: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.change.leave_to(self.recovery, Task::AnnounceTwice);
        }
    }
}

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// Runs a write of the second tier; `changed` tells from its answer whether it changed anything.
    pub(super) async fn write<T: Send>(
        &self,
        change: Change<'_>,
        changed: impl FnOnce(&T) -> bool + Send,
        run: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        self.run_write(change, changed, run, None).await
    }

    /// Runs a delete of the second tier, which is tried again later if it fails.
    pub(super) async fn delete<T: Send>(
        &self,
        change: Change<'_>,
        run: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        // Others are told even if there was nothing: they may hold what has been evicted since.
        self.run_write(change, |_| true, run, Some(Task::Delete))
            .await
    }

    async fn run_write<T: Send>(
        &self,
        change: Change<'_>,
        changed: impl FnOnce(&T) -> bool + Send,
        run: impl Future<Output = Result<T>> + Send,
        again: Option<Task>,
    ) -> Result<T> {
        let needs_publish = self.needs_publish();
        let turned = match change {
            Change::Key(key) => self.recovery.begin_write(&[key]).await,
            Change::Keys(keys) => self.recovery.begin_write(keys).await,
            // It takes what was written before in any case.
            Change::Scope(_) => None,
        };
        self.forget(change).await;
        let mut unfinished = Unfinished {
            recovery: &self.recovery,
            change,
            is_armed: needs_publish,
        };
        let mark = self.recovery.mark();
        let outcome = run.await;
        let changed = match &outcome {
            Ok(answer) => {
                change.supersede(&self.recovery, mark);
                changed(answer)
            }
            Err(error) => {
                self.note_failure(change, error, again);
                false
            }
        };
        drop(turned);
        // After what is left to do was noted, so that later reads know of it.
        self.forget(change).await;
        let told = if needs_publish && changed {
            self.publish(&change.to_invalidation()).await
        } else {
            Ok(())
        };
        if told.is_err() {
            change.leave_to(&self.recovery, Task::Announce);
        }
        unfinished.is_armed = false;
        // A write that others have not been told of is no success: they may serve what was before.
        outcome.and_then(|answer| told.map(|()| answer))
    }

    /// Notes what is left to do about a write that has failed. Others are told in the background:
    /// the caller has waited long enough.
    fn note_failure(&self, change: Change<'_>, error: &Error, again: Option<Task>) {
        let has_lost = *error.kind() == ErrorKind::Conflict;
        let is_unknown = error.is_transient() && !has_lost;
        self.counters.unknown_writes.add(u64::from(is_unknown));
        // Who has lost a race has written nothing.
        if error.is_refused() || (has_lost && again.is_none()) {
            return;
        }
        let told = self.needs_publish().then_some(Task::AnnounceTwice);
        if let Some(task) = again.or(told) {
            change.leave_to(&self.recovery, task);
        }
    }

    fn needs_publish(&self) -> bool {
        self.bus.as_ref().is_some_and(|bus| bus.needs_publish())
    }

    pub(super) async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Option<Tagging<'_>>,
    ) -> Result<bool> {
        if options.condition != Condition::Always {
            self.settle(key).await?;
        }
        let may_stay = self.write_policy == WritePolicy::LocalOnOutage
            && options.condition == Condition::Always
            && !options.keeps_expiry;
        let spare = may_stay.then(|| (value.clone(), options.expiry));
        let set = async {
            match tagging {
                Some(tagging) => self.tags()?.set(key, value, options, tagging).await,
                None => self.l2.set(key, value, options).await,
            }
        };
        let written = self.write(Change::Key(key), |written| *written, set).await;
        match (written, spare) {
            (Err(error), Some((value, expiry))) if !error.is_refused() => self
                .keep_alone(key, value, expiry, tagging)
                .await
                .ok_or(error),
            (written, _) => written,
        }
    }

    /// Keeps a value in the first tier that the second did not take.
    async fn keep_alone(
        &self,
        key: &str,
        value: V,
        expiry: Expiry,
        tagging: Option<Tagging<'_>>,
    ) -> Option<bool> {
        if tagging.is_some_and(|tagging| tagging.since.is_some()) {
            // Whether its tags were invalidated since only the second tier can tell.
            return None;
        }
        let keys = tagging.map_or(&[][..], |tagging| tagging.tags);
        let tags: Vec<Arc<str>> = keys.iter().map(|key| (*key).into()).collect();
        let ticket = match self.l1.abilities().tags {
            Some(l1) if !tags.is_empty() => l1.ticket().await.ok(),
            _ => None,
        };
        let ttl = expiry
            .remaining()
            .unwrap_or(Duration::MAX)
            .min(self.longest);
        let (expiry, deadline) = match ttl {
            Duration::MAX => (Expiry::Never, u64::MAX),
            ttl => (Expiry::After(ttl), self.now().saturating_add(nanos(ttl))),
        };
        let alone = Promoted::new(value, LOCAL_ONLY, deadline);
        let _held_off = self.fence.detach(key).await;
        let kept = self.put_in_l1(key, alone, expiry, (&tags, ticket.as_ref()));
        if !kept.await {
            return None;
        }
        // What the second tier holds is older, and must not come back when this has ended.
        self.recovery.add_keys([key], Task::Delete);
        self.counters.local_only_writes.add(1);
        Some(true)
    }

    pub(super) async fn publish(&self, change: &Invalidation) -> Result<()> {
        match &self.bus {
            Some(bus) if bus.needs_publish() => bus.publish(change).await,
            _ => Ok(()),
        }
    }

    /// Takes out of the first tier what a write concerns, and what is being read of it.
    async fn forget(&self, change: Change<'_>) {
        match change {
            Change::Key(key) => self.forget_key(key).await,
            Change::Keys(keys) => {
                for key in keys {
                    self.forget_key(key).await;
                }
            }
            Change::Scope(scope) => self.forget_scope(scope).await,
        }
        if let Some(relay) = self.relay.get() {
            // Boxed: rare, and inline it would enlarge the future of every write.
            Box::pin(relay.changed(&change.to_invalidation())).await;
        }
    }

    pub(super) async fn forget_key(&self, key: &str) {
        if is_tag_key(key) {
            return self.forget_tag(key).await;
        }
        let _held_off = self.fence.detach(key).await;
        self.take_out(key).await;
    }

    /// Makes absent in the first tier what has a tag, and lets nobody join a read that may bring it.
    async fn forget_tag(&self, tag: &str) {
        self.fence.outdate_flights();
        if let Some(tags) = self.l1.abilities().tags
            && tags.invalidate(&[tag]).await.is_err()
        {
            self.fence.flush();
        }
    }

    /// Deletes keys from the second tier, and invalidates the tags among them.
    pub(super) async fn delete_in_l2(&self, keys: &[&str]) -> Result<()> {
        let (tags, keys): (Vec<&str>, Vec<&str>) = keys.iter().partition(|key| is_tag_key(key));
        if let Some(l2) = self.l2.abilities().tags.filter(|_| !tags.is_empty()) {
            l2.invalidate(&tags).await?;
        }
        if !keys.is_empty() {
            self.l2.delete_many(&keys).await?;
        }
        Ok(())
    }

    /// Removes a key from the first tier; the caller holds off others.
    pub(super) async fn take_out(&self, key: &str) {
        if self.l1.delete(key, Condition::Always).await.is_err() {
            // What cannot be taken out is made invalid with all the rest.
            self.fence.flush();
        }
    }

    pub(super) async fn forget_scope(&self, scope: &Scope) {
        self.fence.detach_scope(scope).await;
        if self.l1.clear(scope).await.is_err() {
            self.fence.flush();
        }
    }

    /// Does what has failed before, until the task is aborted: at once, and then with growing pauses.
    pub(super) async fn recover(self: Arc<Self>) {
        let pause = self.bound.min(LONGEST_DELAY);
        let mut delay = Duration::ZERO;
        loop {
            if self.recovery.is_empty() {
                self.recovery.wait().await;
                delay = Duration::ZERO;
            }
            sleep(delay + delay.mul_f64(fastrand::f64() / 2.0)).await;
            let mut batch = self.recovery.batch();
            let is_progress = match self.replay(&mut batch).await {
                Ok(()) => {
                    self.replayed(&batch);
                    true
                }
                Err(error) if error.is_transient() => false,
                Err(_) => self.replay_each(&batch).await,
            };
            delay = if is_progress {
                pause
            } else {
                (delay * 2).clamp(pause, LONGEST_DELAY)
            };
        }
    }

    /// Does one by one what was refused together, and tells whether some of it succeeded.
    async fn replay_each(&self, batch: &Batch) -> bool {
        let mut is_progress = false;
        for mut one in batch.each() {
            match self.replay(&mut one).await {
                Ok(()) => {
                    self.replayed(&one);
                    is_progress = true;
                }
                Err(error) if error.is_transient() => break,
                Err(error) if error.is_refused() => {
                    tracing::warn!(%error, "a failed delete or message is given up");
                    self.recovery.give_up(&one);
                }
                Err(error) => {
                    tracing::warn!(%error, "a failed delete or message is refused again");
                    self.recovery.postpone(&one);
                }
            }
        }
        is_progress
    }

    fn replayed(&self, batch: &Batch) {
        self.counters.recovered.add(batch.len());
        self.recovery.done(batch);
        let (keys, scopes) = batch.rest();
        self.recovery.add_keys(keys, Task::Announce);
        for scope in scopes {
            self.recovery.add_scope(scope, Task::Announce);
        }
    }

    /// Does what is left to do, and leaves in the batch what of it was done.
    async fn replay(&self, batch: &mut Batch) -> Result<()> {
        let turned = self.recovery.begin_repeats(batch);
        self.delete_in_l2(&batch.keys_to(Some(Task::Delete)))
            .await?;
        drop(turned);
        for (_, scope, task) in &batch.scopes {
            if *task == Task::Delete {
                self.l2.clear(scope).await?;
            }
            self.forget_scope(scope).await;
            self.publish(&Change::Scope(scope).to_invalidation())
                .await?;
        }
        let keys = batch.keys_to(None);
        self.forget(Change::Keys(&keys)).await;
        if keys.is_empty() {
            return Ok(());
        }
        self.publish(&Change::Keys(&keys).to_invalidation()).await
    }
}
