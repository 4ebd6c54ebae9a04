//! Waits for keys that other processes load.

use std::collections::{HashMap, VecDeque};
use std::{iter, mem};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::yield_now;

use super::claims::Own;
use super::{AT_ONCE, Bulk, OPERATION};
use crate::load::flights::Lead;
use crate::load::leased::Holder;
use crate::{CacheBackend, LoadError, Loaded, Result};

/// Keys whose leases other processes have.
pub(super) struct Elsewhere<'c, V> {
    /// The flights, which those of this process may wait for.
    leads: HashMap<&'c str, Lead<V>>,
    /// What is not waited for yet.
    later: VecDeque<(&'c str, Holder)>,
}

/// That a lease may have ended, or why that is not waited for any more.
type End<'c> = (&'c str, Result<()>);

impl<'c, V: Send + Sync> Elsewhere<'c, V> {
    pub(super) fn new() -> Self {
        Self {
            leads: HashMap::new(),
            later: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, raw: &'c str, lead: Lead<V>, holder: Holder) {
        self.leads.insert(raw, lead);
        self.later.push_back((raw, holder));
    }

    pub(super) fn leads(&self) -> impl Iterator<Item = &Lead<V>> + Send {
        self.leads.values()
    }

    fn append(&mut self, more: Self) {
        self.leads.extend(more.leads);
        self.later.extend(more.later);
    }
}

impl<'c, V, B, E> Bulk<'c, V, B, E>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
    E: Send + Sync + 'static,
{
    /// Waits for the loads of other processes, and does what is given up, with as few calls of the loader as
    /// there are of others that give up.
    pub(super) async fn load_elsewhere<F, Fut, I, L>(
        &mut self,
        mut elsewhere: Elsewhere<'c, V>,
        load: &F,
    ) where
        F: Fn(Vec<String>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<I, E>> + Send,
        I: IntoIterator<Item = (String, L)> + Send,
        L: Into<Loaded<V>>,
    {
        let mut ends = FuturesUnordered::new();
        loop {
            while ends.len() < AT_ONCE
                && let Some((raw, holder)) = elsewhere.later.pop_front()
            {
                if let Some(lead) = elsewhere.leads.get(raw) {
                    ends.push(self.end(raw, lead, holder));
                }
            }
            let Some(first) = ends.next().await else {
                return;
            };
            // A call that ends does so key by key: those of its keys that come with the first go with it.
            yield_now().await;
            let ended = iter::once(first).chain(ready(&mut ends)).collect();
            let own = self.take_over(ended, &mut elsewhere, &mut ends).await;
            if !own.leads.is_empty() {
                own.leads.iter().for_each(Lead::begin);
                let ticket = self.ticket().await;
                self.load(own, ticket, &elsewhere, load).await;
            }
        }
    }

    /// Claims keys whose leases have ended, and with the first of them that nobody has loaded all others that are
    /// waited for: whoever has given one up may have given up all.
    async fn take_over<W: Future<Output = End<'c>> + Send>(
        &mut self,
        mut ended: Vec<End<'c>>,
        elsewhere: &mut Elsewhere<'c, V>,
        ends: &mut FuturesUnordered<W>,
    ) -> Own<V, B> {
        let mut own = Own::new();
        while !ended.is_empty() {
            let leads = self.in_time(elsewhere, ended);
            let claims = self.claims(leads).await;
            let (more, held) = self.sort_claims(claims);
            let others = match own.leads.is_empty() && !more.leads.is_empty() {
                true => mem::take(&mut elsewhere.later),
                false => VecDeque::new(),
            };
            own.append(more);
            elsewhere.append(held);
            if own.leads.is_empty() {
                break;
            }
            let others = others.into_iter().map(|(raw, _)| (raw, Ok(())));
            ended = others.chain(ready(ends)).collect();
        }
        own
    }

    /// Returns when the lease of a key may have ended.
    fn end(
        &self,
        raw: &'c str,
        lead: &Lead<V>,
        holder: Holder,
    ) -> impl Future<Output = End<'c>> + Send + use<'c, V, B, E> {
        let wait = lead.waits_for(holder.lease());
        let (terms, options, deadline) = (self.terms(), self.options, self.deadline);
        async move {
            let ended = async {
                let _wait = wait?;
                match terms {
                    Some(terms) => terms.ended(raw, holder, &options, deadline).await,
                    None => Ok(()),
                }
            };
            (raw, ended.await)
        }
    }

    /// Returns the flights of leases that have ended in time, and notes the errors of the others.
    fn in_time(&mut self, elsewhere: &mut Elsewhere<'c, V>, ended: Vec<End<'c>>) -> Vec<Lead<V>> {
        let mut leads = Vec::with_capacity(ended.len());
        for (raw, ended) in ended {
            let lead = elsewhere.leads.remove(raw);
            match ended {
                Ok(()) => leads.extend(lead),
                // Of those who wait, some may have more time or be in no cycle.
                Err(error) => {
                    let error = LoadError::Cache(error.during(OPERATION));
                    self.answers.insert(raw, Err(error));
                }
            }
        }
        leads
    }
}

/// Returns what has come by now.
fn ready<F: Future>(waits: &mut FuturesUnordered<F>) -> impl Iterator<Item = F::Output> {
    iter::from_fn(|| waits.next().now_or_never().flatten())
}
