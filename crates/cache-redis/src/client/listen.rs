//! The commands of those who listen for changes.

use bytes::Bytes;
use cache_core::Error;
use fred::interfaces::{ClientLike, ClusterInterface, KeysInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Expiration, Key, SetOptions, Value};
use futures_util::future::{try_join, try_join3};

use super::commands::{Answer, Found, Source};
use super::connection::Connection;
use super::failure::Failure;
use super::slot;

/// What a server says of itself and of what it tells us, after all that it has told before.
#[derive(Debug)]
pub(crate) struct Fence {
    /// Whether it tells us of the changes of our keys.
    pub(crate) is_tracking: bool,
    /// The value of the key that is gone when the database was emptied.
    pub(crate) generation: Option<Bytes>,
    /// The names of the primaries of the cluster, sorted; none without a cluster.
    pub(crate) primaries: Vec<String>,
    /// What tells the process of the server from all others; none in a cluster.
    pub(crate) run_id: Option<String>,
}

/// A primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(crate) server: Server,
    /// The name that the cluster has given it.
    pub(crate) id: String,
    /// The least number that leads to it as a hash tag.
    pub(crate) tag: u32,
}

impl Connection {
    /// Has the server tell this connection of all changes of keys that start so.
    pub(crate) async fn track(&self, prefix: &str) -> Answer<()> {
        let words = ["ON", "BCAST", "PREFIX", prefix];
        let _: Value = self.plain("CLIENT TRACKING", &words).await?;
        Ok(())
    }

    /// Asks for what shows that all earlier changes were told, at once.
    pub(crate) async fn fence(&self, prefix: &str, key: &Bytes, in_cluster: bool) -> Answer<Fence> {
        let tracking = self.plain("CLIENT TRACKINGINFO", &[]);
        let role = self.plain("ROLE", &[]);
        let generation = self.generation(key.clone());
        let first = try_join3(tracking, role, generation);
        let place = async {
            match in_cluster {
                true => Ok((primaries(&self.plain("CLUSTER SLOTS", &[]).await?)?, None)),
                false => Ok((Vec::new(), Some(self.run_id().await?))),
            }
        };
        let (first, (primaries, run_id)) = Box::pin(try_join(first, place)).await?;
        let (tracking, role, generation) = first;
        if !leads(&role) {
            return Err(Failure::replica());
        }
        Ok(Fence {
            is_tracking: is_tracking(&tracking, prefix),
            generation,
            primaries,
            run_id,
        })
    }

    /// Asks the server for what tells its process from all others.
    pub(crate) async fn run_id(&self) -> Answer<String> {
        let about = self.plain("INFO", &["server"]).await?;
        let about = about.as_str().ok_or_else(Failure::unexpected)?;
        let mut lines = about.lines();
        let id = lines.find_map(|line| line.strip_prefix("run_id:"));
        id.map(str::to_owned).ok_or_else(Failure::unexpected)
    }

    /// Reads a key at the server that owns it.
    pub(crate) async fn generation(&self, key: Bytes) -> Answer<Option<Bytes>> {
        match self.get(key, Source::Primary).await? {
            Found::Nothing => Ok(None),
            // A copy, as it is kept for long.
            Found::Value(value) => Ok(Some(Bytes::copy_from_slice(&value))),
            Found::WrongType => Err(Failure::unexpected()),
        }
    }

    /// Writes a key unless it is there.
    pub(crate) async fn create_generation(&self, key: Bytes, value: String) -> Answer<()> {
        let (never, absent) = (None::<Expiration>, Some(SetOptions::NX));
        let set = self.client.set(Key::from(key), value, never, absent, false);
        let _: Value = Box::pin(set).await?;
        Ok(())
    }

    /// Subscribes to channels and returns only if that fails: the answers of the server are taken for
    /// messages by fred. So the connection can do nothing else from now on.
    pub(crate) async fn subscribe(&self, sharded: bool, channels: &[&str]) -> Failure {
        let name = if sharded { "SSUBSCRIBE" } else { "SUBSCRIBE" };
        match self.plain(name, channels).await {
            Err(failure) if !failure.is_timeout() => failure,
            _ => std::future::pending().await,
        }
    }

    /// Sends a message to all who have subscribed to the channel.
    pub(crate) async fn publish(&self, sharded: bool, channel: &str, message: Bytes) -> Answer<()> {
        let name = if sharded { "SPUBLISH" } else { "PUBLISH" };
        let command =
            CustomCommand::new_static(name, ClusterHash::Custom(slot(channel.as_bytes())), false);
        let arguments = vec![Value::from(channel), Value::Bytes(message)];
        let _: Value = Box::pin(self.client.custom(command, arguments)).await?;
        Ok(())
    }

    /// Returns the primaries of the cluster as the client sees them; none without a cluster.
    pub(crate) fn primaries(&self) -> Vec<Primary> {
        let Some(state) = self.client.cached_cluster_state() else {
            return Vec::new();
        };
        let mut found: Vec<Primary> = Vec::new();
        for range in state.slots() {
            if found.iter().all(|primary| *primary.id != *range.id) {
                found.push(Primary {
                    server: range.primary.clone(),
                    id: range.id.to_string(),
                    tag: u32::MAX,
                });
            }
        }
        for tag in 0..u32::MAX {
            if found.iter().all(|primary| primary.tag != u32::MAX) {
                break;
            }
            let slot = slot(tag.to_string().as_bytes());
            let range = state
                .slots()
                .iter()
                .find(|range| (range.start..=range.end).contains(&slot));
            let owner =
                range.and_then(|range| found.iter_mut().find(|found| *found.id == *range.id));
            if let Some(owner) = owner {
                owner.tag = owner.tag.min(tag);
            }
        }
        found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        found
    }

    pub(super) fn owner(&self, slot: u16) -> Option<Server> {
        let state = self.client.cached_cluster_state()?;
        state.get_server(slot).cloned()
    }

    async fn plain(&self, name: &'static str, words: &[&str]) -> Answer<Value> {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let words: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
        Ok(Box::pin(self.client.custom(command, words)).await?)
    }
}

/// Returns the error of a server that was asked to tell of changes.
pub(crate) fn cannot_listen(failure: &Failure, what: &'static str) -> Error {
    if failure.is_missing_command() {
        return Error::unsupported(what);
    }
    failure.to_error()
}

fn is_tracking(answer: &Value, prefix: &str) -> bool {
    let Value::Map(fields) = answer else {
        return false;
    };
    let has = |field: &'static str, word: &str| match fields.get(&Key::from_static_str(field)) {
        Some(Value::Array(words)) => words.iter().any(|w| w.as_str().as_deref() == Some(word)),
        _ => false,
    };
    has("flags", "on") && has("flags", "bcast") && has("prefixes", prefix)
}

/// Tells whether an answer of `ROLE` is that of a primary.
fn leads(role: &Value) -> bool {
    let Value::Array(words) = role else {
        return false;
    };
    words.first().and_then(Value::as_str).as_deref() == Some("master")
}

/// Returns the names of the primaries in an answer of `CLUSTER SLOTS`, sorted.
fn primaries(slots: &Value) -> Answer<Vec<String>> {
    let Value::Array(ranges) = slots else {
        return Err(Failure::unexpected());
    };
    let id = |range: &Value| {
        let Value::Array(range) = range else {
            return None;
        };
        let Value::Array(primary) = range.get(2)? else {
            return None;
        };
        Some(primary.get(2)?.as_str()?.into_owned())
    };
    let ids: Option<Vec<String>> = ranges.iter().map(id).collect();
    let mut ids = ids.ok_or_else(Failure::unexpected)?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}
