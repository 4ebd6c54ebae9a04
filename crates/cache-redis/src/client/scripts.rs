//! The scripts, and the commands that need one because a load lease may stand under the key.
//!
//! Each names its keys, which are of one slot. What a server says about a command within is handed on
//! as it is, by `pcall`: older servers would hide its first word.

use std::time::Duration;

use bytes::Bytes;
use cache_core::{Expiry, LoadLease};
use fred::types::{SetOptions, Value};

use super::commands::{
    Answer, bytes_or_nothing, count, integer, list, milliseconds, remaining, two,
};
use super::connection::Connection;
use super::failure::Failure;
use super::slot;
use crate::placeholder;

/// A script and its name on the server, which is its SHA-1.
pub(super) struct Script {
    source: &'static str,
    sha1: &'static str,
}

/// Puts what knows a placeholder in front of a script.
macro_rules! script {
    ($sha1:literal, $($line:literal)+) => {
        Script {
            source: concat!(
                "local function is_lease(v) return type(v) == 'string' and #v == 40 \
                 and string.sub(v, 1, 8) == '\\193\\0lease\\1' end \
                 local function held(k) return is_lease(redis.pcall('GETRANGE', k, 0, 40)) end \
                 local function is_mine() \
                 return redis.pcall('GETRANGE', KEYS[1], 0, 40) == ARGV[1] end ",
                $($line, " "),+
            ),
            sha1: $sha1,
        }
    };
}

/// Reads many values and the time each has left as of one moment.
pub(super) const GET_MANY_WITH_TTL: Script = Script {
    source: "local found = redis.call('MGET', unpack(KEYS)) \
             for i = 1, #KEYS do \
             if not found[i] then found[#KEYS + i] = -2 \
             else found[#KEYS + i] = redis.call('PTTL', KEYS[i]) end end \
             return found",
    sha1: "b9fc7510397b24938230ff136eb2e6e2fbb79a05",
};

/// Writes all pairs with one time to live, in milliseconds.
pub(super) const SET_MANY: Script = Script {
    source: "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end",
    sha1: "97239754ecc9775aabeb6934d7e7f3ff8be0a8d4",
};

/// Removes keys and counts those that held more than a lease, a repeated one once.
const UNLINK: Script = script!(
    "fe7370bc573eb03c468f9a8f7e9f9fde01b3a6b2",
    "local seen, leases = {}, 0"
    "for i = 1, #KEYS do local k = KEYS[i]"
    "if not seen[k] and held(k) then seen[k] = true leases = leases + 1 end end"
    "local n = redis.pcall('UNLINK', unpack(KEYS))"
    "if type(n) == 'table' then return n end"
    "return n - leases"
);

/// Tells which keys hold a lease.
const LEASED: Script = script!(
    "39b450865bb2d9f76c078d8063dda29b2363a43b",
    "local found = {}"
    "for i = 1, #KEYS do if held(KEYS[i]) then found[#found + 1] = i - 1 end end"
    "return found"
);

const PTTL: Script = script!(
    "1986731d6a3e77660d99d493de88793a075cf976",
    "if held(KEYS[1]) then return -2 end"
    "return redis.pcall('PTTL', KEYS[1])"
);

const SET_EXPIRY: Script = script!(
    "5f645038cecb4e672fd953fd92936e2fba15fa62",
    "if held(KEYS[1]) then return 0 end"
    "if ARGV[1] then return redis.pcall('PEXPIRE', KEYS[1], ARGV[1]) end"
    "return redis.pcall('PERSIST', KEYS[1])"
);

/// Sets a value on a condition: `NX` or `XX`.
const SET_IF: Script = script!(
    "d8dc792de6e75d2ca34b49eadaade0b49ef538b3",
    "local command = {'SET', KEYS[1], ARGV[1]}"
    "if not held(KEYS[1]) then command[4] = ARGV[2]"
    "elseif ARGV[2] == 'XX' then return false end"
    "if ARGV[3] then command[#command + 1] = 'PX' command[#command + 1] = ARGV[3] end"
    "return redis.pcall(unpack(command))"
);

/// Finds a value, or takes a lease with a token above those of the past: of the clock, of the caller
/// and, if there is a second key, of the one that is kept there.
const CLAIM: Script = script!(
    "5771d995d6284fe39e614a094cd8a496e26610c5",
    "local v = redis.pcall('GET', KEYS[1])"
    "if type(v) == 'table' and not string.find(v.err, 'WRONGTYPE', 1, true) then return v end"
    "if is_lease(v) then local left = redis.call('PTTL', KEYS[1])"
    "if left >= 0 then return {0, left} end"
    "elseif type(v) == 'string' and #v <= tonumber(ARGV[4]) then return {1, v} end"
    "local now = redis.call('TIME')"
    "local token = math.max(now[1] * 1000000 + now[2], ARGV[3] + 1)"
    "if KEYS[2] then local last = redis.call('GET', KEYS[2])"
    "token = math.max(token, (tonumber(last or 0) or 0) + 1) end"
    "token = string.format('%016.0f', token)"
    "local set = redis.pcall('SET', KEYS[1], '\\193\\0lease\\1' .. token .. ARGV[2], 'PX', ARGV[1])"
    "if set.err then return set end"
    "if KEYS[2] then redis.call('SET', KEYS[2], token, 'PX', ARGV[5]) end"
    "return {2, token}"
);

