//! From our configuration to fred's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Result;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::socket2::TcpKeepalive;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, CredentialProvider, PerformanceConfig,
    ReconnectError, ReconnectPolicy, Server, ServerConfig, TcpConfig, UnresponsiveConfig,
};

use super::login::Logins;
use crate::RedisConfig;
use crate::config::{Address, Protocol, Provider, Servers};

/// Events of connections that may wait for the supervisor, which is quick.
const EVENTS: usize = 64;

/// All that is needed to connect, again and again.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) config: Config,
    pub(super) performance: PerformanceConfig,
    pub(super) connection: ConnectionConfig,
    pub(super) policy: Option<ReconnectPolicy>,
    pub(crate) command_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) probe_interval: Duration,
    pub(super) retry_delays: (Duration, Duration),
    pub(super) client_name: Option<String>,
    pub(super) credentials: Option<Arc<Provider>>,
    pub(super) read_from_replicas: bool,
    /// Whether the connection is to all nodes of a cluster, as far as fred knows.
    pub(super) is_cluster: bool,
    /// Whether the connection is to one node of a cluster, whatever the others are.
    pub(super) is_direct: bool,
    /// Whether servers that are away are no reason not to begin.
    pub(crate) connects_lazily: bool,
}

impl Settings {
    pub(crate) fn new(config: &RedisConfig) -> Result<Self> {
        #[cfg(any(feature = "rustls", feature = "native-tls"))]
        let tls = config
            .tls
            .as_ref()
            .map(super::tls_connector::connector)
            .transpose()?;
        #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
        if config.tls.is_some() {
            let problem = "needs the feature `rustls` or `native-tls`, which is not built in";
            return Err(cache_core::Error::invalid("tls", problem));
        }
        let fred_config = Config {
            // The first connection is tried once; later ones follow the policy.
            fail_fast: true,
            username: config
                .username
                .as_deref()
                .map(|name| credential(name, config.protocol)),
            password: config
                .password
                .as_deref()
                .map(|pass| credential(pass, config.protocol)),
            credential_provider: config.credentials.as_ref().map(|provider| {
                let (provider, protocol) = (Arc::clone(provider), config.protocol);
                Arc::new(Logins { provider, protocol }) as Arc<dyn CredentialProvider>
            }),
            server: servers(&config.servers),
            version: match config.protocol {
                Protocol::Resp2 => RespVersion::RESP2,
                Protocol::Resp3 => RespVersion::RESP3,
            },
            database: (config.database != 0).then_some(config.database),
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            tls,
            ..Config::default()
        };
        Ok(Self {
            config: fred_config,
            performance: PerformanceConfig {
                default_command_timeout: config.command_timeout,
                broadcast_channel_capacity: EVENTS,
                ..PerformanceConfig::default()
            },
            connection: connection(config),
            policy: Some(policy(config)),
            command_timeout: config.command_timeout,
            connect_timeout: config.connect_timeout,
            probe_interval: config.probe_interval,
            retry_delays: (config.reconnect.shortest, config.reconnect.longest),
            client_name: config.client_name.clone(),
            credentials: config.credentials.clone(),
            read_from_replicas: config.read_from_replicas,
            is_cluster: config.is_cluster(),
            is_direct: false,
            connects_lazily: config.connect_lazily,
        })
    }

    /// Takes over how the client of a user connects; the rest is as the store is told.
    pub(super) fn of_client(client: &Client, config: &RedisConfig) -> Self {
        Self {
            config: client.client_config(),
            performance: client.perf_config(),
            connection: client.connection_config().clone(),
            policy: client.client_reconnect_policy(),
            command_timeout: config.command_timeout,
            connect_timeout: config.connect_timeout,
            probe_interval: config.probe_interval,
            retry_delays: (config.reconnect.shortest, config.reconnect.longest),
            client_name: None,
            credentials: None,
            read_from_replicas: false,
            is_cluster: client.client_config().server.is_clustered(),
            is_direct: false,
            connects_lazily: false,
        }
    }

    /// Returns what tells the database from others, without a secret.
    pub(crate) fn address(&self) -> String {
        let mut hosts: Vec<String> = self
            .config
            .server
            .hosts()
            .iter()
            .map(Server::to_string)
            .collect();
        hosts.sort_unstable();
        let service = match &self.config.server {
            ServerConfig::Sentinel { service_name, .. } => format!("/{service_name}"),
            _ => String::new(),
        };
        let database = self.config.database.unwrap_or_default();
        format!("{}{service}/{database}", hosts.join(","))
    }

    /// Returns how to connect to listen: nothing is missed unnoticed while another connection is made.
    pub(crate) fn listening(&self, capacity: usize, limit: Duration) -> Self {
        let mut settings = self.unrepeated();
        settings.performance.broadcast_channel_capacity = capacity;
        settings.performance.default_command_timeout = limit;
        settings.command_timeout = limit;
        settings
    }

