//! Counters.

use bytes::Bytes;
use cache_core::Expiry;
use fred::types::Value;

use super::sources::COUNT;
use super::{bytes, integer, list, milliseconds, remaining};
use crate::client::commands::Answer;
use crate::client::connection::Connection;
use crate::client::failure::Failure;
use crate::client::slot;

/// What is added to a counter.
#[derive(Debug, Clone)]
pub(crate) struct Add {
    pub(crate) key: Bytes,
    pub(crate) by: i64,
    pub(crate) window: Expiry,
}

/// What a counter counts, and the time that its window has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) value: i64,
    pub(crate) left: Expiry,
}

impl Connection {
    /// Adds to counters of one slot, one after the other, and returns what each then counts; `None` for one
    /// that would be out of range, and has not changed.
    pub(crate) async fn add_all(&self, adds: Vec<Add>) -> Answer<Vec<Answer<Option<Counted>>>> {
        let slot = adds.first().map_or(0, |add| slot(&add.key));
        let (mut keys, mut arguments) = (Vec::with_capacity(adds.len()), Vec::new());
        for Add { key, by, window } in adds {
            keys.push(key);
            let window = window.remaining().map(milliseconds).map(Value::Integer);
            let nothing = Value::from_static_str("");
            arguments.extend([Value::Integer(by), window.unwrap_or(nothing)]);
        }
        let answer = list(self.eval(&COUNT, slot, keys, arguments).await?)?;
        let mut answer = answer.into_iter();
        let mut counted = Vec::with_capacity(answer.len() / 2);
        while let (Some(left), Some(value)) = (answer.next(), answer.next()) {
            counted.push(counted_of(integer(&left)?, value)?);
        }
        Ok(counted)
    }
}

/// Reads what the script of counters says of one.
fn counted_of(left: i64, value: Value) -> Answer<Answer<Option<Counted>>> {
    match left {
        -4 => Ok(Err(Failure::answered(&String::from_utf8_lossy(&bytes(
            value,
        )?)))),
        -3 => Ok(Ok(None)),
        left => {
            let left = remaining(left).ok_or_else(Failure::unexpected)?;
            let value = integer(&value)?;
            Ok(Ok(Some(Counted { value, left })))
        }
    }
}
