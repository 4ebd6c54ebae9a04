//! The user's API: every verb, on every backend, with the same meaning.

mod builder;
mod bulk;
pub(crate) mod by_tag;
mod config;
pub(crate) mod copies;
mod counter_group;
mod get_or_insert;
mod hit;
mod key_entry;
mod lock_request;
mod steps;
mod transact;
mod update;
mod warm;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream::{self, TryStreamExt};

pub use self::builder::CacheBuilder;
pub use self::config::CacheConfig;
pub use self::counter_group::CounterGroup;
pub use self::hit::{Hit, Layer};
pub use self::key_entry::KeyEntry;
pub use self::lock_request::{Leadership, Lock, LockRequest, MAX_LOCK_NAME_BYTES, Term};
pub use self::transact::Transaction;
use self::update::Turns;
pub use self::update::Updated;
pub use self::warm::{WarmError, WarmOptions};
use crate::keyspace::Keyspace;
use crate::load::LoadCounters;
use crate::load::flights::Flights;
use crate::stats::Counters;
use crate::{
    CacheBackend, CacheStats, Clock, Condition, DynBackend, Expiry, LoadOptions, ReadNow, Result,
    SetOptions, Ttl,
};

#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, TooLarge, Unsupported};

/// How many keys the facade asks a backend for at a time.
const SCAN_PAGE: usize = 512;

/// A typed cache with a Redis-like API over any backend.
///
/// `Cache<User>` is the type to name in structs and signatures: its backend is erased, and
/// changing the backend changes one line. Code that counts nanoseconds names the backend,
/// `Cache<User, LocalBackend<User>>`, through [`with_backend`](Self::with_backend).
///
/// A clone is the same cache, and cheap. A cache is `Send + Sync`: clone it into tasks, keep
/// it in application state.
///
/// Keys are anything that is `AsRef<str>`, from 1 byte to [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES).
/// Times to live are whole seconds or a [`Duration`], see [`Ttl`]. A key whose time is over is
/// absent for every verb, at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// use cache_core::Cache;
/// use cache_local::LocalBackend;
///
/// let cache: Cache<String> = Cache::new(LocalBackend::default());
/// cache.set("user:123", "Alice").await?;
/// assert_eq!(cache.get("user:123").await?, Some("Alice".to_string()));
/// # Ok(()) }
/// ```
pub struct Cache<V, B = DynBackend<V>> {
    pub(crate) shared: Arc<Shared<V, B>>,
    pub(crate) keyspace: Keyspace,
}

/// What the clones and the namespaces of a cache have in common.
pub(crate) struct Shared<V, B> {
    pub(crate) backend: B,
    pub(crate) default_ttl: Ttl,
    pub(crate) load_options: LoadOptions,
    pub(crate) keep_stale: Option<Duration>,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    pub(crate) loads: LoadCounters,
    pub(crate) flights: Arc<Flights<V>>,
    turns: Turns,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the value of `key`, or `None` if it is absent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:123", "Alice").await?;
    /// assert_eq!(cache.get("user:123").await?.as_deref(), Some("Alice"));
    /// assert_eq!(cache.get(String::from("nobody")).await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    #[inline]
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<V>> {
        // Each answer leaves on its own: joining them first would copy the value twice, which
        // costs more than the lookup.
        let found = match self.read_now("get", key.as_ref())? {
            ReadNow::Answer(Ok(Some(value))) => return Ok(self.hit(value)),
            ReadNow::Answer(Ok(None)) => return Ok(self.miss()),
            ReadNow::Answer(Err(error)) => Err(error),
            ReadNow::WouldWait => {
                let raw = self.raw("get", key.as_ref())?;
                self.shared.backend.get(&raw).await
            }
        };
        match found {
            Ok(Some(value)) => Ok(self.hit(value)),
            Ok(None) => Ok(self.miss()),
            Err(error) => Err(error.during("get").for_key(key.as_ref())),
        }
    }

