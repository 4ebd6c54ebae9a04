//! The lease of a load: the right to load a key, among all processes that share a store.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout_at};

use super::flights::{JOINED_UNSEEN, Lead, LeaseEntry};
use super::loader::too_long;
use crate::{Cache, CacheBackend, Claim, LoadLease, LoadOptions, Result};

/// For how long a lease is taken unless the options say otherwise. It is extended while the loader
/// runs, so this is how long others wait for a process that has died.
const LEASE_TTL: Duration = Duration::from_secs(5);

/// How the store has answered to a claim.
pub(super) enum Grant<V, B: CacheBackend<V>>
where
    V: Clone + Send + Sync + 'static,
{
    /// Load: under a lease, if the store has any.
    Load(Option<Leased<V, B>>),
    /// Load, and store nothing: nobody knows who else loads the key, or has deleted it meanwhile.
    PastOutage,
    /// Another process has loaded it.
    Found(V),
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
        let ttl = options.lease_ttl.unwrap_or(LEASE_TTL);
        let leases = self.shared.backend.abilities().leases;
        let Some(leases) = leases.filter(|_| !ttl.is_zero() && Handle::try_current().is_ok())
        else {
            return Ok(Grant::Load(None));
        };
        let raw = lead.key();
        let mut has_waited = false;
        loop {
            let asked = Instant::now();
            match leases.claim(raw, ttl).await? {
                Claim::Found(value) => return Ok(Grant::Found(value)),
                Claim::Granted(lease) => {
                    lead.was_current_at(asked);
                    return Ok(Grant::Load(Some(Leased {
                        cache: self.clone(),
                        raw: raw.to_owned(),
                        lease,
                        ttl,
                        _entry: lead.entry_of(lease),
                        has_waited,
                        is_held: true,
                    })));
                }
                Claim::Held { left, lease } => {
                    has_waited = true;
                    let _wait = lead.waits_for(lease)?;
                    let ended = leases.ended(raw, left);
                    match deadline {
                        Some(deadline) => {
                            let ended = timeout_at(deadline, ended).await;
                            ended.map_err(|_elapsed| too_long(options))?;
                        }
                        None => ended.await,
                    }
                }
            }
        }
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Leased<V, B> {
    pub(super) const fn lease(&self) -> LoadLease {
        self.lease
    }

    /// Runs a loader, and keeps the lease for as long as that takes. Once the lease is lost, nobody joins
    /// the flight any more.
    pub(super) async fn during<T: Send>(
        &self,
        lead: &Lead<V>,
        load: impl Future<Output = T> + Send,
    ) -> T {
        match select(pin!(load), pin!(self.extend(lead))).await {
            Either::Left((loaded, _)) => loaded,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn extend(&self, lead: &Lead<V>) -> Infallible {
        let pause = self.ttl.min(JOINED_UNSEEN) / 3;
        while let Some(leases) = self.cache.shared.backend.abilities().leases {
            sleep(pause).await;
            let asked = Instant::now();
            match leases.extend(&self.raw, self.lease, self.ttl).await {
                Ok(true) => lead.was_current_at(asked),
                Ok(false) => {
                    lead.detach();
                    break;
                }
                // Of a store that does not answer nothing is known: the next answer will tell.
                Err(_) => {}
            }
        }
        pending().await
    }

    /// Says that the store knows that the lease is over.
    pub(super) fn settle(mut self) {
        self.is_held = false;
    }
}

/// Whoever waits need not wait until the time of the lease is over.
impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Drop for Leased<V, B> {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.is_held, Handle::try_current()) {
            let (cache, raw, lease) = (self.cache.clone(), self.raw.clone(), self.lease);
            runtime.spawn(async move {
                if let Some(leases) = cache.shared.backend.abilities().leases {
                    // If it cannot be given up, its time ends it.
                    let _ = leases.release(&raw, lease).await;
                }
            });
        }
    }
}
