//! The verbs that read and write in one step: by versions, and `GETDEL` and `GETEX` of Redis.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, MutexGuard};

use super::by_tag::tag_keys;
use super::{Cache, When};
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{Conflict, InvalidInput, TooLarge, Unsupported};
use crate::backend::derived::Races;
use crate::{
    BackendWrite, CacheBackend, Condition, Error, Expiry, Result, SetOptions, Ttl, Version,
    Versioned,
};

/// What an [update](Cache::update) has done.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated<V> {
    /// The value that was replaced or removed; `None` if the key was absent.
    pub old: Option<V>,
    /// The value that is there now; `None` if the key is absent.
    pub new: Option<V>,
}

// Written by hand: the derived form would print the values.
impl<V> fmt::Debug for Updated<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updated")
            .field("had_old", &self.old.is_some())
            .field("has_new", &self.new.is_some())
            .finish()
    }
}

/// Lets updates and transactions of one key that have lost a race take turns: then those of one process
/// lose no race to each other.
#[derive(Debug, Default)]
pub(super) struct Turns(OnceLock<Stripes>);

#[derive(Debug)]
struct Stripes {
    hasher: RandomState,
    turns: [Mutex<()>; 64],
}

impl Turns {
    pub(super) async fn wait(&self, key: &str) -> MutexGuard<'_, ()> {
        let stripes = self.0.get_or_init(|| Stripes {
            hasher: RandomState::new(),
            turns: [const { Mutex::const_new(()) }; 64],
        });
        let stripe = stripes.hasher.hash_one(key) as usize % stripes.turns.len();
        stripes.turns[stripe].lock().await
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Changes the value of `key` by what it is, in one atomic step, and returns the old value and the new.
    ///
    /// `change` is given the value, or `None` if the key is absent, and returns the new one; if it returns
    /// `None`, the key is removed. It may be called several times, so it should do nothing else, and it must
    /// not wait for another update. An entry keeps its tags and the time that it has left; a new one gets the
    /// default time to live. See [`update_with`](Self::update_with) for others.
    ///
    /// The backend reads a version and writes on the condition that it is still the same (a compare and
    /// set): two round trips if nobody else writes the key meanwhile. A call that loses this race tries
    /// again, up to 128 times; the updates of one process then take turns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let visits = cache_core::Cache::<u64>::new(cache_local::LocalBackend::default());
    /// let updated = visits.update("page:1", |count| count.unwrap_or(&0) + 1).await?;
    /// assert_eq!((updated.old, updated.new), (None, Some(1)));
    ///
    /// // A count that has reached zero is removed.
    /// let less = |count: Option<&u64>| count.and_then(|count| count.checked_sub(1)).filter(|count| *count > 0);
    /// assert_eq!(visits.update("page:1", less).await?.new, None);
    /// assert!(!visits.exists("page:1").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, [`TooLarge`] for a value that can never fit, [`Conflict`] if others
    /// were faster each time, [`Unsupported`] if the backend has no versions; otherwise what it reports.
    ///
    /// # Cancel safety
    /// Dropped, it has happened or not, never in part.
    pub async fn update<R: Into<Option<V>>>(
        &self,
        key: impl AsRef<str>,
        change: impl FnMut(Option<&V>) -> R + Send,
    ) -> Result<Updated<V>> {
        let options = SetOptions::new();
        self.update_as("update", key.as_ref(), options, change)
            .await
    }