const EXTEND: Script = script!(
    "d3b20cbabc8936c9057adeed8118d4da2f9c17c0",
    "if is_mine() then return redis.pcall('PEXPIRE', KEYS[1], ARGV[2]) end"
    "return 0"
);

/// Puts a value in the place of a lease. Those who wait are told even if it was lost: the load has
/// ended.
const FILL: Script = script!(
    "05d7fb0ad1aacfe540215586d4ecf7914c630307",
    "local mine = is_mine()"
    "if mine then local command = {'SET', KEYS[1], ARGV[4]}"
    "if ARGV[5] then command[4] = 'PX' command[5] = ARGV[5] end"
    "local set = redis.pcall(unpack(command))"
    "if set.err then return set end end"
    "redis.pcall('PUBLISH', ARGV[2], ARGV[3])"
    "return mine and 1 or 0"
);

const RELEASE: Script = script!(
    "6be13df586f466a655f5d9eba4288bb48f9954c1",
    "local gone = 0"
    "if is_mine() then gone = redis.pcall('UNLINK', KEYS[1]) end"
    "if ARGV[2] then redis.pcall('PUBLISH', ARGV[2], ARGV[3]) end"
    "return gone"
);

const DISCARD: Script = script!(
    "efce527d0d0db52d4b4537f272ba9ca111781793",
    "if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.pcall('UNLINK', KEYS[1]) end"
    "return 0"
);

/// What a claim needs beside its key.
#[derive(Debug, Clone)]
pub(crate) struct ClaimTerms {
    pub(crate) ttl: Duration,
    pub(crate) nonce: u64,
    /// The highest token that is known.
    pub(crate) known: u64,
    /// The longest value that is one; nothing is if there is no such length.
    pub(crate) max_value_bytes: Option<usize>,
    /// Where the last token is kept, and for how long.
    pub(crate) kept: Option<(Bytes, Duration)>,
}

/// What a claim has brought.
#[derive(Debug)]
pub(crate) enum Claimed {
    Token(u64),
    Held(Expiry),
    Value(Bytes),
}

/// Where those hear of the end of a load who wait for it, and what they are told.
pub(crate) type Call = (Bytes, Bytes);

impl Connection {
    pub(crate) async fn unlink(&self, keys: Vec<Bytes>) -> Answer<u64> {
        let slot = keys.first().map_or(0, |key| slot(key));
        count(&self.eval(&UNLINK, slot, keys, Vec::new()).await?)
    }

    /// Returns the places of those keys, of one slot, that hold a lease.
    pub(crate) async fn leased(&self, keys: Vec<Bytes>) -> Answer<Vec<usize>> {
        let slot = keys.first().map_or(0, |key| slot(key));
        let places = list(self.eval(&LEASED, slot, keys, Vec::new()).await?)?;
        let place = |place| usize::try_from(integer(place)?).map_err(|_| Failure::unexpected());
        places.iter().map(place).collect()
    }

    pub(crate) async fn pttl(&self, key: Bytes) -> Answer<Option<Expiry>> {
        let left = self.eval_one(&PTTL, key, Vec::new()).await?;
        Ok(remaining(integer(&left)?))
    }

    pub(crate) async fn set_expiry(&self, key: Bytes, expiry: Expiry) -> Answer<bool> {
        let changed = self.eval_one(&SET_EXPIRY, key, px(expiry).collect());
        Ok(integer(&changed.await?)? != 0)
    }

    /// Sets a value on a condition, for which a lease is no value.
    pub(crate) async fn set_if(
        &self,
        key: Bytes,
        value: Bytes,
        expiry: Expiry,
        condition: SetOptions,
    ) -> Answer<Option<Bytes>> {
        let condition = match condition {
            SetOptions::NX => Value::from_static_str("NX"),
            SetOptions::XX => Value::from_static_str("XX"),
        };
        let arguments = [Value::Bytes(value), condition].into_iter();
        let set = self.eval_one(&SET_IF, key, arguments.chain(px(expiry)).collect());
        bytes_or_nothing(set.await?)
    }

    pub(crate) async fn claim(&self, key: Bytes, terms: ClaimTerms) -> Answer<Claimed> {
        let most = terms.max_value_bytes.map_or(-1, number);
        let mut arguments = vec![Value::Integer(milliseconds(terms.ttl))];
        arguments.push(placeholder::nonce(terms.nonce).into());
        arguments.push(Value::Integer(number(terms.known)));
        arguments.push(Value::Integer(most));
        let (slot, mut keys) = (slot(&key), vec![key]);
        if let Some((kept, lasts)) = terms.kept {
            keys.push(kept);
            arguments.push(Value::Integer(milliseconds(lasts)));
        }
        let [kind, answer] = two(self.eval(&CLAIM, slot, keys, arguments).await?)?;
        match integer(&kind)? {
            0 => {
                let left = remaining(integer(&answer)?);
                left.map(Claimed::Held).ok_or_else(Failure::unexpected)
            }
            1 => {
                let value = bytes_or_nothing(answer)?;
                value.map(Claimed::Value).ok_or_else(Failure::unexpected)
            }
            _ => {
                let token = answer.as_u64();
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

fn mine(lease: LoadLease) -> Value {
    Value::Bytes(placeholder::of(lease))
}

fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
