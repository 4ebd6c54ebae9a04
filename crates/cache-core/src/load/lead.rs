//! A load, from the loader to the store.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;
use tracing::Instrument;

use super::What;
use super::fill::{Filled, Fresh};
use super::flights::{HoldOff, Lead, Outcome, OwnTime, Verdict};
use super::loader::load_span;
use super::lookup::Before;
use super::rights::{Fence, Grant, Rights};
use crate::facade::by_tag::tag_keys;
use crate::{
    Cache, CacheBackend, Condition, Error, ErrorKind, Expiry, LoadContext, LoadError, LoadOptions,
    LoadReason, Loaded, Result, Ttl, Version,
};

/// For how long a key is not loaded in the background again after that has failed.
const BACKGROUND_THROTTLE: Duration = Duration::from_secs(1);

/// What a leader needs. It owns all of it, so that it can go to the background.
pub(super) struct Leading<V, B> {
    pub(super) cache: Cache<V, B>,
    pub(super) operation: &'static str,
    pub(super) key: String,
    pub(super) options: LoadOptions,
    pub(super) deadline: Option<Instant>,
    pub(super) before: Before<V>,
}

impl<V, B> Leading<V, B>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    /// Runs the loader, stores what it brings and tells those who wait.
    pub(super) async fn run<F, Fut, E>(
        mut self,
        lead: Lead<V>,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send,
        Fut: Future<Output = Result<Loaded<V>, E>> + Send,
        E: Send + Sync + 'static,
    {
        // Start before taking the ticket for tags, so that no joiner gets a value that the store will reject.
        lead.begin();
        let (grant, mut ticket) = join(self.grant(&lead), self.ticket()).await;
        let fence = match grant {
            Ok(Grant::Load(fence)) => fence,
            Ok(Grant::PastOutage) => {
                self.before.is_outage = true;
                Fence::Nothing
            }
            Ok(Grant::Found(value)) => {
                lead.land(|| Outcome::Loaded(Some(value.clone())));
                return Ok(Some(value));
            }
            Err(error) => {
                // Of those who wait, some may have more time or be in no cycle; none has a better store.
                if !is_of_caller(&error) {
                    lead.land(|| Outcome::Unclaimed(error.clone()));
                }
                return Err(LoadError::Cache(self.named(error)));
            }
        };
        if let Fence::Lease(leased) = &fence
            && leased.has_waited
        {
            // The older it is, the more invalidations it finds that have nothing to do with this load.
            lead.begin();
            ticket = self.ticket().await;
        }
        if fence.is_blind() {
            // Nothing will tell whether another process changes the key.
            lead.was_current_at(Instant::now());
        }
        let context = LoadContext {
            key: self.key.clone(),
            reason: self.before.reason,
            last: self.before.value(),
            fencing_token: match &fence {
                Fence::Lease(leased) => Some(leased.lease().fencing_token()),
                _ => None,
            },
        };
        let load = async {
            let load = load(context);
            match &fence {
                Fence::Lease(leased) => leased.during(&lead, load).await,
                _ => load.await,
            }
        };
        let load = load.instrument(load_span(self.before.reason, 1));
        let leads = &[&lead];
        let loaded = self
            .cache
            .run_loader(leads, &self.options, self.deadline, load);
        match loaded.await {
            Ok(Ok(loaded)) => {
                let rights = Rights { fence, ticket };
                let kept = self.keep(lead, loaded, rights).await;
                kept.map_err(LoadError::Cache)
            }
            Ok(Err(error)) => {
                let error = Arc::new(error);
                let shared: Arc<dyn Any + Send + Sync> = Arc::clone(&error) as _;
                self.fail(lead, Outcome::Failed(shared));
                Err(LoadError::Loader(error))
            }
            Err(error) => {
                self.fail(lead, Outcome::Broken(error.clone()));
                Err(LoadError::Cache(self.named(error)))
            }
        }
    }

    /// Stores what was loaded and ends the flight.
    pub(super) async fn keep(
        &self,
        lead: Lead<V>,
        loaded: Loaded<V>,
        rights: Rights<V, B>,
    ) -> Result<Option<V>> {
        let Loaded { what, ttl, tags } = loaded;
        let mut tags = tags;
        let (value, is_stored) = match what {
            What::Value(value) => (Some(value), true),
            What::NotStored(value) => (Some(value), false),
            What::Absent => (None, true),
            What::Unchanged => {
                if let Some(last) = self.before.last.as_ref().filter(|_| tags.is_empty()) {
                    tags.clone_from(&last.tags);
                }
                (self.before.value(), true)
            }
        };
        let is_stored = is_stored && !ttl.is_some_and(Ttl::is_over);
        let winner = match &value {
            _ if self.before.is_outage => Ok(None),
            Some(value) if is_stored => self.store(&lead, value, ttl, &tags, rights).await,
            _ => {
                let forgotten = match rights.fence.was_there() {
                    Ok(was_there) => self.forget(&lead, was_there).await,
                    Err(error) => Err(error),
                };
                self.counted(forgotten);
                Ok(None)
            }
        };
        let keys = tag_keys(&self.cache.keyspace, &tags);
        let found = match (winner, keys) {
            // Nothing is known of the tags of what somebody else has stored.
            (Ok(Some(winner)), _) => Some(winner),
            (Ok(None), Ok(keys)) => {
                lead.has_tags(keys);
                value
            }
            (Err(error), _) | (_, Err(error)) => {
                // Those who wait name it after their own calls.
                lead.land(|| Outcome::Broken(error.clone()));
                return Err(self.named(error));
            }
        };
        // Of an absence with tags it is not known for how long it holds.
        let is_absent = found.is_none() && tags.is_empty();
        let absent_ttl = self.options.absent_ttl.filter(|_| is_absent);
        let hold_off = self.hold_off(absent_ttl, Verdict::Absent);
        lead.land_and_hold_off(hold_off, || Outcome::Loaded(found.clone()));
        Ok(found)
    }

    /// Ends the flight with the error of the loader, or gives it up.
    fn fail(&self, lead: Lead<V>, failure: Outcome<V>) {
        let (reason, last) = (self.before.reason, &self.before.last);
        let fail_safe = self.options.fail_safe.filter(|_| last.is_some());
        let is_background = match reason {
            LoadReason::Ahead => true,
            LoadReason::Stale => self.before.is_within(self.options.stale_while_revalidate),
            LoadReason::Miss | LoadReason::Refresh => false,
        };
        let throttle = match fail_safe {
            _ if reason == LoadReason::Refresh => None,
            Some(fail_safe) => Some(fail_safe.throttle),
            None => is_background.then_some(BACKGROUND_THROTTLE),
        };
        match (failure, self.hold_off(throttle, Verdict::Failed)) {
            // Somebody else may still have the time, and nothing says that it is not worth it.
            (Outcome::Broken(_), None) => drop(lead),
            // Nor has a caller that waits anything to serve in the place of the error.
            (Outcome::Broken(_), Some(hold_off)) if fail_safe.is_none() => lead.give_up(hold_off),
            // A caller that has nothing to serve starts over.
            (failure, hold_off) => lead.land_and_hold_off(hold_off, || failure),
        }
    }

    fn hold_off(&self, time: Option<Duration>, verdict: Verdict) -> Option<HoldOff> {
        let clock = &self.cache.shared.clock;
        Some(HoldOff {
            now: clock.nanos(),
            until: clock.deadline_nanos(time?),
            verdict,
        })
    }

    /// Stores a value unless the key was written meanwhile; returns what is there if somebody
    /// else's value is. That the store fails is counted: the caller has its value.
    async fn store(
        &self,
        lead: &Lead<V>,
        value: &V,
        given: Option<Ttl>,
        tags: &[String],
        rights: Rights<V, B>,
    ) -> Result<Option<V>> {
        let ttl = given.or(self.options.ttl).unwrap_or(Ttl::DEFAULT);
        let expiry = self.cache.resolve(self.operation, &self.key, ttl)?;
        let expiry = expiry.shortened_by(self.options.ttl_jitter.unwrap_or_default());
        if !tags.is_empty() {
            self.cache.check_tags(&self.options)?;
        }
        let Rights { fence, ticket } = rights;
        let origin = fence.is_there(self.cache.shared.clock.nanos());
        let since = match ticket {
            Err(error) if !tags.is_empty() => {
                // Without a ticket it cannot be told whether the tags are still those of the value.
                return Ok(self.not_stored(lead, error, origin).await);
            }
            ticket => ticket.unwrap_or_default(),
        };
        let fresh = Fresh {
            own_time: self.own_time(given, expiry),
            key: &self.key,
            value,
            expiry,
            tags,
            since: since.as_ref(),
        };
        let filled = self.fill(lead, &fresh, fence, origin.clone()).await;
        match filled {
            Ok(Filled::Found(found)) => Ok(Some(found)),
            Ok(Filled::Stored | Filled::Overtaken) => Ok(None),
            Err(error) => Ok(self.not_stored(lead, error, origin).await),
        }
    }

    /// Stores a value if its fence lets it pass.
    async fn fill(
        &self,
        lead: &Lead<V>,
        fresh: &Fresh<'_, V>,
        fence: Fence<V, B>,
        origin: Option<Version>,
    ) -> Result<Filled<V>> {
        let cache = &self.cache;
        match fence {
            Fence::Lease(leased) => cache.fill_lease(lead, fresh, leased).await,
            Fence::Unknown(error) => Err(error),
            Fence::Nothing => cache.fill_nothing(lead, fresh).await,
            // The entry has expired, and nobody knows whether another process has deleted the key before or since.
            Fence::Entry(_) if origin.is_none() && cache.lease_terms(&self.options).is_some() => {
                cache.fill_nothing(lead, fresh).await
            }
            Fence::Entry(_) | Fence::Absence => {
                let condition = Condition::unchanged(origin);
                cache.fill(lead, fresh, condition).await
            }
        }
    }

    /// Returns the time to live of a value if a load ahead could not tell it from the options:
    /// because the loader gave it, or because jitter has made it so short that it would be due at once.
    fn own_time(&self, given: Option<Ttl>, expiry: Expiry) -> Option<OwnTime> {
        let (share, ttl) = (self.options.refresh_ahead?, expiry.remaining()?);
        let usual = self.cache.usual_ttl(&self.options);
        let is_short = usual.is_some_and(|usual| ttl < usual.mul_f64(1.0 - share));
        let clock = &self.cache.shared.clock;
        (given.is_some() || is_short).then(|| OwnTime {
            ttl,
            now: clock.nanos(),
            until: clock.deadline_nanos(ttl),
        })
    }

    /// Counts that a value could not be stored. Those who wait get it, so what is older must not be served
    /// any more; if nobody does, what is there stays until its time is over.
    async fn not_stored(&self, lead: &Lead<V>, error: Error, origin: Option<Version>) -> Option<V> {
        self.counted::<()>(Err(error));
        let is_ahead = self.before.reason == LoadReason::Ahead && origin.is_some();
        if !is_ahead || lead.is_waited_for() {
            // It is counted already.
            let _ = self.forget(lead, origin).await;
        }
        None
    }

    /// Removes what is older than what was loaded and not stored: the copy that has outlived its value,
    /// and the value itself if it is the one that was there.
    async fn forget(&self, lead: &Lead<V>, origin: Option<Version>) -> Result<()> {
        self.cache.unfill(lead, &self.key, origin).await
    }

    fn counted<T>(&self, outcome: Result<T>) -> Option<T> {
        if outcome.is_err() {
            self.cache.shared.loads.not_stored();
        }
        outcome.ok()
    }

    fn named(&self, error: Error) -> Error {
        error.during(self.operation).for_key(&self.key)
    }
}

/// Tells whether an error says something of the caller alone, and nothing of the key or the store.
pub(super) fn is_of_caller(error: &Error) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::LoadTimeout { .. } | ErrorKind::LoadCycle)
}
