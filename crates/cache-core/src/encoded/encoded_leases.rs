//! The load leases of a store of bytes, for typed values.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ByteStore, EncodedBackend};
use crate::{Claim, Codec, Error, Expiry, LoadLease, LoadLeases, Result};

/// How soon to come back to a key where somebody keeps writing what cannot be read here.
const PAUSE: Duration = Duration::from_millis(10);

impl<S: ByteStore, C: Sync> EncodedBackend<S, C> {
    fn store_leases(&self) -> Result<&dyn LoadLeases<Bytes>> {
        self.store
            .abilities()
            .leases
            .ok_or_else(|| Error::unsupported("load leases by this store"))
    }
}

#[async_trait]
impl<V, S, C> LoadLeases<V> for EncodedBackend<S, C>
where
    V: Clone + Send + Sync + 'static,
    S: ByteStore,
    C: Codec<V>,
{
    /// What cannot be read is a miss here as in a read: it is removed, and the key claimed.
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<V>> {
        let leases = self.store_leases()?;
        let mut is_first = true;
        loop {
            let stored = match leases.claim(key, ttl).await? {
                Claim::Found(stored) => stored,
                Claim::Granted(lease) => return Ok(Claim::Granted(lease)),
                Claim::Held { left, lease } => return Ok(Claim::Held { left, lease }),
            };
            if let Some(value) = self.decode(&stored) {
                return Ok(Claim::Found(value));
            }
            if !std::mem::take(&mut is_first) {
                return Ok(Claim::Held {
                    left: PAUSE,
                    lease: None,
                });
            }
            // Not a plain delete: of many who find the same, each would take the lease of the last.
            leases.discard(key, stored).await?;
        }
    }

    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool> {
        self.store_leases()?.extend(key, lease, ttl).await
    }

    async fn fill(&self, key: &str, lease: LoadLease, value: V, expiry: Expiry) -> Result<bool> {
        let stored = self.encode(&value)?;
        self.store_leases()?.fill(key, lease, stored, expiry).await
    }

    async fn release(&self, key: &str, lease: LoadLease) -> Result<()> {
        self.store_leases()?.release(key, lease).await
    }

    async fn discard(&self, key: &str, value: V) -> Result<()> {
        let stored = self.encode(&value)?;
        self.store_leases()?.discard(key, stored).await
    }

    async fn ended(&self, key: &str, at_most: Duration) {
        if let Ok(leases) = self.store_leases() {
            leases.ended(key, at_most).await;
        }
    }
}