    /// Does what [`update`](Self::update) does, with a time to live or tags of its own.
    ///
    /// A time to live in `options` replaces the one that the entry has left, tags in `options` replace its
    /// tags.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let carts = cache_core::Cache::<Vec<u32>>::new(cache_local::LocalBackend::default());
    /// use cache_core::SetOptions;
    ///
    /// let add = |cart: Option<&Vec<u32>>| [cart.map_or(&[][..], Vec::as_slice), &[42]].concat();
    /// carts.update_with("cart:7", SetOptions::new().ttl(3600), add).await?;
    /// assert_eq!(carts.get("cart:7").await?, Some(vec![42]));
    /// assert_eq!(carts.ttl("cart:7").await?, Some(3600));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`update`](Self::update); [`InvalidInput`] for a bad time to live, a bad tag and a condition,
    /// since an update has its own; [`Unsupported`] for tags if the backend keeps none.
    ///
    /// # Cancel safety
    /// Dropped, it has happened or not, never in part.
    pub async fn update_with<R: Into<Option<V>>>(
        &self,
        key: impl AsRef<str>,
        options: SetOptions<'_>,
        change: impl FnMut(Option<&V>) -> R + Send,
    ) -> Result<Updated<V>> {
        self.update_as("update_with", key.as_ref(), options, change)
            .await
    }

    async fn update_as<R: Into<Option<V>>>(
        &self,
        operation: &'static str,
        key: &str,
        options: SetOptions<'_>,
        change: impl FnMut(Option<&V>) -> R + Send,
    ) -> Result<Updated<V>> {
        let raw = self.raw(operation, key)?;
        let expiry = self.resolve(operation, key, options.ttl)?;
        let updated = self.race((key, &raw), expiry, options, change).await;
        updated.map_err(|error| error.during(operation).for_key(key))
    }

    /// Compares and sets until nobody else was faster.
    async fn race<R: Into<Option<V>>>(
        &self,
        (key, raw): (&str, &str),
        expiry: Expiry,
        options: SetOptions<'_>,
        mut change: impl FnMut(Option<&V>) -> R + Send,
    ) -> Result<Updated<V>> {
        if options.condition != When::Always {
            let problem = "is given to an update, which has its own";
            return Err(Error::invalid("condition", problem));
        }
        let keeps_expiry = options.keeps_ttl || options.ttl == Ttl::DEFAULT;
        let given = tag_keys(&self.keyspace, options.tags)?;
        let (mut races, mut turn) = (Races::default(), None);
        loop {
            let Versioned { entry, version } = self.shared.backend.get_versioned(raw).await?;
            let new = change(entry.as_ref().map(|entry| &entry.value)).into();
            let tags: Vec<&str> = match &entry {
                Some(entry) if given.is_empty() => entry.tags.iter().map(Arc::as_ref).collect(),
                _ => given.iter().map(String::as_str).collect(),
            };
            let write = BackendWrite::new(expiry, Condition::unchanged(version));
            let write = write.with_kept_expiry(keeps_expiry);
            if self.replace((key, raw), new.clone(), write, &tags).await? {
                let old = entry.map(|entry| entry.value);
                return Ok(Updated { old, new });
            }
            if turn.is_none() {
                turn = Some(self.shared.turns.wait(raw).await);
            }
            races.lose().await?;
        }
    }

    /// Writes a value with tags, or removes it if there is none, and tells whether the condition held.
    async fn replace(
        &self,
        (key, raw): (&str, &str),
        value: Option<V>,
        options: BackendWrite,
        tags: &[&str],
    ) -> Result<bool> {
        let (backend, counters) = (&self.shared.backend, &self.shared.counters);
        let Some(value) = value else {
            if options.condition == Condition::IfAbsent {
                return Ok(true);
            }
            let delete = backend.delete(raw, options.condition);
            let deleted = self
                .superseding(&[key], &[raw], delete, |deleted| *deleted)
                .await?;
            counters.deletes(u64::from(deleted));
            return Ok(deleted);
        };
        let set = self.put(raw, value, options, (tags, None));
        let written = self
            .superseding(&[key], &[raw], set, |written| *written)
            .await?;
        counters.sets(u64::from(written));
        Ok(written)
    }

