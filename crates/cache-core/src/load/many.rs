//! Loads many keys with one call of the loader.

mod claims;
mod elsewhere;
mod joins;
mod leases;

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::iter::repeat_with;
use std::sync::Arc;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;
use tracing::Instrument;

use self::claims::Own;
use self::elsewhere::Elsewhere;
use super::What;
use super::flights::{Boarding, Join, Lead, Outcome, Ticket, Verdict};
use super::lead::Leading;
use super::loader::load_span;
use super::lookup::Before;
use super::rights::{Fence, Rights};
use super::waiting::Answer;
use crate::{Cache, CacheBackend, LoadError, LoadOptions, LoadReason, Loaded, Result, TagTicket};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::{
    ErrorKind::{InvalidInput, LoadCycle, LoadTimeout},
    LoadLeases,
};

const OPERATION: &str = "get_many_or_load";
/// How many keys of one call are claimed, waited for, stored or given up at the same time: a store has a queue that
/// ends.
const AT_ONCE: usize = 64;

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the values of `keys`, in their order; those that are absent are loaded by one call of
    /// `load`, and stored.
    ///
    /// The loader gets the absent keys that nobody else loads, and returns pairs of a key and its
    /// value, in any order; the value is a `V`, an `Option<V>` or a [`Loaded<V>`]. A key that it
    /// leaves out has nothing. It runs again for keys that others gave up to load: once for all that one
    /// call of others has given up. Two calls whose keys overlap never wait for each other in a circle:
    /// each loads its own keys before it waits for those of others.
    ///
    /// A store with [leases](LoadLeases) has one load of a key for all processes here too, and what was loaded
    /// before another process has changed its key is not stored. That is one command for each absent key
    /// before the loader runs, 64 of them at the same time, and one for each key three times a second while it
    /// runs; [`lease_ttl`](LoadOptions::lease_ttl) of zero does without.
    ///
    /// Of the defaults it takes the time to live, `ttl_jitter`, `hard_timeout`, `absent_ttl`, `lease_ttl`, `allow_tags`
    /// and `fail_on_outage`; it serves no stale values and loads nothing ahead.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<usize>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// cache.set("one", 1usize).await?;
    /// let lengths = cache.get_many_or_load(&["one", "three"], async |missing: Vec<String>| {
    ///     assert_eq!(missing, ["three"]);
    ///     Ok::<_, io::Error>(missing.into_iter().map(|key| (key.clone(), key.len())))
    /// });
    /// let lengths: Result<Vec<_>, _> = lengths.await?.into_iter().collect();
    /// assert_eq!(lengths.unwrap(), [Some(1), Some(5)]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, and with [`LoadOptions::fail_on_outage`] what the backend
    /// reports. For a single key: the error of the loader, [`LoadTimeout`] or [`LoadCycle`], and with
    /// `fail_on_outage` why its lease cannot be had; the other keys have their values all the same.
    ///
    /// # Cancel safety
    /// A dropped call drops its loader and gives its leases up; of those who wait for a key, one then runs its own.
    pub async fn get_many_or_load<K, F, Fut, I, L, E>(
        &self,
        keys: &[K],
        load: F,
    ) -> Result<Vec<Result<Option<V>, LoadError<E>>>>
    where
        K: AsRef<str> + Sync,
        F: Fn(Vec<String>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (String, L)> + Send,
        L: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let raw = self.raw_many(OPERATION, keys)?;
        let mut bulk = Bulk::new(self).map_err(|error| error.during(OPERATION))?;
        let missing = bulk.read(keys, &raw).await;
        let (leads, joins) = bulk.board(missing.map_err(|error| error.during(OPERATION))?);
        bulk.lead(leads, &load).await;
        bulk.join(joins, &load).await;
        Ok(raw.iter().map(|raw| bulk.answer(raw)).collect())
    }
}

/// Keys that others load, as the backend knows them.
type Joins<'c, V> = Vec<(&'c str, Join<V>)>;

/// A load of many keys.
struct Bulk<'c, V, B, E> {
    cache: &'c Cache<V, B>,
    options: LoadOptions,
    deadline: Option<Instant>,
    is_outage: bool,
    /// The caller's keys, by those of the backend.
    names: HashMap<&'c str, &'c str>,
    /// What is known so far, by the keys of the backend.
    answers: HashMap<&'c str, Answer<V, E>>,
}

