//! The scripts, and the commands that need one because a load lease or a value with tags may stand
//! under the key.

mod count_script;
mod sources;
mod tag_scripts;

use std::time::Duration;

use bytes::Bytes;
use cache_core::{Expiry, LoadLease};
use fred::types::{SetOptions, Value};

use super::commands::{
    Answer, Found, bytes_or_nothing, count, found, integer, list, milliseconds, remaining, two,
};
use super::connection::Connection;
use super::failure::Failure;
use super::slot;
use crate::placeholder;

pub(crate) use self::count_script::{Add, Counted};
use self::sources::{
    CLAIM, DISCARD, EXTEND, FILL, GET_EX, GET_WITH_TTL, MARKED, PTTL, RELEASE, SET_EXPIRY, SET_IF,
    SET_IF_EQUAL, SWAP, TAKE, UNLINK, UNLINK_IF_EQUAL,
};
pub(super) use self::sources::{GET_MANY_WITH_TTL, SET_EACH, SET_MANY, Script};
pub(crate) use self::tag_scripts::Lifetime;

/// What a claim needs beside its key.
#[derive(Debug, Clone)]
pub(crate) struct ClaimTerms {
    pub(crate) ttl: Duration,
    pub(crate) nonce: u64,
    /// The highest token that is known.
    pub(crate) known: u64,
    /// The longest value that is one; nothing is if there is no such length.
    pub(crate) max_value_bytes: Option<usize>,
    /// The header of a value with tags that is over; empty if none is known to be.
    pub(crate) over: Bytes,
    /// Where the last token is kept, and for how long.
    pub(crate) kept: Option<(Bytes, Duration)>,
}

/// What a claim has brought.
#[derive(Debug)]
pub(crate) enum Claimed {
    Token(u64),
    /// The time that a lease has left, and which one it is.
    Held(Expiry, Option<LoadLease>),
    Value(Bytes),
}

/// What is no plain value.
#[derive(Debug)]
pub(crate) enum Mark {
    Lease,
    /// The header of a value with tags.
    Header(Bytes),
}

/// What a change of a key has brought that is made to a value with tags only if its header is known.
#[derive(Debug)]
pub(crate) enum Change {
    /// Whether it was made.
    Made(bool),
    /// The header of the value with tags that is there; nothing was changed.
    Header(Bytes),
}

/// The time that a value gets which is set by a script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetTime {
    pub(crate) expiry: Expiry,
    /// Whether it is that of the value in whose place it is set, if there is one.
    pub(crate) is_kept: bool,
}

impl SetTime {
    fn arguments(self) -> [Value; 2] {
        let ttl = self.expiry.remaining();
        let ttl = ttl.map(|ttl| Value::Integer(milliseconds(ttl)));
        let nothing = Value::from_static_str("");
        [ttl.unwrap_or(nothing), Value::Integer(self.is_kept.into())]
    }
}

/// Where those hear of the end of a load who wait for it, and what they are told.
pub(crate) type Call = (Bytes, Bytes);

impl Connection {
    /// Removes keys of one slot, and returns how many were there and the headers of those with tags.
    pub(crate) async fn unlink(&self, keys: Vec<Bytes>) -> Answer<(u64, Vec<Bytes>)> {
        let slot = keys.first().map_or(0, |key| slot(key));
        match self.eval(&UNLINK, slot, keys, Vec::new()).await? {
            Value::Array(answer) => {
                let mut answer = answer.into_iter();
                let removed = count(&answer.next().ok_or_else(Failure::unexpected)?)?;
                Ok((removed, answer.map(bytes).collect::<Answer<_>>()?))
            }
            removed => Ok((count(&removed)?, Vec::new())),
        }
    }

    /// Returns the places of those keys, of one slot, that hold no plain value, and what they hold.
    pub(crate) async fn marked(&self, keys: Vec<Bytes>) -> Answer<Vec<(usize, Mark)>> {
        let slot = keys.first().map_or(0, |key| slot(key));
        let marked = list(self.eval(&MARKED, slot, keys, Vec::new()).await?)?;
        let place =
            |place: &Value| usize::try_from(integer(place)?).map_err(|_| Failure::unexpected());
        let mark = |mark| match mark {
            Value::Array(_) => {
                let [at, header] = two(mark)?;
                Ok((place(&at)?, Mark::Header(bytes(header)?)))
            }
            at => Ok((place(&at)?, Mark::Lease)),
        };
        marked.into_iter().map(mark).collect()
    }

