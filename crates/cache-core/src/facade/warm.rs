//! Filling a cache before it is needed.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Cache;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{InvalidInput, TooLarge, Unsupported};
use crate::timer::sleep_until;
use crate::{CacheBackend, Error, Result, Ttl};

/// How late a timer may be. So much is made up for, or the rate would never be reached; a stall is not.
const LATENESS: Duration = Duration::from_millis(10);

/// How a cache is filled by [`Cache::warm`].
///
/// ```
/// use cache_core::WarmOptions;
///
/// let options = WarmOptions::new()
///     .ttl(3600)
///     .batch(500)
///     .concurrency(8)
///     .rate(50_000)
///     .on_progress(|stored| println!("{stored} stored"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct WarmOptions {
    ttl: Ttl,
    batch: usize,
    concurrency: usize,
    rate: Option<u32>,
    on_progress: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl WarmOptions {
    /// The default time to live of the cache, 256 pairs for each write, 4 writes at the same time, as
    /// fast as the store takes them.
    pub const fn new() -> Self {
        Self {
            ttl: Ttl::DEFAULT,
            batch: 256,
            concurrency: 4,
            rate: None,
            on_progress: None,
        }
    }

    /// Sets the time to live of all pairs.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets how many pairs one write has, at least 1.
    pub const fn batch(mut self, pairs: usize) -> Self {
        self.batch = pairs;
        self
    }

    /// Sets how many writes there are at the same time, at least 1.
    pub const fn concurrency(mut self, writes: usize) -> Self {
        self.concurrency = writes;
        self
    }

    /// Limits how many pairs are written in a second, at least 1: others use the store too.
    ///
    /// No write has more pairs than that, whatever [`batch`](Self::batch) says. What a stall of the store or
    /// of the stream has cost is not made up for by a burst.
    ///
    /// It needs a Tokio runtime with timers; outside of a runtime [`Cache::warm`] fails as [`Unsupported`].
    pub const fn rate(mut self, pairs_per_second: u32) -> Self {
        self.rate = Some(pairs_per_second);
        self
    }

    /// Calls `tell` with the number of pairs that are stored, after each write.
    pub fn on_progress(mut self, tell: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(tell));
        self
    }

    fn check(&self) -> Result<()> {
        let limits = [
            ("batch", self.batch == 0),
            ("concurrency", self.concurrency == 0),
            ("rate", self.rate == Some(0)),
        ];
        match limits.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((field, _)) => Err(Error::invalid(field, "is 0, the least is 1")),
            None if self.rate.is_some() && Handle::try_current().is_err() => {
                Err(Error::unsupported("a rate outside of a Tokio runtime"))
            }
            None => Ok(()),
        }
    }
}

impl Default for WarmOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WarmOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmOptions")
            .field("ttl", &self.ttl)
            .field("batch", &self.batch)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

/// Why a cache could not be filled, and what is left to do.
///
/// What the stream has not returned yet is still in it: fill the cache with `unwritten` and then with
/// the rest of the stream to go on where this has stopped.
#[derive(thiserror::Error)]
#[error("{stored} pairs are stored, and {} are not: {error}", unwritten.len())]
#[non_exhaustive]
pub struct WarmError<K, V> {
    /// What went wrong first.
    #[source]
    pub error: Error,
    /// How many pairs are stored for certain.
    pub stored: u64,
    /// The pairs that were taken from the stream and are not stored for certain, in any order.
    pub unwritten: Vec<(K, V)>,
}

// Written by hand: the derived form would print keys and values.
impl<K, V> fmt::Debug for WarmError<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmError")
            .field("error", &self.error)
            .field("stored", &self.stored)
            .field("unwritten", &self.unwritten.len())
            .finish()
    }
}

