//! The tags of two tiers: those of the second, which the first keeps along.

use async_trait::async_trait;
use cache_core::{
    BackendWrite, CacheBackend, Error, Expiry, LoadLease, Result, TagTicket, Tagging, Tags,
};

use super::write::Change;
use super::{TieredBackend, Tiers};
use crate::promoted::Promoted;

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L2: CacheBackend<V>,
{
    pub(super) fn tags(&self) -> Result<&dyn Tags<V>> {
        self.l2
            .abilities()
            .tags
            .ok_or_else(|| Error::unsupported("tags by the second tier"))
    }
}

#[async_trait]
impl<V, L1, L2> Tags<V> for TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    async fn ticket(&self) -> Result<TagTicket> {
        self.tiers.tags()?.ticket().await
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        self.tiers.set(key, value, options, Some(tagging)).await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: V,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        let fill = self.tiers.tags()?.fill(key, lease, value, expiry, tagging);
        self.tiers
            .write(Change::Key(key), |filled| *filled, fill)
            .await
    }

    /// A delete of the keys that name the tags: first tiers are told of it as of any other, and it is
    /// tried again if it fails.
    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        let invalidate = self.tiers.tags()?.invalidate(tags);
        self.tiers.delete(Change::Keys(tags), invalidate).await
    }
}
