//! The verbs over all keys of a namespace.

use futures_core::Stream;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Cache;
use super::bulk::AT_ONCE;
use super::raw_keys::borrowed;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::Unsupported;
use crate::{CacheBackend, Condition, Cursor, Error, Result, Version};

/// How many keys the facade asks a backend for at a time.
const SCAN_PAGE: usize = 512;

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns all keys of this namespace, sorted.
    ///
    /// Not a snapshot: a key written or deleted meanwhile may be there or not. For more keys than
    /// fit in memory there is [`scan`](Self::scan).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("user:2", "Bob"), ("user:1", "Alice")]).await?;
    /// assert_eq!(cache.keys().await?, ["user:1", "user:2"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`] if the backend cannot scan; otherwise what it reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn keys(&self) -> Result<Vec<String>> {
        self.keys_with_prefix("").await
    }

    /// Returns the keys of this namespace that start with `prefix`, sorted. No character of the
    /// prefix is special.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("user:1", "Alice"), ("order:1", "tea")]).await?;
    /// assert_eq!(cache.keys_with_prefix("user:").await?, ["user:1"]);
    /// assert!(cache.keys_with_prefix("us*").await?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`] if the backend cannot scan; otherwise what it reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn keys_with_prefix(&self, prefix: impl AsRef<str>) -> Result<Vec<String>> {
        let mut keys: Vec<String> = self.pages(prefix.as_ref(), "keys").try_concat().await?;
        // Some stores return a key twice while they grow or shrink.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Returns a stream of the keys of this namespace that start with `prefix`.
    ///
    /// A page at a time is held in memory. Every key that is present throughout is returned at
    /// least once; a shared store may return a key twice.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use futures_util::TryStreamExt;
    ///
    /// cache.mset(vec![("user:1", "Alice"), ("user:2", "Bob")]).await?;
    /// let mut keys = std::pin::pin!(cache.scan("user:"));
    /// let mut seen = 0;
    /// while let Some(key) = keys.try_next().await? {
    ///     assert!(key.starts_with("user:"));
    ///     seen += 1;
    /// }
    /// assert_eq!(seen, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Items are errors as of [`keys`](Self::keys); the stream ends after one.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the scan; nothing is held in the store.
    pub fn scan(&self, prefix: &str) -> impl Stream<Item = Result<String>> + Send + use<V, B> {
        self.pages(prefix, "scan")
            .map_ok(|keys| stream::iter(keys.into_iter().map(Ok)))
            .try_flatten()
    }

    /// Returns a stream of the entries of this namespace whose keys start with `prefix`.
    ///
    /// A page at a time is read and held in memory. What is said of [`scan`](Self::scan) holds here too; an
    /// entry that is deleted or expires between the scan of its key and the read of its value is left out.
    /// It does not count as a read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use futures_util::TryStreamExt;
    ///
    /// cache.mset(vec![("user:1", "Alice"), ("user:2", "Bob"), ("team:1", "A")]).await?;
    /// let mut users: Vec<(String, String)> = cache.scan_entries("user:").try_collect().await?;
    /// users.sort();
    /// assert_eq!(users[1], ("user:2".to_string(), "Bob".to_string()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Items are errors as of [`keys`](Self::keys); the stream ends after one.
    ///
    /// # Cancel safety
    /// Dropping the stream ends the scan; nothing is held in the store.
    pub fn scan_entries(
        &self,
        prefix: &str,
    ) -> impl Stream<Item = Result<(String, V)>> + Send + use<V, B> {
        let cache = self.clone();
        self.pages(prefix, "scan_entries")
            .and_then(move |keys| {
                let cache = cache.clone();
                async move { cache.entries_of(keys).await }
            })
            .map_ok(|entries| stream::iter(entries.into_iter().map(Ok)))
            .try_flatten()
    }

    /// Deletes all entries of this namespace and returns how many were there.
    ///
    /// Nested namespaces, the parent and entries of other programs stay.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("a", "1"), ("b", "2")]).await?;
    /// assert_eq!(cache.clear().await?, 2);
    /// assert!(cache.keys().await?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`] if the backend cannot scan; otherwise what it reports.
    ///
    /// # Cancel safety
    /// A dropped `clear` has deleted some of the entries.
    pub async fn clear(&self) -> Result<u64> {
        let scope = self.keyspace.scope("");
        let cleared = self.clear_with_copies(&scope).await;
        let cleared = cleared.map_err(|error| error.during("clear"))?;
        self.shared.counters.deletes(cleared);
        Ok(cleared)
    }

    /// Deletes the entries of this namespace that `keep` refuses, and returns how many it deleted.
    ///
    /// `keep` is told key and value, of each entry once (a shared store may return a key twice), and runs under no
    /// lock. An entry that is written while it is asked about stays: the new value was not what `keep` has
    /// refused. Values are read and deleted by their version, so on a shared store each entry costs a read, and
    /// each that goes a write; where all entries of a kind go, [tags](crate::SetOptions::tags) or a namespace and
    /// [`clear`](Self::clear) cost far less.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<u32>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("a", 1_u32), ("b", 2), ("c", 3)]).await?;
    /// assert_eq!(cache.retain(|_, value| value % 2 == 0).await?, 2);
    /// assert_eq!(cache.keys().await?, ["b"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`] if the backend cannot scan or has no versions; otherwise what it reports. Entries that were
    /// deleted before the error stay deleted.
    ///
    /// # Cancel safety
    /// A dropped `retain` has deleted some of the entries.
    pub async fn retain(&self, mut keep: impl FnMut(&str, &V) -> bool + Send) -> Result<u64> {
        const OPERATION: &str = "retain";
        let mut pages = std::pin::pin!(self.pages("", OPERATION));
        let mut deleted = 0;
        while let Some(keys) = pages.try_next().await? {
            let mut refused = self.versions_of(OPERATION, keys).await?;
            refused.retain(|(key, value, _)| !keep(key, value));
            let deletes = refused.into_iter().map(|(key, _, version)| async move {
                self.remove(OPERATION, &key, Condition::IfVersion(version))
                    .await
            });
            let mut deletes = stream::iter(deletes).buffer_unordered(AT_ONCE);
            while let Some(was_deleted) = deletes.try_next().await? {
                deleted += u64::from(was_deleted);
            }
        }
        Ok(deleted)
    }

    /// Reads the values and versions of keys, and leaves out keys that are absent and values that cannot be read.
    async fn versions_of(
        &self,
        operation: &'static str,
        keys: Vec<String>,
    ) -> Result<Vec<(String, V, Version)>> {
        let reads = keys.into_iter().map(|key| async move {
            let raw = self.raw(operation, &key)?;
            let found = self.shared.backend.get_versioned(&raw).await;
            let found = found.map_err(|error| error.during(operation).for_key(&key))?;
            let found = found.entry.zip(found.version);
            Ok::<_, Error>(found.map(|(entry, version)| (key, entry.value, version)))
        });
        let found: Vec<_> = stream::iter(reads)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Reads the values of keys, and leaves out what is not there any more.
    async fn entries_of(&self, keys: Vec<String>) -> Result<Vec<(String, V)>> {
        let values = {
            let raw = self.raw_many("scan_entries", &keys)?;
            let values = self.shared.backend.get_many(&borrowed(&raw)).await;
            values.map_err(|error| error.during("scan_entries"))?
        };
        let entries = keys.into_iter().zip(values);
        let present = entries.filter_map(|(key, value)| Some((key, value?)));
        Ok(present.collect())
    }

    /// The keys of a scope, as the user knows them, a page at a time.
    fn pages(
        &self,
        prefix: &str,
        operation: &'static str,
    ) -> impl Stream<Item = Result<Vec<String>>> + Send + use<V, B> {
        let cache = self.clone();
        let scope = self.keyspace.scope(prefix);
        stream::try_unfold(Some(Cursor::Start), move |cursor| {
            let (cache, scope) = (cache.clone(), scope.clone());
            async move {
                let Some(cursor) = cursor else {
                    return Ok(None);
                };
                let page = cache.shared.backend.scan(&scope, cursor, SCAN_PAGE).await;
                let page = page.map_err(|error| error.during(operation))?;
                let own = |raw: &String| cache.keyspace.decode(raw).map(str::to_owned);
                Ok(Some((
                    page.keys.iter().filter_map(own).collect(),
                    page.next,
                )))
            }
        })
    }
}
