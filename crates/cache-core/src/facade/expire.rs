//! The verbs that tell and change when one key expires.

use std::time::Duration;

use super::Cache;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::InvalidInput;
use crate::{CacheBackend, Condition, Expiry, Result, Ttl};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the seconds that `key` has left, or `None` if it is absent or has no expiry.
    ///
    /// Rounded to the nearest second, as Redis does. [`expiry`](Self::expiry) tells more.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set_ex("session:abc", "active", 5).await?;
    /// assert_eq!(cache.ttl("session:abc").await?, Some(5));
    /// cache.persist("session:abc").await?;
    /// assert_eq!(cache.ttl("session:abc").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn ttl(&self, key: impl AsRef<str>) -> Result<Option<u64>> {
        let expiry = self.remaining("ttl", key.as_ref()).await?;
        Ok(expiry
            .and_then(Expiry::remaining)
            .map(|left| left.saturating_add(Duration::from_millis(500)).as_secs()))
    }

    /// Returns the time that `key` has left: `None` if it is absent, otherwise [`Expiry::Never`] or
    /// the remaining [`Duration`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::Expiry;
    ///
    /// cache.set("forever", "x").await?;
    /// assert_eq!(cache.expiry("forever").await?, Some(Expiry::Never));
    /// assert_eq!(cache.expiry("nobody").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn expiry(&self, key: impl AsRef<str>) -> Result<Option<Expiry>> {
        self.remaining("expiry", key.as_ref()).await
    }

    /// Gives `key` a new time to live and tells whether it was there.
    ///
    /// Zero and negative times delete the key. The value stays as it is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("session:abc", "active").await?;
    /// assert!(cache.expire("session:abc", 10).await?);
    /// assert_eq!(cache.ttl("session:abc").await?, Some(10));
    /// assert!(cache.expire("session:abc", 0).await?);
    /// assert!(!cache.exists("session:abc").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn expire(&self, key: impl AsRef<str>, ttl: impl Into<Ttl>) -> Result<bool> {
        let (key, ttl) = (key.as_ref(), ttl.into());
        if ttl.is_over() {
            return self.remove("expire", key, Condition::Always).await;
        }
        let expiry = self.resolve("expire", key, ttl)?;
        let changed = self.change_expiry("expire", key, expiry).await?;
        // An entry that never expires already is there, and nothing of it changes.
        Ok(changed || (expiry == Expiry::Never && self.exists(key).await?))
    }

    /// Removes the expiry of `key` and tells whether it had one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set_ex("session:abc", "active", 5).await?;
    /// assert!(cache.persist("session:abc").await?);
    /// assert!(!cache.persist("session:abc").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn persist(&self, key: impl AsRef<str>) -> Result<bool> {
        self.change_expiry("persist", key.as_ref(), Expiry::Never)
            .await
    }

    pub(crate) fn resolve(&self, operation: &'static str, key: &str, ttl: Ttl) -> Result<Expiry> {
        ttl.resolve(self.default_ttl)
            .map_err(|error| error.during(operation).for_key(key))
    }

    pub(super) async fn remaining(
        &self,
        operation: &'static str,
        key: &str,
    ) -> Result<Option<Expiry>> {
        let raw = self.raw(operation, key)?;
        let expiry = self.shared.backend.expiry(&raw).await;
        expiry.map_err(|error| error.during(operation).for_key(key))
    }

    pub(super) async fn change_expiry(
        &self,
        operation: &'static str,
        key: &str,
        expiry: Expiry,
    ) -> Result<bool> {
        let raw = self.raw(operation, key)?;
        let change = self.shared.backend.set_expiry(&raw, expiry);
        let changed = self
            .with_copy(key, expiry, change, |changed| *changed)
            .await;
        changed.map_err(|error| error.during(operation).for_key(key))
    }
}
