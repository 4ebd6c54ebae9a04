//! The tags of a store of bytes, for typed values.

use async_trait::async_trait;
use bytes::Bytes;

use super::{ByteStore, EncodedBackend};
use crate::{BackendWrite, Codec, Error, Expiry, LoadLease, Result, TagTicket, Tagging, Tags};

impl<S: ByteStore, C: Sync> EncodedBackend<S, C> {
    fn store_tags(&self) -> Result<&dyn Tags<Bytes>> {
        self.store
            .abilities()
            .tags
            .ok_or_else(|| Error::unsupported("tags by this store"))
    }
}

#[async_trait]
impl<V, S, C> Tags<V> for EncodedBackend<S, C>
where
    V: Clone + Send + Sync + 'static,
    S: ByteStore,
    C: Codec<V>,
{
    async fn ticket(&self) -> Result<TagTicket> {
        self.store_tags()?.ticket().await
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        let stored = self.encode(&value)?;
        self.store_tags()?.set(key, stored, options, tagging).await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: V,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        let stored = self.encode(&value)?;
        let tags = self.store_tags()?;
        tags.fill(key, lease, stored, expiry, tagging).await
    }

    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        self.store_tags()?.invalidate(tags).await
    }
}
