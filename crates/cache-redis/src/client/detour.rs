//! The way of commands that a cluster sends elsewhere.
//!
//! While a slot moves, its old server answers `ASK` for keys that are gone: the command goes to the
//! new server, behind an `ASKING`. fred takes the next reply of that connection for the one to
//! `ASKING`. If other commands are under way there, each of them then gets the reply of the next: the
//! value of another key. So fred follows nothing. What is redirected goes over connections that
//! carry one command at a time, each to one server, whether it has slots yet or not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fred::types::config::Server;
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use super::connection::Connection;
use super::failure::{Failure, Lost};

/// The most commands that are on a detour at once; others wait.
const WIDTH: usize = 16;
/// How many redirections are followed at once; later ones follow pauses, for the servers to agree.
const QUICK_HOPS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(2);
/// How long a connection is kept that nobody needs.
const KEPT: Duration = Duration::from_secs(1);

/// Connections to single servers of a cluster.
#[derive(Debug)]
pub(super) struct Detour {
    idle: Mutex<Vec<Idle>>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Idle {
    server: Server,
    since: Instant,
    connection: Arc<Connection>,
}

/// Where a command is sent, and whether it says `ASKING` there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirection {
    pub(super) server: Server,
    pub(super) asks: bool,
}

impl Detour {
    pub(super) fn new() -> Self {
        Self {
            idle: Mutex::default(),
            permits: Semaphore::new(WIDTH),
        }
    }

    /// Sends a command from server to server until one executes it.
    ///
    /// It ends with the patience of the caller. A connection of which the reply did not come is
    /// dropped, also if the caller gives up: nobody may get that reply later.
    pub(super) async fn follow<T, F>(
        &self,
        cluster: &Connection,
        run: impl Fn(Arc<Connection>) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let _permit = self.permits.acquire().await;
        let known: Vec<Server> = cluster.servers().into_iter().flatten().collect();
        let start = fastrand::choice(known).ok_or_else(Failure::nowhere)?;
        let mut next = Redirection {
            server: start,
            asks: false,
        };
        let mut hops = 0;
        loop {
            let connection = match self.take(&next.server) {
                Some(idle) => idle,
                None => Arc::new(cluster.open_direct(&next.server).await?),
            };
            if next.asks {
                connection.asking().await?;
            }
            let answer = run(Arc::clone(&connection)).await;
            let failure = match answer {
                Err(failure) if failure.lost() != Lost::Nothing => return Err(failure),
                answer => {
                    self.put(next.server.clone(), connection);
                    match answer {
                        Ok(answer) => return Ok(answer),
                        Err(failure) => failure,
                    }
                }
            };
            next = failure.redirection(&next.server).ok_or(failure)?;
            hops += 1;
            if hops > QUICK_HOPS {
                time::sleep(PAUSE).await;
            }
        }
    }

    fn take(&self, server: &Server) -> Option<Arc<Connection>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let place = idle.iter().rposition(|idle| idle.server == *server)?;
        Some(idle.swap_remove(place).connection)
    }

    fn put(&self, server: Server, connection: Arc<Connection>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle {
            server,
            since: Instant::now(),
            connection,
        });
    }

    /// Closes the connections that nobody needed lately.
    pub(super) fn tidy(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < KEPT);
    }
}
