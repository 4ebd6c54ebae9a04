//! A key with how its value is loaded and kept.

use std::fmt;

use futures_util::{FutureExt, TryFutureExt};

#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, LoadCycle, LoadTimeout};
use crate::load::lookup::{Lookup, spawner};
use crate::{
    Cache, CacheBackend, DynBackend, LoadContext, LoadError, LoadOptions, Loaded, Result, Ttl,
};
use std::convert::Infallible;

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Names a key whose value is loaded if it is absent: say how the value is kept, and then how it is
    /// loaded.
    ///
    /// | the loader | is called |
    /// |---|---|
    /// | always has a value | [`or_insert_with`](KeyEntry::or_insert_with) |
    /// | may fail | [`or_try_insert_with`](KeyEntry::or_try_insert_with) |
    /// | may fail or find nothing, and may go on in the background | [`or_load`](KeyEntry::or_load) |
    /// | is to run whether or not there is a value | [`refresh`](KeyEntry::refresh) |
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// # async fn name_of(_: u64) -> String { "Alice".to_string() }
    /// let id = 123;
    /// let user = cache.entry("user:123").ttl(60).tags(["users"]);
    /// assert_eq!(user.or_insert_with(|| name_of(id)).await?, "Alice");
    /// assert_eq!(cache.ttl("user:123").await?, Some(60));
    /// cache.delete_by_tag("users").await?;
    /// assert!(!cache.exists("user:123").await?);
    /// # Ok(()) }
    /// ```
    pub fn entry<K: AsRef<str>>(&self, key: K) -> KeyEntry<'_, K, V, B> {
        KeyEntry {
            cache: self,
            key,
            options: LoadOptions::new(),
            tags: [],
        }
    }
}

/// A key with how its value is loaded and kept; made by [`Cache::entry`].
///
/// What is not said here is taken from the [defaults of the cache](crate::CacheBuilder::load_options).
#[must_use = "nothing is read before it is said how to load"]
pub struct KeyEntry<'c, K, V, B = DynBackend<V>, T = [&'static str; 0]> {
    cache: &'c Cache<V, B>,
    key: K,
    options: LoadOptions,
    tags: T,
}

impl<'c, K, V, B, T> KeyEntry<'c, K, V, B, T> {
    /// Gives what is loaded a time to live: seconds, a `Duration`, or [`Ttl::NEVER`].
    ///
    /// What the loader says for its value, by [`Loaded::ttl`], comes first.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.entry("token").ttl(30).or_insert_with(async || "secret".to_string()).await?;
    /// assert_eq!(cache.ttl("token").await?, Some(30));
    /// # Ok(()) }
    /// ```
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.options = self.options.ttl(ttl);
        self
    }

    /// Gives what is loaded tags, besides those of [`Loaded::tags`].
    ///
    /// If one of them is invalidated while the loader runs, the value is not stored; those who have
    /// waited for it get it. Limits are as of [`SetOptions::tags`](crate::SetOptions::tags).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let page = cache.entry("page:1").tags(["pages", "author:7"]);
    /// page.or_insert_with(async || "<html>".to_string()).await?;
    /// cache.delete_by_tag("author:7").await?;
    /// assert!(!cache.exists("page:1").await?);
    /// # Ok(()) }
    /// ```
    pub fn tags<N>(self, tags: N) -> KeyEntry<'c, K, V, B, N>
    where
        N: IntoIterator<Item: Into<String>>,
    {
        KeyEntry {
            cache: self.cache,
            key: self.key,
            options: self.options,
            tags,
        }
    }

    /// Says all else: when a value is loaded again, what is served meanwhile, how long a load may take.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// use cache_core::LoadOptions;
    ///
    /// let page = cache.entry("page").ttl(60).options(LoadOptions::new().refresh_ahead(0.8));
    /// let page = page.or_load(async |_| Ok::<_, io::Error>("<html>".to_string()));
    /// assert_eq!(page.await.unwrap().as_deref(), Some("<html>"));
    /// # Ok(()) }
    /// ```
    pub fn options(mut self, options: LoadOptions) -> Self {
        self.options = options.or(&self.options);
        self
    }
}

