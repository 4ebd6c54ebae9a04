//! The commands that the store sends, one round trip each.
//!
//! The futures of fred are deep and large: some kilobytes. They are boxed where they are made, or
//! they would be copied by every function between here and the task, and programs that nest them a
//! little deeper would reach the compiler's limit.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{Condition, Error, Expiry};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Expiration, Key, SetOptions, Value};

use super::connection::Connection;
use super::failure::Failure;
use super::scripts::GET_MANY_WITH_TTL;

pub(super) type Answer<T> = Result<T, Failure>;

/// Returns the option of `SET` for a condition.
///
/// # Errors
/// [`Unsupported`](cache_core::ErrorKind::Unsupported) for a condition of a later version of the contract.
pub(crate) fn set_option(condition: &Condition) -> Result<Option<SetOptions>, Error> {
    match condition {
        Condition::Always => Ok(None),
        Condition::IfAbsent => Ok(Some(SetOptions::NX)),
        Condition::IfPresent => Ok(Some(SetOptions::XX)),
        _ => Err(Error::unsupported("this condition of a write")),
    }
}

/// A value as it is found.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Value(Bytes),
    /// Something that is not a string: no value of a cache.
    WrongType,
}

impl Found {
    /// Returns how many bytes of a value it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::Nothing | Self::WrongType => 0,
        }
    }
}

/// Which servers may answer a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Replicas, if the configuration says that values are read from them.
    Any,
    Primary,
}

/// One page of a walk over the keys of one server.
#[derive(Debug)]
pub(crate) struct ScanPage {
    pub(crate) cursor: u64,
    pub(crate) keys: Vec<Bytes>,
}

impl Connection {
    pub(crate) async fn get(&self, key: Bytes, from: Source) -> Answer<Found> {
        if self.settings.is_cluster {
            // Alone, a value that looks like a redirection would be followed.
            let mut found = Box::pin(self.mget(vec![key], from)).await?;
            let value = found.pop().flatten();
            return Ok(value.map_or(Found::Nothing, |(value, _)| Found::Value(value)));
        }
        let key = Key::from(key);
        #[cfg(feature = "replicas")]
        if self.settings.read_from_replicas && from == Source::Any {
            let answer: Result<Value, _> = Box::pin(self.client.replicas().get(key)).await;
            return found(answer.map_err(Failure::from));
        }
        let answer: Result<Value, _> = Box::pin(self.client.get(key)).await;
        found(answer.map_err(Failure::from))
    }

    /// Sends `SET` and tells whether the condition let it write.
    pub(crate) async fn set(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
        condition: Option<SetOptions>,
    ) -> Answer<bool> {
        let set = self
            .client
            .set(Key::from(key), value, expiration(expiry), condition, false);
        let answer: Value = Box::pin(set).await?;
        Ok(bytes_or_nothing(answer)?.is_some())
    }

    /// Writes a value and returns the one that was there.
    pub(crate) async fn swap(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
    ) -> Answer<Option<Bytes>> {
        if self.settings.is_cluster {
            return Box::pin(self.swap_by_script(key, value, expiry)).await;
        }
        let set = self
            .client
            .set(Key::from(key), value, expiration(expiry), None, true);
        let answer: Value = Box::pin(set).await?;
        bytes_or_nothing(answer)
    }

    /// Reads values without asking for the time that they have left.
    pub(crate) async fn mget(
        &self,
        keys: Vec<Bytes>,
        from: Source,
    ) -> Answer<Vec<Option<(Bytes, Expiry)>>> {
        let asked = keys.len();
        let keys: Vec<Key> = padded(keys).into_iter().map(Key::from).collect();
        let from_replicas = self.settings.read_from_replicas && from == Source::Any;
        let answer: Value = match from_replicas {
            #[cfg(feature = "replicas")]
            true => Box::pin(self.client.replicas().mget(keys)).await?,
            _ => Box::pin(self.client.mget(keys)).await?,
        };
        let values = values_of(answer, asked)?.into_iter();
        let value = |value: Option<Bytes>| value.map(|value| (value, Expiry::Never));
        Ok(values.map(value).collect())
    }

    /// Reads values of keys of one slot and the time that each has left.
    pub(crate) async fn mget_with_ttl(
        &self,
        slot: u16,
        keys: Vec<Bytes>,
    ) -> Answer<Vec<Option<(Bytes, Expiry)>>> {
        let asked = keys.len();
        let answer = self.eval(&GET_MANY_WITH_TTL, slot, keys, Vec::new()).await;
        let mut left = list(answer?)?;
        if left.len() != asked * 2 {
            return Err(Failure::unexpected());
        }
        let values = left.split_off(asked);
        let pair = |(value, left): (Value, Value)| {
            let value = bytes_or_nothing(value)?;
            Ok(value.zip(remaining(integer(&left)?)))
        };
        values.into_iter().zip(left).map(pair).collect()
    }

