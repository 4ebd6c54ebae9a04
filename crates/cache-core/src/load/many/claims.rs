//! Takes the leases of the keys of a bulk load.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use super::elsewhere::Elsewhere;
use super::leases::Leases;
use super::{AT_ONCE, Bulk, OPERATION};
use crate::load::flights::{Lead, Outcome};
use crate::load::leased::{Asked, Holder, Terms};
use crate::{CacheBackend, Error, LoadError};

/// Keys that are loaded here. Without a lease are those that were not claimed: if the store has leases, nothing of
/// them is stored.
pub(super) struct Own<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    pub(super) leads: Vec<Lead<V>>,
    pub(super) leases: Leases<V, B>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Own<V, B> {
    pub(super) fn new() -> Self {
        Self {
            leads: Vec::new(),
            leases: Leases::new(),
        }
    }

    pub(super) fn append(&mut self, more: Self) {
        self.leads.extend(more.leads);
        self.leases.append(more.leases);
    }
}

/// How a store has answered to the claims of some keys.
pub(super) struct Claims<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    own: Own<V, B>,
    held: Vec<(Lead<V>, Holder)>,
    found: Vec<(Lead<V>, V)>,
    failure: Option<Error>,
}

impl<'c, V, B, E> Bulk<'c, V, B, E>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
    E: Send + Sync + 'static,
{
    /// Returns the leases of the store, if they are of use.
    pub(super) fn terms(&self) -> Option<Terms<'c, V>> {
        let terms = self.cache.lease_terms(&self.options);
        terms.filter(|_| !self.is_outage)
    }

    /// Claims keys, many at the same time. After a claim that fails no other is begun: a store that is
    /// away is not asked a thousand times.
    pub(super) async fn claims(&self, leads: Vec<Lead<V>>) -> Claims<V, B> {
        let mut claims = Claims {
            own: Own::new(),
            held: Vec::new(),
            found: Vec::new(),
            failure: None,
        };
        let Some(terms) = self.terms() else {
            claims.own.leads = leads;
            return claims;
        };
        let (cache, has_failed) = (self.cache, AtomicBool::new(false));
        let has_failed = &has_failed;
        let ask = |lead: Lead<V>| async move {
            if has_failed.load(Ordering::Relaxed) {
                return (lead, None);
            }
            let asked = cache.ask(&lead, terms).await;
            if asked.is_err() {
                has_failed.store(true, Ordering::Relaxed);
            }
            (lead, Some(asked))
        };
        let mut asked = pin!(stream::iter(leads).map(ask).buffered(AT_ONCE));
        while let Some((lead, asked)) = asked.next().await {
            match asked {
                Some(Ok(Asked::Granted(leased))) => {
                    claims.own.leases.add(leased);
                    claims.own.leads.push(lead);
                }
                Some(Ok(Asked::Held(holder))) => claims.held.push((lead, holder)),
                Some(Ok(Asked::Found(value))) => claims.found.push((lead, value)),
                Some(Err(error)) => {
                    claims.failure.get_or_insert(error);
                    claims.own.leads.push(lead);
                }
                None => claims.own.leads.push(lead),
            }
        }
        claims
    }

    /// Notes what was found, and returns what is to be loaded here and what is loaded elsewhere.
    pub(super) fn sort_claims(&mut self, claims: Claims<V, B>) -> (Own<V, B>, Elsewhere<'c, V>) {
        let mut own = claims.own;
        for (lead, value) in claims.found {
            self.note(lead.key(), Ok(Some(value.clone())));
            lead.land(|| Outcome::Loaded(Some(value)));
        }
        if let Some(error) = claims.failure
            && let Err(error) = self.cache.go_past_outage(&self.options, error)
        {
            let is_claimed = |lead: &Lead<V>| own.leases.has(lead.key());
            let (claimed, failed) = own.leads.into_iter().partition(is_claimed);
            own.leads = claimed;
            self.fail(failed, error);
        }
        if self.is_outage || self.terms().is_some() {
            let now = Instant::now();
            let unclaimed = own.leads.iter().filter(|lead| !own.leases.has(lead.key()));
            // Nothing will tell whether another process changes them.
            unclaimed.for_each(|lead| lead.was_current_at(now));
        }
        let mut elsewhere = Elsewhere::new();
        for (lead, holder) in claims.held {
            if let Some((raw, _)) = self.names.get_key_value(lead.key()) {
                elsewhere.add(raw, lead, holder);
            }
        }
        (own, elsewhere)
    }

    /// Ends the flights of keys that cannot be claimed.
    fn fail(&mut self, leads: Vec<Lead<V>>, error: Error) {
        let error = error.during(OPERATION);
        for lead in leads {
            self.note(lead.key(), Err(LoadError::Cache(error.clone())));
            lead.land(|| Outcome::Unclaimed(error.clone()));
        }
    }
}
