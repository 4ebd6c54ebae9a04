//! The verbs that write and delete one key.

use std::ops::ControlFlow::{self, Break, Continue};

use super::now_or_later::NowOrLater;
use super::{Cache, Shared};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, TooLarge};
use crate::{BackendWrite, CacheBackend, Condition, Expiry, Result, SetNow, SetOptions, Ttl};

/// What is left of a write that could not be done at once.
enum Rest<V> {
    /// The write itself.
    Write(V),
    /// The write is done, with this result; a load that began meanwhile has to be detached.
    Detach(Result<()>),
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Writes `value` with the default time to live, and replaces value and expiry of `key`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:123", "Alice").await?;
    /// cache.set("user:123", "Bob").await?;
    /// assert_eq!(cache.get("user:123").await?.as_deref(), Some("Bob"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    #[inline]
    pub fn set(
        &self,
        key: impl AsRef<str>,
        value: impl Into<V>,
    ) -> impl Future<Output = Result<()>> {
        const OPERATION: &str = "set";
        NowOrLater::new(move || {
            match self.write_now(OPERATION, key.as_ref(), value.into(), Ttl::DEFAULT) {
                Break(written) => Break(written),
                Continue(rest) => Continue(self.write_rest(OPERATION, key, rest, Ttl::DEFAULT)),
            }
        })
    }

    /// Writes `value` with a time to live of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set_ex("session:abc", "active", 5).await?;
    /// cache.set_ex("flash", "saved", std::time::Duration::from_millis(250)).await?;
    /// assert_eq!(cache.ttl("session:abc").await?, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    #[inline]
    pub fn set_ex(
        &self,
        key: impl AsRef<str>,
        value: impl Into<V>,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<()>> {
        const OPERATION: &str = "set_ex";
        NowOrLater::new(move || {
            let ttl = ttl.into();
            match self.write_now(OPERATION, key.as_ref(), value.into(), ttl) {
                Break(written) => Break(written),
                Continue(rest) => Continue(self.write_rest(OPERATION, key, rest, ttl)),
            }
        })
    }

    /// Writes `value` if `key` is absent, with the default time to live, and tells whether it did.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// assert!(cache.set_nx("lock:resource", "locked").await?);
    /// assert!(!cache.set_nx("lock:resource", "again").await?);
    /// assert_eq!(cache.get("lock:resource").await?.as_deref(), Some("locked"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn set_nx(&self, key: impl AsRef<str>, value: impl Into<V>) -> Result<bool> {
        self.write(
            "set_nx",
            key.as_ref(),
            value.into(),
            SetOptions::new().if_absent(),
        )
        .await
    }

