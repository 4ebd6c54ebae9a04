//! Asks servers for signs of life, and replaces a client whose server does not answer.
//!
//! fred notices a connection that closes. It never leaves a server that hangs, and a client that
//! waits for one node of a cluster answers for none. So a second client is connected beside the
//! first, without asking the silent node about the cluster, and takes its place once it works.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::config::Server;
use futures_util::future::join_all;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, Instant};

use super::connection::Connection;
use super::failure::{Failure, Lost};
use super::{Lane, Settings};
use crate::stats::Counters;

/// How many rounds of probes without an answer make a server one that hangs.
const PATIENCE: u32 = 2;
/// How often a second client is tried before the servers are asked again: a sentinel may name a
/// master that hangs for some seconds more, and each try at it takes its time.
const TRIES: u32 = 3;
/// The least time between two rounds of probes, however many operations fail.
const BREATH: Duration = Duration::from_millis(50);

/// Whether the servers answer; see [`RedisStore::state`](crate::RedisStore::state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Every server that holds data answered when it was asked last.
    Connected,
    /// Some servers of the cluster did not answer.
    Degraded {
        /// How many did not.
        silent: u32,
        /// How many were asked.
        servers: u32,
    },
    /// No server answered.
    #[default]
    Disconnected,
}

impl ConnectionState {
    pub(super) const fn badness(&self) -> u8 {
        match self {
            Self::Connected => 0,
            Self::Degraded { .. } => 1,
            Self::Disconnected => 2,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Health {
    /// The outcome of the last round of probes: silent servers, and servers, in 32 bits each.
    probed: AtomicU64,
    /// Why no second client could be connected, until all servers answer again.
    refusal: Mutex<Option<Failure>>,
}

impl Health {
    fn record(&self, silent: usize, servers: usize) {
        let packed = ((silent as u64) << 32) | servers as u64;
        self.probed.store(packed, Ordering::Relaxed);
        if silent == 0 {
            *self.last_refusal() = None;
        }
    }

    fn refused(&self, failure: Failure) {
        *self.last_refusal() = Some(failure);
    }

    pub(super) fn refusal(&self) -> Option<Failure> {
        self.last_refusal().clone()
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<Failure>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each half is 32 bits")]
    pub(super) fn state(&self) -> ConnectionState {
        let packed = self.probed.load(Ordering::Relaxed);
        match ((packed >> 32) as u32, packed as u32) {
            (silent, servers) if silent == servers => ConnectionState::Disconnected,
            (0, _) => ConnectionState::Connected,
            (silent, servers) => ConnectionState::Degraded { silent, servers },
        }
    }

    /// A connection that has just been opened has had an answer.
    pub(super) fn opened(&self) {
        self.record(0, 1);
    }
}

/// Watches one lane until it is aborted.
pub(super) async fn watch(lane: Arc<Lane>, settings: Arc<Settings>, counters: Arc<Counters>) {
    let mut connection = lane.connection.load_full();
    let mut events = connection.reconnections();
    let mut silent_rounds = 0;
    loop {
        let asked = Instant::now();
        let (silent, has_ended) = look(&connection, &lane.health, &settings).await;
        if silent.is_empty() {
            silent_rounds = 0;
            connection.detour.tidy();
            tokio::select! {
                () = time::sleep(settings.probe_interval) => {}
                () = lane.doubt.notified() => time::sleep_until(asked + BREATH).await,
                event = events.recv() => greet(&connection, event, &counters).await,
                () = connection.ended() => {}
            }
            continue;
        }
        silent_rounds += 1;
        let cause = lane.broken_by().map(|failure| failure.text());
        tracing::warn!(
            silent = silent.len(),
            round = silent_rounds,
            cause,
            "redis does not answer"
        );
        if (silent_rounds >= PATIENCE || has_ended)
            && let Some(fresh) = renew(&lane, &connection, &settings, &silent, silent_rounds).await
        {
            tracing::info!("redis is connected anew");
            connection = Arc::new(fresh);
            events = connection.reconnections();
            lane.connection.store(Arc::clone(&connection));
            counters.reconnected(1);
            silent_rounds = 0;
            continue;
        }
        time::sleep(delay(&settings, silent_rounds)).await;
    }
}

/// Returns the servers that do not answer, and whether that is because the client has ended.
async fn look(
    connection: &Connection,
    health: &Health,
    settings: &Settings,
) -> (Vec<Option<Server>>, bool) {
    tokio::select! {
        biased;
        () = connection.ended() => {
            health.record(1, 1);
            (vec![None], true)
        }
        silent = probe(connection, health, settings) => (silent, false),
    }
}

/// Asks all servers, and returns those that did not answer.
async fn probe(
    connection: &Connection,
    health: &Health,
    settings: &Settings,
) -> Vec<Option<Server>> {
    let servers = connection.servers();
    let limit = settings.probe_timeout();
    let ask = |server: Option<Server>| async move {
        let ping = connection.ping(server.clone());
        let silent = match time::timeout(limit, ping).await {
            Ok(Ok(())) => false,
            // "You may not" is an answer as well.
            Ok(Err(failure)) => failure.lost() != Lost::Nothing,
            Err(_) => true,
        };
        silent.then_some(server)
    };
    let answers = join_all(servers.into_iter().map(ask)).await;
    let asked = answers.len();
    let silent: Vec<Option<Server>> = answers.into_iter().flatten().collect();
    health.record(silent.len(), asked);
    silent
}

/// Connects a second client, which the first makes unnecessary if it answers again.
async fn renew(
    lane: &Lane,
    old: &Connection,
    settings: &Arc<Settings>,
    silent: &[Option<Server>],
    rounds: u32,
) -> Option<Connection> {
    if !old.is_ours {
        // It stays the user's client; all that can be done is to have it dial again.
        let dial = old.client.force_reconnection();
        let _ = time::timeout(settings.connect_timeout, dial).await;
        return None;
    }
    let named: Vec<Server> = silent.iter().flatten().cloned().collect();
    let open = async {
        for round in rounds..rounds.saturating_add(TRIES) {
            match Connection::dial(settings, old.nodes(), &named).await {
                Ok(opened) => return Some(opened),
                Err(failure) => lane.health.refused(failure),
            }
            time::sleep(delay(settings, round)).await;
        }
        None
    };
    let recovery = async {
        loop {
            time::sleep(settings.probe_timeout()).await;
            let answers = silent.iter().map(|server| old.ping(server.clone()));
            if join_all(answers).await.iter().all(Result::is_ok) {
                return;
            }
        }
    };
    tokio::select! {
        opened = open => opened,
        () = recovery => None,
    }
}

/// Counts a new connection of a client to a server and names it there.
async fn greet(connection: &Connection, event: Result<Server, RecvError>, counters: &Counters) {
    match event {
        Ok(server) => {
            connection.note_opened();
            counters.reconnected(1);
            connection.introduce(Some(&server)).await;
        }
        // Some events were missed: all servers are told.
        Err(RecvError::Lagged(missed)) => {
            connection.note_opened();
            counters.reconnected(missed);
            connection.introduce(None).await;
        }
        // The client has ended; the next probe finds out.
        Err(RecvError::Closed) => time::sleep(BREATH).await,
    }
}

/// Returns how long to wait before servers are asked again that were silent so often.
pub(super) fn delay(settings: &Settings, rounds: u32) -> Duration {
    let (shortest, longest) = settings.retry_delays;
    let doubled = shortest.saturating_mul(1 << rounds.min(16));
    let delay = doubled.min(longest);
    // Up to half as long again.
    delay + delay.mul_f64(fastrand::f64() / 2.0)
}
