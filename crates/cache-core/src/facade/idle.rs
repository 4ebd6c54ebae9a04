//! Entries that live for as long as somebody reads them.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use super::Cache;
use super::bulk::AT_ONCE;
use crate::{BackendEntry, CacheBackend, Expiry, ReadNow, Result};

/// A read lengthens the life of an entry once this part of the time to idle is over: reads that follow each
/// other closely cost no write each.
const PART: u32 = 10;

/// Returns the time that an entry has left at the least if a read leaves its expiry as it is.
fn least_left(idle: Duration) -> Duration {
    idle - idle / PART
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Answers a read at once, unless it has to lengthen the life of the entry.
    #[inline]
    pub(crate) fn answer_now(&self, raw: &str) -> ReadNow<V> {
        match self.shared.time_to_idle {
            None => self.shared.backend.read_now(raw),
            Some(idle) => self.shared.backend.read_now_lasting(raw, least_left(idle)),
        }
    }

    /// Reads the value of a key.
    pub(crate) async fn answer(&self, raw: &str) -> Result<Option<V>> {
        if self.shared.time_to_idle.is_none() {
            return self.shared.backend.get(raw).await;
        }
        // Boxed: most caches have no time to idle, and inline it would enlarge the future of every read.
        let entry = Box::pin(self.answer_with_expiry(raw)).await?;
        Ok(entry.map(|entry| entry.value))
    }

    /// Reads the entry of a key.
    pub(crate) async fn answer_with_expiry(&self, raw: &str) -> Result<Option<BackendEntry<V>>> {
        let mut entry = self.shared.backend.get_entry(raw).await?;
        if let Some(entry) = &mut entry
            && let Some(expiry) = self.due_expiry(entry.expiry)
        {
            self.lengthen(raw, expiry).await;
            entry.expiry = expiry;
        }
        Ok(entry)
    }

    /// Reads the values of many keys.
    pub(crate) async fn answers(&self, raw: &[&str]) -> Result<Vec<Option<V>>> {
        if self.shared.time_to_idle.is_none() {
            return self.shared.backend.get_many(raw).await;
        }
        let entries = self.shared.backend.get_entries(raw).await?;
        let due = raw.iter().zip(&entries).filter_map(|(raw, entry)| {
            let expiry = self.due_expiry(entry.as_ref()?.expiry)?;
            Some(self.lengthen(raw, expiry))
        });
        let due: Vec<_> = due.collect();
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |due| due)
            .await;
        let value = |entry: Option<BackendEntry<V>>| entry.map(|entry| entry.value);
        Ok(entries.into_iter().map(value).collect())
    }

    /// Returns the expiry that a read gives to an entry, if it has to give one.
    fn due_expiry(&self, left: Expiry) -> Option<Expiry> {
        let idle = self.shared.time_to_idle?;
        let is_due = left.remaining()? < least_left(idle);
        is_due.then_some(Expiry::After(idle))
    }

    /// Lengthens the life of an entry that was read. The value is in hand, so a failure is no failure of the
    /// read: the next one tries again.
    async fn lengthen(&self, raw: &str, expiry: Expiry) {
        let Some(key) = self.keyspace.decode(raw) else {
            return;
        };
        if let Err(error) = self.change_expiry("time_to_idle", key, expiry).await {
            tracing::debug!(%error, "the life of an entry that was read could not be lengthened");
        }
    }
}