/// When pairs may be written.
struct Pace {
    rate: Option<u32>,
    /// From when on the next ones may be.
    next: Mutex<Instant>,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        let next = Mutex::new(Instant::now());
        Self { rate, next }
    }

    /// Returns how many pairs one write may have: no more than there may be in a second.
    fn most(&self, pairs: usize) -> usize {
        let rate = self.rate.and_then(|rate| usize::try_from(rate).ok());
        rate.map_or(pairs, |rate| rate.min(pairs))
    }

    /// Waits until it is the turn of some more pairs.
    async fn wait(&self, pairs: usize) {
        let Some(rate) = self.rate else {
            return;
        };
        let time = Duration::from_secs_f64(pairs as f64 / f64::from(rate));
        while let Some(next) = self.take_turn(time) {
            sleep_until(next).await;
        }
    }

    /// Takes a turn of that length, or returns when the next one may be taken. None is taken in advance:
    /// turns that are taken and not used would be used at once after a stall.
    fn take_turn(&self, time: Duration) -> Option<Instant> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if *next > now {
            return Some(*next);
        }
        let earliest = now.checked_sub(LATENESS).unwrap_or(now);
        *next = earliest.max(*next) + time;
        None
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Writes the pairs of a stream and returns how many there were.
    ///
    /// Pairs are written in bulk, some writes at the same time; of a repeated key any one may stay. After
    /// a failure no more is taken from the stream, and what was taken and not stored is given back:
    /// nothing is lost, and the caller can go on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<u32>::new(cache_local::LocalBackend::default());
    /// use cache_core::WarmOptions;
    /// use futures_util::stream;
    ///
    /// let mut rows = stream::iter((0..1_000u32).map(|row| (format!("row:{row}"), row)));
    /// let stored = cache.warm(&mut rows, WarmOptions::new().ttl(3600)).await;
    /// assert_eq!(stored.unwrap(), 1_000);
    /// assert_eq!(cache.get("row:999").await?, Some(999));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`WarmError`] with what went wrong: [`InvalidInput`] for an option or a key, [`TooLarge`] for a
    /// value that can never fit, [`Unsupported`] for a rate outside of a Tokio runtime; otherwise what the backend
    /// reports.
    ///
    /// # Cancel safety
    /// Dropped, it has written some of the pairs that it has taken from the stream.
    pub async fn warm<K, T, S>(
        &self,
        pairs: &mut S,
        options: WarmOptions,
    ) -> Result<u64, WarmError<K, V>>
    where
        K: AsRef<str> + Send + Sync,
        T: Into<V>,
        S: Stream<Item = (K, T)> + Unpin + Send,
    {
        const OPERATION: &str = "warm";
        let refuse = |error: Error| WarmError {
            error: error.during(OPERATION),
            stored: 0,
            unwritten: Vec::new(),
        };
        options.check().map_err(refuse)?;
        let pace = Pace::new(options.rate);
        let has_failed = AtomicBool::new(false);
        let (stop, stopped) = oneshot::channel::<()>();
        // Stopped in front of the batches, so that what is in an unfinished one comes out.
        let batches = pairs
            .map(|(key, value)| (key, value.into()))
            .take_until(stopped)
            .chunks(pace.most(options.batch));
        let write = async |batch: Vec<(K, V)>| {
            pace.wait(batch.len()).await;
            if has_failed.load(Ordering::Relaxed) {
                return (batch, None);
            }
            let values = batch.iter().map(|(_, value)| value.clone()).collect();
            let keys: Vec<&str> = batch.iter().map(|(key, _)| key.as_ref()).collect();
            let set = self.set_pairs(OPERATION, &keys, values, options.ttl);
            let written = set.await;
            has_failed.fetch_or(written.is_err(), Ordering::Relaxed);
            (batch, Some(written))
        };
        let mut writes = batches.map(write).buffer_unordered(options.concurrency);
        let (mut stored, mut unwritten) = (0, Vec::new());
        let (mut failure, mut stop) = (None, Some(stop));
        while let Some((batch, written)) = writes.next().await {
            match written {
                Some(Ok(())) => {
                    stored += batch.len() as u64;
                    if let Some(tell) = &options.on_progress {
                        tell(stored);
                    }
                    continue;
                }
                Some(Err(error)) => failure = failure.or(Some(error)),
                None => {}
            }
            unwritten.extend(batch);
            // Dropped, it stops the stream as well.
            stop = None;
        }
        drop(stop);
        match failure {
            None => Ok(stored),
            Some(error) => Err(WarmError {
                error,
                stored,
                unwritten,
            }),
        }
    }
}
