//! What a write makes outdated: loads that are under way, and copies of old values.

use futures_util::future::join_all;

use super::Cache;
use crate::{CacheBackend, Result};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Writes some keys, and sees to it that neither a load that is under way nor the copy of an old
    /// value outlives what the write has `changed`.
    #[inline]
    pub(super) async fn superseding<T, K: AsRef<str> + Sync, R: AsRef<str> + Sync>(
        &self,
        keys: &[K],
        raw: &[R],
        write: impl Future<Output = Result<T>> + Send,
        changed: impl FnOnce(&T) -> bool + Send,
    ) -> Result<T> {
        if !self.shared.flights.is_idle() {
            self.detach_many(raw).await;
        }
        let outdated = self.copies_of(keys);
        let written = write.await;
        // A caller that comes after the write joins no load that began before its end. This stands in front
        // of the copies: no load that began before can leave one from here on.
        if !self.shared.flights.is_idle() {
            self.detach_many(raw).await;
        }
        if outdated.is_none() {
            return written;
        }
        // Boxed: most caches keep no copies, and inline it would enlarge the future of every write.
        Box::pin(outdated.after(written, changed)).await
    }

    /// Detaches the flights of some keys. It waits for all that are being stored at once: for each there is a limit,
    /// and the caller is to wait for no more than one.
    pub(super) async fn detach_many<R: AsRef<str> + Sync>(&self, raw: &[R]) {
        let flights = &self.shared.flights;
        match raw {
            [raw] => flights.detach(raw.as_ref()).await,
            raw => drop(join_all(raw.iter().map(|raw| flights.detach(raw.as_ref()))).await),
        }
    }
}
