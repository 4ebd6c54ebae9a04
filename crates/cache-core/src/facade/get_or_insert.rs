//! The short forms of the verbs that load what is absent.

use std::ops::ControlFlow::{Break, Continue};

use super::Cache;
use super::now_or_later::NowOrLater;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, LoadCycle, LoadTimeout};
use crate::{CacheBackend, LoadError, Result};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::{KeyEntry, LoadOptions};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the value of `key`; if it is absent, what `load` returns, which is stored.
    ///
    /// Of all tasks of this process that want the key meanwhile, one runs its loader and the others
    /// wait for it. If that one is dropped or panics, exactly one of the others takes over. A `set`
    /// or `delete` of the key during the load wins: those who have waited get what was loaded, but
    /// it is not stored.
    ///
    /// The time to live and all else are the [defaults of the
    /// cache](crate::CacheBuilder::load_options); [`entry`](Self::entry) says otherwise. What needs the
    /// background, as [`stale_while_revalidate`](LoadOptions::stale_while_revalidate) does, is left to
    /// [`or_load`](KeyEntry::or_load), whose loader can go there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let name = cache.get_or_insert_with("user:123", async || "Alice".to_string()).await?;
    /// assert_eq!(name, "Alice");
    /// let name = cache.get_or_insert_with("user:123", async || unreachable!()).await?;
    /// assert_eq!(name, "Alice");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live; [`LoadCycle`] if the loader asks for its own
    /// key; [`LoadTimeout`] after the hard timeout. That the cache cannot be read fails the call only
    /// with [`LoadOptions::fail_on_outage`]; that the value cannot be stored is counted.
    ///
    /// # Cancel safety
    /// A dropped call drops its loader; one of those who wait then runs its own.
    #[inline]
    pub fn get_or_insert_with<F, Fut>(
        &self,
        key: impl AsRef<str>,
        load: F,
    ) -> impl Future<Output = Result<V>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = V> + Send,
    {
        const OPERATION: &str = "get_or_insert_with";
        NowOrLater::new(move || match self.hit_now(OPERATION, key.as_ref()) {
            Ok(Some(value)) => Break(Ok(value)),
            Ok(None) => Continue(self.entry(key).insert(OPERATION, load)),
            Err(error) => Break(Err(error)),
        })
    }

    /// Returns the value of `key`; if it is absent, what `load` returns, which is stored unless it
    /// is an error.
    ///
    /// As [`get_or_insert_with`](Self::get_or_insert_with), for loaders that may fail. Those who
    /// wait get the same error; it is not stored, and the next call loads again. One that waits
    /// with a loader of another error type runs that instead.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<u32>::new(cache_local::LocalBackend::default());
    /// let answer = cache.get_or_try_insert_with("answer", async || "42".parse::<u32>()).await;
    /// assert_eq!(answer.ok(), Some(42));
    /// let error = cache.get_or_try_insert_with("pi", async || "3.14".parse::<u32>()).await;
    /// assert!(error.unwrap_err().loader().is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LoadError::Loader`] with the error of the loader; otherwise as
    /// [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// # Cancel safety
    /// A dropped call drops its loader; one of those who wait then runs its own.
    #[inline]
    pub fn get_or_try_insert_with<F, Fut, E>(
        &self,
        key: impl AsRef<str>,
        load: F,
    ) -> impl Future<Output = Result<V, LoadError<E>>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "get_or_try_insert_with";
        NowOrLater::new(move || match self.hit_now(OPERATION, key.as_ref()) {
            Ok(Some(value)) => Break(Ok(value)),
            Ok(None) => Continue(self.entry(key).try_insert(OPERATION, load)),
            Err(error) => Break(Err(error.into())),
        })
    }
}