    /// Returns a value and the time that it has left, as of one moment.
    pub(crate) async fn get_with_ttl(&self, key: Bytes) -> Answer<(Found, Expiry)> {
        match self.eval_one(&GET_WITH_TTL, key, Vec::new()).await {
            Ok(Value::Array(pair)) => {
                let [left, value] = two(Value::Array(pair))?;
                Ok(match remaining(integer(&left)?) {
                    Some(expiry) => (Found::Value(bytes(value)?), expiry),
                    None => (Found::Nothing, Expiry::Never),
                })
            }
            nothing => Ok((found(nothing)?, Expiry::Never)),
        }
    }

    /// Returns the time that is left, and the header of a value with tags.
    pub(crate) async fn pttl(&self, key: Bytes) -> Answer<Option<(Expiry, Option<Bytes>)>> {
        let answer = self.eval_one(&PTTL, key, Vec::new()).await?;
        let (left, header) = match answer {
            Value::Array(_) => {
                let [left, header] = two(answer)?;
                (left, Some(bytes(header)?))
            }
            left => (left, None),
        };
        Ok(remaining(integer(&left)?).map(|left| (left, header)))
    }

    /// Changes the time that is left. Of a value with tags it does so if `known` is its header.
    pub(crate) async fn set_expiry(
        &self,
        key: Bytes,
        expiry: Expiry,
        known: Bytes,
    ) -> Answer<Change> {
        let arguments = [Value::Bytes(known)].into_iter();
        let changed = self.eval_one(&SET_EXPIRY, key, arguments.chain(px(expiry)).collect());
        match changed.await? {
            Value::Integer(changed) => Ok(Change::Made(changed != 0)),
            header => Ok(Change::Header(bytes(header)?)),
        }
    }

    /// Sets a value on a condition, for which a lease is no value. A value with tags is replaced if
    /// `known` is its header.
    pub(crate) async fn set_if(
        &self,
        key: Bytes,
        value: Bytes,
        time: SetTime,
        (condition, known): (Option<SetOptions>, Bytes),
    ) -> Answer<Change> {
        let condition = Value::from_static_str(match condition {
            Some(SetOptions::NX) => "NX",
            Some(SetOptions::XX) => "XX",
            None => "",
        });
        let arguments = [Value::Bytes(value), condition, Value::Bytes(known)].into_iter();
        let set = self.eval_one(&SET_IF, key, arguments.chain(time.arguments()).collect());
        match set.await? {
            Value::Array(answer) => Ok(Change::Header(only(answer)?)),
            set => Ok(Change::Made(bytes_or_nothing(set)?.is_some())),
        }
    }

    /// Sets a value if what is stored is `old`, and tells whether it was.
    pub(crate) async fn set_if_equal(
        &self,
        key: Bytes,
        (value, old): (Bytes, Bytes),
        time: SetTime,
    ) -> Answer<bool> {
        let arguments = [value, old].map(Value::Bytes).into_iter();
        let arguments = arguments.chain(time.arguments()).collect();
        let set = self.eval_one(&SET_IF_EQUAL, key, arguments).await?;
        Ok(bytes_or_nothing(set)?.is_some())
    }

    /// Removes a value if what is stored is `old`, and tells whether it was.
    pub(crate) async fn unlink_if_equal(&self, key: Bytes, old: Bytes) -> Answer<bool> {
        let unlinked = self.eval_one(&UNLINK_IF_EQUAL, key, vec![Value::Bytes(old)]);
        Ok(integer(&unlinked.await?)? != 0)
    }

    /// Removes a value and returns it.
    pub(crate) async fn take(&self, key: Bytes) -> Answer<Found> {
        match self.eval_one(&TAKE, key, Vec::new()).await {
            Ok(Value::Array(answer)) => Ok(Found::Value(only(answer)?)),
            nothing => found(nothing),
        }
    }

    /// Writes a value and returns the one that was there.
    pub(super) async fn swap_by_script(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
    ) -> Answer<Option<Bytes>> {
        let arguments = [Value::Bytes(value)].into_iter().chain(px(expiry));
        let swapped = self.eval_one(&SWAP, key, arguments.collect()).await?;
        let old = list(swapped)?.into_iter().next();
        bytes_or_nothing(old.ok_or_else(Failure::unexpected)?)
    }

    /// Returns a value and changes the time that it has left. Of a value with tags it does so if `known`
    /// is its header, and returns that otherwise.
    pub(crate) async fn get_ex(
        &self,
        key: Bytes,
        expiry: Expiry,
        known: Bytes,
    ) -> Answer<Result<Found, Bytes>> {
        let arguments = [Value::Bytes(known)].into_iter().chain(px(expiry));
        match self.eval_one(&GET_EX, key, arguments.collect()).await {
            Ok(Value::Array(answer)) if answer.len() == 1 => Ok(Ok(Found::Value(only(answer)?))),
            Ok(answer @ Value::Array(_)) => {
                let [_, header] = two(answer)?;
                Ok(Err(bytes(header)?))
            }
            nothing => Ok(Ok(found(nothing)?)),
        }
    }

