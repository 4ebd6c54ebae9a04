//! The load leases of two tiers: those of the second.

use std::time::Duration;

use async_trait::async_trait;
use cache_core::{CacheBackend, Claim, Error, Expiry, LoadLease, LoadLeases, Result};

use super::write::Change;
use super::{TieredBackend, Tiers};
use crate::promoted::Promoted;

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L2: CacheBackend<V>,
{
    fn leases(&self) -> Result<&dyn LoadLeases<V>> {
        self.l2
            .abilities()
            .leases
            .ok_or_else(|| Error::unsupported("load leases by the second tier"))
    }
}

#[async_trait]
impl<V, L1, L2> LoadLeases<V> for TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    /// What is found is not put in the first tier: nothing is known of the time it has left.
    async fn claim(&self, key: &str, ttl: Duration) -> Result<Claim<V>> {
        // What a failed delete has left there is not to be found.
        self.tiers.settle(key).await?;
        let claim = self.tiers.leases()?.claim(key, ttl).await?;
        // Whatever it says is newer than what the first tier may hold.
        self.tiers.forget_key(key).await;
        Ok(claim)
    }

    async fn extend(&self, key: &str, lease: LoadLease, ttl: Duration) -> Result<bool> {
        self.tiers.leases()?.extend(key, lease, ttl).await
    }

    /// A write like any other. The key was absent in the second tier, but not everywhere: where
    /// the bus does not tell of evictions, first tiers may still hold what was evicted there.
    async fn fill(&self, key: &str, lease: LoadLease, value: V, expiry: Expiry) -> Result<bool> {
        let fill = self.tiers.leases()?.fill(key, lease, value, expiry);
        self.tiers
            .write(Change::Key(key), |filled| *filled, fill)
            .await
    }

    async fn release(&self, key: &str, lease: LoadLease) -> Result<()> {
        self.tiers.leases()?.release(key, lease).await
    }

    async fn discard(&self, key: &str, value: V) -> Result<()> {
        let discard = self.tiers.leases()?.discard(key, value);
        self.tiers.write(Change::Key(key), |()| true, discard).await
    }

    async fn ended(&self, key: &str, at_most: Duration) {
        if let Ok(leases) = self.tiers.leases() {
            leases.ended(key, at_most).await;
        }
    }
}
