//! Counters of a cache: what rate limits are made of.

use std::fmt;

use super::Cache;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{Conflict, Full, InvalidInput, Unsupported};
use crate::keyspace::Keyspace;
use crate::{CacheBackend, Count, Counters, DynBackend, Error, Result, Window};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Returns the counters of a group, such as `requests`, in this namespace.
    ///
    /// Counters are none of the entries: `keys`, `scan` and `clear` do not concern them. Those of two groups or
    /// namespaces never meet. On a shared store all processes count together; of two tiers the second one
    /// counts.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let requests = cache.counters("requests");
    /// let count = requests.add("10.0.0.7", 1, 60).await?;
    /// assert_eq!(count.value, 1);
    /// let is_allowed = count.value <= 100;
    /// # assert!(is_allowed);
    /// # Ok(()) }
    /// ```
    ///
    /// The first call of the group fails as [`InvalidInput`] unless `name` is 1 to 64 ASCII letters, digits,
    /// `-`, `_` and `.`.
    #[must_use]
    pub fn counters(&self, name: impl AsRef<str>) -> CounterGroup<V, B> {
        CounterGroup {
            names: self.keyspace.counters(name.as_ref()),
            cache: self.clone(),
        }
    }
}

/// Counters that belong together, each with a key of its own; made by [`Cache::counters`].
///
/// A clone counts the same, and is cheap.
pub struct CounterGroup<V, B = DynBackend<V>> {
    cache: Cache<V, B>,
    /// Where they are named, or what is wrong with the name of the group.
    names: Result<Keyspace>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> CounterGroup<V, B> {
    /// Adds `by` to the counter of `key`, and returns the new count and the time that its window has left.
    ///
    /// It is one atomic step: of concurrent calls each counts once. The window begins with the first call
    /// and lasts as long as that one said; later calls leave it as it is. When it ends, the counter is
    /// absent and counts from zero again. `by` may be negative, or zero.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// use cache_core::{Cache, Clock};
    /// use cache_local::{LocalBackend, LocalConfig};
    /// use std::time::Duration;
    ///
    /// let (clock, hand) = Clock::manual();
    /// let cache: Cache<String> = Cache::new(LocalBackend::new(LocalConfig::new().clock(clock))?);
    /// let logins = cache.counters("logins");
    ///
    /// logins.add("alice", 1, 60).await?;
    /// hand.advance(Duration::from_secs(20));
    /// let count = logins.add("alice", 1, 60).await?;
    /// assert_eq!((count.value, count.remaining()), (2, Some(Duration::from_secs(40))));
    ///
    /// hand.advance(Duration::from_secs(40));
    /// assert_eq!(logins.add("alice", 1, 60).await?.value, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, group or window, and naming `by` if the count would be further from
    /// zero than [`MAX_COUNT`](crate::MAX_COUNT): it stays as it is. [`Unsupported`] if the backend has no
    /// counters, [`Full`] if it can hold no more of them, [`Conflict`] if counters are made of versions and
    /// others were faster 128 times. Otherwise what the backend reports; after
    /// [`Timeout`](crate::ErrorKind::Timeout) or [`Unavailable`](crate::ErrorKind::Unavailable) it has
    /// counted or not.
    ///
    /// # Cancel safety
    /// A dropped call has counted or not.
    pub async fn add(
        &self,
        key: impl AsRef<str>,
        by: i64,
        window: impl Into<Window>,
    ) -> Result<Count> {
        let (key, window) = (key.as_ref(), window.into());
        let add = async {
            let (name, counters) = self.counter(key)?;
            counters.add(&name, by, window.resolve()?).await
        };
        add.await.map_err(told("counter add", key))
    }

    /// Returns the count of `key` and the time that its window has left, or `None` if it is absent.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::{Expiry, Window};
    ///
    /// let visits = cache.counters("visits");
    /// assert_eq!(visits.get("home").await?, None);
    /// visits.add("home", 3, Window::ENDLESS).await?;
    /// let count = visits.get("home").await?.expect("it has counted");
    /// assert_eq!((count.value, count.expiry), (3, Expiry::Never));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or group, [`Unsupported`] if the backend has no counters; otherwise
    /// what the backend reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn get(&self, key: impl AsRef<str>) -> Result<Option<Count>> {
        let key = key.as_ref();
        let get = async {
            let (name, counters) = self.counter(key)?;
            counters.get(&name).await
        };
        get.await.map_err(told("counter get", key))
    }

    /// Makes the counter of `key` absent and tells whether it was there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// let failures = cache.counters("failed-logins");
    /// failures.add("alice", 1, 900).await?;
    /// assert!(failures.reset("alice").await?);
    /// assert!(!failures.reset("alice").await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    ///
    /// # Cancel safety
    /// A dropped call has reset the counter or not.
    pub async fn reset(&self, key: impl AsRef<str>) -> Result<bool> {
        let key = key.as_ref();
        let reset = async {
            let (name, counters) = self.counter(key)?;
            counters.reset(&name).await
        };
        reset.await.map_err(told("counter reset", key))
    }

    /// Returns the name of a counter and who counts.
    fn counter(&self, key: &str) -> Result<(String, &dyn Counters)> {
        let names = self.names.as_ref().map_err(Error::clone)?;
        let name = names.encode(key)?.into_owned();
        let counters = self.cache.shared.backend.abilities().counters;
        let counters = counters.ok_or_else(|| Error::unsupported("counters by this backend"))?;
        Ok((name, counters))
    }
}

/// Adds to an error what was done, and a hash of the key.
fn told(operation: &'static str, key: &str) -> impl FnOnce(Error) -> Error {
    move |error| error.during(operation).for_key(key)
}

impl<V, B> Clone for CounterGroup<V, B> {
    /// Returns the same counters.
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            names: self.names.clone(),
        }
    }
}

impl<V, B: fmt::Debug> fmt::Debug for CounterGroup<V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CounterGroup")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