    pub(crate) async fn claim(&self, key: Bytes, terms: ClaimTerms) -> Answer<Claimed> {
        let most = terms.max_value_bytes.map_or(-1, number);
        let mut arguments = vec![Value::Integer(milliseconds(terms.ttl))];
        arguments.push(placeholder::nonce(terms.nonce).into());
        arguments.push(Value::Integer(number(terms.known)));
        arguments.push(Value::Integer(most));
        arguments.push(Value::Bytes(terms.over));
        let (slot, mut keys) = (slot(&key), vec![key]);
        if let Some((kept, lasts)) = terms.kept {
            keys.push(kept);
            arguments.push(Value::Integer(milliseconds(lasts)));
        }
        let answer = list(self.eval(&CLAIM, slot, keys, arguments).await?)?;
        let mut answer = answer.into_iter();
        let mut next = || answer.next().ok_or_else(Failure::unexpected);
        match integer(&next()?)? {
            0 => {
                let left = remaining(integer(&next()?)?).ok_or_else(Failure::unexpected)?;
                Ok(Claimed::Held(left, placeholder::lease(&bytes(next()?)?)))
            }
            1 => Ok(Claimed::Value(bytes(next()?)?)),
            _ => {
                let token = next()?.as_u64();
                token.map(Claimed::Token).ok_or_else(Failure::unexpected)
            }
        }
    }

    pub(crate) async fn extend(&self, key: Bytes, lease: LoadLease, ttl: Duration) -> Answer<bool> {
        let arguments = vec![mine(lease), Value::Integer(milliseconds(ttl))];
        let extended = self.eval_one(&EXTEND, key, arguments).await?;
        Ok(integer(&extended)? != 0)
    }

    pub(crate) async fn fill(
        &self,
        key: Bytes,
        lease: LoadLease,
        (value, expiry): (Bytes, Expiry),
        (channel, message): Call,
    ) -> Answer<bool> {
        let arguments = [mine(lease)].into_iter();
        let arguments = arguments.chain([channel, message, value].map(Value::Bytes));
        let filled = self.eval_one(&FILL, key, arguments.chain(px(expiry)).collect());
        Ok(integer(&filled.await?)? != 0)
    }

    pub(crate) async fn release(
        &self,
        key: Bytes,
        lease: LoadLease,
        call: Option<Call>,
    ) -> Answer<bool> {
        let mut arguments = vec![mine(lease)];
        if let Some((channel, message)) = call {
            arguments.extend([channel, message].map(Value::Bytes));
        }
        let released = self.eval_one(&RELEASE, key, arguments).await?;
        Ok(integer(&released)? != 0)
    }

    pub(crate) async fn discard(&self, key: Bytes, value: Bytes) -> Answer<()> {
        self.eval_one(&DISCARD, key, vec![Value::Bytes(value)])
            .await?;
        Ok(())
    }

    async fn eval_one(&self, script: &Script, key: Bytes, values: Vec<Value>) -> Answer<Value> {
        self.eval(script, slot(&key), vec![key], values).await
    }

    pub(super) async fn eval(
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
}

/// The time to live as an argument, if there is one.
fn px(expiry: Expiry) -> impl Iterator<Item = Value> {
    let ttl = expiry.remaining();
    ttl.map(|ttl| Value::Integer(milliseconds(ttl))).into_iter()
}

/// Returns the bytes that are alone in a list.
fn only(answer: Vec<Value>) -> Answer<Bytes> {
    bytes(answer.into_iter().next().ok_or_else(Failure::unexpected)?)
}

fn bytes(value: Value) -> Answer<Bytes> {
    bytes_or_nothing(value)?.ok_or_else(Failure::unexpected)
}

fn mine(lease: LoadLease) -> Value {
    Value::Bytes(placeholder::of(lease))
}

fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use cache_testbed::{Flavor, Server};

    use super::sources::ALL;

    #[test]
    fn each_script_has_the_name_that_a_server_gives_it() {
        let server = Server::builder(Flavor::Redis7).start();
        let named = ALL.map(|script| {
            let name = server.command(&["SCRIPT", "LOAD", script.source]).text();
            (script.source, script.sha1, name)
        });
        let wrong = named.iter().filter(|(_, known, name)| known != name);
        assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&(_, _, _)>::new());
    }
}