    /// Returns a page of the keys of one server.
    pub(crate) async fn scan(
        &self,
        server: Option<Server>,
        cursor: u64,
        pattern: &str,
        count: u32,
    ) -> Answer<ScanPage> {
        let cursor = cursor.to_string();
        let client = self.at(server.as_ref())?;
        let page = client.scan_page(cursor, pattern.to_owned(), Some(count), None);
        let page: Value = Box::pin(page).await?;
        // It may have gone to another server when the connection was lost.
        self.at(server.as_ref())?;
        let [cursor, keys] = two(page)?;
        let keys = list(keys)?
            .into_iter()
            .map(|key| bytes_or_nothing(key)?.ok_or_else(Failure::unexpected));
        let mut keys = keys.collect::<Answer<Vec<Bytes>>>()?;
        if !self.settings.is_resp3()
            && may_be_led_by_a_word(&keys)
            && self.pttl(keys[0].clone()).await?.is_none()
        {
            keys.remove(0);
        }
        Ok(ScanPage {
            cursor: cursor.as_u64().ok_or_else(Failure::unexpected)?,
            keys,
        })
    }

    /// Asks one server for a sign of life.
    pub(super) async fn ping(&self, server: Option<Server>) -> Answer<()> {
        let _: Value = self.at(server.as_ref())?.ping(None).await?;
        Ok(())
    }

    pub(super) async fn custom(
        &self,
        name: &'static str,
        slot: u16,
        arguments: Vec<Value>,
    ) -> Answer<Value> {
        let command = CustomCommand::new_static(name, ClusterHash::Custom(slot), false);
        Ok(Box::pin(self.client.custom(command, arguments)).await?)
    }
}

pub(super) fn found(answer: Answer<Value>) -> Answer<Found> {
    match answer {
        Ok(value) => Ok(bytes_or_nothing(value)?.map_or(Found::Nothing, Found::Value)),
        Err(failure) if failure.is_wrong_type() => Ok(Found::WrongType),
        Err(failure) => Err(failure),
    }
}

/// Returns the keys of an `MGET`, some more than once, so that its reply is no array of three, four or five
/// values: if such a one starts with words like `message`, or `pubsub` and `message`, fred takes it for news of
/// a channel, and whoever waits for it gets the reply of the next command.
pub(super) fn padded(mut keys: Vec<Bytes>) -> Vec<Bytes> {
    const ENOUGH: usize = 6;
    if let (3..ENOUGH, Some(last)) = (keys.len(), keys.last().cloned()) {
        keys.resize(ENOUGH, last);
    }
    keys
}

/// Tells whether fred may have put the first of these keys there: in RESP2 it puts `pubsub` in front of each
/// list that looks like news of a channel, also of one within a reply.
fn may_be_led_by_a_word(keys: &[Bytes]) -> bool {
    match keys {
        [lead, kind, _, _] => lead == "pubsub" && (kind == "message" || kind == "smessage"),
        [lead, kind, _, _, _] => lead == "pubsub" && kind == "pmessage",
        _ => false,
    }
}

/// Returns the values of an `MGET` that has asked for so many [and more](padded).
pub(super) fn values_of(answer: Value, asked: usize) -> Answer<Vec<Option<Bytes>>> {
    let values = list(answer)?;
    if values.len() < asked {
        return Err(Failure::unexpected());
    }
    values
        .into_iter()
        .take(asked)
        .map(bytes_or_nothing)
        .collect()
}

fn expiration(expiry: Expiry) -> Option<Expiration> {
    let ttl = expiry.remaining();
    ttl.map(|ttl| Expiration::PX(milliseconds(ttl)))
}

/// Whole milliseconds, never more than asked for.
pub(super) fn milliseconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Reads an answer of `PTTL`.
pub(super) fn remaining(milliseconds: i64) -> Option<Expiry> {
    match milliseconds {
        -1 => Some(Expiry::Never),
        // The last part of a millisecond is left.
        0 => Some(Expiry::After(Duration::from_millis(1))),
        left => u64::try_from(left)
            .ok()
            .map(|left| Expiry::After(Duration::from_millis(left))),
    }
}

pub(super) fn bytes_or_nothing(value: Value) -> Answer<Option<Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::String(text) => Ok(Some(text.into_inner())),
        _ => Err(Failure::unexpected()),
    }
}

pub(super) fn integer(value: &Value) -> Answer<i64> {
    match value {
        Value::Integer(number) => Ok(*number),
        _ => Err(Failure::unexpected()),
    }
}

pub(super) fn count(value: &Value) -> Answer<u64> {
    u64::try_from(integer(value)?).map_err(|_| Failure::unexpected())
}

pub(super) fn list(value: Value) -> Answer<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Failure::unexpected()),
    }
}

pub(super) fn two(value: Value) -> Answer<[Value; 2]> {
    list(value)?.try_into().map_err(|_| Failure::unexpected())
}