    /// Returns the value of `key` and its version, as the truth is now.
    ///
    /// The memory of a tier is passed by. The version is what
    /// [`SetOptions::if_version`] and [`delete_if`](Self::delete_if) want; an absent key has none. What
    /// cannot be read back has a version and no value. It counts as a read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("page", "draft").await?;
    /// let (value, version) = cache.get_versioned("page").await?;
    /// assert_eq!(value.as_deref(), Some("draft"));
    /// assert!(version.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, [`Unsupported`] if the backend has no versions; otherwise what it
    /// reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn get_versioned(
        &self,
        key: impl AsRef<str>,
    ) -> Result<(Option<V>, Option<Version>)> {
        const OPERATION: &str = "get_versioned";
        let raw = self.raw(OPERATION, key.as_ref())?;
        let found = self.shared.backend.get_versioned(&raw).await;
        let found = found.map_err(|error| error.during(OPERATION).for_key(key.as_ref()))?;
        self.shared.counters.read(found.entry.is_some());
        Ok((found.entry.map(|entry| entry.value), found.version))
    }

    /// Deletes `key` if it still has this version, and tells whether it did.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("job:7", "mine").await?;
    /// let (_, version) = cache.get_versioned("job:7").await?;
    /// let version = version.expect("it was set");
    ///
    /// cache.set("job:7", "of somebody else").await?;
    /// assert!(!cache.delete_if("job:7", &version).await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part.
    pub async fn delete_if(&self, key: impl AsRef<str>, version: &Version) -> Result<bool> {
        let condition = Condition::IfVersion(version.clone());
        self.remove("delete_if", key.as_ref(), condition).await
    }

    /// Deletes `key` and returns the value that it had, in one atomic step (`GETDEL`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("token:reset", "alice").await?;
    /// assert_eq!(cache.take("token:reset").await?.as_deref(), Some("alice"));
    /// assert_eq!(cache.take("token:reset").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// A dropped write has happened or not, never in part; the value may be lost with it.
    pub async fn take(&self, key: impl AsRef<str>) -> Result<Option<V>> {
        self.take_as("take", key.as_ref()).await
    }

    async fn take_as(&self, operation: &'static str, key: &str) -> Result<Option<V>> {
        let raw = self.raw(operation, key)?;
        let take = self.shared.backend.take(&raw);
        let taken = self.superseding(&[key], &[&*raw], take, |_| true).await;
        let taken = taken.map_err(|error| error.during(operation).for_key(key))?;
        self.shared.counters.read(taken.is_some());
        self.shared.counters.deletes(u64::from(taken.is_some()));
        Ok(taken)
    }

    /// Returns the value of `key` and gives it a new time to live, in one atomic step (`GETEX`).
    ///
    /// [`Ttl::NEVER`] removes the expiry; zero and negative numbers delete the key, as
    /// [`expire`](Self::expire) does.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set_ex("session:abc", "alice", 60).await?;
    /// assert_eq!(cache.get_ex("session:abc", 1800).await?.as_deref(), Some("alice"));
    /// assert_eq!(cache.ttl("session:abc").await?, Some(1800));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or more than [`MAX_TTL`](crate::MAX_TTL); otherwise what the backend
    /// reports.
    ///
    /// # Cancel safety
    /// Dropped, the expiry has been changed or not.
    pub async fn get_ex(&self, key: impl AsRef<str>, ttl: impl Into<Ttl>) -> Result<Option<V>> {
        const OPERATION: &str = "get_ex";
        let (key, ttl) = (key.as_ref(), ttl.into());
        if ttl.is_over() {
            return self.take_as(OPERATION, key).await;
        }
        let raw = self.raw(OPERATION, key)?;
        let expiry = self.resolve(OPERATION, key, ttl)?;
        let get = self.shared.backend.get_ex(&raw, expiry);
        let found = self.with_copy(key, expiry, get, Option::is_some).await;
        let found = found.map_err(|error| error.during(OPERATION).for_key(key))?;
        self.shared.counters.read(found.is_some());
        Ok(found)
    }
}
