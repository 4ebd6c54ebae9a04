//! One client of fred and the task that drives it.

use std::fmt;
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use cache_core::Result;
use fred::clients::{Client, WithOptions};
use fred::error::Error as FredError;
use fred::interfaces::{ClientLike, ClusterInterface, EventInterface};
use fred::types::config::{Options, Server};
use fred::types::{ClientState, ClusterHash, CustomCommand, Value};
use tokio::sync::broadcast;
use tokio::time::{self, Instant};

use super::AbortOnDrop;
use super::breaks::Breaks;
use super::bulk_write::BulkWrites;
use super::detour::Detour;
use super::failure::Failure;
use super::settings::Settings;

/// A client that is connected, or on its way to be.
pub(crate) struct Connection {
    /// The client with the options of every command that we send.
    pub(super) client: WithOptions<Client>,
    pub(super) settings: Arc<Settings>,
    /// Drives the client; `None` for one that is not ours or was never opened.
    task: Mutex<Option<Task>>,
    /// Whether it may be replaced by another client.
    pub(super) is_ours: bool,
    /// How often the client has opened connections since it was first connected.
    opened: AtomicU64,
    /// What the servers can do for bulk writes.
    pub(super) bulk_writes: BulkWrites,
    /// Why there is no connection, while there is none.
    pub(super) breaks: Breaks,
    /// Where commands go that the cluster redirects.
    pub(super) detour: Detour,
}

/// The task of a client; its sockets close with it.
pub(super) type Task = AbortOnDrop<Result<(), FredError>>;

impl Connection {
    /// Connects, and logs in, to all servers that are needed. A cluster is asked about its nodes at
    /// those that are known, too, and not at those in `silent`.
    pub(super) async fn open(
        settings: &Arc<Settings>,
        known: Vec<Server>,
        silent: &[Server],
    ) -> Result<Self> {
        let opened = Self::dial(settings, known, silent).await;
        opened.map_err(|failure| failure.to_error().during("connect"))
    }

    /// Connects to one node of the cluster, which need not have slots yet.
    pub(super) async fn open_direct(&self, node: &Server) -> Result<Self, Failure> {
        let settings = Arc::new(self.settings.direct(node));
        Self::dial(&settings, Vec::new(), &[]).await
    }

