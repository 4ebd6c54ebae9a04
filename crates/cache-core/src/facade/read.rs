//! The verbs that read one key.

use std::ops::ControlFlow::{Break, Continue};

use super::Cache;
use super::now_or_later::NowOrLater;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::InvalidInput;
use crate::{CacheBackend, Expiry, Hit, ReadNow, Result};

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
    pub fn get(&self, key: impl AsRef<str>) -> impl Future<Output = Result<Option<V>>> {
        NowOrLater::new(move || match self.read_now("get", key.as_ref()) {
            Ok(ReadNow::Answer(Ok(Some(value)))) => Break(Ok(self.hit(value))),
            Ok(ReadNow::Answer(Ok(None))) => Break(Ok(self.miss())),
            answer => Continue(self.get_later(key, answer)),
        })
    }

    /// Asks a backend that does not answer at once.
    #[cold]
    async fn get_later(
        &self,
        key: impl AsRef<str>,
        answer: Result<ReadNow<V>>,
    ) -> Result<Option<V>> {
        let key = key.as_ref();
        let found = match answer? {
            ReadNow::Answer(answer) => answer,
            ReadNow::WouldWait => self.answer(&self.raw("get", key)?).await,
        };
        match found {
            Ok(Some(value)) => Ok(self.hit(value)),
            Ok(None) => Ok(self.miss()),
            Err(error) => Err(error.during("get").for_key(key)),
        }
    }

    /// Returns the value of `key` with all that is known of it, or `None` if it is absent.
    ///
    /// Of a cache that [keeps](crate::CacheBuilder::keep_stale) values beyond their end it returns those
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

    /// Asks the backend for an answer at once.
    #[inline]
    pub(super) fn read_now(&self, operation: &'static str, key: &str) -> Result<ReadNow<V>> {
        // The usual case on its own: what several places call, the compiler keeps out of line.
        if self.shared.time_to_idle.is_none() && self.keyspace.is_raw(key) {
            return Ok(self.shared.backend.read_now(key));
        }
        let answer = self.keyspace.lend(key, |raw: &str| self.answer_now(raw));
        answer.map_err(|error| error.during(operation))
    }

    /// Returns a value that is in memory.
    #[inline]
    pub(super) fn hit_now(&self, operation: &'static str, key: &str) -> Result<Option<V>> {
        Ok(match self.read_now(operation, key)? {
            ReadNow::Answer(Ok(Some(value))) => self.hit(value),
            // Whatever else it may be, it is looked up again where there is time.
            _ => None,
        })
    }

    #[inline]
    pub(super) fn hit(&self, value: V) -> Option<V> {
        self.shared.counters.read(true);
        Some(value)
    }

    #[inline]
    fn miss(&self) -> Option<V> {
        self.shared.counters.read(false);
        None
    }

    /// Looks for a value where it may be, a copy that has outlived it included.
    async fn find(&self, key: &str, raw: &str) -> Result<Option<Hit<V>>> {
        if let Some(entry) = self.answer_with_expiry(raw).await? {
            return Ok(Some(Hit {
                value: entry.value,
                layer: entry.layer,
                expiry: entry.expiry,
                ended: None,
                version: entry.version,
            }));
        }
        let keep = self.shared.keep_stale.unwrap_or_default();
        Ok(self.kept(key).await?.map(|last| Hit {
            value: last.value,
            layer: last.layer,
            expiry: Expiry::After(keep.saturating_sub(last.ended)),
            ended: Some(last.ended),
            version: None,
        }))
    }
}