    /// Writes `value` as `options` say, and tells whether their condition held.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::{SetOptions, Ttl};
    ///
    /// let fresh = SetOptions::new().ttl(30).if_absent();
    /// assert!(cache.set_with("job:7", "running", fresh).await?);
    /// assert!(!cache.set_with("job:7", "running", fresh).await?);
    /// let pinned = SetOptions::new().ttl(Ttl::NEVER).if_present();
    /// assert!(cache.set_with("job:7", "done", pinned).await?);
    /// assert_eq!(cache.ttl("job:7").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn set_with(
        &self,
        key: impl AsRef<str>,
        value: impl Into<V>,
        options: SetOptions<'_>,
    ) -> Result<bool> {
        self.write("set_with", key.as_ref(), value.into(), options)
            .await
    }

    /// Writes `value` with the default time to live and returns the value it replaced.
    ///
    /// Read and write are one atomic step.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("leader", "node-1").await?;
    /// assert_eq!(cache.get_and_set("leader", "node-2").await?.as_deref(), Some("node-1"));
    /// assert_eq!(cache.get("leader").await?.as_deref(), Some("node-2"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn get_and_set(
        &self,
        key: impl AsRef<str>,
        value: impl Into<V>,
    ) -> Result<Option<V>> {
        const OPERATION: &str = "get_and_set";
        let raw = self.raw(OPERATION, key.as_ref())?;
        let expiry = self.resolve(OPERATION, key.as_ref(), Ttl::DEFAULT)?;
        let swap = self.shared.backend.swap(&raw, value.into(), expiry);
        let replaced = self
            .superseding(&[key.as_ref()], &[&*raw], swap, |_| true)
            .await;
        self.shared.counters.sets(u64::from(replaced.is_ok()));
        replaced.map_err(|error| error.during(OPERATION).for_key(key.as_ref()))
    }

    /// Deletes `key` and tells whether it was there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:123", "Alice").await?;
    /// assert!(cache.delete("user:123").await?);
    /// assert!(!cache.delete("user:123").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn delete(&self, key: impl AsRef<str>) -> Result<bool> {
        self.remove("delete", key.as_ref(), Condition::Always).await
    }

    /// Does the rest of a write with no options but a time to live.
    #[cold]
    async fn write_rest(
        &self,
        operation: &'static str,
        key: impl AsRef<str>,
        rest: Rest<V>,
        ttl: Ttl,
    ) -> Result<()> {
        let options = SetOptions::new().ttl(ttl);
        let written = self.write_later(operation, key.as_ref(), rest, options);
        written.await.map(drop)
    }

    pub(super) async fn write(
        &self,
        operation: &'static str,
        key: &str,
        value: V,
        options: SetOptions<'_>,
    ) -> Result<bool> {
        let rest = if options.is_plain() {
            match self.write_now(operation, key, value, options.ttl) {
                Continue(rest) => rest,
                Break(written) => return written.map(|()| true),
            }
        } else {
            Rest::Write(value)
        };
        self.write_later(operation, key, rest, options).await
    }

    /// Writes a value at once, or returns what is left to do.
    #[inline]
    fn write_now(
        &self,
        operation: &'static str,
        key: &str,
        value: V,
        ttl: Ttl,
    ) -> ControlFlow<Result<()>, Rest<V>> {
        let expiry = match self.resolve(operation, key, ttl) {
            Ok(expiry) => expiry,
            Err(error) => return Break(Err(error)),
        };
        let Shared {
            backend,
            flights,
            keep_stale,
            ..
        } = &*self.shared;
        if keep_stale.is_some() || !flights.is_idle() {
            return Continue(Rest::Write(value));
        }
        let written = if self.keyspace.is_raw(key) {
            backend.set_now(key, value, expiry)
        } else {
            match self.set_named(key, value, expiry) {
                Ok(written) => written,
                Err(error) => return Break(Err(error.during(operation))),
            }
        };
        match written {
            SetNow::Done(written) if flights.is_idle() => {
                let written = self.counted(operation, key, written.map(|()| true));
                Break(written.map(drop))
            }
            SetNow::Done(written) => Continue(Rest::Detach(written)),
            SetNow::WouldWait(value) => Continue(Rest::Write(value)),
        }
    }

    /// Writes under a key that has to be changed or refused first. Out of line: the usual write moves its value
    /// less often then.
    #[inline(never)]
    fn set_named(&self, key: &str, value: V, expiry: Expiry) -> Result<SetNow<V>> {
        let write = |raw: &str| self.shared.backend.set_now(raw, value, expiry);
        self.keyspace.lend(key, write)
    }

    /// Does the rest of a write that could not be done at once.
    async fn write_later(
        &self,
        operation: &'static str,
        key: &str,
        rest: Rest<V>,
        options: SetOptions<'_>,
    ) -> Result<bool> {
        let expiry = self.resolve(operation, key, options.ttl)?;
        let raw = self.raw(operation, key)?;
        let written = match rest {
            Rest::Write(value) => {
                let write = BackendWrite::new(expiry, options.condition.into());
                let write = write.with_kept_expiry(options.keeps_ttl);
                if options.tags.is_empty() {
                    let set = self.shared.backend.set(&raw, value, write);
                    self.superseding(&[key], &[&*raw], set, |written| *written)
                        .await
                } else {
                    Box::pin(self.write_tagged((key, &raw), value, write, options.tags)).await
                }
            }
            Rest::Detach(written) => {
                self.detach_many(&[raw]).await;
                written.map(|()| true)
            }
        };
        self.counted(operation, key, written)
    }

    /// Counts a write that took place, and names one that failed.
    fn counted(&self, operation: &'static str, key: &str, written: Result<bool>) -> Result<bool> {
        match written {
            Ok(written) => {
                self.shared.counters.sets(u64::from(written));
                Ok(written)
            }
            Err(error) => Err(error.during(operation).for_key(key)),
        }
    }

    pub(super) async fn remove(
        &self,
        operation: &'static str,
        key: &str,
        condition: Condition,
    ) -> Result<bool> {
        let raw = self.raw(operation, key)?;
        // The copy of a value that has expired goes too, but what a condition spares keeps it.
        let is_sure = condition == Condition::Always;
        let delete = self.shared.backend.delete(&raw, condition);
        let changed = |deleted: &bool| is_sure || *deleted;
        let deleted = self.superseding(&[key], &[&*raw], delete, changed).await;
        let deleted = deleted.map_err(|error| error.during(operation).for_key(key))?;
        self.shared.counters.deletes(u64::from(deleted));
        Ok(deleted)
    }
}
