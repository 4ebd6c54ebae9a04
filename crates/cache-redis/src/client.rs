//! The one module that knows fred.
//!
//! What the rest of the crate sees is [`Link`]: commands in, replies out, within a deadline. To
//! change the client library is to write this module anew.
//!
//! # What is worked around
//!
//! fred 10.1 needs help in these places. Each has its test in `tests/it/faults` or `tests/it/bus`; when one
//! is fixed in fred, what is named here can go.
//!
//! | fred 10.1 | here |
//! |---|---|
//! | without a policy it never reconnects, and commands wait for ever | [`settings`] always sets a policy and every timeout |
//! | after a lost reply it sends a command again, `SET NX` and scripts too | [`connection`] sends everything with `fail_fast`, which answers instead; reads are repeated by [`reads`] alone |
//! | a redirected command mixes up the replies of others, or ends the client if the server is a new one | [`detour`] follows redirections, fred none |
//! | a command for a named node that is not connected blocks a thread for ever | [`connection`] names the node by a slot |
//! | a client whose first connection is given up goes on connecting | [`connection`] owns the task before it waits |
//! | its `Pool` sends almost everything to one client | [`Link`] counts round the clients itself |
//! | with its feature `replicas`, commands that were queued before a reconnection are tried again without a pause when the new connection breaks at once: a thread is busy for that long | the feature is off unless it is asked for |
//! | a server that hangs is never left: the unresponsive check looks at the last write | [`supervisor`] probes each server and replaces the client |
//! | `is_connected` is true on dead links | [`supervisor`] judges by answers |
//! | listeners end at the first lag | [`supervisor`] has its own loop |
//! | a reply of three to five values that start with words like `message`, or `pubsub` and `message`, is taken for news of a channel and dropped | [`commands`] asks for six, and scripts answer with numbers first |
//! | in RESP2 it puts `pubsub` in front of such a list within a reply: three or four keys of a `SCAN` | [`commands`] looks whether there is a key of that name |
//! | in a cluster a lone value that starts with `MOVED` or `ASK` and has two spaces is followed like a redirection | [`commands`] asks by `MGET` and by a script, and scripts answer with lists |
//! | `READONLY`, `LOADING`, `NOAUTH` and `CLUSTERDOWN` break the connection, and all that is under way fails alike | [`reads`] sends reads again |
//! | a second login that is refused breaks the connection, as a lost one does | [`settings`] names `NOAUTH` alone among the errors that do |
//! | its task ends if its queue is full when the connection breaks | [`supervisor`] replaces the client |
//! | whoever finds no connection is not told why | [`breaks`] keeps what it tells of broken ones |
//! | a pipeline makes one system call for each command | bulk writes are one MSET, MSETEX or script in [`bulk_write`] |
//! | multi-key commands across slots fail | the store groups keys by [`slot`] |
//! | an error that quotes an argument which is no UTF-8, and the reply of `COMMAND INFO` in RESP3, break the connection | [`bulk_write`] asks each server for `MSETEX` without arguments before it uses it |
//! | `EVALSHA` is sent without pipelining | [`commands`] sends it as a custom command |
//! | server errors all have the kind `Unknown`, and quote arguments | [`failure`] sorts them by their first word and cuts the quotes |
//! | `Debug` of its configuration shows passwords | it is never printed |
//! | a new connection is not tracked, and helpers that track it anew do so too late | [`line`](mod@line) has one connection for all its life |
//! | it drops the news that the database was emptied | [`listen`] reads a key that is gone then |
//! | tracking in broadcast mode is turned on at one node of a cluster alone | the bus has a [`line`](mod@line) to each |
//! | who subscribes is not told of a refusal | [`listen`] subscribes by a custom command, on a connection that sends nothing else |
//! | a connection health check needs a permission and fails with one node | [`settings`] turns it off |
//! | a transaction drains the connection first, and what it could not send is missing in it | [`dedicated`] has connections of its own, and goes on when the last step was answered |

