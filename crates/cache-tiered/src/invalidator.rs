//! Invalidation by programs that do not cache.

use std::sync::Arc;

use cache_core::{
    ByteStore, CacheBackend, Error, Invalidation, InvalidationBus, MAX_KEY_BYTES, Result, Scope,
    is_tag_key, tag_keys,
};

/// Deletes keys of a shared store and tells the caches in front of it, for programs that change the
/// data behind a cache and do not read it.
///
/// Keys and namespaces are those of [`Cache`](cache_core::Cache). With a bus by which the store
/// itself tells of changes, such as client tracking in Redis, a plain delete does the same.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
/// # let url = server.url();
/// use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore};
/// use cache_tiered::Invalidator;
///
/// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
/// let bus = PubSubBus::connect(&store, BusConfig::new()).await?;
/// let users = Invalidator::new(store, bus).namespace("users")?;
/// users.invalidate("user:123").await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Invalidator<S> {
    store: Arc<S>,
    bus: Arc<dyn InvalidationBus>,
    namespaces: Vec<String>,
}

impl<S: ByteStore> Invalidator<S> {
    /// Joins a store and the bus of the caches in front of it.
    pub fn new(store: S, bus: impl InvalidationBus) -> Self {
        Self {
            store: Arc::new(store),
            bus: Arc::new(bus),
            namespaces: Vec::new(),
        }
    }

    /// Returns the same for the keys of a namespace within this one.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) unless `name` is 1 to 64 ASCII letters,
    /// digits, `-`, `_` and `.`, and not `_tag`, where tags are.
    pub fn namespace(&self, name: impl Into<String>) -> Result<Self> {
        let mut namespaces = self.namespaces.clone();
        namespaces.push(name.into());
        let inner = Self {
            store: Arc::clone(&self.store),
            bus: Arc::clone(&self.bus),
            namespaces,
        };
        let scope = inner.scope("key")?;
        if is_tag_key(scope.prefix()) {
            let problem = "is that of the tags: invalidate_tag is for these";
            return Err(Error::invalid("namespace", problem));
        }
        Ok(inner)
    }

    fn scope(&self, key: &str) -> Result<Scope> {
        let names: Vec<&str> = self.namespaces.iter().map(String::as_str).collect();
        Scope::of(&names, key)
    }

    /// Deletes `key` and tells all caches; returns whether it was there.
    ///
    /// Caches are told whether or not it was: they may hold what the store has evicted.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for a bad key; otherwise what the store
    /// or the bus reports. Then it is not certain that all caches know: call again.
    ///
    /// # Cancel safety
    /// Dropped, it has happened or not, or in part: call again.
    pub async fn invalidate(&self, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.invalidate_many(&[key.as_ref()]).await? > 0)
    }

    /// Deletes `keys` and tells all caches; returns how many were there.
    ///
    /// # Errors
    /// As of [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    /// As of [`invalidate`](Self::invalidate).
    pub async fn invalidate_many<K: AsRef<str> + Sync>(&self, keys: &[K]) -> Result<u64> {
        let stored = |key: &K| self.stored(key.as_ref());
        let keys: Vec<String> = keys.iter().map(stored).collect::<Result<_>>()?;
        let borrowed: Vec<&str> = keys.iter().map(String::as_str).collect();
        let deleted = self.store.delete_many(&borrowed).await;
        // Whatever has happened, a cache that forgets too much is right.
        let told = self.bus.publish(&Invalidation::Keys(keys)).await;
        let deleted = deleted.map_err(|error| error.during("invalidate"))?;
        told.map_err(|error| error.during("invalidate"))?;
        Ok(deleted)
    }

    /// Deletes all keys of this namespace, not of those within it, and tells all caches.
    ///
    /// # Errors
    /// As of [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    /// As of [`invalidate`](Self::invalidate).
    pub async fn clear(&self) -> Result<u64> {
        let scope = self.scope("")?;
        let deleted = self.store.clear(&scope).await;
        let told = self.bus.publish(&Invalidation::Scope(scope)).await;
        let deleted = deleted.map_err(|error| error.during("clear"))?;
        told.map_err(|error| error.during("clear"))?;
        Ok(deleted)
    }

    /// Makes every entry of this namespace absent that has `tag`, and tells all caches, as
    /// [`Cache::delete_by_tag`](cache_core::Cache::delete_by_tag) does.
    ///
    /// # Errors
    /// As of [`invalidate`](Self::invalidate); [`Unsupported`](cache_core::ErrorKind::Unsupported) if the store
    /// keeps no tags.
    ///
    /// # Cancel safety
    /// As of [`invalidate`](Self::invalidate).
    pub async fn invalidate_tag(&self, tag: impl AsRef<str>) -> Result<()> {
        const OPERATION: &str = "invalidate_tag";
        let names: Vec<&str> = self.namespaces.iter().map(String::as_str).collect();
        let keys = tag_keys(&names, tag.as_ref())?;
        let tags = self.store.abilities().tags.ok_or_else(|| {
            let what = "tags by this store";
            Error::unsupported(what)
        })?;
        let invalidated = tags.invalidate(&keys.each_ref().map(String::as_str)).await;
        let told = self.bus.publish(&Invalidation::Keys(keys.into())).await;
        invalidated.map_err(|error| error.during(OPERATION))?;
        told.map_err(|error| error.during(OPERATION))
    }

    fn stored(&self, key: &str) -> Result<String> {
        if key.is_empty() {
            return Err(Error::invalid("key", "is empty, the least is 1 byte"));
        }
        if key.len() > MAX_KEY_BYTES {
            let problem = format!("is {} bytes long, the most is {MAX_KEY_BYTES}", key.len());
            return Err(Error::invalid("key", problem));
        }
        Ok(self.scope(key)?.prefix().to_owned())
    }
}
