//! Connections for transactions, each of which has one for itself.
//!
//! What a server watches it watches for a connection. So that connection is never shared, never made
//! anew, and closed whenever an answer stays out: what was watched or queued over it is forgotten then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Error, ErrorKind, Expiry, Result};
use fred::types::config::Server;
use fred::types::{Key, Value};
use futures_util::future::{join, join_all, join3};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{self, Instant};

use super::commands::{Answer, milliseconds, padded, values_of};
use super::connection::{Connection, Task};
use super::failure::{Failure, Lost};
use super::{Link, slot, within_runtime};

/// The most transactions that are open at once; others wait.
const WIDTH: usize = 16;
/// How long a connection is kept that nobody needs, at the least.
const KEPT: Duration = Duration::from_secs(60);
/// How often the owner of a slot is looked for while it moves.
const HOPS: u32 = 3;

/// The connections of one link.
#[derive(Debug)]
pub(super) struct DedicatedPool {
    idle: Arc<Mutex<Vec<Idle>>>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Idle {
    /// The server in a cluster.
    server: Option<Server>,
    since: Instant,
    connection: Exclusive,
}

/// A connection and the task that ends with it.
#[derive(Debug)]
struct Exclusive {
    connection: Connection,
    task: Task,
}

/// A connection that watches keys. It is given back when it is dropped, unless an answer stayed out.
#[derive(Debug)]
pub(crate) struct Dedicated {
    server: Option<Server>,
    connection: Option<Exclusive>,
    idle: Arc<Mutex<Vec<Idle>>>,
    slot: u16,
    /// The keys, in a cluster.
    watched: Vec<Bytes>,
    _permit: OwnedSemaphorePermit,
}

/// A write of a transaction: a key, and what it then holds.
pub(crate) type Write = (Bytes, Option<(Bytes, Expiry)>);

#[derive(Debug, thiserror::Error)]
#[error("{WIDTH} transactions are open or wait for a connection")]
struct AllTaken;

impl DedicatedPool {
    pub(super) fn new() -> Self {
        Self {
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(WIDTH)),
        }
    }

    /// Waits until there may be another transaction.
    async fn permit(&self, limit: Duration) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let taken = || Error::new(ErrorKind::Unavailable).with_source(AllTaken);
        let permit = time::timeout(limit, permit).await.map_err(|_| taken())?;
        permit.map_err(|_| taken())
    }

    fn take(&self, server: Option<&Server>) -> Option<Exclusive> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Idle::is_usable);
        let place = idle.iter().rposition(|it| it.server.as_ref() == server)?;
        Some(idle.swap_remove(place).connection)
    }

    /// Closes the connections to a server of which one was found broken.
    fn forget(&self, server: Option<&Server>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|it| it.server.as_ref() != server);
    }
}

impl Idle {
    fn is_usable(&self) -> bool {
        self.since.elapsed() < KEPT && !self.connection.task.0.is_finished()
    }
}

impl Link {
    /// Reads keys of one slot, and watches them over a connection of their own.
    pub(crate) async fn watch(&self, keys: &[Bytes]) -> Result<(Vec<Option<Bytes>>, Dedicated)> {
        within_runtime()?;
        let permit = self.dedicated.permit(self.command_timeout).await?;
        let slot = keys.first().map_or(0, |key| slot(key));
        let (server, connection, values) = self.watched(slot, keys).await?;
        let dedicated = Dedicated {
            server,
            connection: Some(connection),
            idle: Arc::clone(&self.dedicated.idle),
            slot,
            watched: match self.is_cluster {
                true => keys.to_vec(),
                false => Vec::new(),
            },
            _permit: permit,
        };
        Ok((values, dedicated))
    }

    async fn watched(
        &self,
        slot: u16,
        keys: &[Bytes],
    ) -> Result<(Option<Server>, Exclusive, Vec<Option<Bytes>>)> {
        let note = |failure: &Failure| self.note(&self.lanes[0], failure);
        let mut hops = 0;
        loop {
            let server = self.server_of(slot, hops > 0).await?;
            let failure = match self.dedicated.take(server.as_ref()) {
                Some(mut connection) => match connection.watch(slot, keys).await {
                    Ok(values) => return Ok((server, connection, values)),
                    // It may have been closed while nobody needed it.
                    Err(failure) if failure.lost() != Lost::Nothing && !failure.is_timeout() => {
                        self.dedicated.forget(server.as_ref());
                        continue;
                    }
                    Err(failure) => failure,
                },
                None => {
                    let connection = self.open_dedicated(server.as_ref()).await;
                    let mut connection = connection.map_err(|failure| note(&failure))?;
                    match connection.watch(slot, keys).await {
                        Ok(values) => return Ok((server, connection, values)),
                        Err(failure) => failure,
                    }
                }
            };
            if !failure.is_elsewhere() || hops == HOPS {
                return Err(note(&failure));
            }
            hops += 1;
        }
    }

    /// Returns the server of a slot in a cluster, which is asked if it is not known or no longer so.
    async fn server_of(&self, slot: u16, ask: bool) -> Result<Option<Server>> {
        if !self.is_cluster {
            return Ok(None);
        }
        let known = || self.lanes[0].connection.load().owner(slot);
        if !ask && let Some(server) = known() {
            return Ok(Some(server));
        }
        self.asked_map().await?;
        let nowhere = || Failure::nowhere().to_error();
        known().map(Some).ok_or_else(nowhere)
    }

