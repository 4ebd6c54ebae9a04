//! The tags of the in-process backend.

use async_trait::async_trait;
use cache_core::{BackendWrite, Error, Expiry, LoadLease, Result, TagTicket, Tagging, Tags};

use super::LocalBackend;

#[async_trait]
impl<V: Clone + Send + Sync + 'static> Tags<V> for LocalBackend<V> {
    async fn ticket(&self) -> Result<TagTicket> {
        let ticket = self.store.tags().ticket();
        Ok(TagTicket::new(ticket.to_vec()))
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        self.before_write(options.expiry);
        let table = self.store.tags();
        let since = tagging.since.map(|ticket| table.at(ticket.as_bytes()));
        let tags = table.of(tagging.tags, since);
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
