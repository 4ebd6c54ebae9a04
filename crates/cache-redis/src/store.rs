//! A store of bytes in Redis or Valkey.

mod accept;
mod bulk;
mod counted;
mod joined;
mod queue;
mod tags;
mod transactions;
mod walk;
mod write;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
#[expect(unused_imports, reason = "short names for the docs")]
use cache_core::ErrorKind;
use cache_core::{
    Abilities, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities, Condition,
    Cursor, Error, Expiry, Flights, Page, ReadNow, Result, Scope, StoreId, Versioned, WireStats,
};
use tracing::instrument::Instrumented;

use self::accept::{entry, version_of};
use self::bulk::Wanted;
use self::joined::Queues;
pub(crate) use self::tags::{ATTEMPTS, contended};
use crate::client::{Link, Source};
use crate::keys::Keys;
use crate::lease::Leases;
use crate::{ConnectionState, RedisConfig};

/// A store of bytes in Redis or Valkey: the backend, before a codec gives it a type.
///
/// A clone is the same store and shares its connections, which close with the last clone.
/// [`EncodedBackend`](cache_core::EncodedBackend) makes it a backend for typed values.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
/// # let url = server.url();
/// use cache_core::{Cache, EncodedBackend, MsgPackCodec};
/// use cache_redis::{RedisConfig, RedisStore};
///
/// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
/// let cache: Cache<String> = Cache::new(EncodedBackend::new(store.clone(), MsgPackCodec::new()));
/// cache.set("user:123", "Alice").await?;
/// assert_eq!(store.wire_stats().operations, 1);
/// # Ok(()) }
/// ```
///
/// # Failures
///
/// Every round trip ends within the [command timeout](RedisConfig::command_timeout). An operation
/// fails as [`Timeout`](ErrorKind::Timeout) if there was no answer in time, and as
/// [`Unavailable`](ErrorKind::Unavailable) if no server can be reached; while a connection is
/// known to be down it does so at once. **After either, a write may have happened or not**, and may
/// still happen a little later. Writes are sent once and never repeated; reads are repeated, within the command
/// timeout, if the connection breaks under them.
///
/// While there is no connection, errors tell why, as their source. Operations that were not sent, and reads, fail as
/// [`Unauthorized`](ErrorKind::Unauthorized) if the servers refuse the credentials.
///
/// What cannot be a value of this cache (a list, a value over the limit) is a miss and is counted in
/// [`unreadable`](BackendStats::unreadable); a list is not where it is read by `MGET`, so among many keys, in
/// a cluster and by reads that come at the same moment. `set` replaces it; `get_and_set` refuses to replace what is not a string.
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    keys: Keys,
    max_value_bytes: usize,
    tally: Arc<Tally>,
    leases: Arc<Leases>,
    queues: Arc<Queues>,
    flights: Flights,
}

/// What the stores of one namespace count.
#[derive(Debug, Default)]
struct Tally {
    refused: AtomicU64,
    unreadable: AtomicU64,
}

