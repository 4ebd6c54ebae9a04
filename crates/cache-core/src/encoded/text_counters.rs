//! Counters over a store of bytes that has none: decimal texts, each written over the version it came from.

use std::str;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ByteStore, EncodedBackend};
use crate::backend::derived::Races;
use crate::{
    BackendEntry, BackendWrite, Condition, Count, Counters, Error, Expiry, Result, Versioned,
};

#[async_trait]
impl<S: ByteStore, C: Send + Sync> Counters for EncodedBackend<S, C> {
    /// A store may take equal bytes for one version. Then a counter whose window ends and which comes to the
    /// same count in a new one, all during this call, is told with the time of the old one.
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        let mut races = Races::default();
        loop {
            let Versioned { entry, version } = self.store.get_versioned(name).await?;
            let found = entry.as_ref().map(count_of).transpose()?;
            let value = Count::after(found.map(|count| count.value), by)?;
            let options = BackendWrite::new(window, Condition::unchanged(version));
            let text = Bytes::from(value.to_string());
            let write = self.store.set(name, text, options.with_kept_expiry(true));
            if write.await? {
                let expiry = found.map_or(window, |count| count.expiry);
                return Ok(Count::new(value, expiry));
            }
            races.lose().await?;
        }
    }

    async fn get(&self, name: &str) -> Result<Option<Count>> {
        let found = self.store.get_versioned(name).await?;
        found.entry.as_ref().map(count_of).transpose()
    }

    async fn reset(&self, name: &str) -> Result<bool> {
        self.store.delete(name, Condition::Always).await
    }
}

fn count_of(entry: &BackendEntry<Bytes>) -> Result<Count> {
    let text = str::from_utf8(&entry.value).map_err(Error::backend)?;
    let value = text.parse().map_err(Error::backend)?;
    Ok(Count::new(value, entry.expiry))
}