    pub(super) async fn dial(
        settings: &Arc<Settings>,
        known: Vec<Server>,
        silent: &[Server],
    ) -> Result<Self, Failure> {
        let client = settings.build(known, silent);
        // Each server has its own time; several may have to be tried.
        let servers = client.client_config().server.hosts().len() + 1;
        let limit = settings.connect_timeout * u32::try_from(servers).unwrap_or(u32::MAX) * 2;
        // The task is ours before anything is waited for: it must end when this future is dropped.
        // The first poll begins to listen, before there is anything to hear.
        let mut connected = pin!(client.wait_for_connect());
        poll_fn(|context| Poll::Ready(connected.as_mut().poll(context).is_ready())).await;
        let task = AbortOnDrop(client.connect());
        match time::timeout(limit, connected).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Failure::timeout()),
        }
        let connection = Self::new(&client, settings, Some(task), true);
        connection.introduce(None).await;
        Ok(connection)
    }

    /// Has the server execute the next command even if its slot is only on the way there.
    pub(super) async fn asking(&self) -> Result<(), Failure> {
        let command = CustomCommand::new_static("ASKING", 0, false);
        let _: Value = self.client.custom(command, Vec::<Value>::new()).await?;
        Ok(())
    }

    /// Returns a connection that is none yet, for the supervisor to replace.
    pub(super) fn unopened(settings: &Arc<Settings>) -> Self {
        Self::new(&settings.build(Vec::new(), &[]), settings, None, true)
    }

    /// Wraps a client of the user.
    pub(super) fn borrowed(client: &Client, settings: &Arc<Settings>) -> Self {
        Self::new(client, settings, None, false)
    }

    fn new(client: &Client, settings: &Arc<Settings>, task: Option<Task>, is_ours: bool) -> Self {
        let options = Options {
            max_attempts: Some(1),
            max_redirections: Some(0),
            timeout: Some(settings.command_timeout),
            fail_fast: true,
            ..Options::default()
        };
        Self {
            client: client.with_options(&options),
            settings: Arc::clone(settings),
            task: Mutex::new(task),
            is_ours,
            opened: AtomicU64::new(0),
            bulk_writes: BulkWrites::of(client),
            breaks: Breaks::of(client),
            detour: Detour::new(),
        }
    }

    /// Tells the server our name, for `CLIENT LIST`. That it may be forbidden is no reason to fail.
    pub(super) async fn introduce(&self, server: Option<&Server>) {
        let Some(name) = &self.settings.client_name else {
            return;
        };
        // A slot of its own would take the place of the server's.
        let command = CustomCommand::new_static("CLIENT SETNAME", ClusterHash::FirstKey, false);
        let servers = server.map_or_else(|| self.servers(), |server| vec![Some(server.clone())]);
        for server in servers {
            let name = vec![Value::from(name.as_str())];
            if let Ok(client) = self.at(server.as_ref()) {
                let _: Result<Value, _> = client.custom(command.clone(), name).await;
            }
        }
    }

    /// Returns the servers that hold the data: the primaries of a cluster, or no name for the one
    /// that commands go to anyway.
    pub(super) fn servers(&self) -> Vec<Option<Server>> {
        let known = self.client.cached_cluster_state();
        let primaries = known.map_or(Vec::new(), |state| state.unique_primary_nodes());
        if primaries.is_empty() {
            return vec![None];
        }
        primaries.into_iter().map(Some).collect()
    }

    /// Returns the servers and what tells this state of affairs from others.
    pub(crate) fn map(&self) -> ServerMap {
        let mut hasher = DefaultHasher::new();
        self.client.id().hash(&mut hasher);
        self.opened.load(Ordering::Relaxed).hash(&mut hasher);
        let mut servers = self.servers();
        servers.sort_unstable();
        let mut slots = DefaultHasher::new();
        match self.client.cached_cluster_state() {
            Some(state) => {
                for range in state.slots() {
                    (range.start, range.end, &range.primary).hash(&mut slots);
                }
            }
            None => self.client.active_connections().hash(&mut slots),
        }
        let slots = slots.finish();
        slots.hash(&mut hasher);
        ServerMap {
            servers,
            fingerprint: hasher.finish(),
            slots,
        }
    }

    /// Asks the cluster who serves which slots.
    pub(super) async fn ask_for_slots(&self) -> Result<(), Failure> {
        Ok(self.client.sync_cluster().await?)
    }

    /// Notes that the client has opened another connection to a server.
    pub(super) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives away what keeps the client connected, and what ends with it.
    pub(super) fn take_task(&self) -> Option<Task> {
        self.task().take()
    }

    pub(super) fn is_open(&self) -> bool {
        self.task().is_some()
    }

    fn task(&self) -> MutexGuard<'_, Option<Task>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_ended(&self) -> bool {
        let task = self.task();
        task.as_ref().is_some_and(|task| task.0.is_finished())
    }

    /// Waits until the client has ended, for whatever reason: it can do nothing more. For one that is not ours
    /// nobody knows.
    pub(super) async fn ended(&self) {
        let ended = poll_fn(|context| match &mut *self.task() {
            Some(task) if !task.0.is_finished() => Pin::new(&mut task.0).poll(context).map(drop),
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        });
        ended.await;
    }

    /// Returns all nodes of a cluster that are known, with the feature `replicas` those too.
    pub(super) fn nodes(&self) -> Vec<Server> {
        let Some(state) = self.client.cached_cluster_state() else {
            return Vec::new();
        };
        let primaries = state.unique_primary_nodes();
        #[cfg(feature = "replicas")]
        let primaries = {
            let replicas = primaries.iter().flat_map(|primary| state.replicas(primary));
            replicas.chain(primaries.clone()).collect()
        };
        primaries
    }

    /// Returns the client with commands that go to one server, or a failure if it is not connected
    /// to that server.
    ///
    /// The server is named by one of its slots. If it is named itself and its connection is lost,
    /// fred takes the command out of its queue and puts it back there, without end, and blocks a
    /// thread of the runtime. A slot whose server is lost leads to another server, so ask again
    /// afterwards where that matters.
    pub(super) fn at(&self, server: Option<&Server>) -> Result<WithOptions<Client>, Failure> {
        let mut options = self.client.options().clone();
        // What is no cluster has one server, whatever its name.
        if let (Some(server), Some(state)) = (server, self.client.cached_cluster_state()) {
            let connected = self.client.active_connections();
            // They are not known if the server does not tell us the number of our connection.
            if !connected.is_empty() && !connected.contains(server) {
                return Err(Failure::nowhere());
            }
            let mut ranges = state.slots().iter();
            let own = ranges.find(|range| range.primary == *server);
            let slot = own.ok_or_else(Failure::nowhere)?.start;
            options.cluster_hash = Some(ClusterHash::Custom(slot));
        }
        Ok(Client::clone(&self.client).with_options(&options))
    }

    /// Returns the events of new connections to servers.
    pub(super) fn reconnections(&self) -> broadcast::Receiver<Server> {
        self.client.reconnect_rx()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.state() == ClientState::Connected
    }

    /// Tells whether the client has a connection again by this time.
    pub(super) async fn is_back_by(&self, end: Instant) -> bool {
        if self.is_connected() {
            return true;
        }
        let connected = time::timeout_at(end, self.client.wait_for_connect());
        // It may have come between the first look and the wait.
        matches!(connected.await, Ok(Ok(()))) || self.is_connected()
    }
}

/// The servers that hold data at one moment, in a fixed order.
#[derive(Debug)]
pub(crate) struct ServerMap {
    pub(crate) servers: Vec<Option<Server>>,
    /// Differs from that of any other map: other servers, other slots or another connection.
    pub(crate) fingerprint: u64,
    /// Differs from that of other slots alone.
    pub(crate) slots: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("is_open", &self.is_open())
            .field("is_ours", &self.is_ours)
            .finish_non_exhaustive()
    }
}
