//! The news of changed keys, from Redis and Valkey.

mod message;
mod pubsub;
mod tracking;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::bus::{FlushCause, InvalidationListener};
use cache_core::{Error, Invalidation, Result};

pub use self::pubsub::PubSubBus;
pub use self::tracking::TrackingBus;
use crate::client::{Connection, Failure, Heard, Line, News};
use crate::keys::Keys;
use crate::random::long_number;

/// What a bus of this crate can be told.
///
/// With the feature `serde` it can be read from a file.
///
/// ```
/// use std::time::Duration;
///
/// let config = cache_redis::BusConfig::new().bound(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct BusConfig {
    bound: Duration,
    capacity: usize,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            bound: Duration::from_secs(1),
            capacity: 8_192,
        }
    }
}

impl BusConfig {
    /// Starts with a bound of 1 s and room for 8,192 messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets for how long a cache may serve from memory what the store has not confirmed since: from
    /// 100 ms to 60 s; 1 s without it.
    ///
    /// Four times in this period each server is asked whether it has told everything, which costs it
    /// a handful of small commands. If it does not answer for as long, memory is bypassed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::BusConfig::new().bound(Duration::from_secs(5));
    /// ```
    pub const fn bound(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// Lets this many messages of each server wait, at least 16; 8,192 without it. When there are
    /// more, everything in memory is forgotten.
    ///
    /// The room is taken from the start: some 700 bytes for each.
    ///
    /// ```
    /// let config = cache_redis::BusConfig::new().capacity(1_024);
    /// ```
    pub const fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// Refuses what cannot work, as connecting does, for those who want to know before.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_redis::BusConfig::new();
    /// assert!(config.check().is_ok());
    /// let refused = config.bound(Duration::from_secs(90)).check().unwrap_err();
    /// assert_eq!(refused.to_string(), "bound is 90s, allowed are 100 ms to 60 s");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput), naming the option and its limit.
    pub fn check(&self) -> Result<()> {
        const MOST: usize = 1 << 20;
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(60));
        if self.bound < least || self.bound > most {
            let problem = format!("is {:?}, allowed are 100 ms to 60 s", self.bound);
            return Err(Error::invalid("bound", problem));
        }
        if !(16..=MOST).contains(&self.capacity) {
            let problem = format!("is {}, allowed are 16 to {MOST}", self.capacity);
            return Err(Error::invalid("capacity", problem));
        }
        Ok(())
    }

    /// Returns how often the servers are asked.
    fn period(&self) -> Duration {
        self.bound / 4
    }

    /// Returns how long an answer may take.
    fn limit(&self) -> Duration {
        self.bound / 3
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for BusConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use cache_settings::{HumanDuration, put, read};
        use serde::de::Error as _;

        #[derive(serde::Deserialize)]
        struct Table {
            bound: Option<HumanDuration>,
            capacity: Option<usize>,
        }

        let table: Table = read(deserializer)?;
        let mut config = Self::new();
        put(&mut config.bound, table.bound);
        put(&mut config.capacity, table.capacity);
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

/// How many answers may stay out before a connection is given up.
const PATIENCE: u32 = 3;

fn unsupported(what: &'static str) -> Error {
    Error::unsupported(what)
}

/// Refuses stores of which the keys are not told from those of others.
fn check_namespace(keys: &Keys) -> Result<()> {
    if keys.are_bare() {
        return Err(unsupported("a bus for bare keys; choose a namespace"));
    }
    Ok(())
}

/// Fails if a data connection leads to another server than the bus, by their run ids. A connection that does not
/// say so is silent, and brings nothing that memory could hold.
fn check_same_server(of_bus: &str, of_data: &[String]) -> Result<(), Failure> {
    match of_data.iter().all(|id| id == of_bus) {
        true => Ok(()),
        false => Err(Failure::apart()),
    }
}

/// Whether a bus works, for the log: one line when it is lost, and one when it is back.
#[derive(Debug)]
struct Outage {
    is_lost: bool,
    failures: u32,
    what: &'static str,
}

impl Outage {
    const fn new(what: &'static str) -> Self {
        Self {
            is_lost: false,
            failures: 0,
            what,
        }
    }

    fn ended(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_lost) {
            tracing::info!(bus = self.what, "redis bus is back");
        }
    }

    /// Notes a failure and returns which one in a row it is.
    fn failed(&mut self, error: &Error) -> u32 {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(bus = self.what, kind = ?error.kind(), "redis bus is lost");
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }
}

/// Takes care of news as they come, what waits at once, and returns how many they were: all, if some
/// are lost.
async fn tell<T: Heard>(
    line: &mut Line<T>,
    first: News<T>,
    listener: &Arc<dyn InvalidationListener>,
    mut keys_of: impl FnMut(T, &mut Vec<String>),
) -> usize {
    /// How many keys are told at once.
    const BATCH: usize = 1_024;
    let (mut keys, mut next, mut taken) = (Vec::new(), Some(first), 0);
    while let Some(news) = next {
        let News::Is(news) = news else {
            start_over(line, listener).await;
            return usize::MAX;
        };
        keys_of(news, &mut keys);
        taken += 1;
        next = if keys.len() < BATCH {
            line.try_next()
        } else {
            None
        };
    }
    if !keys.is_empty() {
        listener.changed(&Invalidation::Keys(keys)).await;
    }
    taken
}

/// Forgets everything because messages are lost. Those that wait are about what is forgotten.
async fn start_over<T: Heard>(line: &mut Line<T>, listener: &Arc<dyn InvalidationListener>) {
    line.skip();
    listener.flush(FlushCause::Lagged).await;
}

/// A value that no other has.
fn random() -> String {
    format!("{:032x}", long_number())
}

/// Reads the value that tells whether the database was emptied, and makes it if there is none.
async fn learn(connection: &Connection, key: &Bytes) -> Result<Bytes, Failure> {
    if let Some(known) = connection.generation(key.clone()).await? {
        return Ok(known);
    }
    connection.create_generation(key.clone(), random()).await?;
    // Another one may have been first.
    let made = connection.generation(key.clone()).await?;
    made.ok_or_else(Failure::unexpected)
}