impl RedisStore {
    /// Connects to the servers of `config`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an option out of its limits,
    /// [`Unauthorized`](ErrorKind::Unauthorized) for credentials that are refused,
    /// [`Unavailable`](ErrorKind::Unavailable) or [`Timeout`](ErrorKind::Timeout) if the servers
    /// cannot be reached; not if the connection may be made
    /// [later](RedisConfig::connect_lazily).
    ///
    /// # Panics
    /// In a Tokio runtime without timers: build it with `enable_all`.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        config.check()?;
        let link = Link::open(&config).await?;
        Ok(Self::over(link, &config))
    }

    /// Uses a connected client of your own, which you can go on using.
    ///
    /// Of `config` the namespace, the limits, the default time to live, the command timeout and the
    /// probe interval count; servers, credentials and the pool are the client's. It is watched like
    /// any other, but never replaced: if its server hangs, it is told to dial again, and once its task has ended it
    /// stays so. A task of fred ends if a bounded queue is full when the connection breaks. Transactions open
    /// connections of their own as the client's configuration says; what the client was told since, such as
    /// another database, they do not know.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_redis::fred::prelude::*;
    /// use cache_redis::{RedisConfig, RedisStore};
    ///
    /// let client = Builder::from_config(Config::from_url(&url)?).build()?;
    /// client.init().await?;
    /// let store = RedisStore::from_client(&client, &RedisConfig::default().namespace("shop"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an option out of its limits.
    pub fn from_client(client: &fred::clients::Client, config: &RedisConfig) -> Result<Self> {
        config.check()?;
        Ok(Self::over(Link::of_client(client, config)?, config))
    }

    fn over(link: Link, config: &RedisConfig) -> Self {
        let namespace = config.namespace.as_deref();
        Self {
            link: Arc::new(link),
            keys: Keys::new(namespace, config.hash_tags, config.max_key_bytes),
            max_value_bytes: config.max_value_bytes,
            tally: Arc::default(),
            leases: Arc::default(),
            queues: Arc::default(),
            flights: Flights::default(),
        }
    }

    /// Returns a store with keys of its own over the same connections.
    ///
    /// This is how caches of several types share a pool.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_core::{Cache, EncodedBackend, JsonCodec, MsgPackCodec};
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// let users = store.partition("users")?;
    /// let sessions = store.partition("sessions")?;
    /// let users: Cache<String> = Cache::new(EncodedBackend::new(users, JsonCodec::new()));
    /// let sessions = EncodedBackend::new(sessions, MsgPackCodec::new());
    /// let sessions: Cache<u64> = Cache::new(sessions).with_default_ttl(1800);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) unless `namespace` is 1 to 64 ASCII letters, digits,
    /// `-`, `_` and `.`.
    pub fn partition(&self, namespace: impl AsRef<str>) -> Result<Self> {
        Ok(Self {
            keys: self.keys.renamed(namespace.as_ref())?,
            tally: Arc::default(),
            leases: Arc::default(),
            flights: Flights::default(),
            ..self.clone()
        })
    }

    pub(crate) fn id(&self) -> StoreId {
        let (address, prefix) = (self.link.settings.address(), self.keys.prefix());
        StoreId::new(format!("redis {address} {prefix}"))
    }

    /// Asks every server for a sign of life and returns how long the answers took.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_redis::{RedisConfig, RedisStore};
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// assert!(store.ping().await? < Duration::from_millis(500));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of any operation, if one server does not answer.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped read changes nothing.
    pub async fn ping(&self) -> Result<Duration> {
        let start = Instant::now();
        let answered = self.observe("ping", 0, self.link.ping()).await;
        answered.map_err(|error| error.during("ping"))?;
        Ok(start.elapsed())
    }

    /// Tells whether the servers answered when they were last asked, without waiting.
    ///
    /// They are asked every [probe interval](RedisConfig::probe_interval), and when operations fail.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_redis::{ConnectionState, RedisConfig, RedisStore};
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// assert_eq!(store.state(), ConnectionState::Connected);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.link.state()
    }

    /// Returns why there is no connection, if one is missing and the reason is known: for a health check that
    /// says more than [`state`](Self::state).
    ///
    /// It is what operations fail with meanwhile. Once the connection is back there is none.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_redis::{RedisConfig, RedisStore};
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// assert!(store.connect_error().is_none());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn connect_error(&self) -> Option<Error> {
        self.link.broken_by()
    }

    /// Returns what has been done over the connections.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let url = server.url();
    /// use cache_redis::{RedisConfig, RedisStore};
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// assert_eq!(store.wire_stats().reconnects, 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn wire_stats(&self) -> WireStats {
        self.link.counters.snapshot()
    }

    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) const fn leases(&self) -> &Arc<Leases> {
        &self.leases
    }

    pub(crate) const fn max_value_bytes(&self) -> usize {
        self.max_value_bytes
    }

    /// Reads an entry, and what stands for its version: all that is stored.
    async fn find(&self, key: &str) -> Result<Versioned<Bytes>> {
        self.keys.check(key)?;
        let (found, expiry) = self.found_with_expiry(key).await?;
        let version = version_of(&found);
        let Some((header, value)) = self.accept(found) else {
            return Ok(Versioned::new(None, version));
        };
        if let Some(header) = &header
            // Boxed, as the reads of values without tags must not become larger.
            && !Box::pin(self.is_live(header, Source::Primary)).await?
        {
            return Ok(Versioned::new(None, None));
        }
        let mut entry = entry(header.as_ref(), value, expiry);
        entry.version.clone_from(&version);
        Ok(Versioned::new(Some(entry), version))
    }

    /// Counts an operation and runs it inside its span; see [`Link::observe`].
    pub(crate) fn observe<F: Future>(
        &self,
        operation: &'static str,
        bytes: usize,
        run: F,
    ) -> Instrumented<F> {
        self.link.observe(operation, bytes, run)
    }
}

