//! The lease of a load: the right to load a key, among all processes that share a store.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::flights::{JOINED_UNSEEN, Lead, LeaseEntry};
use super::loader::too_long;
use super::rights::{Fence, Grant};
use crate::timer::{sleep, timeout_at};
use crate::{Cache, CacheBackend, Claim, LoadLease, LoadLeases, LoadOptions, Result};

/// For how long a lease is taken unless the options say otherwise. It is extended while the loader
/// runs, so this is how long others wait for a process that has died.
const LEASE_TTL: Duration = Duration::from_secs(5);

/// The leases of a store, and for how long a load takes them.
pub(super) struct Terms<'c, V> {
    leases: &'c dyn LoadLeases<V>,
    ttl: Duration,
}

// Written by hand: the derived forms would ask the same of `V`.
impl<V> Clone for Terms<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Terms<'_, V> {}

/// How the store has answered to a claim.
pub(super) enum Asked<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    /// The lease is ours.
    Granted(Leased<V, B>),
    /// The lease is that of another.
    Held(Holder),
    /// Somebody has loaded the key.
    Found(V),
}

/// A lease that another has.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    left: Duration,
    lease: Option<LoadLease>,
}

/// A lease that is held.
pub(super) struct Leased<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    cache: Cache<V, B>,
    raw: String,
    lease: LoadLease,
    ttl: Duration,
    _entry: LeaseEntry,
    /// Another process had it before.
    pub(super) has_waited: bool,
    /// The store does not know yet that it is over.
    is_held: bool,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the leases of the store, if it has any and they are wanted.
    pub(super) fn lease_terms(&self, options: &LoadOptions) -> Option<Terms<'_, V>> {
        let ttl = options.lease_ttl.unwrap_or(LEASE_TTL);
        let leases = self.shared.backend.abilities().leases;
        let leases = leases.filter(|_| !ttl.is_zero() && Handle::try_current().is_ok());
        leases.map(|leases| Terms { leases, ttl })
    }

    /// Asks once for the lease of a key.
    pub(super) async fn ask(&self, lead: &Lead<V>, terms: Terms<'_, V>) -> Result<Asked<V, B>> {
        let (raw, asked) = (lead.key(), Instant::now());
        Ok(match terms.leases.claim(raw, terms.ttl).await? {
            Claim::Found(value) => Asked::Found(value),
            Claim::Held { left, lease } => Asked::Held(Holder { left, lease }),
            Claim::Granted(lease) => {
                lead.was_current_at(asked);
                Asked::Granted(Leased {
                    cache: self.clone(),
                    raw: raw.to_owned(),
                    lease,
                    ttl: terms.ttl,
                    _entry: lead.entry_of(lease),
                    has_waited: false,
                    is_held: true,
                })
            }
        })
    }

    /// Takes the lease of a key, or waits until who has it has loaded the key.
    ///
    /// # Errors
    /// [`LoadCycle`](crate::ErrorKind::LoadCycle): whoever has the lease waits for this load.
    pub(super) async fn claim(
        &self,
        lead: &Lead<V>,
        options: &LoadOptions,
        deadline: Option<Instant>,
    ) -> Result<Grant<V, B>> {
        let Some(terms) = self.lease_terms(options) else {
            return Ok(Grant::Load(Fence::Absence));
        };
        let mut has_waited = false;
        loop {
            match self.ask(lead, terms).await? {
                Asked::Found(value) => return Ok(Grant::Found(value)),
                Asked::Granted(mut leased) => {
                    leased.has_waited = has_waited;
                    return Ok(Grant::Load(Fence::Lease(leased)));
                }
                Asked::Held(holder) => {
                    has_waited = true;
                    let _wait = lead.waits_for(holder.lease)?;
                    terms.ended(lead.key(), holder, options, deadline).await?;
                }
            }
        }
    }

    /// Takes the lease of a key for a load that has to begin now, be it from a load that has begun earlier.
    ///
    /// That one is too old for a caller that asks for a new value, and its value must not be stored after the newer one:
    /// so its lease is ended, as a change of the key would end it. A lease that another load gets in between
    /// stays: that load has begun after this call, and stores what is new enough.
    pub(super) async fn claim_now(
        &self,
        lead: &Lead<V>,
        options: &LoadOptions,
    ) -> Result<Grant<V, B>> {
        let Some(terms) = self.lease_terms(options) else {
            return Ok(Grant::Load(Fence::Absence));
        };
        let mut asked = self.ask(lead, terms).await?;
        if let Asked::Held(Holder {
            lease: Some(older), ..
        }) = asked
        {
            terms.leases.release(lead.key(), older).await?;
            asked = self.ask(lead, terms).await?;
        }
        Ok(match asked {
            Asked::Granted(leased) => Grant::Load(Fence::Lease(leased)),
            Asked::Held(_) => Grant::Load(Fence::Nothing),
            Asked::Found(value) => Grant::Found(value),
        })
    }
}

