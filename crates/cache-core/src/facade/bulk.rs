//! The verbs that take many keys at once.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{FuturesUnordered, TryStreamExt};

use super::raw_keys::borrowed;
use super::{Cache, When};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, TooLarge, Unsupported};
use crate::{CacheBackend, Error, Result, SetOptions, Ttl};

/// How many pairs are written at a time that are not one call of the backend.
pub(super) const AT_ONCE: usize = 64;

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the values of `keys`, in their order; a repeated key is answered each time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("batch:1", "value1"), ("batch:2", "value2")]).await?;
    /// let values = cache.mget(&["batch:1", "batch:999"]).await?;
    /// assert_eq!(values, [Some("value1".to_string()), None]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn mget<K: AsRef<str> + Sync>(&self, keys: &[K]) -> Result<Vec<Option<V>>> {
        let raw = self.raw_many("mget", keys)?;
        let values = self.answers(&borrowed(&raw)).await;
        let values = values.map_err(|error| error.during("mget"))?;
        let hits = values.iter().flatten().count() as u64;
        self.shared.counters.reads(hits, values.len() as u64 - hits);
        Ok(values)
    }

    /// Writes all pairs with the default time to live; of a repeated key the last one stays.
    ///
    /// Each pair is written atomically, all together are not. [`mset_with`](Self::mset_with) takes options.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("batch:1", "value1"), ("batch:2", "value2")]).await?;
    /// assert_eq!(cache.get("batch:2").await?.as_deref(), Some("value2"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or time to live, [`TooLarge`] for a value that can never
    /// fit; otherwise what the backend reports.
    /// Keys are checked before anything is written.
    ///
    /// # Cancel safety
    /// A dropped bulk write has happened for some of the keys.
    pub async fn mset<K: AsRef<str> + Send + Sync, T: Into<V>>(
        &self,
        entries: impl IntoIterator<Item = (K, T)>,
    ) -> Result<()> {
        let (keys, values): (Vec<K>, Vec<V>) = entries
            .into_iter()
            .map(|(key, value)| (key, value.into()))
            .unzip();
        self.set_pairs("mset", &keys, values, Ttl::DEFAULT).await
    }

    /// Writes all pairs as `options` say, and returns how many were written; of a repeated key the last one
    /// counts.
    ///
    /// Each pair is written atomically, all together are not. With a time to live alone it is one call of the
    /// backend, as [`mset`](Self::mset) is; with tags or a condition each pair is a write, some at a time.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::SetOptions;
    ///
    /// let users = [("user:1", "Alice"), ("user:2", "Bob")];
    /// let options = SetOptions::new().ttl(60).tags(&["team:7"]);
    /// assert_eq!(cache.mset_with(users, options).await?, 2);
    /// assert_eq!(cache.mset_with(users, SetOptions::new().if_absent()).await?, 0);
    /// cache.delete_by_tag("team:7").await?;
    /// assert_eq!(cache.mget(&["user:1", "user:2"]).await?, [None, None]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, tag or time to live, and for a
    /// [version](SetOptions::if_version), which belongs to one key; [`TooLarge`] for a value that can never
    /// fit; [`Unsupported`] for tags if the backend keeps none; otherwise what the backend reports.
    /// Keys are checked before anything is written.
    ///
    /// # Cancel safety
    /// A dropped bulk write has happened for some of the keys.
    pub async fn mset_with<K: AsRef<str> + Send + Sync, T: Into<V>>(
        &self,
        entries: impl IntoIterator<Item = (K, T)>,
        options: SetOptions<'_>,
    ) -> Result<u64> {
        const OPERATION: &str = "mset_with";
        let entries = entries.into_iter();
        let (keys, values): (Vec<K>, Vec<V>) =
            entries.map(|(key, value)| (key, value.into())).unzip();
        if options.is_plain() {
            let distinct: BTreeSet<&str> = keys.iter().map(AsRef::as_ref).collect();
            let count = distinct.len() as u64;
            self.set_pairs(OPERATION, &keys, values, options.ttl)
                .await?;
            return Ok(count);
        }
        if matches!(options.condition, When::IfVersion(_)) {
            let problem = "is of one key, and cannot be asked of several";
            return Err(Error::invalid("version", problem).during(OPERATION));
        }
        self.raw_many(OPERATION, &keys)?;
        let last: BTreeMap<&str, V> = keys.iter().map(AsRef::as_ref).zip(values).collect();
        // No stream of the pairs: with a closure of borrowed keys in it, the call could not go from one thread to
        // another.
        let (mut writes, mut written) = (FuturesUnordered::new(), 0);
        for (key, value) in last {
            if writes.len() == AT_ONCE {
                written += u64::from(writes.try_next().await? == Some(true));
            }
            writes.push(self.write(OPERATION, key, value, options));
        }
        while let Some(one) = writes.try_next().await? {
            written += u64::from(one);
        }
        Ok(written)
    }

    /// Writes pairs, whose keys are checked before anything is written.
    pub(super) async fn set_pairs<K: AsRef<str> + Sync>(
        &self,
        operation: &'static str,
        keys: &[K],
        values: Vec<V>,
        ttl: Ttl,
    ) -> Result<()> {
        let raw = self.raw_many(operation, keys)?;
        let expiry = ttl.resolve(self.default_ttl);
        let expiry = expiry.map_err(|error| error.during(operation))?;
        let entries = borrowed(&raw).into_iter().zip(values).collect();
        let set = self.shared.backend.set_many(entries, expiry);
        let written = self.superseding(keys, &raw, set, |()| true).await;
        written.map_err(|error| error.during(operation))?;
        self.shared.counters.sets(keys.len() as u64);
        Ok(())
    }

    /// Deletes `keys` and returns how many were there; a repeated key counts once.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.mset(vec![("batch:1", "value1"), ("batch:2", "value2")]).await?;
    /// assert_eq!(cache.mdelete(&["batch:1", "batch:2", "batch:3"]).await?, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped bulk write has happened for some of the keys.
    pub async fn mdelete<K: AsRef<str> + Sync>(&self, keys: &[K]) -> Result<u64> {
        let raw = self.raw_many("mdelete", keys)?;
        let all = borrowed(&raw);
        let delete = self.shared.backend.delete_many(&all);
        let deleted = self.superseding(keys, &raw, delete, |_| true).await;
        let deleted = deleted.map_err(|error| error.during("mdelete"))?;
        self.shared.counters.deletes(deleted);
        Ok(deleted)
    }
}
