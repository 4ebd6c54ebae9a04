//! Finds a value: in the cache, in the load of somebody else, or in a load of its own.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::flights::{Arrival, Boarding, GivenTtl, Join, Lead, Outcome, Ticket, Verdict};
use super::lead::Leading;
use super::waiting::{Answer, answer};
use crate::facade::by_tag::tag_names;
use crate::timer::timeout_at;
use crate::{
    BackendEntry, Cache, CacheBackend, Error, Expiry, Layer, LoadContext, LoadError, LoadOptions,
    LoadReason, Loaded, ReadNow, Result,
};

/// Puts a load in the background.
pub(crate) type Spawn<'l> = fn(Pin<Box<dyn Future<Output = ()> + Send + 'l>>);

/// Returns the way to the background, if there is one.
#[cfg(not(shuttle))]
pub(crate) fn spawner() -> Option<Spawn<'static>> {
    tokio::runtime::Handle::try_current().ok()?;
    Some(|work| drop(tokio::spawn(work)))
}

/// Returns the way to the background of the schedule that is explored.
#[cfg(shuttle)]
pub(crate) fn spawner() -> Option<Spawn<'static>> {
    Some(|work| drop(shuttle::future::spawn(work)))
}

/// A key that is looked up and, if need be, loaded by a future that lives for `'l`.
pub(crate) struct Lookup<'c, 'l, V, B> {
    cache: &'c Cache<V, B>,
    operation: &'static str,
    key: &'c str,
    raw: &'c str,
    options: LoadOptions,
    spawn: Option<Spawn<'l>>,
    deadline: Option<Instant>,
    /// Does not take "there is nothing" for an answer of others.
    insists: bool,
}

/// What there is before a load.
pub(super) struct Before<V> {
    pub(super) reason: LoadReason,
    pub(super) last: Option<Last<V>>,
    /// The key was found with a value.
    pub(super) is_present: bool,
    /// The cache could not be read.
    pub(super) is_outage: bool,
}

/// The last value of a key.
pub(crate) struct Last<V> {
    pub(crate) value: V,
    /// How long ago it ended.
    pub(crate) ended: Duration,
    /// The names of its tags.
    pub(crate) tags: Vec<String>,
    /// Where it was found.
    pub(crate) layer: Layer,
}

impl<V: Clone> Before<V> {
    pub(super) const fn of(reason: LoadReason, last: Option<Last<V>>) -> Self {
        Self {
            reason,
            last,
            is_present: matches!(reason, LoadReason::Ahead | LoadReason::Refresh),
            is_outage: false,
        }
    }

    fn last_within(&self, limit: Option<Duration>) -> Option<V> {
        self.is_within(limit).then(|| self.value()).flatten()
    }

    /// Tells whether there is a last value that ended no longer ago than that.
    pub(super) fn is_within(&self, limit: Option<Duration>) -> bool {
        let ended = self.last.as_ref().map(|last| last.ended);
        ended
            .zip(limit)
            .is_some_and(|(ended, limit)| ended <= limit)
    }

    /// Returns the last value, if there is one.
    pub(super) fn value(&self) -> Option<V> {
        self.last.as_ref().map(|last| last.value.clone())
    }

    /// Returns what may be served in the place of a load that fails or takes too long.
    fn fallback(&self, options: &LoadOptions) -> Option<V> {
        if self.reason == LoadReason::Refresh {
            // Who asks for a new value is not served with the old one.
            return None;
        }
        self.last_within(options.fail_safe.map(|fail_safe| fail_safe.max_stale))
    }
}