impl<V: Send + Sync + 'static> Terms<'_, V> {
    /// Returns when the lease that another has may have ended.
    ///
    /// # Errors
    /// [`LoadTimeout`](crate::ErrorKind::LoadTimeout): it has not within the time that there is.
    pub(super) async fn ended(
        self,
        raw: &str,
        holder: Holder,
        options: &LoadOptions,
        deadline: Option<Instant>,
    ) -> Result<()> {
        let ended = self.leases.ended(raw, holder.left);
        match deadline {
            Some(deadline) => {
                let ended = timeout_at(deadline, pin!(ended)).await;
                ended.map_err(|_elapsed| too_long(options))
            }
            None => {
                ended.await;
                Ok(())
            }
        }
    }
}

impl Holder {
    pub(super) const fn lease(self) -> Option<LoadLease> {
        self.lease
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Leased<V, B> {
    pub(super) const fn lease(&self) -> LoadLease {
        self.lease
    }

    /// Returns the key, as the backend knows it.
    pub(super) fn key(&self) -> &str {
        &self.raw
    }

    /// Returns how often the lease is extended.
    pub(super) fn pause(&self) -> Duration {
        self.ttl.min(JOINED_UNSEEN) / 3
    }

    /// Runs a loader, and keeps the lease for as long as that takes. Once the lease is lost, nobody joins
    /// the flight any more.
    pub(super) async fn during<T: Send>(
        &self,
        lead: &Lead<V>,
        load: impl Future<Output = T> + Send,
    ) -> T {
        let extend = async {
            loop {
                sleep(self.pause()).await;
                if !self.extend(lead).await {
                    return pending().await;
                }
            }
        };
        beside(extend, load).await
    }

    /// Extends the lease, and tells whether it is worth to do so again.
    pub(super) async fn extend(&self, lead: &Lead<V>) -> bool {
        let Some(leases) = self.cache.shared.backend.abilities().leases else {
            return false;
        };
        let asked = Instant::now();
        match leases.extend(&self.raw, self.lease, self.ttl).await {
            Ok(true) => lead.was_current_at(asked),
            Ok(false) => {
                lead.detach();
                return false;
            }
            // Of a store that does not answer nothing is known: the next answer will tell.
            Err(_) => {}
        }
        true
    }

    /// Says that the store knows that the lease is over.
    pub(super) fn settle(mut self) {
        self.is_held = false;
    }

    /// Gives the lease up. Whoever waits need not wait until its time is over.
    pub(super) async fn give_up(self) {
        release(&self.cache, &self.raw, self.lease).await;
        self.settle();
    }
}

async fn release<V: Clone + Send + Sync + 'static>(
    cache: &Cache<V, impl CacheBackend<V>>,
    raw: &str,
    lease: LoadLease,
) {
    if let Some(leases) = cache.shared.backend.abilities().leases {
        // If it cannot be given up, its time ends it.
        let _ = leases.release(raw, lease).await;
    }
}

/// Runs a loader beside what keeps its leases.
pub(super) async fn beside<T: Send>(
    extend: impl Future<Output = Infallible> + Send,
    load: impl Future<Output = T> + Send,
) -> T {
    match select(pin!(load), pin!(extend)).await {
        Either::Left((loaded, _)) => loaded,
        Either::Right((never, _)) => match never {},
    }
}

/// Whoever waits need not wait until the time of the lease is over.
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Drop for Leased<V, B> {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.is_held, Handle::try_current()) {
            let (cache, raw, lease) = (self.cache.clone(), self.raw.clone(), self.lease);
            runtime.spawn(async move { release(&cache, &raw, lease).await });
        }
    }
}
