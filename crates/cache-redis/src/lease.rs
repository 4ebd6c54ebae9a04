//! Load leases: one load of a key for all processes that share the servers.

mod load_ends;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Claim, Expiry, LoadLease, LoadLeases, Result};
use tokio::time::{self, Instant};

use self::load_ends::Ear;
use crate::RedisStore;
use crate::client::{ClaimTerms, Claimed, Mark, Source};
use crate::random;
use crate::store::{ATTEMPTS, contended};
use crate::tagged::{self, Header};

/// How soon a lease is looked at for the first time by those who cannot hear of its end, and how
/// often at the least.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));
/// How often a lease is looked at by those who should hear of its end: a key may be deleted or
/// written by somebody who says nothing.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// What the stores of one namespace share for their leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// The highest fencing token that was granted here.
    known: AtomicU64,
    ear: Ear,
}

impl Leases {
    /// Returns the terms of a claim with a random nonce.
    pub(crate) fn terms(&self, ttl: Duration) -> ClaimTerms {
        ClaimTerms {
            ttl,
            nonce: random::number(),
            known: self.known.load(Ordering::Relaxed),
            max_value_bytes: None,
            over: Bytes::new(),
            kept: None,
        }
    }

    /// Makes a lease of what was granted.
    pub(crate) fn granted(&self, token: u64, nonce: u64) -> LoadLease {
        self.known.fetch_max(token, Ordering::Relaxed);
        LoadLease::new(token, nonce)
    }
}

/// Returns a number that stands for a key in every process, in bytes: FNV-1a.
pub(crate) fn hash(key: &[u8]) -> [u8; 8] {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    key.iter().fold(0xcbf2_9ce4_8422_2325, step).to_le_bytes()
}

impl RedisStore {
    /// Returns the channel and the message that tell of the end of a load.
    pub(crate) fn call(&self, key: &[u8]) -> (Bytes, Bytes) {
        let message = Bytes::copy_from_slice(&hash(key));
        (self.keys().lease_channel().into(), message)
    }

    async fn claim_or_find(&self, key: &str, ttl: Duration) -> Result<Claim<Bytes>> {
        let mut over = Bytes::new();
        for _ in 0..ATTEMPTS {
            let terms = ClaimTerms {
                max_value_bytes: Some(self.max_value_bytes()),
                over,
                ..self.leases().terms(ttl)
            };
            let (nonce, payload) = (terms.nonce, (self.keys().join(key), terms));
            let claim = self
                .link()
                .write(payload, |connection, (key, terms)| async move {
                    connection.claim(key, terms).await
                });
            let value = match claim.await? {
                Claimed::Token(token) => {
                    return Ok(Claim::Granted(self.leases().granted(token, nonce)));
                }
                Claimed::Held(left, lease) => {
                    let left = left.remaining().unwrap_or(ttl);
                    return Ok(Claim::Held { left, lease });
                }
                Claimed::Value(value) => value,
            };
            self.link().counters.received(value.len());
            let Some((header, payload)) = tagged::cut(&value) else {
                return Ok(Claim::Found(value));
            };
            if let Some(read) = Header::parse(header.clone())
                && self.is_live(&read, Source::Primary).await?
            {
                return Ok(Claim::Found(payload));
            }
            // It is replaced by the lease, if it is still there.
            over = header;
        }
        Err(contended())
    }

    /// Stores a value in the place of a lease, and calls those who wait for it.
    pub(crate) async fn put_for_lease(
        &self,
        key: Bytes,
        lease: LoadLease,
        value: Bytes,
        expiry: Expiry,
    ) -> Result<bool> {
        let payload = (self.call(&key), key, value);
        let fill = self
            .link()
            .write(payload, |connection, (call, key, value)| async move {
                connection.fill(key, lease, (value, expiry), call).await
            });
        fill.await
    }

    /// Tells whether a key holds a lease, if the server says so.
    async fn is_leased(&self, key: &Bytes) -> bool {
        let look = self.link().read(|connection| {
            let key = key.clone();
            async move { connection.marked(vec![key]).await }
        });
        let marked = self.observe("ended", key.len(), look).await;
        let is_lease = |(_, mark): &(usize, Mark)| matches!(mark, Mark::Lease);
        // Who gets no answer now would get none to a claim.
        marked.map_or(true, |marked| marked.iter().any(is_lease))
    }

    /// Returns when the lease of a key in the database is gone, when a message says so, or after `at_most`.
    pub(crate) async fn until_free(&self, key: &Bytes, at_most: Duration) {
        let end = Instant::now() + at_most;
        // Listens before it looks, so that nothing can happen in between.
        let told = pin!(self.leases().ear.told(hash(key), self));
        let looks = pin!(self.ended_by_looks(key));
        let either = futures_util::future::select(told, looks);
        let _ = time::timeout_at(end, either).await;
    }

    /// Returns at the latest when a look shows that the lease has ended.
    async fn ended_by_looks(&self, key: &Bytes) {
        let mut pause = LOOK.0;
        loop {
            // Asked first: who begins to hear after the look may have missed something.
            let is_told = self.leases().ear.hears();
            if !self.is_leased(key).await {
                return;
            }
            time::sleep(if is_told { LOOK_ANYWAY } else { pause }).await;
            pause = (pause * 2).min(LOOK.1);
        }
    }
}

/// The tokens are the microseconds of the server's clock, but above all that were granted in this
/// process: they grow for one key as long as the clock of a server that takes over is not behind by
/// more than the time that its claims are apart.
#[async_trait]
impl LoadLeases<Bytes> for RedisStore {
    /// What is no value of this cache, of another type or over the limit, is replaced by the lease.
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<Bytes>> {
        self.keys().check(key)?;
        let claim = self.claim_or_find(key, ttl);
        self.observe("claim", key.len(), claim).await
    }

    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool> {
        let bytes = key.len();
        let key = self.keys().encode(key)?;
        let extend = self.link().write(key, |connection, key| async move {
            connection.extend(key, lease, ttl).await
        });
        self.observe("extend", bytes, extend).await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: Bytes,
        expiry: Expiry,
    ) -> Result<bool> {
        let bytes = key.len() + value.len();
        let key = self.keys().encode(key)?;
        self.check_value(&value)?;
        let fill = self.put_for_lease(key, lease, value, expiry);
        self.observe("fill", bytes, fill).await
    }

    async fn release(&self, key: &str, lease: LoadLease) -> Result<()> {
        let bytes = key.len();
        let key = self.keys().encode(key)?;
        let payload = (self.call(&key), key);
        let release = self
            .link()
            .write(payload, |connection, (call, key)| async move {
                connection.release(key, lease, Some(call)).await
            });
        self.observe("release", bytes, release).await?;
        Ok(())
    }

    async fn discard(&self, key: &str, value: Bytes) -> Result<()> {
        let bytes = key.len() + value.len();
        let key = self.keys().encode(key)?;
        let discard = self
            .link()
            .write((key, value), |connection, (key, value)| async move {
                connection.discard(key, value).await
            });
        self.observe("discard", bytes, discard).await
    }

    /// It is told by a message of [`fill`](Self::fill) or [`release`](Self::release), and looks
    /// itself from time to time: often as long as it cannot hear.
    async fn ended(&self, key: &str, at_most: Duration) {
        if let Ok(key) = self.keys().encode(key) {
            self.until_free(&key, at_most).await;
        }
    }
}
