//! The tags of the in-process backend.

use async_trait::async_trait;
use cache_core::{BackendWrite, Error, Expiry, LoadLease, Result, TagTicket, Tagging, Tags};

use super::LocalBackend;

/// A ticket is the number of invalidations so far.
#[async_trait]
impl<V: Clone + Send + Sync + 'static> Tags<V> for LocalBackend<V> {
    async fn ticket(&self) -> Result<TagTicket> {
        let now = self.store.tags().now();
        Ok(TagTicket::new(now.to_le_bytes().to_vec()))
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        self.before_write(options.expiry);
        // Of a ticket that is none of ours nothing is known: everything has happened since.
        let number =
            |ticket: &TagTicket| ticket.as_bytes().try_into().map_or(0, u64::from_le_bytes);
        let tags = self
            .store
            .tags()
            .of(tagging.tags, tagging.since.map(number));
        self.store
            .set_tagged(key, value, options, Some(Box::new(tags)))
    }

    async fn fill(&self, _: &str, _: LoadLease, _: V, _: Expiry, _: Tagging<'_>) -> Result<bool> {
        let what = "load leases by this backend";
        Err(Error::unsupported(what))
    }

    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        self.store.tags().invalidate(tags);
        self.sweeper.ensure(&self.store);
        Ok(())
    }
}
