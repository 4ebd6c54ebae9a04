//! The commands that the store sends, one round trip each.
//!
//! The futures of fred are deep and large: some kilobytes. They are boxed where they are made, or
//! they would be copied by every function between here and the task, and programs that nest them a
//! little deeper would reach the compiler's limit.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Condition, Error, ErrorKind, Expiry};
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Expiration, Key, SetOptions, Value};

use super::connection::Connection;
use super::failure::{Failure, Lost};
use super::slot;
use crate::planted::planted;

type Answer<T> = Result<T, Failure>;

/// A script and its name on the server, which is its SHA-1.
struct Script {
    source: &'static str,
    sha1: &'static str,
}

/// Reads many values and the time each has left as of one moment.
const GET_MANY_WITH_TTL: Script = Script {
    source: "local found = redis.call('MGET', unpack(KEYS)) \
             for i = 1, #KEYS do \
             if not found[i] then found[#KEYS + i] = -2 \
             else found[#KEYS + i] = redis.call('PTTL', KEYS[i]) end end \
             return found",
    sha1: "b9fc7510397b24938230ff136eb2e6e2fbb79a05",
};

/// Writes all pairs with one time to live, in milliseconds.
const SET_MANY: Script = Script {
    source: "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end",
    sha1: "97239754ecc9775aabeb6934d7e7f3ff8be0a8d4",
};

