//! Writes of many keys with one time to live.
//!
//! The best form is one command of Redis 8.4 and Valkey 9.1. Of a server that does not know it, fred cannot
//! read the answer: it quotes a value, which need not be text, and the connection is lost. So each server is
//! asked first, once for each connection to it, by a command that holds no values. Within a cluster servers
//! may be of several versions.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use cache_core::Expiry;
use fred::clients::Client;
use fred::interfaces::EventInterface;
use fred::types::Value;
use fred::types::config::Server;
use futures_util::future::join;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use super::commands::{Answer, milliseconds};
use super::connection::Connection;
use super::failure::Lost;
use super::scripts::{SET_EACH, SET_MANY};
use super::slot;

/// How a server writes many keys with a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BulkWrite {
    /// `MSETEX`.
    Command,
    Script,
}

/// The forms that servers are known to have.
pub(super) struct BulkWrites(Mutex<Known>);

struct Known {
    /// What is no cluster has one server, without a name.
    forms: HashMap<Option<Server>, BulkWrite>,
    /// Tells of each connection to a server that is opened. The supervisor hears of it too, but later: commands
    /// may be on their way by then.
    opened: Receiver<Server>,
}

impl BulkWrites {
    pub(super) fn of(client: &Client) -> Self {
        Self(Mutex::new(Known {
            forms: HashMap::new(),
            opened: client.reconnect_rx(),
        }))
    }

    fn get(&self, server: Option<&Server>) -> Option<BulkWrite> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind an address there may be another server.
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = known.opened.try_recv() {
            known.forms.clear();
        }
        known.forms.get(&server.cloned()).copied()
    }

    fn note(&self, server: Option<Server>, form: BulkWrite) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.forms.insert(server, form);
    }
}

impl fmt::Debug for BulkWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkWrites").finish_non_exhaustive()
    }
}

impl Connection {
    /// Writes pairs of one slot, in one command.
    pub(crate) async fn set_many(
        &self,
        slot: u16,
        pairs: Vec<(Bytes, Bytes)>,
        expiry: Expiry,
    ) -> Answer<()> {
        let Expiry::After(ttl) = expiry else {
            let arguments = pairs.into_iter().flat_map(flat).collect();
            self.custom("MSET", slot, arguments).await?;
            return Ok(());
        };
        let ttl = Value::Integer(milliseconds(ttl));
        let server = self.owner(slot);
        if self.bulk_write(slot, server.as_ref()).await? == BulkWrite::Command {
            let arguments = msetex(pairs.clone(), ttl.clone());
            match self.custom("MSETEX", slot, arguments).await {
                // Another server has taken over, or the user may no longer do it. Nothing is written yet.
                Err(failure) if failure.is_unknown_command() => {
                    self.bulk_writes.note(server, BulkWrite::Script);
                }
                answer => return answer.map(drop),
            }
        }
        let (keys, values): (Vec<Bytes>, Vec<Bytes>) = pairs.into_iter().unzip();
        let arguments = [ttl].into_iter();
        let arguments = arguments.chain(values.into_iter().map(Value::Bytes));
        self.eval(&SET_MANY, slot, keys, arguments.collect())
            .await?;
        Ok(())
    }

    /// Writes pairs of one slot, each with its time to live, in one command.
    ///
    /// It is sent when this is first polled: what the server knows is asked for beside it, not before it.
    pub(crate) async fn set_each(&self, writes: Vec<(Bytes, Bytes, Expiry)>) -> Answer<()> {
        let Some((key, _, expiry)) = writes.first() else {
            return Ok(());
        };
        let (slot, expiry) = (slot(key), *expiry);
        let server = self.owner(slot);
        let known = self.bulk_writes.get(server.as_ref());
        let is_one_time = writes.iter().all(|(_, _, other)| *other == expiry);
        if is_one_time && (expiry == Expiry::Never || known == Some(BulkWrite::Command)) {
            let pairs = writes.into_iter().map(|(key, value, _)| (key, value));
            return self.set_many(slot, pairs.collect(), expiry).await;
        }
        let mut keys = Vec::with_capacity(writes.len());
        let mut arguments = Vec::with_capacity(writes.len() * 2);
        for (key, value, expiry) in writes {
            keys.push(key);
            let ttl = expiry.remaining().map(milliseconds).map(Value::Integer);
            arguments.extend([
                Value::Bytes(value),
                ttl.unwrap_or(Value::from_static_str("")),
            ]);
        }
        let set = self.eval(&SET_EACH, slot, keys, arguments);
        let (set, _) = join(set, self.bulk_write(slot, server.as_ref())).await;
        set.map(drop)
    }

    /// Returns the form that the server of a slot knows.
    async fn bulk_write(&self, slot: u16, server: Option<&Server>) -> Answer<BulkWrite> {
        if self.settings.is_direct {
            // A question would use up the `ASKING` in front of the write.
            return Ok(BulkWrite::Script);
        }
        if let Some(known) = self.bulk_writes.get(server) {
            return Ok(known);
        }
        // Without arguments: a server that knows the command complains about their number, and one
        // that does not has nothing to quote.
        let form = match self.custom("MSETEX", slot, Vec::new()).await {
            Err(failure) if failure.is_unknown_command() => BulkWrite::Script,
            Err(failure) if failure.lost() != Lost::Nothing => return Err(failure),
            _ => BulkWrite::Command,
        };
        self.bulk_writes.note(server.cloned(), form);
        Ok(form)
    }
}

fn flat((key, value): (Bytes, Bytes)) -> [Value; 2] {
    [Value::Bytes(key), Value::Bytes(value)]
}

fn msetex(pairs: Vec<(Bytes, Bytes)>, ttl: Value) -> Vec<Value> {
    let count = Value::Integer(i64::try_from(pairs.len()).unwrap_or(i64::MAX));
    let mut arguments: Vec<Value> = Vec::with_capacity(pairs.len() * 2 + 3);
    arguments.push(count);
    arguments.extend(pairs.into_iter().flat_map(flat));
    arguments.extend([Value::from_static_str("PX"), ttl]);
    arguments
}
