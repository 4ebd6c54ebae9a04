//! Clients of Redis behind one trait, each with the options that its users would take.

mod counting;
mod load;
mod ours;
mod raw_fred;
mod redis_rs;
mod target;
mod tiered;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::counting::{Counting, Incr, IncrAndExpire, Windows, count};
pub use self::load::{Load, Sample, fill, once, run};
pub use self::ours::Ours;
pub use self::raw_fred::{Bulk, Fred};
pub use self::redis_rs::RedisRs;
pub use self::target::Target;
pub use self::tiered::tiered_hits;
pub use self::wire::Wire;

/// How many keys a bulk operation has.
pub const BATCH: usize = 100;
/// The time to live of everything that is written.
pub const TTL: Duration = Duration::from_secs(60);
/// How long an operation may take, for the clients that have to be told.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reads a value that is there.
    Get,
    /// Writes a value with a time to live.
    Set,
    /// Reads [`BATCH`] values that are there.
    GetMany,
    /// Writes [`BATCH`] values with a time to live.
    SetMany,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Get, Self::Set, Self::GetMany, Self::SetMany];

    /// Returns what tables call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::GetMany => "mget 100",
            Self::SetMany => "mset 100",
        }
    }
}

/// What is cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// A number, for there is always one.
    pub id: u64,
    /// Makes up the size.
    pub text: String,
}

/// A form in which programs have their values.
pub trait Payload: Clone + Send + Sync + 'static {
    /// Returns a value that takes so many bytes in Redis.
    fn of_size(bytes: usize) -> Self;

    /// Encodes a value.
    fn to_stored(&self) -> Bytes;

    /// Decodes a value.
    fn from_stored(stored: Bytes) -> Self;
}

/// MessagePack with the names of the fields, as our codec writes it.
impl Payload for Record {
    fn of_size(bytes: usize) -> Self {
        let of_text = |length| Self {
            id: 1 << 40,
            text: "x".repeat(length),
        };
        let mut record = of_text(bytes);
        let excess = record.to_stored().len() - bytes;
        record = of_text(bytes - excess);
        assert_eq!(record.to_stored().len(), bytes);
        record
    }

    fn to_stored(&self) -> Bytes {
        rmp_serde::to_vec_named(self)
            .expect("a record always has a form")
            .into()
    }

    fn from_stored(stored: Bytes) -> Self {
        rmp_serde::from_slice(&stored).expect("all values are records")
    }
}

/// Values that are bytes already.
impl Payload for Bytes {
    fn of_size(bytes: usize) -> Self {
        Record::of_size(bytes).to_stored()
    }

    fn to_stored(&self) -> Bytes {
        self.clone()
    }

    fn from_stored(stored: Bytes) -> Self {
        stored
    }
}

/// A client of Redis.
///
/// Calls are resolved at compile time. Every key that is read is there; whatever fails is a panic.
pub trait Contender: Send + Sync + 'static {
    /// What it reads and writes.
    type Value: Payload;

    /// Reads a value.
    fn get(&self, key: &str) -> impl Future<Output = Self::Value> + Send;

    /// Writes a value that lives for [`TTL`].
    fn set(&self, key: &str, value: Self::Value) -> impl Future<Output = ()> + Send;

    /// Reads many values.
    fn get_many(&self, keys: &[&str]) -> impl Future<Output = Vec<Self::Value>> + Send;

    /// Writes many values that live for [`TTL`].
    fn set_many(&self, entries: Vec<(&str, Self::Value)>) -> impl Future<Output = ()> + Send;
}

/// Returns the key in the database, built as any program would.
fn stored_key(key: &str) -> String {
    format!("cache:{key}")
}

/// Returns the milliseconds of [`TTL`].
fn ttl_millis() -> u64 {
    TTL.as_secs() * 1_000
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Payload, Record};

    #[test]
    fn a_record_has_the_size_asked_for_and_comes_back() {
        for size in [100, 4_096] {
            let record = Record::of_size(size);
            assert_eq!(Bytes::of_size(size), record.to_stored());
            assert_eq!(Record::from_stored(record.to_stored()), record);
        }
    }
}
