//! What a store of Redis can be told.

mod check;
mod credentials;
#[cfg(feature = "serde")]
mod deserialize;
mod tls;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::credentials::Credentials;
pub(crate) use self::credentials::{BoxError, Provider};
#[cfg(any(feature = "rustls", feature = "native-tls"))]
pub(crate) use self::tls::Library;
pub use self::tls::Tls;

/// The namespace of a store that is not told another.
pub const DEFAULT_NAMESPACE: &str = "cache";

const MIB: usize = 1024 * 1024;

/// Where the servers are, how to talk to them, and what to store under which names.
///
/// Built from a URL or by methods, and checked when the store is
/// [connected](crate::RedisStore::connect). `Debug` output shows no password.
///
/// With the feature `serde` it can be read from a file. Fields have the names of the methods, and
/// `url` says where the servers are as [`from_url`](Self::from_url) reads it; without it the server is
/// [on this machine](Self::default). `bare_keys` is `true` or `false`, `reconnect_delays` has two
/// durations. [TLS](Self::tls) with certificates of your own is added afterwards.
///
/// ```
/// use cache_redis::RedisConfig;
/// use std::time::Duration;
///
/// let config = RedisConfig::from_url("rediss://app:secret@cache.internal/2")?
///     .namespace("shop")
///     .command_timeout(Duration::from_millis(250));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), cache_core::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisConfig {
    pub(crate) servers: Servers,
    pub(crate) tls: Option<Tls>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) credentials: Option<Arc<Provider>>,
    pub(crate) database: u8,
    pub(crate) protocol: Protocol,
    pub(crate) client_name: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) hash_tags: bool,
    pub(crate) max_key_bytes: usize,
    pub(crate) max_value_bytes: usize,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: Reconnect,
    pub(crate) probe_interval: Duration,
    pub(crate) pool_size: usize,
    pub(crate) queue_limit: usize,
    pub(crate) read_from_replicas: bool,
    pub(crate) connect_lazily: bool,
}

/// Where the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    Standalone(Address),
    Unix(PathBuf),
    Cluster(Vec<Address>),
    Sentinel {
        nodes: Vec<Address>,
        service: String,
        username: Option<String>,
        password: Option<Secret>,
    },
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A password, which no output shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The version of the protocol between client and server.
///
/// In a file: `"resp2"` or `"resp3"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Protocol {
    /// The protocol of all servers.
    Resp2,
    /// The protocol of Redis 6 and later, and of Valkey.
    #[default]
    Resp3,
}

/// How long to wait before a lost connection is dialled again.
///
/// The waits double from the shortest to the longest; each is made longer by a random part, so that
/// many clients do not come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reconnect {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Default for RedisConfig {
    /// A server on this machine: `redis://127.0.0.1:6379`.
    fn default() -> Self {
        Self::standalone("127.0.0.1", 6379)
    }
}

impl RedisConfig {
    /// Starts with one server.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::standalone("cache.internal", 6379);
    /// ```
    pub fn standalone(host: impl Into<String>, port: u16) -> Self {
        Self::with_servers(Servers::Standalone(Address::new(host, port)))
    }