    /// Returns how to connect where what the server knows of the connection matters: each client has one
    /// connection in its life.
    pub(super) fn unrepeated(&self) -> Self {
        let mut settings = self.clone();
        settings.policy = None;
        settings.config.fail_fast = true;
        settings.connection.max_command_attempts = 1;
        settings.connection.max_redirections = 0;
        // Of a client of the user: what listens or is kept for later may be silent.
        settings.connection.unresponsive = UnresponsiveConfig::default();
        settings.read_from_replicas = false;
        settings
    }

    /// Lets any number of commands wait for the connection.
    pub(super) fn unlimit_queue(&mut self) {
        self.connection.max_command_buffer_len = 0;
    }

    pub(crate) fn is_resp3(&self) -> bool {
        self.config.version == RespVersion::RESP3
    }

    /// Returns how to connect to one node of a cluster.
    pub(crate) fn direct(&self, server: &Server) -> Self {
        let mut settings = self.clone();
        settings.config.server = ServerConfig::Centralized {
            server: server.clone(),
        };
        settings.config.fail_fast = true;
        settings.read_from_replicas = false;
        settings.is_cluster = false;
        settings.is_direct = true;
        settings
    }

    /// Returns how long a server may take to give a sign of life. With a deadline that is meant
    /// to be missed at times, a busy server would be taken for one that hangs.
    pub(super) fn probe_timeout(&self) -> Duration {
        let (least, most) = (Duration::from_millis(250), Duration::from_secs(1));
        self.command_timeout.clamp(least, most)
    }

    /// Returns a client that does not start with servers that hang.
    pub(super) fn build(&self, known: Vec<Server>, silent: &[Server]) -> Client {
        let mut config = self.config.clone();
        if let ServerConfig::Clustered { hosts, .. } = &mut config.server {
            let mut usable: Vec<Server> = known;
            usable.extend(hosts.iter().cloned());
            usable.retain(|host| !silent.contains(host));
            if !usable.is_empty() {
                *hosts = usable;
            }
        }
        Client::new(
            config,
            Some(self.performance.clone()),
            Some(self.connection.clone()),
            self.policy.clone(),
        )
    }
}

// Written by hand: the derived form would print passwords.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// Returns a user name or password as fred has to be given it. In RESP3 fred logs in by a line of text, so what
/// is more than one plain word there stands in quotes, each byte escaped, as servers read such lines:
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/#inline-commands>.
pub(super) fn credential(text: &str, protocol: Protocol) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    let is_word = !text.is_empty() && text.bytes().all(is_plain);
    if protocol == Protocol::Resp2 || is_word {
        return text.to_owned();
    }
    let escaped = text.bytes().map(|byte| format!("\\x{byte:02x}"));
    format!("\"{}\"", escaped.collect::<String>())
}

fn servers(servers: &Servers) -> ServerConfig {
    let server = |address: &Address| Server::new(address.host.as_str(), address.port);
    match servers {
        Servers::Standalone(address) => ServerConfig::Centralized {
            server: server(address),
        },
        Servers::Unix(path) => ServerConfig::Unix { path: path.clone() },
        Servers::Cluster(nodes) => ServerConfig::Clustered {
            hosts: nodes.iter().map(server).collect(),
            policy: ClusterDiscoveryPolicy::UseCache,
        },
        Servers::Sentinel {
            nodes,
            service,
            username,
            password,
        } => ServerConfig::Sentinel {
            hosts: nodes.iter().map(server).collect(),
            service_name: service.clone(),
            username: username.clone(),
            password: password.as_ref().map(|secret| secret.0.clone()),
        },
    }
}

fn connection(config: &RedisConfig) -> ConnectionConfig {
    let mut connection = ConnectionConfig {
        connection_timeout: config.connect_timeout,
        internal_command_timeout: config.connect_timeout,
        max_command_attempts: 1,
        max_redirections: 0,
        max_command_buffer_len: config.queue_limit,
        tcp: TcpConfig {
            nodelay: Some(true),
            keepalive: Some(TcpKeepalive::new().with_time(Duration::from_secs(15))),
            ..TcpConfig::default()
        },
        ..ConnectionConfig::default()
    };
    connection.disable_cluster_health_check = true;
    // Not `reconnect_on_auth_error`, which also breaks a connection that only could not log in again.
    connection
        .reconnect_errors
        .push(ReconnectError::Custom("NOAUTH"));
    connection
}

fn policy(config: &RedisConfig) -> ReconnectPolicy {
    let milliseconds = |delay: Duration| u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
    let (shortest, longest) = (config.reconnect.shortest, config.reconnect.longest);
    let for_ever = 0;
    let mut policy = ReconnectPolicy::new_exponential(
        for_ever,
        milliseconds(shortest),
        milliseconds(longest),
        2,
    );
    policy.set_jitter(milliseconds(shortest));
    policy
}
