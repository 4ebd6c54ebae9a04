//! A bus on which those who change something say so.

mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::bus::{InvalidationBus, InvalidationListener};
use cache_core::{Invalidation, Result, StoreId};
use tokio::time;

use self::subscriber::Subscriber;
use super::{BusConfig, Outage, check_namespace, message, unsupported};
use crate::client::{Failure, Link, Settings};
use crate::keys::Keys;
use crate::{RedisConfig, RedisStore, random};

/// A bus on which those who change something say so, for servers without client tracking.
///
/// **It hears of the changes of those caches alone that use such a bus** with the same namespace: of
/// no expiry, no eviction and no other program, except that it notices when the database is emptied. A
/// change counts as acknowledged when it is [published](InvalidationBus::publish), not before.
/// Where the server can tell of changes itself, [`TrackingBus`](super::TrackingBus) is the better bus.
///
/// Messages go over the channel `name:@{name}invalidations` of the server, in a cluster over the sharded
/// channel of this name, for which the servers must be Redis 7 or Valkey.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
/// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
/// # let url = server.url();
/// use cache_core::Invalidation;
/// use cache_core::bus::InvalidationBus;
/// use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore};
///
/// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
/// let bus = PubSubBus::connect(&store, BusConfig::new()).await?;
/// assert!(bus.needs_publish());
/// bus.publish(&Invalidation::Keys(vec!["user:123".into()])).await?;
/// # Ok(()) }
/// ```
///
/// A cache is not told what it has published itself, unless it shares the bus: of several caches with one
/// `PubSubBus` each is told everything. A bus for each of them spares them their own messages.
///
/// # How it knows that nothing is missing
///
/// Four times within the bound it sends a message to itself over the store's connections, and
/// waits for it on the one over which it listens. A server passes messages on in the order in which
/// it takes them, so then all earlier messages have been heard. If a message stays out, or one cannot
/// be understood, or a connection broke, everything is forgotten first. So it is when a key is gone
/// that the bus keeps in the namespace, `name:@{number}generation`: the database was emptied.
#[derive(Debug)]
pub struct PubSubBus {
    /// What publishes.
    link: Arc<Link>,
    /// That of the store.
    data: Arc<Link>,
    keys: Keys,
    store: StoreId,
    config: BusConfig,
    settings: Arc<Settings>,
    channel: String,
    /// What tells our messages from those of others.
    origin: u128,
    /// How many caches have listened.
    listeners: AtomicUsize,
}

impl PubSubBus {
    /// Makes a bus for the keys of a store, and tries whether messages pass.
    ///
    /// It connects as the store does, and publishes over the store's connections, which it keeps
    /// open. Only [`listen`](InvalidationBus::listen) opens those that last.
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput) for an option out of its limits,
    /// [`Unsupported`](cache_core::ErrorKind::Unsupported) for a store with
    /// [bare keys](crate::RedisConfig::bare_keys) and for a cluster without sharded channels,
    /// [`Unauthorized`](cache_core::ErrorKind::Unauthorized) for credentials that do not permit it;
    /// and as of [`RedisStore::connect`] if the servers cannot be reached, unless the store
    /// [connects lazily](crate::RedisConfig::connect_lazily).
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is being made is given up.
    pub async fn connect(store: &RedisStore, config: BusConfig) -> Result<Self> {
        Self::make(store, Arc::clone(store.link()), config).await
    }

    /// Makes a bus for the keys of a store that reaches the same servers by another way, over connections of
    /// its own: at another address, or as another user.
    ///
    /// Of `way` all counts that is about connections. As long as it leads to another server than the store's
    /// connections do, the bus confirms nothing, and caches go past memory.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let server = cache_testbed::Server::builder(cache_testbed::Flavor::Redis7).start();
    /// # let (url, other_url) = (server.url(), server.url());
    /// use cache_redis::{BusConfig, PubSubBus, RedisConfig, RedisStore};
    ///
    /// let store = RedisStore::connect(RedisConfig::from_url(&url)?).await?;
    /// let way = RedisConfig::from_url(&other_url)?;
    /// let bus = PubSubBus::connect_over(&store, &way, BusConfig::new()).await?;
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
        Self::make(store, Arc::new(Link::open(way).await?), config).await
    }

    async fn make(store: &RedisStore, link: Arc<Link>, config: BusConfig) -> Result<Self> {
        config.check()?;
        check_namespace(store.keys())?;
        let settings = link.settings.listening(config.capacity, config.limit());
        let bus = Self {
            store: store.id(),
            data: Arc::clone(store.link()),
            channel: store.keys().channel(),
            origin: random::long_number(),
            listeners: AtomicUsize::new(0),
            keys: store.keys().clone(),
            settings: Arc::new(settings),
            link,
            config,
        };
        // It is not urgent.
        let limit = bus.link.settings.command_timeout.max(bus.config.limit());
        match Box::pin(Subscriber::begin(&bus, limit)).await {
            Err(error) if error.is_transient() && bus.settings.connects_lazily => Ok(bus),
            Err(error) => Err(error.during("connect bus")),
            Ok(_) => Ok(bus),
        }
    }

    /// Tells whether our messages may be news: to each of several caches are those of the others.
    fn is_shared(&self) -> bool {
        self.listeners.load(Ordering::SeqCst) > 1
    }

    /// Sends a message, once.
    async fn send(&self, channel: &str, message: Bytes) -> Result<()> {
        let sharded = self.link.is_cluster;
        let send = self.link.write(
            (channel.to_owned(), message),
            |connection, (channel, message)| async move {
                connection.publish(sharded, &channel, message).await
            },
        );
        send.await
    }

    /// Returns how to connect to the server of the channel.
    async fn way(&self) -> Result<Arc<Settings>> {
        if !self.link.is_cluster {
            return Ok(Arc::clone(&self.settings));
        }
        let owner = self.link.owner(self.channel.as_bytes()).await?;
        let owner = owner.ok_or_else(|| Failure::nowhere().to_error())?;
        Ok(Arc::new(self.settings.direct(&owner)))
    }
}

#[async_trait]
impl InvalidationBus for PubSubBus {
    fn bound(&self) -> Duration {
        self.config.bound
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(self.store.clone())
    }

    fn needs_publish(&self) -> bool {
        true
    }

    async fn listen(&self, listener: Arc<dyn InvalidationListener>) {
        self.listeners.fetch_add(1, Ordering::SeqCst);
        let mut outage = Outage::new("pub/sub");
        loop {
            let error = match Subscriber::begin(self, self.config.bound).await {
                Ok(mut subscriber) => match subscriber.listen(&listener, &mut outage).await {
                    Ok(never) => match never {},
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let failures = outage.failed(&error);
            time::sleep(self.link.delay(failures - 1)).await;
        }
    }

    /// Says that something has changed, over the connections of the store.
    ///
    /// What is too long for a message of 64 KiB stands for everything.
    async fn publish(&self, change: &Invalidation) -> Result<()> {
        let messages = message::tell(self.origin, change);
        let messages = messages.ok_or_else(|| unsupported("this kind of change by the bus"))?;
        for message in messages {
            let sent = self.send(&self.channel, message).await;
            sent.map_err(|error| error.during("publish"))?;
        }
        Ok(())
    }
}