mod breaks;
mod bulk_write;
mod commands;
mod connection;
mod dedicated;
mod detour;
mod failure;
mod line;
mod listen;
mod login;
mod reads;
mod scripts;
mod settings;
mod supervisor;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod tls_connector;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use cache_core::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};
use tracing::instrument::{Instrument, Instrumented};

pub(crate) use self::commands::{Found, Source, set_option};
pub(crate) use self::connection::{Connection, ServerMap};
use self::dedicated::DedicatedPool;
pub(crate) use self::dedicated::{Dedicated, Write};
pub(crate) use self::failure::{Failure, Lost, is_torn};
pub(crate) use self::line::{Changes, Heard, Letter, Line, News};
pub(crate) use self::listen::{Fence, Primary, cannot_listen};
pub(crate) use self::scripts::{
    Add, Change, ClaimTerms, Claimed, Counted, Lifetime, Mark, SetTime,
};
pub(crate) use self::settings::Settings;
pub use self::supervisor::ConnectionState;
use self::supervisor::Health;
use crate::RedisConfig;
use crate::stats::Counters;

/// Returns the slot of a key in a cluster.
pub(crate) fn slot(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// Refuses a call from outside of a Tokio runtime: sockets and timers would panic there.
fn within_runtime() -> Result<()> {
    let missing = |_| Error::invalid("runtime", "is missing: a Redis store needs Tokio");
    Handle::try_current().map(drop).map_err(missing)
}

/// As [`within_runtime`], before tasks begin that need timers. Nothing tells whether a runtime has timers: one without
/// them panics here, where the caller sees it, and not in a task of which nobody hears.
fn within_runtime_with_timers() -> Result<()> {
    within_runtime()?;
    drop(time::sleep(Duration::ZERO));
    Ok(())
}

/// The way to the servers: some connections, each watched by a task.
///
/// The tasks and the connections end with it.
#[derive(Debug)]
pub(crate) struct Link {
    lanes: Box<[Arc<Lane>]>,
    /// The supervisors of the lanes.
    _watches: Vec<AbortOnDrop<()>>,
    /// Renews credentials that expire.
    _login: Option<AbortOnDrop<()>>,
    next: AtomicUsize,
    dedicated: DedicatedPool,
    pub(crate) is_cluster: bool,
    pub(crate) settings: Arc<Settings>,
    command_timeout: Duration,
    pub(crate) counters: Arc<Counters>,
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One place in the pool. What stands in it is replaced when its server hangs.
#[derive(Debug)]
struct Lane {
    connection: ArcSwap<Connection>,
    health: Health,
    /// Wakes the supervisor when an operation has failed.
    doubt: Notify,
}

impl Lane {
    /// Returns why there is no connection, if there is none and that is known.
    fn broken_by(&self) -> Option<Failure> {
        let connection = self.connection.load();
        if connection.is_connected() && !connection.has_ended() {
            return None;
        }
        self.health.refusal().or_else(|| connection.breaks.last())
    }
}

impl Link {
    /// Connects to the servers, unless this may happen later.
    pub(crate) async fn open(config: &RedisConfig) -> Result<Self> {
        within_runtime_with_timers()?;
        let settings = Arc::new(Settings::new(config)?);
        let connect = || async {
            if config.connect_lazily {
                return Ok(Connection::unopened(&settings));
            }
            Connection::open(&settings, Vec::new(), &[]).await
        };
        let all = (0..config.pool_size).map(|_| connect());
        let connections = futures_util::future::try_join_all(all).await?;
        Ok(Self::new(connections, config.is_cluster(), &settings))
    }

    /// Uses a client that belongs to the user: it is watched, and never replaced.
    pub(crate) fn of_client(client: &fred::clients::Client, config: &RedisConfig) -> Result<Self> {
        use fred::interfaces::ClientLike;

        within_runtime_with_timers()?;
        let is_cluster = client.client_config().server.is_clustered();
        let settings = Arc::new(Settings::of_client(client, config));
        let connection = Connection::borrowed(client, &settings);
        Ok(Self::new(vec![connection], is_cluster, &settings))
    }

    fn new(connections: Vec<Connection>, is_cluster: bool, settings: &Arc<Settings>) -> Self {
        let lane = |connection: Connection| {
            let health = Health::default();
            if connection.is_open() {
                health.opened();
            }
            Arc::new(Lane {
                connection: ArcSwap::from_pointee(connection),
                health,
                doubt: Notify::new(),
            })
        };
        let lanes: Box<[_]> = connections.into_iter().map(lane).collect();
        let counters = Arc::<Counters>::default();
        let watch = |lane: &Arc<Lane>| {
            let (settings, counters) = (Arc::clone(settings), Arc::clone(&counters));
            let watch = supervisor::watch(Arc::clone(lane), settings, counters);
            AbortOnDrop(tokio::spawn(watch))
        };
        let login = settings.credentials.as_ref().map(|provider| {
            let renew = login::renew(lanes.clone(), Arc::clone(provider));
            AbortOnDrop(tokio::spawn(renew))
        });
        Self {
            _watches: lanes.iter().map(watch).collect(),
            _login: login,
            lanes,
            next: AtomicUsize::new(0),
            dedicated: DedicatedPool::new(),
            is_cluster,
            settings: Arc::clone(settings),
            command_timeout: settings.command_timeout,
            counters,
        }
    }

    /// Counts an operation that sends so many bytes, and runs it inside its span.
    ///
    /// Not an `async fn`: that would keep room for the operation twice.
    pub(crate) fn observe<F: Future>(
        &self,
        operation: &'static str,
        bytes: usize,
        run: F,
    ) -> Instrumented<F> {
        self.counters.sent(bytes);
        run.instrument(tracing::debug_span!("redis", operation))
    }

    /// Returns the connections in turn.
    fn lane(&self) -> Result<&Arc<Lane>> {
        within_runtime()?;
        Ok(match &*self.lanes {
            [only] => only,
            lanes => &lanes[self.next.fetch_add(1, Ordering::Relaxed) % lanes.len()],
        })
    }

    /// Runs a command that changes something: once.
    ///
    /// What it needs is kept in a cluster alone, where it may be sent elsewhere.
    pub(crate) async fn write<P: Clone + Send + Sync, T: Send + Sync, F>(
        &self,
        payload: P,
        run: impl Fn(Arc<Connection>, P) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let lane = self.lane()?;
        let kept = self.is_cluster.then(|| (Instant::now(), payload.clone()));
        let mut answer = run(lane.connection.load_full(), payload).await;
        if let (Err(failure), Some((start, payload))) = (&answer, kept)
            && failure.is_redirected()
        {
            let again = |connection| run(connection, payload.clone());
            answer = Box::pin(self.reroute(lane, start, again)).await;
        }
        answer.map_err(|failure| self.note(lane, &failure))
    }

    /// Adds to counters, of a cluster in one slot; each answer is for itself.
    pub(crate) async fn add_all(&self, adds: Vec<Add>) -> Result<Vec<Result<Option<Counted>>>> {
        let add = self.write(adds, |connection, adds| async move {
            connection.add_all(adds).await
        });
        let told = |failure: Failure| {
            let error = failure.to_error();
            self.counters.failed(error.kind());
            error
        };
        let answers = add.await?.into_iter();
        Ok(answers.map(|answer| answer.map_err(told)).collect())
    }

    /// Sends a command again that the cluster sent elsewhere, and that did nothing yet.
    async fn reroute<T, F>(
        &self,
        lane: &Lane,
        start: Instant,
        run: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let connection = lane.connection.load_full();
        let way = async {
            // fred has asked where the slots are. While one moves, that is not enough.
            match run(Arc::clone(&connection)).await {
                Err(failure) if failure.is_redirected() => {
                    connection.detour.follow(&connection, run).await
                }
                answer => answer,
            }
        };
        self.in_time(start, way).await
    }

    /// Gives an operation what is left of its time.
    async fn in_time<T>(
        &self,
        start: Instant,
        run: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let answer = time::timeout_at(start + self.command_timeout, run).await;
        answer.unwrap_or_else(|_| Err(Failure::timeout()))
    }

    /// Counts a failure, and has the servers probed if one of them may be gone.
    fn note(&self, lane: &Lane, failure: &Failure) -> Error {
        self.note_of(lane, failure, failure.is_for_want_of_a_connection())
    }

    /// Does so for a command that was not sent, or that is the same as one that was not.
    fn note_of(&self, lane: &Lane, failure: &Failure, is_unsent: bool) -> Error {
        let mut error = failure.to_error();
        if error.is_transient() {
            lane.doubt.notify_one();
            if failure.lost() != Lost::Nothing
                && let Some(reason) = lane.broken_by()
            {
                error = match is_unsent {
                    true => reason.to_error_of_unsent(),
                    false => failure.to_error_because(&reason),
                };
            }
        }
        self.counters.failed(error.kind());
        tracing::debug!(kind = ?error.kind(), "redis operation failed");
        error
    }

    /// Returns the servers as one connection sees them now.
    pub(crate) fn map(&self) -> ServerMap {
        self.lanes[0].connection.load().map()
    }

    /// Returns the primaries of a cluster, as it says they are if it is asked, and as the first
    /// connection sees them otherwise.
    pub(crate) async fn primaries(&self, ask: bool) -> Result<Vec<Primary>> {
        if ask {
            self.asked_map().await?;
        }
        Ok(self.lanes[0].connection.load().primaries())
    }

    /// Returns the server of a slot, as the cluster says.
    pub(crate) async fn owner(&self, key: &[u8]) -> Result<Option<fred::types::config::Server>> {
        self.asked_map().await?;
        Ok(self.lanes[0].connection.load().owner(slot(key)))
    }

    /// Returns what tells the server of each connection from others, of those that answer within this time.
    pub(crate) async fn run_ids(&self, limit: Duration) -> Vec<String> {
        let asked = self.lanes.iter().map(|lane| async {
            let connection = lane.connection.load_full();
            let answer = time::timeout(limit, connection.run_id()).await;
            answer.ok()?.ok()
        });
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Returns how long to wait before servers are dialled again that failed so often.
    pub(crate) fn delay(&self, rounds: u32) -> Duration {
        supervisor::delay(&self.settings, rounds)
    }

    /// Returns the servers as the cluster says they are: without being asked it tells of a slot that
    /// has moved only to those who look for a key there.
    pub(crate) async fn asked_map(&self) -> Result<ServerMap> {
        let lane = &self.lanes[0];
        let connection = lane.connection.load_full();
        let asked = self.in_time(Instant::now(), connection.ask_for_slots());
        asked.await.map_err(|failure| self.note(lane, &failure))?;
        Ok(connection.map())
    }

    /// Asks every server over every connection for a sign of life.
    pub(crate) async fn ping(&self) -> Result<()> {
        within_runtime()?;
        for lane in &self.lanes {
            let connection = lane.connection.load_full();
            for server in connection.servers() {
                let answer = connection.ping(server).await;
                answer.map_err(|failure| self.note(lane, &failure))?;
            }
        }
        Ok(())
    }

    /// Returns the state of the worst connection.
    /// Returns why there is no connection, if one is missing and that is known.
    pub(crate) fn broken_by(&self) -> Option<Error> {
        let reason = self.lanes.iter().find_map(|lane| lane.broken_by());
        reason.map(|reason| reason.to_error_of_unsent())
    }

    pub(crate) fn state(&self) -> ConnectionState {
        let states = self.lanes.iter().map(|lane| lane.health.state());
        states
            .max_by_key(ConnectionState::badness)
            .unwrap_or_default()
    }
}
