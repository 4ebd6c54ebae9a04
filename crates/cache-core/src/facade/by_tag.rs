//! Tags: how entries get them, and the verbs that end all entries of one.

use std::sync::Arc;

use super::raw_keys::borrowed;
use super::{Cache, Keyspace};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, Unsupported};
use crate::contract::tags::check_count;
use crate::{BackendWrite, CacheBackend, Error, LoadOptions, Result, TagTicket, Tagging, Tags};

/// Returns the keys that name tags of a namespace to a backend, each once.
pub(crate) fn tag_keys(space: &Keyspace, tags: &[impl AsRef<str>]) -> Result<Vec<String>> {
    let keys = tags.iter().map(|tag| space.tag(tag.as_ref()));
    let mut keys: Vec<String> = keys.collect::<Result<_>>()?;
    keys.sort_unstable();
    keys.dedup();
    check_count(keys.len())?;
    Ok(keys)
}

/// Returns the names of tags of a namespace by the keys that name them to a backend.
pub(crate) fn tag_names(space: &Keyspace, keys: &[Arc<str>]) -> Vec<String> {
    keys.iter().filter_map(|key| space.tag_name(key)).collect()
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Makes every entry of this namespace absent that has `tag`, as if each were deleted.
    ///
    /// It costs the same for one entry as for a million: entries are not looked for. A load that is
    /// under way, here or in another process, is not stored if its value has the tag, and calls of this
    /// cache that come after this one do not take its value. Values that the cache [keeps](crate::CacheBuilder::keep_stale) beyond their end
    /// are gone too.
    ///
    /// The memory of such entries is freed when they expire, are evicted or written again. A tag that
    /// no entry has is no error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::SetOptions;
    ///
    /// let team = SetOptions::new().tags(&["team:7"]);
    /// cache.set_with("user:1", "Alice", team).await?;
    /// cache.set_with("user:2", "Bob", team).await?;
    /// cache.set("user:3", "Carol").await?;
    ///
    /// cache.delete_by_tag("team:7").await?;
    /// assert_eq!(cache.keys().await?, ["user:3"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] unless `tag` is 1 to [`MAX_TAG_BYTES`](crate::MAX_TAG_BYTES) bytes long;
    /// [`Unsupported`] if the backend keeps no tags; otherwise what it reports. Then it may have
    /// happened or not: call again.
    ///
    /// # Cancel safety
    /// Dropped, it has happened or not: call again.
    pub async fn delete_by_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        let keys = self.keyspace.tag_and_copy(tag.as_ref());
        let invalidated = self.invalidate(keys).await;
        invalidated.map_err(|error| error.during("delete_by_tag"))
    }

    /// Lets the time of every entry of this namespace end that has `tag`.
    ///
    /// As [`delete_by_tag`](Self::delete_by_tag), but of a cache that
    /// [keeps](crate::CacheBuilder::keep_stale) values beyond their end they stay: loads may
    /// serve them as [`stale_while_revalidate`](crate::LoadOptions::stale_while_revalidate) and
    /// [`fail_safe`](crate::LoadOptions::fail_safe) say. How long ago such a value ended is counted from
    /// when its time would have been over.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// use cache_core::{Cache, Loaded};
    /// use cache_local::LocalBackend;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let cache: Cache<String> = Cache::builder(LocalBackend::default())
    ///     .default_ttl(60)
    ///     .keep_stale(hour)
    ///     .build()?;
    /// let menu = cache.entry("menu").or_load(async |_| {
    ///     Ok::<_, io::Error>(Loaded::value("soup".to_string()).tags(["prices"]))
    /// });
    /// menu.await.unwrap();
    ///
    /// cache.expire_by_tag("prices").await?;
    /// assert_eq!(cache.get("menu").await?, None);
    /// assert!(cache.get_entry("menu").await?.is_some_and(|hit| hit.is_stale()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`delete_by_tag`](Self::delete_by_tag).
    ///
    /// # Cancel safety
    /// Dropped, it has happened or not: call again.
    pub async fn expire_by_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        let key = self.keyspace.tag(tag.as_ref());
        let invalidated = self.invalidate(key.map(|key| [key])).await;
        invalidated.map_err(|error| error.during("expire_by_tag"))
    }

    async fn invalidate<const N: usize>(&self, keys: Result<[String; N]>) -> Result<()> {
        let (keys, tags) = (keys?, self.backend_tags()?);
        let invalidated = tags.invalidate(&borrowed(&keys)).await;
        // Not before: a load that begins in between would be joined and yet not be stored.
        // The first names the tag of entries, which is what is loaded.
        self.shared.flights.invalidated(&keys[..1]);
        invalidated
    }

    pub(crate) fn backend_tags(&self) -> Result<&dyn Tags<V>> {
        self.shared.backend.abilities().tags.ok_or_else(|| {
            let what = "tags by this backend";
            Error::unsupported(what)
        })
    }

    /// Returns a ticket for a value that is about to be read where it comes from, if the backend keeps
    /// tags.
    pub(crate) async fn tag_ticket(&self, options: &LoadOptions) -> Result<Option<TagTicket>> {
        match self.shared.backend.abilities().tags {
            Some(tags) if options.allow_tags != Some(false) => tags.ticket().await.map(Some),
            _ => Ok(None),
        }
    }

    /// Checks that a load may store tags.
    pub(crate) fn check_tags(&self, options: &LoadOptions) -> Result<()> {
        if options.allow_tags == Some(false) {
            let problem = "are given by a loader whose options do not allow them";
            return Err(Error::invalid("tags", problem));
        }
        self.backend_tags().map(drop)
    }

    /// Writes a value with tags, if it has any.
    pub(crate) async fn put(
        &self,
        raw: &str,
        value: V,
        options: BackendWrite,
        (tags, since): (&[impl AsRef<str> + Sync], Option<&TagTicket>),
    ) -> Result<bool> {
        if tags.is_empty() {
            return self.shared.backend.set(raw, value, options).await;
        }
        let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        let tagging = Tagging::new(&tags, since);
        self.backend_tags()?.set(raw, value, options, tagging).await
    }

    pub(super) async fn write_tagged(
        &self,
        (key, raw): (&str, &str),
        value: V,
        options: BackendWrite,
        tags: &[&str],
    ) -> Result<bool> {
        let tags = tag_keys(&self.keyspace, tags)?;
        let set = self.put(raw, value, options, (&tags, None));
        self.superseding(&[key], &[raw], set, |written| *written)
            .await
    }
}