impl<'c, 'l, V, B> Lookup<'c, 'l, V, B>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    pub(crate) fn new(
        cache: &'c Cache<V, B>,
        operation: &'static str,
        key: &'c str,
        raw: &'c str,
        options: LoadOptions,
        spawn: Option<Spawn<'l>>,
    ) -> Result<Self> {
        let lookup = Self {
            cache,
            operation,
            key,
            raw,
            options,
            spawn,
            deadline: None,
            insists: false,
        };
        let deadline = cache.load_deadline(&lookup.options);
        let deadline = deadline.map_err(|error| lookup.named(error))?;
        Ok(Self { deadline, ..lookup })
    }

    pub(crate) fn insisting(self) -> Self {
        Self {
            insists: true,
            ..self
        }
    }

    fn named(&self, error: Error) -> Error {
        error.during(self.operation).for_key(self.key)
    }

    /// Returns the value that there is, or loads one.
    pub(crate) async fn run<F, Fut, E>(self, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let (shared, raw) = (&self.cache.shared, self.raw);
        let ticket = shared.flights.ticket(raw);
        let before = match self.read().await {
            Ok(Some(entry)) => {
                shared.counters.read(true);
                return Ok(Some(self.hit(ticket, entry, load)));
            }
            Ok(None) => self.last().await,
            Err(error) => self.past_outage(error)?,
        };
        shared.counters.read(false);
        let now = shared.clock.nanos();
        match shared.flights.verdict(raw, now) {
            Some(Verdict::Absent) if !self.insists && self.options.absent_ttl.is_some() => {
                return Ok(None);
            }
            Some(Verdict::Failed) => {
                if let Some(last) = before.fallback(&self.options) {
                    return Ok(self.stale(last));
                }
            }
            _ => {}
        }
        if let Some(spawn) = self.spawn
            && let Some(last) = before.last_within(self.options.stale_while_revalidate)
        {
            if let Some(lead) = shared.flights.board_alone(raw, ticket, now) {
                self.in_background(spawn, lead, before, load);
            }
            return Ok(self.stale(last));
        }
        // A hit has no use for the room that a load takes.
        Box::pin(self.board(ticket, before, load)).await
    }

    /// Loads a value whether or not there is one.
    pub(crate) async fn refresh<F, Fut, E>(self, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let mut before = match self.cache.shared.backend.get_entry(self.raw).await {
            Ok(Some(entry)) => Before::of(LoadReason::Refresh, Some(self.present(entry))),
            Ok(None) => self.last().await,
            Err(error) => self.past_outage(error)?,
        };
        before.reason = LoadReason::Refresh;
        let lead = self.cache.shared.flights.board_anew(self.raw).await;
        Box::pin(self.lead(lead, before, None, load)).await
    }

    /// Reads the value and, if that is of use, the time that it has left.
    async fn read(&self) -> Result<Option<BackendEntry<V>>> {
        let cache = self.cache;
        if self.options.looks_ahead() && self.spawn.is_some() {
            return cache.answer_with_expiry(self.raw).await;
        }
        let found = match cache.answer_now(self.raw) {
            ReadNow::Answer(found) => found,
            ReadNow::WouldWait => cache.answer(self.raw).await,
        };
        Ok(found?.map(|value| BackendEntry::new(value, Expiry::Never)))
    }

    /// Reads the last value of an absent key. That it cannot be read is no worse than that there is
    /// none.
    async fn last(&self) -> Before<V> {
        match self.cache.kept(self.key).await {
            Ok(Some(last)) => Before::of(LoadReason::Stale, Some(last)),
            _ => Before::of(LoadReason::Miss, None),
        }
    }

    fn past_outage(&self, error: Error) -> Result<Before<V>> {
        let passed = self.cache.go_past_outage(&self.options, error);
        passed.map_err(|error| self.named(error))?;
        Ok(Before {
            is_outage: true,
            ..Before::of(LoadReason::Miss, None)
        })
    }

    fn present(&self, entry: BackendEntry<V>) -> Last<V> {
        Last {
            tags: tag_names(&self.cache.keyspace, &entry.tags),
            value: entry.value,
            ended: Duration::ZERO,
            layer: entry.layer,
        }
    }

    fn stale(&self, last: V) -> Option<V> {
        self.cache.shared.loads.stale_served();
        Some(last)
    }

    /// Returns a value that is there, and loads the next one if it is time.
    fn hit<F, Fut, E>(&self, ticket: Ticket, entry: BackendEntry<V>, load: F) -> V
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let shared = &self.cache.shared;
        if let (Some(spawn), Some(left)) = (self.spawn, entry.expiry.remaining())
            && self.is_due(left)
            && let Some(lead) = shared
                .flights
                .board_alone(self.raw, ticket, shared.clock.nanos())
        {
            let value = entry.value.clone();
            let before = Before::of(LoadReason::Ahead, Some(self.present(entry)));
            self.in_background(spawn, lead, before, load);
            return value;
        }
        entry.value
    }

    /// Tells whether a value with this time left is to be loaded again.
    fn is_due(&self, left: Duration) -> bool {
        let (options, shared) = (&self.options, &self.cache.shared);
        let is_ahead = options.refresh_ahead.is_some_and(|share| {
            let ttl = match shared.flights.given_ttl(self.raw, shared.clock.nanos()) {
                GivenTtl::Own(ttl) => Some(ttl),
                GivenTtl::Usual => self.cache.usual_ttl(options),
                // It may have just been stored. Once it has expired, it is loaded in any case.
                GivenTtl::Forgotten => None,
            };
            ttl.is_some_and(|ttl| left <= ttl.mul_f64(1.0 - share))
        });
        let is_early = options.early_refresh.is_some_and(|beta| {
            // Optimal in expectation if the time between calls is exponential (XFetch).
            let early = shared.loads.mean_time().as_secs_f64() * beta * -fastrand::f64().ln();
            left.as_secs_f64() <= early
        });
        is_ahead || is_early
    }

    /// Loads the key, or waits for the load that is under way.
    async fn board<F, Fut, E>(
        self,
        mut ticket: Ticket,
        before: Before<V>,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let fallback = before.fallback(&self.options);
        let soft = fallback.as_ref().and(self.options.soft_timeout);
        let soft = soft.and_then(|soft| Instant::now().checked_add(soft));
        loop {
            let join = match self.cache.shared.flights.board(self.raw, ticket) {
                Boarding::Lead(lead) => return self.lead(lead, before, soft, load).await,
                Boarding::Join(join) => join,
            };
            let outcome = match self.join(join, soft).await {
                Ok(Arrival::Lead(lead)) => return self.lead(lead, before, soft, load).await,
                Ok(Arrival::Landed(Outcome::Broken(error))) if fallback.is_some() => {
                    return self.or_last(fallback, self.failed(error));
                }
                Ok(Arrival::Landed(Outcome::Unclaimed(error))) if self.fails_on_outage() => {
                    return self.or_last(fallback, self.failed(error));
                }
                Ok(Arrival::Landed(outcome)) => outcome,
                Err(error) => return self.or_last(fallback, self.failed(error)),
            };
            match answer(outcome) {
                Some(Err(LoadError::Cache(error))) => return self.failed(error),
                Some(Err(failure)) => return self.or_last(fallback, Err(failure)),
                Some(Ok(found)) if found.is_some() || !self.insists => return Ok(found),
                _ => {}
            }
            // What the flight was about is over; whoever leads the next one reads again.
            ticket = Ticket::OUTDATED;
        }
    }

    fn failed<E>(&self, error: Error) -> Answer<V, E> {
        Err(LoadError::Cache(self.named(error)))
    }

    fn fails_on_outage(&self) -> bool {
        self.options.fail_on_outage == Some(true)
    }

    fn or_last<E>(&self, last: Option<V>, answer: Answer<V, E>) -> Answer<V, E> {
        match (answer, last) {
            (Err(_), Some(last)) => Ok(self.stale(last)),
            (answer, _) => answer,
        }
    }

    async fn join(&self, join: Join<V>, soft: Option<Instant>) -> Result<Arrival<V>> {
        let until = soft.into_iter().chain(self.deadline).min();
        self.cache.join(join, &self.options, until).await
    }

    async fn lead<F, Fut, E>(
        self,
        lead: Lead<V>,
        before: Before<V>,
        soft: Option<Instant>,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let fallback = before.fallback(&self.options);
        let work = self.leading(before).run(lead, load);
        let (Some(last), Some(soft), Some(spawn)) = (&fallback, soft, self.spawn) else {
            return self.or_last(fallback, work.await);
        };
        let mut work = Box::pin(work);
        match timeout_at(soft, &mut work).await {
            Ok(answer) => self.or_last(fallback, answer),
            Err(_elapsed) => {
                spawn(Box::pin(async move { drop(work.await) }));
                Ok(self.stale(last.clone()))
            }
        }
    }

    fn in_background<F, Fut, E>(&self, spawn: Spawn<'l>, lead: Lead<V>, before: Before<V>, load: F)
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'l,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send + 'l,
        E: Send + Sync + 'static,
    {
        let work = self.leading(before).run(lead, load);
        spawn(Box::pin(async move { drop(work.await) }));
    }

    fn leading(&self, before: Before<V>) -> Leading<V, B> {
        Leading {
            cache: self.cache.clone(),
            operation: self.operation,
            key: self.key.to_owned(),
            options: self.options,
            deadline: self.deadline,
            before,
        }
    }
}