    /// Starts with one server behind a Unix socket.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::unix("/run/redis/redis.sock");
    /// ```
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::with_servers(Servers::Unix(path.into()))
    }

    /// Starts with a Redis Cluster, of which some nodes are named; the others are asked for.
    ///
    /// ```
    /// let nodes = [("10.0.0.1", 6379), ("10.0.0.2", 6379)];
    /// let config = cache_redis::RedisConfig::cluster(nodes);
    /// ```
    pub fn cluster<H: Into<String>>(nodes: impl IntoIterator<Item = (H, u16)>) -> Self {
        Self::with_servers(Servers::Cluster(Address::all(nodes)))
    }

    /// Starts with a server that Sentinels watch under the name `service`.
    ///
    /// ```
    /// let sentinels = [("10.0.0.1", 26379), ("10.0.0.2", 26379), ("10.0.0.3", 26379)];
    /// let config = cache_redis::RedisConfig::sentinel("main", sentinels);
    /// ```
    pub fn sentinel<H: Into<String>>(
        service: impl Into<String>,
        nodes: impl IntoIterator<Item = (H, u16)>,
    ) -> Self {
        Self::with_servers(Servers::Sentinel {
            nodes: Address::all(nodes),
            service: service.into(),
            username: None,
            password: None,
        })
    }

    fn with_servers(servers: Servers) -> Self {
        Self {
            servers,
            tls: None,
            username: None,
            password: None,
            credentials: None,
            database: 0,
            protocol: Protocol::default(),
            client_name: None,
            namespace: Some(DEFAULT_NAMESPACE.to_owned()),
            hash_tags: false,
            max_key_bytes: usize::MAX,
            max_value_bytes: 32 * MIB,
            command_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            reconnect: Reconnect {
                shortest: Duration::from_millis(20),
                longest: Duration::from_secs(1),
            },
            probe_interval: Duration::from_secs(1),
            pool_size: 1,
            queue_limit: 10_000,
            read_from_replicas: false,
            connect_lazily: false,
        }
    }

    /// Logs in with this password.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().password("secret");
    /// ```
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Logs in as this ACL user; without it, as `default`.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().username("app").password("secret");
    /// ```
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Asks `provider` for the credentials of each new connection, in place of a user name and password that
    /// stay the same.
    ///
    /// It is how tokens that expire are used, such as those of cloud services, and passwords that are rotated.
    /// If the provider says [for how long](Credentials::valid_for) its credentials are valid, it is asked again
    /// before they expire, and open connections log in anew; those of buses are opened anew when the
    /// server ends them, which costs a flush of the memory behind them.
    ///
    /// The provider is asked within the [connect timeout](Self::connect_timeout), by each connection: keep a token
    /// that takes long to get. While it fails, there are no new connections; operations fail as
    /// [`Unauthorized`](cache_core::ErrorKind::Unauthorized) with its error in their source, which
    /// should hold no secret. Sentinels have no such provider.
    ///
    /// ```
    /// use cache_redis::{Credentials, RedisConfig};
    /// use std::{io, time::Duration};
    ///
    /// # async fn token() -> io::Result<String> { Ok("token".into()) }
    /// let config = RedisConfig::standalone("cache.internal", 6379).credentials(|| async {
    ///     let credentials = Credentials::new(token().await?).username("app");
    ///     Ok::<_, io::Error>(credentials.valid_for(Duration::from_secs(900)))
    /// });
    /// ```
    pub fn credentials<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.credentials = Some(Arc::new(Provider::new(provider)));
        self
    }

    /// Logs in to the Sentinels with these credentials; without it, without any.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::sentinel("main", [("10.0.0.1", 26379)])
    ///     .sentinel_credentials(None, "secret");
    /// ```
    pub fn sentinel_credentials(mut self, user: Option<&str>, pass: impl Into<String>) -> Self {
        if let Servers::Sentinel {
            username, password, ..
        } = &mut self.servers
        {
            *username = user.map(str::to_owned);
            *password = Some(Secret(pass.into()));
        }
        self
    }

    /// Uses this database instead of 0; a cluster has no other.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().database(2);
    /// ```
    pub const fn database(mut self, database: u8) -> Self {
        self.database = database;
        self
    }

    /// Talks TLS to the servers.
    ///
    /// ```
    /// use cache_redis::{RedisConfig, Tls};
    ///
    /// let config = RedisConfig::default().tls(Tls::new());
    /// ```
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Talks this version of the protocol; RESP3 by default.
    ///
    /// ```
    /// use cache_redis::{Protocol, RedisConfig};
    ///
    /// let config = RedisConfig::default().protocol(Protocol::Resp2);
    /// ```
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Names the connections, for `CLIENT LIST`.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().client_name("shop-web");
    /// ```
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// Puts `name:` in front of every key; [`DEFAULT_NAMESPACE`] without it.
    ///
    /// A name is 1 to 64 ASCII letters, digits, `-`, `_` and `.`. It bounds what `keys` lists and
    /// `clear` deletes: stores with other names, and other programs, keep their keys.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().namespace("shop");
    /// ```
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Stores keys under exactly their names, to share them with other programs.
    ///
    /// Nothing then tells keys of this cache from others: `clear` refuses, and `keys` lists the
    /// whole database.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().bare_keys();
    /// ```
    pub fn bare_keys(mut self) -> Self {
        self.namespace = None;
        self
    }

    /// Lets `{…}` in a key choose the slot in a cluster, so that related keys live on one node.
    ///
    /// Without it, and with a namespace, braces in keys mean nothing: keys that come from outside
    /// cannot pile up on one node. [Bare keys](Self::bare_keys) are hashed as they are.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().hash_tags(true);
    /// ```
    pub const fn hash_tags(mut self, choose_the_slot: bool) -> Self {
        self.hash_tags = choose_the_slot;
        self
    }

    /// Refuses keys that are longer than this many bytes, their namespaces included.
    ///
    /// Without it, [`MAX_KEY_BYTES`](cache_core::MAX_KEY_BYTES) of the facade is the limit.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().max_key_bytes(1024);
    /// ```
    pub const fn max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = bytes;
        self
    }

    /// Refuses values that are stored in more than this many bytes; 32 MiB without it.
    ///
    /// A larger value that is found in the store is a miss, and counted as unreadable.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().max_value_bytes(64 * 1024);
    /// ```
    pub const fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// Gives each round trip this much time; 500 ms without it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::RedisConfig::default().command_timeout(Duration::from_millis(50));
    /// ```
    pub const fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Gives the connection to each server, and the login there, this much time; 1 s without it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::RedisConfig::default().connect_timeout(Duration::from_secs(3));
    /// ```
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long to wait before a lost connection is dialled again: from 20 ms, doubling up
    /// to 1 s without it. Each wait is made longer by a random part.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::RedisConfig::default()
    ///     .reconnect_delays(Duration::from_millis(50), Duration::from_secs(5));
    /// ```
    pub const fn reconnect_delays(mut self, shortest: Duration, longest: Duration) -> Self {
        self.reconnect = Reconnect { shortest, longest };
        self
    }

    /// Sets how often each server is asked whether it is alive; 1 s without it.
    ///
    /// This is what [`RedisStore::state`](crate::RedisStore::state) tells, and how a server that
    /// hangs is noticed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::RedisConfig::default().probe_interval(Duration::from_secs(5));
    /// ```
    pub const fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// Opens this many connections to each server; one without it.
    ///
    /// One connection carries the commands of many tasks at once and is the fastest for small
    /// values. More of them keep large values from delaying small ones.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().pool_size(2);
    /// ```
    pub const fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// Lets this many commands wait for one connection; 10,000 without it. More are refused.
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().queue_limit(1_000);
    /// ```
    pub const fn queue_limit(mut self, commands: usize) -> Self {
        self.queue_limit = commands;
        self
    }

    /// Reads values from the replicas of a cluster, where there are any.
    ///
    /// A replica may be behind: a read may not see a write that has returned.
    ///
    /// With the feature `replicas`, whether or not this is called, fred 10.1 can keep a thread busy when a new
    /// connection breaks at once, until the [command timeout](Self::command_timeout) of what waits is over:
    /// such programs need more threads than the [pool](Self::pool_size) has connections.
    ///
    /// ```
    /// let nodes = [("10.0.0.1", 6379), ("10.0.0.2", 6379)];
    /// let config = cache_redis::RedisConfig::cluster(nodes).read_from_replicas(true);
    /// ```
    #[cfg(feature = "replicas")]
    #[cfg_attr(docsrs, doc(cfg(feature = "replicas")))]
    pub const fn read_from_replicas(mut self, allowed: bool) -> Self {
        self.read_from_replicas = allowed;
        self
    }

    /// Returns from [`connect`](crate::RedisStore::connect) at once and connects in the background.
    ///
    /// A program then starts while its cache is down. Until it is up, operations fail as
    /// [`Unavailable`](cache_core::ErrorKind::Unavailable).
    ///
    /// ```
    /// let config = cache_redis::RedisConfig::default().connect_lazily(true);
    /// ```
    pub const fn connect_lazily(mut self, lazily: bool) -> Self {
        self.connect_lazily = lazily;
        self
    }

    /// Returns the namespace, or `None` for [bare keys](Self::bare_keys).
    ///
    /// ```
    /// use cache_redis::{DEFAULT_NAMESPACE, RedisConfig};
    ///
    /// assert_eq!(RedisConfig::default().get_namespace(), Some(DEFAULT_NAMESPACE));
    /// ```
    #[must_use]
    pub fn get_namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self.servers, Servers::Cluster(_))
    }
}

impl Address {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    fn all<H: Into<String>>(nodes: impl IntoIterator<Item = (H, u16)>) -> Vec<Self> {
        let address = |(host, port): (H, u16)| Self::new(host, port);
        nodes.into_iter().map(address).collect()
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.servers)
            .field("tls", &self.tls)
            // `redis://secret@host`, where a colon is forgotten, has a password here.
            .field("username", &self.username.as_ref().map(|_| "***"))
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("credentials", &self.credentials)
            .field("database", &self.database)
            .field("protocol", &self.protocol)
            .field("namespace", &self.namespace)
            .field("command_timeout", &self.command_timeout)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}
