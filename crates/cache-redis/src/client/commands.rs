//! The commands that the store sends, one round trip each.
//!
//! The futures of fred are deep and large: some kilobytes. They are boxed where they are made, or
//! they would be copied by every function between here and the task, and programs that nest them a
//! little deeper would reach the compiler's limit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Condition, Error, Expiry};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Expiration, Key, SetOptions, Value};

use super::connection::Connection;
use super::failure::{Failure, Lost};
use super::scripts::{GET_MANY_WITH_TTL, SET_MANY};

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

/// How a server writes many keys with a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BulkWrite {
    /// One command of Redis 8.4 and Valkey 9.1.
    MsetEx,
    /// A script.
    Script,
}

impl BulkWrite {
    /// What stands for "not known yet".
    pub(super) const UNKNOWN: u8 = 0;

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::MsetEx),
            2 => Some(Self::Script),
            _ => None,
        }
    }

    const fn to_byte(self) -> u8 {
        match self {
            Self::MsetEx => 1,
            Self::Script => 2,
        }
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
    pub(crate) async fn get(&self, key: Bytes) -> Answer<Found> {
        let key = Key::from(key);
        #[cfg(feature = "replicas")]
        if self.settings.read_from_replicas {
            let answer: Result<Value, _> = Box::pin(self.client.replicas().get(key)).await;
            return found(answer.map_err(Failure::from));
        }
        let answer: Result<Value, _> = Box::pin(self.client.get(key)).await;
        found(answer.map_err(Failure::from))
    }

    /// Sends `SET` and returns what it answers: `OK`, nil, or with `get` the old value.
    pub(crate) async fn set(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
        condition: Option<SetOptions>,
        get: bool,
    ) -> Answer<Option<Bytes>> {
        let expiration = expiry
            .remaining()
            .map(|ttl| Expiration::PX(milliseconds(ttl)));
        let key = Key::from(key);
        let set = self.client.set(key, value, expiration, condition, get);
        let answer: Value = Box::pin(set).await?;
        bytes_or_nothing(answer)
    }

    /// Returns the first bytes of a value.
    pub(crate) async fn start_of(&self, key: Bytes, bytes: usize) -> Answer<Bytes> {
        let range = self.client.getrange(Key::from(key), 0, bytes - 1);
        let start: Value = Box::pin(range).await?;
        Ok(bytes_or_nothing(start)?.unwrap_or_default())
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

    /// Writes pairs of one slot, in one command.
    pub(crate) async fn set_many(
        &self,
        slot: u16,
        pairs: Vec<(Bytes, Bytes)>,
        expiry: Expiry,
        form: BulkWrite,
    ) -> Answer<()> {
        let count = Value::Integer(i64::try_from(pairs.len()).unwrap_or(i64::MAX));
        let mut arguments: Vec<Value> = Vec::with_capacity(pairs.len() * 2 + 3);
        let flat = |(key, value): (Bytes, Bytes)| [Value::Bytes(key), Value::Bytes(value)];
        match (expiry, form) {
            (Expiry::Never, _) => {
                arguments.extend(pairs.into_iter().flat_map(flat));
                self.custom("MSET", slot, arguments).await?;
            }
            (Expiry::After(ttl), BulkWrite::MsetEx) => {
                arguments.push(count);
                arguments.extend(pairs.into_iter().flat_map(flat));
                arguments.push(Value::from_static_str("PX"));
                arguments.push(Value::Integer(milliseconds(ttl)));
                self.custom("MSETEX", slot, arguments).await?;
            }
            (Expiry::After(ttl), BulkWrite::Script) => {
                let (keys, values): (Vec<Bytes>, Vec<Bytes>) = pairs.into_iter().unzip();
                arguments.push(Value::Integer(milliseconds(ttl)));
                arguments.extend(values.into_iter().map(Value::Bytes));
                self.eval(&SET_MANY, slot, keys, arguments).await?;
            }
        }
        Ok(())
    }

    /// Returns the form of bulk writes that the server knows, and asks it once for each connection.
    pub(super) async fn bulk_write(&self) -> Answer<BulkWrite> {
        if let Some(known) = BulkWrite::from_byte(self.bulk_write.load(Ordering::Relaxed)) {
            return Ok(known);
        }
        // Without arguments: a server that knows the command complains about their number, and one
        // that does not has nothing to quote.
        let form = match self.custom("MSETEX", 0, Vec::new()).await {
            Err(failure) if failure.is_unknown_command() => BulkWrite::Script,
            Err(failure) if failure.lost() != Lost::Nothing => return Err(failure),
            _ => BulkWrite::MsetEx,
        };
        self.bulk_write.store(form.to_byte(), Ordering::Relaxed);
        Ok(form)
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
        Ok(ScanPage {
            cursor: cursor.as_u64().ok_or_else(Failure::unexpected)?,
            keys: keys.collect::<Answer<_>>()?,
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

/// Returns the keys of an `MGET`, some more than once, so that its reply is no array of three or four
/// values: if such a one starts with the value `message` or `subscribe`, fred takes it for news of a channel,
/// and whoever waits for it gets the reply of the next command.
pub(super) fn padded(mut keys: Vec<Bytes>) -> Vec<Bytes> {
    const ENOUGH: usize = 5;
    if let (3 | 4, Some(last)) = (keys.len(), keys.last().cloned()) {
        keys.resize(ENOUGH, last);
    }
    keys
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