/// Returns the option of `SET` for a condition.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a condition of a later version of the contract.
pub(crate) fn set_option(condition: Condition) -> Result<Option<SetOptions>, Error> {
    match condition {
        Condition::Always => Ok(None),
        Condition::IfAbsent => Ok(Some(SetOptions::NX)),
        Condition::IfPresent => Ok(Some(SetOptions::XX)),
        _ => Err(Error::new(ErrorKind::Unsupported {
            what: "this condition of a write".into(),
        })),
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

/// One page of a walk over the keys of one server.
#[derive(Debug)]
pub(crate) struct ScanPage {
    pub(crate) cursor: u64,
    pub(crate) keys: Vec<Bytes>,
}

impl Connection {
    pub(crate) async fn get(&self, key: Bytes) -> Answer<Found> {
        let key = Key::from(key);
        let answer: Result<Value, _> = if self.settings.read_from_replicas {
            Box::pin(self.client.replicas().get(key)).await
        } else {
            Box::pin(self.client.get(key)).await
        };
        found(answer.map_err(Failure::from))
    }

    pub(crate) async fn get_with_ttl(&self, key: Bytes) -> Answer<(Found, Expiry)> {
        if self.settings.is_direct {
            // Only one command can be sent there.
            let found = self.mget_with_ttl(slot(&key), vec![key]).await?.pop();
            return Ok(match found.flatten() {
                Some((value, expiry)) => (Found::Value(value), expiry),
                None => (Found::Nothing, Expiry::Never),
            });
        }
        // Two commands in one write: they arrive together, and the server runs no script.
        let get = Box::pin(self.client.get::<Value, _>(Key::from(key.clone())));
        let pttl = Box::pin(self.client.pttl::<Value, _>(Key::from(key)));
        let (value, left) = futures_util::future::join(get, pttl).await;
        let value = found(value.map_err(Failure::from))?;
        Ok(match remaining(integer(&left?)?) {
            Some(expiry) => (value, expiry),
            None => (Found::Nothing, Expiry::Never),
        })
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
            .map(|ttl| match planted("milliseconds-for-seconds") {
                true => Expiration::EX(milliseconds(ttl)),
                false => Expiration::PX(milliseconds(ttl)),
            });
        let key = Key::from(key);
        let set = self.client.set(key, value, expiration, condition, get);
        let answer: Value = Box::pin(set).await?;
        bytes_or_nothing(answer)
    }

    pub(crate) async fn unlink(&self, keys: Vec<Bytes>) -> Answer<u64> {
        let keys: Vec<Key> = keys.into_iter().map(Key::from).collect();
        let removed: Value = Box::pin(self.client.unlink(keys)).await?;
        count(&removed)
    }

    pub(crate) async fn pttl(&self, key: Bytes) -> Answer<Option<Expiry>> {
        let left: Value = Box::pin(self.client.pttl(Key::from(key))).await?;
        Ok(remaining(integer(&left)?))
    }

    pub(crate) async fn set_expiry(&self, key: Bytes, expiry: Expiry) -> Answer<bool> {
        let key = Key::from(key);
        let changed: Value = match expiry {
            Expiry::Never => Box::pin(self.client.persist(key)).await?,
            Expiry::After(ttl) => {
                Box::pin(self.client.pexpire(key, milliseconds(ttl), None)).await?
            }
        };
        Ok(integer(&changed)? != 0)
    }

    /// Reads values without asking for the time that they have left.
    pub(crate) async fn mget(&self, keys: Vec<Bytes>) -> Answer<Vec<Option<(Bytes, Expiry)>>> {
        let asked = keys.len();
        let keys: Vec<Key> = keys.into_iter().map(Key::from).collect();
        let answer: Value = if self.settings.read_from_replicas {
            Box::pin(self.client.replicas().mget(keys)).await?
        } else {
            Box::pin(self.client.mget(keys)).await?
        };
        let values = list(answer)?;
        if values.len() != asked {
            return Err(Failure::unexpected());
        }
        let value = |value| Ok(bytes_or_nothing(value)?.map(|value| (value, Expiry::Never)));
        values.into_iter().map(value).collect()
    }

    /// Reads values of keys of one slot and the time that each has left.
    pub(crate) async fn mget_with_ttl(
        &self,
        slot: u16,
        keys: Vec<Bytes>,
    ) -> Answer<Vec<Option<(Bytes, Expiry)>>> {
        let asked = keys.len();
        let answer = self.eval(&GET_MANY_WITH_TTL, slot, keys, Vec::new()).await;
        let mut values = list(answer?)?;
        if values.len() != asked * 2 {
            return Err(Failure::unexpected());
        }
        let left = values.split_off(asked);
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

    async fn eval(
        &self,
        script: &Script,
        slot: u16,
        keys: Vec<Bytes>,
        values: Vec<Value>,
    ) -> Answer<Value> {
        let mut arguments = Vec::with_capacity(2 + keys.len() + values.len());
        arguments.push(Value::from_static_str(script.sha1));
        arguments.push(Value::Integer(keys.len().try_into().unwrap_or(i64::MAX)));
        arguments.extend(keys.into_iter().map(Value::Bytes));
        arguments.extend(values);
        if self.settings.is_direct {
            // One command alone: `ASKING` counts for one.
            arguments[0] = Value::from_static_str(script.source);
            return self.custom("EVAL", slot, arguments).await;
        }
        match self.custom("EVALSHA", slot, arguments.clone()).await {
            // The server has restarted or was told to forget its scripts; it did nothing yet.
            Err(failure) if failure.is_missing_script() => {
                arguments[0] = Value::from_static_str(script.source);
                self.custom("EVAL", slot, arguments).await
            }
            answer => answer,
        }
    }

    async fn custom(&self, name: &'static str, slot: u16, arguments: Vec<Value>) -> Answer<Value> {
        let command = CustomCommand::new_static(name, ClusterHash::Custom(slot), false);
        Ok(Box::pin(self.client.custom(command, arguments)).await?)
    }
}

fn found(answer: Answer<Value>) -> Answer<Found> {
    match answer {
        Ok(value) => Ok(bytes_or_nothing(value)?.map_or(Found::Nothing, Found::Value)),
        Err(failure) if failure.is_wrong_type() => Ok(Found::WrongType),
        Err(failure) => Err(failure),
    }
}

/// Whole milliseconds, never more than asked for.
fn milliseconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Reads an answer of `PTTL`.
fn remaining(milliseconds: i64) -> Option<Expiry> {
    match milliseconds {
        -1 => Some(Expiry::Never),
        // The last part of a millisecond is left.
        0 => Some(Expiry::After(Duration::from_millis(1))),
        left => u64::try_from(left)
            .ok()
            .map(|left| Expiry::After(Duration::from_millis(left))),
    }
}

fn bytes_or_nothing(value: Value) -> Answer<Option<Bytes>> {
    match value {
        Value::Null => Ok(None),
        Value::Bytes(bytes) => Ok(Some(bytes)),
        Value::String(text) => Ok(Some(text.into_inner())),
        _ => Err(Failure::unexpected()),
    }
}

fn integer(value: &Value) -> Answer<i64> {
    match value {
        Value::Integer(number) => Ok(*number),
        _ => Err(Failure::unexpected()),
    }
}

fn count(value: &Value) -> Answer<u64> {
    u64::try_from(integer(value)?).map_err(|_| Failure::unexpected())
}

fn list(value: Value) -> Answer<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(Failure::unexpected()),
    }
}

fn two(value: Value) -> Answer<[Value; 2]> {
    list(value)?.try_into().map_err(|_| Failure::unexpected())
}