impl<'c, V, B, E> Bulk<'c, V, B, E>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
    E: Send + Sync + 'static,
{
    fn new(cache: &'c Cache<V, B>) -> Result<Self> {
        let options = cache.shared.load_options;
        Ok(Self {
            cache,
            options,
            deadline: cache.load_deadline(&options)?,
            is_outage: false,
            names: HashMap::new(),
            answers: HashMap::new(),
        })
    }

    /// Reads all keys, and returns the absent ones in their order.
    async fn read<K: AsRef<str> + Sync>(
        &mut self,
        keys: &'c [K],
        raw: &'c [Cow<'_, str>],
    ) -> Result<Vec<(&'c str, Ticket)>> {
        let shared = &self.cache.shared;
        let mut wanted = Vec::with_capacity(keys.len());
        for (key, raw) in keys.iter().zip(raw) {
            if self.names.insert(raw, key.as_ref()).is_none() {
                wanted.push((raw.as_ref(), shared.flights.ticket(raw)));
            }
        }
        let raw: Vec<&str> = wanted.iter().map(|(raw, _)| *raw).collect();
        let found = match self.cache.answers(&raw).await {
            Ok(found) => found,
            Err(error) => {
                self.cache.go_past_outage(&self.options, error)?;
                self.is_outage = true;
                raw.iter().map(|_| None).collect()
            }
        };
        let mut missing = Vec::new();
        for (key, value) in wanted.into_iter().zip(found) {
            match value {
                Some(value) => drop(self.answers.insert(key.0, Ok(Some(value)))),
                None => missing.push(key),
            }
        }
        let hits = self.answers.len() as u64;
        shared.counters.reads(hits, missing.len() as u64);
        Ok(missing)
    }

    /// Takes the lead for the absent keys that nobody loads.
    fn board(&mut self, missing: Vec<(&'c str, Ticket)>) -> (Vec<Lead<V>>, Joins<'c, V>) {
        let shared = &self.cache.shared;
        let (mut leads, mut joins) = (Vec::new(), Vec::new());
        let now = shared.clock.nanos();
        for (raw, ticket) in missing {
            let verdict = shared.flights.verdict(raw, now);
            if verdict == Some(Verdict::Absent) && self.options.absent_ttl.is_some() {
                self.answers.insert(raw, Ok(None));
                continue;
            }
            match shared.flights.board(raw, ticket) {
                Boarding::Lead(lead) => leads.push(lead),
                Boarding::Join(join) => joins.push((raw, join)),
            }
        }
        (leads, joins)
    }

    /// Loads the keys of some flights with one call of the loader, and ends the flights. Keys that another
    /// process loads are waited for after it, when no lease is held here: so two calls never wait for each
    /// other in a circle.
    async fn lead<F, Fut, I, L>(&mut self, leads: Vec<Lead<V>>, load: &F)
    where
        F: Fn(Vec<String>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (String, L)> + Send,
        L: Into<Loaded<V>>,
    {
        let leads = self.read_again(leads).await;
        if leads.is_empty() {
            return;
        }
        leads.iter().for_each(Lead::begin);
        let (claims, ticket) = join(self.claims(leads), self.ticket()).await;
        let (own, elsewhere) = self.sort_claims(claims);
        self.load(own, ticket, &elsewhere, load).await;
        self.load_elsewhere(elsewhere, load).await;
    }

    /// Loads keys with one call of the loader, which must not ask for any of those that are loaded `elsewhere`.
    async fn load<F, Fut, I, L>(
        &mut self,
        own: Own<V, B>,
        ticket: Result<Option<TagTicket>>,
        elsewhere: &Elsewhere<'c, V>,
        load: &F,
    ) where
        F: Fn(Vec<String>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (String, L)> + Send,
        L: Into<Loaded<V>>,
    {
        let Own { leads, leases } = own;
        if leads.is_empty() {
            return;
        }
        let names = leads.iter().map(|lead| self.name(lead).to_owned());
        let names: Vec<String> = names.collect();
        let span = load_span(LoadReason::Miss, leads.len());
        let loaded = leases.during(&leads, async { load(names).await });
        let (options, deadline) = (&self.options, self.deadline);
        let all: Vec<&Lead<V>> = leads.iter().chain(elsewhere.leads()).collect();
        let loaded = self
            .cache
            .run_loader(&all, options, deadline, loaded.instrument(span));
        match loaded.await {
            Ok(Ok(pairs)) => {
                let pairs = pairs.into_iter().map(|(key, value)| (key, value.into()));
                let loaded: HashMap<String, Loaded<V>> = pairs.collect();
                self.keep(Own { leads, leases }, loaded, &ticket).await;
            }
            Ok(Err(error)) => {
                let error = Arc::new(error);
                for lead in leads {
                    let failure = LoadError::Loader(Arc::clone(&error));
                    self.note(lead.key(), Err(failure));
                    let shared: Arc<dyn Any + Send + Sync> = Arc::clone(&error) as _;
                    lead.land(|| Outcome::Failed(shared));
                }
            }
            Err(error) => {
                let error = error.during(OPERATION);
                for lead in leads {
                    self.note(lead.key(), Err(LoadError::Cache(error.clone())));
                }
            }
        }
    }

    /// Returns a ticket for the tags of what will be loaded.
    async fn ticket(&self) -> Result<Option<TagTicket>> {
        match self.is_outage {
            true => Ok(None),
            false => self.cache.tag_ticket(&self.options).await,
        }
    }

    /// Reads the keys again that somebody may have stored since, and returns the flights of those
    /// that are still absent. A claim finds what is there.
    async fn read_again(&mut self, leads: Vec<Lead<V>>) -> Vec<Lead<V>> {
        let is_claimed = self.is_outage || self.terms().is_some();
        let is_late = |lead: &Lead<V>| lead.is_late && !is_claimed;
        let (late, mut absent): (Vec<_>, Vec<_>) = leads.into_iter().partition(is_late);
        if late.is_empty() {
            return absent;
        }
        let keys: Vec<&str> = late.iter().map(Lead::key).collect();
        let found = self.cache.shared.backend.get_many(&keys).await;
        let found = found
            .unwrap_or_default()
            .into_iter()
            .chain(repeat_with(|| None));
        for (lead, value) in late.into_iter().zip(found) {
            match value {
                Some(value) => {
                    self.note(lead.key(), Ok(Some(value.clone())));
                    lead.land(|| Outcome::Loaded(Some(value)));
                }
                None => absent.push(lead),
            }
        }
        absent
    }

    /// Stores what was loaded, many at the same time, and ends the flights.
    async fn keep(
        &mut self,
        own: Own<V, B>,
        mut loaded: HashMap<String, Loaded<V>>,
        ticket: &Result<Option<TagTicket>>,
    ) {
        let Own { leads, mut leases } = own;
        let this = &*self;
        let each = leads.into_iter().map(|lead| {
            let loaded = loaded.remove(this.name(&lead));
            let loaded = loaded.unwrap_or_else(Loaded::absent);
            // The leases of what is not stored are left, to be given up together.
            let leased = match loaded.what {
                What::Value(_) => leases.take(lead.key()),
                _ => None,
            };
            let is_unclaimed = leased.is_none() && !leases.has(lead.key());
            let is_outage = this.is_outage || is_unclaimed && this.terms().is_some();
            let fence = match leased {
                Some(leased) => Fence::Lease(leased),
                None => Fence::Absence,
            };
            let rights = Rights {
                fence,
                ticket: ticket.clone(),
            };
            this.keep_one(lead, loaded, is_outage, rights)
        });
        let kept: Vec<_> = stream::iter(each).buffer_unordered(AT_ONCE).collect().await;
        for (raw, answer) in kept {
            self.note(&raw, answer);
        }
    }

    async fn keep_one(
        &self,
        lead: Lead<V>,
        loaded: Loaded<V>,
        is_outage: bool,
        rights: Rights<V, B>,
    ) -> (String, Answer<V, E>) {
        let leading = Leading {
            cache: self.cache.clone(),
            operation: OPERATION,
            key: self.name(&lead).to_owned(),
            options: self.options,
            deadline: self.deadline,
            before: Before {
                is_outage,
                ..Before::of(LoadReason::Miss, None)
            },
        };
        let raw = lead.key().to_owned();
        let kept = leading.keep(lead, loaded, rights).await;
        (raw, kept.map_err(LoadError::Cache))
    }

    fn name(&self, lead: &Lead<V>) -> &'c str {
        self.names.get(lead.key()).copied().unwrap_or_default()
    }

    fn note(&mut self, raw: &str, answer: Answer<V, E>) {
        if let Some((raw, _)) = self.names.get_key_value(raw) {
            self.answers.insert(raw, answer);
        }
    }

    fn answer(&self, raw: &str) -> Answer<V, E> {
        match self.answers.get(raw) {
            Some(Ok(found)) => Ok(found.clone()),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(None),
        }
    }
}