    async fn open_dedicated(&self, server: Option<&Server>) -> Answer<Exclusive> {
        let settings = self.settings.unrepeated();
        let mut settings = match server {
            Some(server) => settings.direct(server),
            None => settings,
        };
        // What is queued here is one transaction, and all of it.
        settings.unlimit_queue();
        let connection = Connection::dial(&Arc::new(settings), Vec::new(), &[]).await?;
        let task = connection.take_task().ok_or_else(Failure::ended)?;
        Ok(Exclusive { connection, task })
    }

    /// Makes all writes, or none if a watched key has changed; tells which.
    pub(crate) async fn commit(
        &self,
        mut dedicated: Dedicated,
        writes: Vec<Write>,
    ) -> Result<bool> {
        within_runtime()?;
        // If this future is dropped, the connection is closed.
        let Some(mut connection) = dedicated.connection.take() else {
            return Err(Failure::ended().to_error());
        };
        let committed = connection.commit(dedicated.slot, &dedicated.watched, writes);
        match committed.await {
            Ok(is_done) => {
                dedicated.connection = Some(connection);
                Ok(is_done)
            }
            // The keys are elsewhere by now, and nobody watches them there.
            Err(failure) if failure.is_elsewhere() => Ok(false),
            Err(failure) => {
                // The others may lead to the same server, which is gone or only follows another by now.
                self.dedicated.forget(dedicated.server.as_ref());
                Err(self.note(&self.lanes[0], &failure))
            }
        }
    }
}

impl Dedicated {
    pub(crate) const fn slot(&self) -> u16 {
        self.slot
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(Idle::is_usable);
            idle.push(Idle {
                server: self.server.take(),
                since: Instant::now(),
                connection,
            });
        }
    }
}

impl Exclusive {
    async fn watch(&mut self, slot: u16, keys: &[Bytes]) -> Answer<Vec<Option<Bytes>>> {
        unless_over(&mut self.task, self.connection.watch(slot, keys)).await
    }

    async fn commit(&mut self, slot: u16, watched: &[Bytes], writes: Vec<Write>) -> Answer<bool> {
        let commit = self.connection.commit(slot, watched, writes);
        unless_over(&mut self.task, commit).await
    }
}

/// Waits for an answer for as long as the connection lasts: what fred was given too late to send, it never
/// answers.
async fn unless_over<T>(task: &mut Task, answer: impl Future<Output = Answer<T>>) -> Answer<T> {
    tokio::select! {
        biased;
        answer = answer => answer,
        _ = &mut task.0 => Err(Failure::ended()),
    }
}

impl Connection {
    /// Reads keys and watches them, and no others.
    async fn watch(&self, slot: u16, keys: &[Bytes]) -> Answer<Vec<Option<Bytes>>> {
        let values = |keys: Vec<Bytes>| keys.into_iter().map(Value::Bytes).collect();
        let (watched, read) = (values(keys.to_vec()), values(padded(keys.to_vec())));
        // Three commands in one write. The server watches before it reads.
        let (unwatched, watched, values) = join3(
            self.custom("UNWATCH", slot, Vec::new()),
            self.custom("WATCH", slot, watched),
            self.custom("MGET", slot, read),
        )
        .await;
        unwatched?;
        watched?;
        values_of(values?, keys.len())
    }

    /// Makes all writes unless a watched key has changed, and tells whether it did.
    ///
    /// In a cluster it asks for the watched keys once more: a server that no longer has their slot, and
    /// so cannot know whether they have changed, then refuses.
    async fn commit(&self, slot: u16, watched: &[Bytes], writes: Vec<Write>) -> Answer<bool> {
        // Each step when the last one is answered. Without a MULTI, be it refused or never sent, the writes
        // would happen at once.
        let begun = self.custom("MULTI", slot, Vec::new()).await?;
        if !is_success(&begun) {
            return Err(Failure::unexpected());
        }
        let present = (!watched.is_empty()).then(|| {
            let keys = watched.iter().cloned().map(Value::Bytes).collect();
            self.custom("EXISTS", slot, keys)
        });
        let queued = writes.into_iter().map(|write| self.queue(slot, write));
        let (present, queued) = join(join_all(present), join_all(queued)).await;
        // Only when all are queued is there a word of doing it: what could not be sent, for whatever reason,
        // must not be missing among what is done.
        for queued in present.into_iter().chain(queued) {
            if !queued?.is_queued() {
                return Err(Failure::unexpected());
            }
        }
        match self.custom("EXEC", slot, Vec::new()).await? {
            Value::Null => Ok(false),
            Value::Array(answers) if answers.iter().all(is_success) => Ok(true),
            _ => Err(Failure::unexpected()),
        }
    }

    async fn queue(&self, slot: u16, (key, write): Write) -> Answer<Value> {
        let mut arguments = vec![Value::from(Key::from(key))];
        let Some((value, expiry)) = write else {
            return self.custom("UNLINK", slot, arguments).await;
        };
        arguments.push(Value::Bytes(value));
        if let Expiry::After(ttl) = expiry {
            arguments.push(Value::from_static_str("PX"));
            arguments.push(Value::Integer(milliseconds(ttl)));
        }
        self.custom("SET", slot, arguments).await
    }
}

/// Tells whether an answer is that of a command that did its work.
fn is_success(answer: &Value) -> bool {
    matches!(answer, Value::Integer(_)) || answer.as_str().as_deref() == Some("OK")
}
