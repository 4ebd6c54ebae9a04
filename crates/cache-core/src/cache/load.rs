//! The verbs that load what is absent.

mod lead;
mod lease;
mod lookup;
mod many;
mod steps;
mod store;

use std::convert::Infallible;

use futures_util::{FutureExt, TryFutureExt};

use self::lookup::{Lookup, spawner};
use super::Cache;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, LoadCycle, LoadTimeout};
use crate::{CacheBackend, LoadContext, LoadError, LoadOptions, Loaded, ReadNow, Result};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the value of `key`; if it is absent, what `load` returns, which is stored.
    ///
    /// Of all tasks of this process that want the key meanwhile, one runs its loader and the others
    /// wait for it. If that one is dropped or panics, exactly one of the others takes over. A `set`
    /// or `delete` of the key during the load wins: those who have waited get what was loaded, but
    /// it is not stored.
    ///
    /// The time to live and all else are the [defaults of the
    /// cache](crate::CacheBuilder::load_options). What needs the background, as
    /// [`stale_while_revalidate`](LoadOptions::stale_while_revalidate) does, is left to
    /// [`get_or_load`](Self::get_or_load), whose loader can go there.
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
    pub async fn get_or_insert_with<F, Fut>(&self, key: impl AsRef<str>, load: F) -> Result<V>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = V> + Send,
    {
        const OPERATION: &str = "get_or_insert_with";
        let raw = self.raw(OPERATION, key.as_ref())?;
        if let Some(value) = self.read_now(&raw) {
            return Ok(value);
        }
        let load = || load().map(Ok::<_, Infallible>);
        match self
            .get_or_insert(OPERATION, key.as_ref(), &raw, load)
            .await
        {
            Ok(value) => Ok(value),
            Err(LoadError::Cache(error)) => Err(error),
            Err(LoadError::Loader(never)) => match *never {},
        }
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
    pub async fn get_or_try_insert_with<F, Fut, E>(
        &self,
        key: impl AsRef<str>,
        load: F,
    ) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "get_or_try_insert_with";
        let raw = self.raw(OPERATION, key.as_ref())?;
        if let Some(value) = self.read_now(&raw) {
            return Ok(value);
        }
        self.get_or_insert(OPERATION, key.as_ref(), &raw, load)
            .await
    }

    /// Returns the value of `key`, loading it with the default options if need be.
    ///
    /// The loader is told why it runs and what the last value was, and says how its value is to be
    /// stored: it may return a `V`, an `Option<V>` or a [`Loaded<V>`]. It may outlive the call, so it
    /// owns what it needs.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// use cache_core::Loaded;
    ///
    /// let token = cache.get_or_load("token", async |_| {
    ///     Ok::<_, io::Error>(Loaded::value("secret".to_string()).ttl(5))
    /// });
    /// assert_eq!(token.await.unwrap().as_deref(), Some("secret"));
    /// assert_eq!(cache.ttl("token").await?, Some(5));
    ///
    /// let nobody = cache.get_or_load("nobody", async |_| Ok::<_, io::Error>(None));
    /// assert_eq!(nobody.await.unwrap(), None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`get_or_try_insert_with`](Self::get_or_try_insert_with).
    ///
    /// # Cancel safety
    /// A dropped call drops its loader, unless it went to the background; one of those who wait
    /// then runs its own.
    pub async fn get_or_load<F, Fut, L, E>(
        &self,
        key: impl AsRef<str>,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Send + Sync + 'static,
    {
        self.get_or_load_with(key, LoadOptions::new(), load).await
    }

    /// Returns the value of `key`, loading it as `options` say if need be.
    ///
    /// What the options leave out is taken from the defaults of the cache.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// use cache_core::LoadOptions;
    ///
    /// let options = LoadOptions::new().ttl(60).refresh_ahead(0.8);
    /// let page = cache.get_or_load_with("page", options, async |context| {
    ///     assert_eq!(context.key, "page");
    ///     Ok::<_, io::Error>("<html>".to_string())
    /// });
    /// assert_eq!(page.await.unwrap().as_deref(), Some("<html>"));
    /// assert_eq!(cache.ttl("page").await?, Some(60));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] that names an option outside its limits; otherwise as
    /// [`get_or_load`](Self::get_or_load).
    ///
    /// # Cancel safety
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_with<F, Fut, L, E>(
        &self,
        key: impl AsRef<str>,
        options: LoadOptions,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "get_or_load";
        let key = key.as_ref();
        let raw = self.raw(OPERATION, key)?;
        let options = options.or(&self.shared.load_options);
        if !options.looks_ahead()
            && let Some(value) = self.read_now(&raw)
        {
            return Ok(Some(value));
        }
        let load = |context| load(context).map_ok(Into::into);
        Lookup::new(self, OPERATION, key, &raw, options, spawner())?
            .run(load)
            .await
    }

    /// Loads `key` with the default options whether or not it is there, and stores what `load` returns.
    ///
    /// A load of the key that is under way began too early to be of use: it is detached, be it
    /// another refresh. Calls that find the key absent meanwhile wait for this one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// cache.set("user:123", "Alice").await?;
    /// let new = cache.refresh("user:123", async |context| {
    ///     assert_eq!(context.last.as_deref(), Some("Alice"));
    ///     Ok::<_, io::Error>("Bob".to_string())
    /// });
    /// assert_eq!(new.await.unwrap().as_deref(), Some("Bob"));
    /// assert_eq!(cache.get("user:123").await?.as_deref(), Some("Bob"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load). If the loader fails, what is stored stays; it is not
    /// returned in the place of the error, whatever [`fail_safe`](LoadOptions::fail_safe) says.
    ///
    /// # Cancel safety
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn refresh<F, Fut, L, E>(
        &self,
        key: impl AsRef<str>,
        load: F,
    ) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "refresh";
        let key = key.as_ref();
        let raw = self.raw(OPERATION, key)?;
        let options = self.shared.load_options;
        let load = |context| load(context).map_ok(Into::into);
        Lookup::new(self, OPERATION, key, &raw, options, spawner())?
            .refresh(load)
            .await
    }

    /// Returns a value that is in memory.
    #[inline]
    fn read_now(&self, raw: &str) -> Option<V> {
        match self.shared.backend.read_now(raw) {
            ReadNow::Answer(Ok(Some(value))) => self.hit(value),
            // Whatever else it may be, it is looked up again where there is time.
            _ => None,
        }
    }

    async fn get_or_insert<F, Fut, E>(
        &self,
        operation: &'static str,
        key: &str,
        raw: &str,
        load: F,
    ) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send,
        E: Send + Sync + 'static,
    {
        let options = self.shared.load_options;
        let lookup = Lookup::new(self, operation, key, raw, options, None)?;
        // Each is asked for a value, so only a loader of another kind finds none.
        let load = |_| load().map_ok(Loaded::value);
        match lookup.insisting().run(load).await? {
            Some(value) => Ok(value),
            None => unreachable!("a loader that always returns a value ran, or one like it"),
        }
    }
}