impl CacheBackend<Bytes> for RedisStore {
    fn read_now(&self, _: &str) -> ReadNow<Bytes> {
        ReadNow::WouldWait
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.keys.check(key)?;
        let get = async {
            let found = self.found(key).await?;
            self.accept_live(found, Source::Any).await
        };
        let found = self.observe("get", key.len(), get).await?;
        Ok(found.map(|(_, value)| value))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<Bytes>>> {
        let found = self.observe("get_entry", key.len(), self.find(key)).await?;
        Ok(found.entry)
    }

    async fn get_versioned(&self, key: &str) -> Result<Versioned<Bytes>> {
        let find = self.find(key);
        self.observe("get_versioned", key.len(), find).await
    }

    async fn set(&self, key: &str, value: Bytes, options: BackendWrite) -> Result<bool> {
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        if options.condition != Condition::Always || options.keeps_expiry {
            let put = Box::pin(self.put_if(key, value, options));
            return self.observe("set", bytes, put).await;
        }
        let write = self.write(key, value, options.expiry);
        self.observe("set", bytes, write).await?;
        Ok(true)
    }

    async fn swap(&self, key: &str, value: Bytes, expiry: Expiry) -> Result<Option<Bytes>> {
        let bytes = key.len() + value.len();
        let key = self.keys.encode(key)?;
        self.check_value(&value)?;
        let swap = self.put_and_get(key, value, expiry);
        self.observe("swap", bytes, swap).await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.keys.check(key)?;
        match condition {
            Condition::Always | Condition::IfPresent => {
                let unlink = self.unlink_one(key);
                self.observe("delete", key.len(), unlink).await
            }
            Condition::IfVersion(version) => {
                let unlink = Box::pin(self.unlink_version(self.keys.join(key), &version));
                self.observe("delete", key.len(), unlink).await
            }
            Condition::IfAbsent => Ok(false),
            _ => Err(Error::unsupported("this condition of a delete")),
        }
    }

    async fn take(&self, key: &str) -> Result<Option<Bytes>> {
        let take = self.unlink_and_get(self.keys.encode(key)?);
        self.observe("take", key.len(), take).await
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<Bytes>> {
        self.keys.check(key)?;
        let get = self.get_and_change_expiry(key, expiry);
        self.observe("get_ex", key.len(), get).await
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.keys.check(key)?;
        let expiry = async {
            let left = self.link.read(|connection| {
                let key = self.keys.join(key);
                async move { connection.pttl(key).await }
            });
            Ok(match left.await? {
                Some((_, Some(header))) if !Box::pin(self.is_present(&header)).await? => None,
                left => left.map(|(left, _)| left),
            })
        };
        self.observe("expiry", key.len(), expiry).await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.keys.check(key)?;
        let change = self.change_expiry(key, expiry);
        self.observe("set_expiry", key.len(), change).await
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Bytes>>> {
        let found = self.read_many("get_many", keys, Wanted::Values).await?;
        Ok(found
            .into_iter()
            .map(|entry| entry.map(|entry| entry.value))
            .collect())
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<Bytes>>>> {
        self.read_many("get_entries", keys, Wanted::Entries).await
    }

    async fn set_many(&self, entries: Vec<(&str, Bytes)>, expiry: Expiry) -> Result<()> {
        self.write_many(entries, expiry).await
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        self.unlink_many(keys).await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.observe("scan", 0, self.page(scope, cursor, limit))
            .await
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        self.observe("clear", 0, self.clear_pages(scope)).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_shared(true)
    }

    fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::default();
        stats.refused = self.tally.refused.load(Ordering::Relaxed);
        stats.unreadable = self.tally.unreadable.load(Ordering::Relaxed);
        stats.wire = Some(self.wire_stats());
        stats
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.id())
    }

    fn abilities(&self) -> Abilities<'_, Bytes> {
        // Under bare keys counters and locks refuse: without them a codec would make some of versions, in keys
        // of others.
        let abilities = Abilities::none()
            .with_transactions(self)
            .with_counters(self)
            .with_locks(self)
            .with_flights(&self.flights);
        // Under bare keys other programs would find a lease in the place of a value, and would not know
        // what to do with the header of tags.
        if self.keys.are_bare() {
            return abilities;
        }
        abilities.with_leases(self).with_tags(self)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("namespace", &self.keys.namespace())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