impl<K, V, B, T> KeyEntry<'_, K, V, B, T>
where
    K: AsRef<str>,
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
    T: IntoIterator<Item: Into<String>>,
{
    /// Returns the value of the key; if it is absent, what `load` returns, which is stored.
    ///
    /// See [`Cache::get_or_insert_with`], which is the short form.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let greeting = cache.entry("greeting").ttl(60).or_insert_with(async || "hello".to_string());
    /// assert_eq!(greeting.await?, "hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`Cache::get_or_insert_with`].
    ///
    /// # Cancel safety
    /// A dropped call drops its loader; one of those who wait then runs its own.
    pub async fn or_insert_with<F, Fut>(self, load: F) -> Result<V>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = V> + Send,
    {
        const OPERATION: &str = "or_insert_with";
        if let Some(value) = self.cache.hit_now(OPERATION, self.key.as_ref())? {
            return Ok(value);
        }
        self.insert(OPERATION, load).await
    }

    /// Returns the value of the key; if it is absent, what `load` returns, which is stored unless it is an
    /// error.
    ///
    /// See [`Cache::get_or_try_insert_with`], which is the short form.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<u32>::new(cache_local::LocalBackend::default());
    /// let answer = cache.entry("answer").ttl(60).or_try_insert_with(async || "42".parse::<u32>());
    /// assert_eq!(answer.await.ok(), Some(42));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`Cache::get_or_try_insert_with`].
    ///
    /// # Cancel safety
    /// A dropped call drops its loader; one of those who wait then runs its own.
    pub async fn or_try_insert_with<F, Fut, E>(self, load: F) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "or_try_insert_with";
        if let Some(value) = self.cache.hit_now(OPERATION, self.key.as_ref())? {
            return Ok(value);
        }
        self.try_insert(OPERATION, load).await
    }

    /// Returns the value of the key, loading it if need be; `None` if the loader finds nothing.
    ///
    /// The loader is told why it runs and what the last value was, and says how its value is to be
    /// stored: it may return a `V`, an `Option<V>` or a [`Loaded<V>`]. It may outlive the call, as
    /// [`stale_while_revalidate`](LoadOptions::stale_while_revalidate) needs it to, so it owns what it needs.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// use cache_core::Loaded;
    ///
    /// let token = cache.entry("token").or_load(async |_| {
    ///     Ok::<_, io::Error>(Loaded::value("secret".to_string()).ttl(5))
    /// });
    /// assert_eq!(token.await.unwrap().as_deref(), Some("secret"));
    /// assert_eq!(cache.ttl("token").await?, Some(5));
    ///
    /// let nobody = cache.entry("nobody").or_load(async |_| Ok::<_, io::Error>(None));
    /// assert_eq!(nobody.await.unwrap(), None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] that names an option outside its limits; otherwise as
    /// [`Cache::get_or_try_insert_with`].
    ///
    /// # Cancel safety
    /// A dropped call drops its loader, unless it went to the background; one of those who wait
    /// then runs its own.
    pub async fn or_load<F, Fut, L, E>(self, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "or_load";
        let (cache, key) = (self.cache, self.key.as_ref());
        let options = self.options.or(&cache.shared.load_options);
        if !options.looks_ahead()
            && let Some(value) = cache.hit_now(OPERATION, key)?
        {
            return Ok(Some(value));
        }
        let raw = cache.raw(OPERATION, key)?;
        let tags = owned(self.tags);
        let load = |context| load(context).map_ok(|loaded| loaded.into().and_tags(tags));
        Lookup::new(cache, OPERATION, key, &raw, options, spawner())?
            .run(load)
            .await
    }

    /// Loads the key whether or not it has a value, and stores what `load` returns.
    ///
    /// A load of the key that is under way began too early to be of use: it is detached, be it
    /// another refresh. Calls that find the key absent meanwhile wait for this one. The loader is as that of
    /// [`or_load`](Self::or_load).
    ///
    /// So it is with loads of other processes, on a store with [leases](crate::LoadLeases): a refresh of an absent
    /// key never waits for one of them but takes its lease. What was loaded before another process has changed the
    /// key is not stored. Nor is it if the key had a value that has expired by the end of the load: then
    /// nobody knows whether the key was deleted as well.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use std::io;
    ///
    /// cache.set("user:123", "Alice").await?;
    /// let new = cache.entry("user:123").refresh(async |context| {
    ///     assert_eq!(context.last.as_deref(), Some("Alice"));
    ///     Ok::<_, io::Error>("Bob".to_string())
    /// });
    /// assert_eq!(new.await.unwrap().as_deref(), Some("Bob"));
    /// assert_eq!(cache.get("user:123").await?.as_deref(), Some("Bob"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`or_load`](Self::or_load). If the loader fails, what is stored stays; it is not
    /// returned in the place of the error, whatever [`fail_safe`](LoadOptions::fail_safe) says.
    ///
    /// # Cancel safety
    /// As [`or_load`](Self::or_load).
    pub async fn refresh<F, Fut, L, E>(self, load: F) -> Result<Option<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>> + 'static,
        E: Send + Sync + 'static,
    {
        const OPERATION: &str = "refresh";
        let (cache, key) = (self.cache, self.key.as_ref());
        let raw = cache.raw(OPERATION, key)?;
        let options = self.options.or(&cache.shared.load_options);
        let tags = owned(self.tags);
        let load = |context| load(context).map_ok(|loaded| loaded.into().and_tags(tags));
        Lookup::new(cache, OPERATION, key, &raw, options, spawner())?
            .refresh(load)
            .await
    }

    /// Does what `or_insert_with` does of a key that is not in memory, under the name of the operation.
    pub(super) async fn insert<F, Fut>(self, operation: &'static str, load: F) -> Result<V>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = V> + Send,
    {
        let load = || load().map(Ok::<_, Infallible>);
        match self.try_insert(operation, load).await {
            Ok(value) => Ok(value),
            Err(LoadError::Cache(error)) => Err(error),
            Err(LoadError::Loader(never)) => match *never {},
        }
    }

    /// Does what `or_try_insert_with` does of a key that is not in memory, under the name of the operation.
    pub(super) async fn try_insert<F, Fut, E>(
        self,
        operation: &'static str,
        load: F,
    ) -> Result<V, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, E>> + Send,
        E: Send + Sync + 'static,
    {
        let (cache, key) = (self.cache, self.key.as_ref());
        let raw = cache.raw(operation, key)?;
        let options = self.options.or(&cache.shared.load_options);
        let lookup = Lookup::new(cache, operation, key, &raw, options, None)?;
        let tags = owned(self.tags);
        // Each is asked for a value, so only a loader of another kind finds none.
        let load = |_| load().map_ok(|value| Loaded::value(value).and_tags(tags));
        match lookup.insisting().run(load).await? {
            Some(value) => Ok(value),
            None => unreachable!("a loader that always returns a value ran, or one like it"),
        }
    }
}

fn owned(tags: impl IntoIterator<Item: Into<String>>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}

// Written by hand: the derived form would print the key and the tags.
impl<K, V, B, T> fmt::Debug for KeyEntry<'_, K, V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEntry")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
