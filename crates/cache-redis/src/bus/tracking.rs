//! A bus on which the server itself tells of changes.

mod ear;
mod nodes;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cache_core::bus::{InvalidationBus, InvalidationListener, Moment};
use cache_core::{Error, Invalidation, Result, StoreId};

use self::ear::Ear;
use super::{BusConfig, check_namespace, learn, unsupported};
use crate::client::{Changes, Failure, Line, Link, Settings, cannot_listen};
use crate::keys::Keys;
use crate::{RedisConfig, RedisStore};

/// A bus on which the server itself tells of changes, whoever made them.
///
/// It turns on client tracking in broadcast mode for the namespace of a store, on connections of its
/// own: one, or one to each primary of a cluster. It hears of writes, deletes, expiry and eviction,
/// and notices when the database is emptied. The server keeps no list of keys for it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
/// # let url = server.url();
/// use std::time::Duration;
///
/// use cache_core::bus::InvalidationBus;
/// use cache_redis::{BusConfig, RedisConfig, RedisStore, TrackingBus};
///
/// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
/// let bus = TrackingBus::connect(&store, BusConfig::new()).await?;
/// assert_eq!(bus.bound(), Duration::from_secs(1));
/// assert!(!bus.needs_publish());
/// # Ok(()) }
/// ```
///
/// # How it knows that nothing is missing
///
/// Four times within the bound it asks each server, on the connection over which the server tells of
/// changes, whether it still does, for the value of a key that it keeps in the namespace, whether it is a
/// primary, and whether it is the server that the store's connections lead to. A server tells of a change
/// before it answers what it is asked later, so after the answers all earlier changes have been heard. A
/// connection that broke is made anew, and then everything is forgotten once; likewise when that key is gone,
/// which tells that the database was emptied: the server tells so too, but fred does not.
///
/// The key is `name:@{number}generation`. No cache has a key of that name, `keys` does not list it
/// and `clear` leaves it.
///
/// # Limits
///
/// Writes that a server acknowledged and lost in a failover are lost here as well.
#[derive(Debug)]
pub struct TrackingBus {
    link: Arc<Link>,
    keys: Keys,
    store: StoreId,
    config: BusConfig,
    settings: Arc<Settings>,
}

impl TrackingBus {
    /// Makes a bus for the keys of a store, and tries whether its servers can tell of changes.
    ///
    /// It connects as the store does and keeps the store's connections open. Only
    /// [`listen`](InvalidationBus::listen) opens those that last.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for an option out of its limits,
    /// [`Unsupported`](cache_core::ErrorKind::Unsupported) for a store with
    /// [bare keys](crate::RedisConfig::bare_keys) or of the older
    /// [protocol](crate::Protocol::Resp2), and for servers without client tracking,
    /// [`Unauthorized`](cache_core::ErrorKind::Unauthorized) for credentials that do not permit it;
    /// and as of [`RedisStore::connect`] if the servers cannot be reached, unless the store
    /// [connects lazily](crate::RedisConfig::connect_lazily).
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    pub async fn connect(store: &RedisStore, config: BusConfig) -> Result<Self> {
        Self::make(store, &store.link().settings, config).await
    }

    /// Makes a bus for the keys of a store that reaches the same servers by another way: at another address, or
    /// as another user.
    ///
    /// Of `way` all counts that is about connections. As long as it leads to another server than the store's
    /// connections do, the bus confirms nothing, and caches go past memory.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let (url, other_url) = (server.url(), server.url());
    /// use cache_redis::{BusConfig, RedisConfig, RedisStore, TrackingBus};
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// let way = RedisConfig::from_url(&other_url)?;
    /// let bus = TrackingBus::connect_over(&store, &way, BusConfig::new()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`connect`](Self::connect), and
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for an option of `way` out of its limits.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    pub async fn connect_over(
        store: &RedisStore,
        way: &RedisConfig,
        config: BusConfig,
    ) -> Result<Self> {
        way.check()?;
        Self::make(store, &Settings::new(way)?, config).await
    }

    async fn make(store: &RedisStore, way: &Settings, config: BusConfig) -> Result<Self> {
        config.check()?;
        check_namespace(store.keys())?;
        if !way.is_resp3() {
            let what = "client tracking with RESP2; choose protocol resp3, or PubSubBus";
            return Err(unsupported(what));
        }
        let bus = Self {
            link: Arc::clone(store.link()),
            keys: store.keys().clone(),
            store: store.id(),
            settings: Arc::new(way.listening(config.capacity, config.limit())),
            config,
        };
        match Box::pin(bus.probe()).await {
            Err(error) if error.is_transient() && bus.settings.connects_lazily => Ok(bus),
            Err(error) => Err(error.during("connect bus")),
            Ok(()) => Ok(bus),
        }
    }

    /// Does once what listening needs.
    async fn probe(&self) -> Result<()> {
        let mut settings = Settings::clone(&self.settings);
        // It is not urgent.
        settings.command_timeout = self.link.settings.command_timeout;
        let mut tag = 0;
        if self.link.is_cluster {
            let primaries = self.link.primaries(false).await?;
            let first = primaries.first();
            let first = first.ok_or_else(|| Failure::nowhere().to_error())?;
            (settings, tag) = (settings.direct(&first.server), first.tag);
        }
        let line: Line<Changes> = Line::open(&Arc::new(settings)).await?;
        let (prefix, key) = (self.keys.prefix(), self.keys.generation(tag));
        let steps = async {
            line.connection.track(prefix).await?;
            learn(&line.connection, &key).await?;
            let fence = line.connection.fence(prefix, &key, self.link.is_cluster);
            fence.await
        };
        let what = "client tracking by this server; choose PubSubBus";
        let answer = steps.await;
        answer.map_err(|failure| cannot_listen(&failure, what))?;
        Ok(())
    }
}

#[async_trait]
impl InvalidationBus for TrackingBus {
    fn bound(&self) -> Duration {
        self.config.bound
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.store.clone())
    }

    fn needs_publish(&self) -> bool {
        false
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        if self.link.is_cluster {
            return nodes::listen(self, &listener).await;
        }
        let told = |moment: Moment| listener.caught_up(moment);
        let ear = Ear {
            bus: self,
            listener: &listener,
            settings: &self.settings,
            generation: self.keys.generation(0),
            told: &told,
            peers: None,
        };
        ear.listen().await;
    }

    /// Does nothing: the server tells.
    async fn publish(&self, _: &Invalidation) -> Result<(), Error> {
        Ok(())
    }
}