    /// Returns the value of `key` with all that is known of it, or `None` if it is absent.
    ///
    /// Of a cache that [keeps](CacheBuilder::keep_stale) values beyond their end it returns those
    /// too, and says that they have ended. It counts as a read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::Layer;
    ///
    /// cache.set_ex("session:abc", "active", 5).await?;
    /// let hit = cache.get_entry("session:abc").await?.expect("it was set");
    /// assert_eq!((hit.value.as_str(), hit.layer), ("active", Layer::Memory));
    /// assert!(hit.expiry.remaining().is_some() && !hit.is_stale());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn get_entry(&self, key: impl AsRef<str>) -> Result<Option<Hit<V>>> {
        let key = key.as_ref();
        let raw = self.raw("get_entry", key)?;
        let found = self.find(key, &raw).await;
        let found = found.map_err(|error| error.during("get_entry").for_key(key))?;
        self.shared.counters.read(found.is_some());
        Ok(found)
    }

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
    pub async fn set(&self, key: impl AsRef<str>, value: impl Into<V>) -> Result<()> {
        self.write("set", key.as_ref(), value.into(), SetOptions::new())
            .await
            .map(drop)
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
    pub async fn set_ex(
        &self,
        key: impl AsRef<str>,
        value: impl Into<V>,
        ttl: impl Into<Ttl>,
    ) -> Result<()> {
        let options = SetOptions::new().ttl(ttl);
        self.write("set_ex", key.as_ref(), value.into(), options)
            .await
            .map(drop)
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

    /// Tells whether `key` is there, without counting as a read.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:123", "Alice").await?;
    /// assert!(cache.exists("user:123").await?);
    /// assert!(!cache.exists("user:999").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key; otherwise what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn exists(&self, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.remaining("exists", key.as_ref()).await?.is_some())
    }

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

    /// Returns a view of this cache with keys of its own.
    ///
    /// The view shares backend, defaults and counters; `keys`, `scan` and `clear` cover it alone.
    /// Whatever characters names and keys hold, one namespace never reaches another.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let sessions = cache.namespace("sessions")?;
    /// sessions.set("abc", "active").await?;
    /// assert_eq!(cache.get("abc").await?, None);
    /// assert_eq!(cache.clear().await?, 0);
    /// assert_eq!(sessions.keys().await?, ["abc"]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] unless `name` is 1 to 64 ASCII letters, digits, `-`, `_` and `.`, and not
    /// `_stale`, `_tag` or `_counter`, where [kept values](CacheBuilder::keep_stale), tags and counters are.
    pub fn namespace(&self, name: impl AsRef<str>) -> Result<Self> {
        let keyspace = self.keyspace.named(name.as_ref())?;
        Ok(Self {
            keyspace,
            ..self.clone()
        })
    }

    /// Returns the counters of this cache, its clones and its namespaces.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// cache.set("user:1", "Alice").await?;
    /// cache.get("user:1").await?;
    /// cache.get("user:2").await?;
    /// let stats = cache.stats();
    /// assert_eq!((stats.hits, stats.misses, stats.sets), (1, 1, 1));
    /// assert_eq!(stats.hit_rate(), Some(0.5));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let pending = self.shared.flights.pending(self.shared.clock.nanos());
        CacheStats {
            loads: self.shared.loads.snapshot(pending),
            ..self.shared.counters.snapshot(self.shared.backend.stats())
        }
    }

    /// Returns the backend.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::CacheBackend;
    ///
    /// assert!(!cache.backend().capabilities().shared);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }
}

impl<V, B> Clone for Cache<V, B> {
    /// Returns the same cache.
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            keyspace: self.keyspace.clone(),
        }
    }
}

impl<V, B: fmt::Debug> fmt::Debug for Cache<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("backend", &self.shared.backend)
            .finish_non_exhaustive()
    }
}
