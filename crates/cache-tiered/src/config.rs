//! What a backend of two tiers can be told.

#[cfg(feature = "serde")]
mod deserialize;

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Error, InvalidationBus, Result};

/// The bound without a bus unless it is told otherwise.
const DEFAULT_BOUND: Duration = Duration::from_secs(1);
/// The longest time that the first tier keeps a value unless it is told otherwise.
const DEFAULT_L1_TTL: Duration = Duration::from_secs(60);
/// How many failed deletes and messages are kept for later unless it is told otherwise.
const DEFAULT_RECOVERY_CAPACITY: usize = 10_000;

/// Options of a [`TieredBackend`](crate::TieredBackend).
///
/// With the feature `serde` they can be read from a file, but for the bus and the clock: the bus is
/// added by [`bus`](Self::bus).
///
/// ```
/// use std::time::Duration;
///
/// use cache_tiered::{MemoryBus, OnBusLoss, TieredConfig};
///
/// let config = TieredConfig::with_bus(MemoryBus::new(Duration::from_secs(1)))
///     .l1_ttl(Duration::from_secs(300))
///     .on_bus_loss(OnBusLoss::Bypass);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TieredConfig {
    pub(crate) bus: Option<Arc<dyn InvalidationBus>>,
    pub(crate) bound: Duration,
    pub(crate) l1_ttl: Option<Duration>,
    pub(crate) on_bus_loss: OnBusLoss,
    pub(crate) on_l2_error: OnL2Error,
    pub(crate) write_policy: WritePolicy,
    pub(crate) recovery_capacity: usize,
    pub(crate) clock: Clock,
}

/// What the first tier does when the bus has not been heard of for longer than its bound.
///
/// In a file: `"bypass"`, `{ serve_for = "30s" }` or `"serve_until_ttl"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum OnBusLoss {
    /// Reads go to the second tier until the bus is back. Nothing older than the bound is served.
    #[default]
    Bypass,
    /// The first tier serves for so much longer. **Gives up the bound**: during this time reads may
    /// be stale by it and the bound together.
    ServeFor(
        #[cfg_attr(
            feature = "serde",
            serde(deserialize_with = "cache_settings::duration")
        )]
        Duration,
    ),
    /// The first tier serves each value until its own time is over. **Gives up the bound**: while
    /// the bus is away reads may be stale by the time to live in the first tier.
    ServeUntilTtl,
}

/// What a read does when the second tier does not answer, or refuses the credentials.
///
/// In a file: `"fail"` or `"serve_l1"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum OnL2Error {
    /// It fails with the error of the second tier.
    #[default]
    Fail,
    /// It is answered with what the first tier still holds, and fails if that is nothing. **Gives
    /// up the bound** while the second tier is away.
    ServeL1,
}

/// What a write does when the second tier does not confirm it.
///
/// In a file: `"confirmed"` or `"local_on_outage"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum WritePolicy {
    /// It fails. Whether the second tier was written is unknown after a
    /// [`Timeout`](cache_core::ErrorKind::Timeout) or
    /// [`Unavailable`](cache_core::ErrorKind::Unavailable).
    #[default]
    Confirmed,
    /// An unconditional `set` of one key is kept in the first tier alone and succeeds; it is
    /// counted in [`local_only_writes`](cache_core::TierStats::local_only_writes).
    ///
    /// This process reads it until the second tier is back, at most for the time to live in the
    /// first tier. What the second tier held is deleted then. **Gives up the bound** for such keys:
    /// other processes do not see the value, and this one does not see theirs.
    LocalOnOutage,
}

impl Default for TieredConfig {
    /// No bus, and a bound of 1 s.
    fn default() -> Self {
        Self::without_bus(DEFAULT_BOUND)
    }
}

impl TieredConfig {
    /// Has a bus tell what has changed in the second tier.
    ///
    /// The bound of staleness is the bus's.
    pub fn with_bus(bus: impl InvalidationBus) -> Self {
        Self::with_shared_bus(Arc::new(bus))
    }

    /// Has a bus tell what has changed that others use as well.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use cache_tiered::{MemoryBus, TieredConfig};
    ///
    /// let bus = Arc::new(MemoryBus::new(Duration::from_secs(1)));
    /// let users = TieredConfig::with_shared_bus(bus.clone());
    /// let pages = TieredConfig::with_shared_bus(bus);
    /// ```
    pub fn with_shared_bus(bus: Arc<dyn InvalidationBus>) -> Self {
        Self::default().bus(bus)
    }

    /// Does without a bus: the first tier holds each value for `bound` at most.
    ///
    /// That is the same bound of staleness without any protocol, paid for with hits that are lost.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_tiered::TieredConfig::without_bus(Duration::from_millis(500));
    /// ```
    pub fn without_bus(bound: Duration) -> Self {
        Self {
            bus: None,
            bound,
            l1_ttl: Some(DEFAULT_L1_TTL),
            on_bus_loss: OnBusLoss::default(),
            on_l2_error: OnL2Error::default(),
            write_policy: WritePolicy::default(),
            recovery_capacity: DEFAULT_RECOVERY_CAPACITY,
            clock: Clock::system(),
        }
    }

    /// Has this bus tell what has changed, in the place of what it was told before; the other options
    /// stay. This is for a configuration that comes from a file, which can name no bus.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use cache_tiered::{MemoryBus, TieredConfig};
    ///
    /// let read = TieredConfig::default().l1_ttl(Duration::from_secs(300));
    /// let config = read.bus(Arc::new(MemoryBus::new(Duration::from_secs(1))));
    /// assert_eq!(config.get_l1_ttl(), Some(Duration::from_secs(300)));
    /// ```
    pub fn bus(mut self, bus: Arc<dyn InvalidationBus>) -> Self {
        self.bound = bus.bound();
        self.bus = Some(bus);
        self
    }

    /// Does without a bus as [`without_bus`](Self::without_bus) does; the other options stay.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_tiered::TieredConfig::default().no_bus(Duration::from_millis(500));
    /// ```
    pub fn no_bus(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self.bus = None;
        self
    }

    /// Sets the longest time that the first tier keeps a value, 60 seconds unless it is set.
    ///
    /// It keeps none for longer than the second tier does. [`Duration::MAX`] leaves it at that.
    pub fn l1_ttl(mut self, ttl: Duration) -> Self {
        self.l1_ttl = (ttl != Duration::MAX).then_some(ttl);
        self
    }

    /// Says what the first tier does when the bus is lost.
    pub const fn on_bus_loss(mut self, policy: OnBusLoss) -> Self {
        self.on_bus_loss = policy;
        self
    }

    /// Says what a read does when the second tier does not answer.
    pub const fn on_l2_error(mut self, policy: OnL2Error) -> Self {
        self.on_l2_error = policy;
        self
    }

    /// Says what a write does when the second tier does not confirm it.
    pub const fn write_policy(mut self, policy: WritePolicy) -> Self {
        self.write_policy = policy;
        self
    }

    /// Limits how many keys are kept of which a delete or a message has failed, 10,000 unless it is
    /// set; beyond, the oldest is given up and counted.
    ///
    /// Messages are given up before deletes. What the second tier holds under the key of a delete that
    /// is given up is still not served by this process: the key is deleted when it is read next. For
    /// that it is remembered in a space of at most 2 MiB that does not grow, where other keys may be
    /// taken for it; these are deleted once as well.
    pub const fn recovery_capacity(mut self, keys: usize) -> Self {
        self.recovery_capacity = keys;
        self
    }

    /// Sets the clock, for tests; it should be that of the first tier.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the longest time that the first tier keeps a value; `None` is as long as the second.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let config = cache_tiered::TieredConfig::default();
    /// assert_eq!(config.get_l1_ttl(), Some(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub const fn get_l1_ttl(&self) -> Option<Duration> {
        self.l1_ttl
    }

    /// Returns what the first tier does when the bus is lost.
    ///
    /// ```
    /// use cache_tiered::{OnBusLoss, TieredConfig};
    ///
    /// assert_eq!(TieredConfig::default().get_on_bus_loss(), OnBusLoss::Bypass);
    /// ```
    #[must_use]
    pub const fn get_on_bus_loss(&self) -> OnBusLoss {
        self.on_bus_loss
    }

    /// Returns what a read does when the second tier does not answer.
    ///
    /// ```
    /// use cache_tiered::{OnL2Error, TieredConfig};
    ///
    /// assert_eq!(TieredConfig::default().get_on_l2_error(), OnL2Error::Fail);
    /// ```
    #[must_use]
    pub const fn get_on_l2_error(&self) -> OnL2Error {
        self.on_l2_error
    }

    /// Returns what a write does when the second tier does not confirm it.
    ///
    /// ```
    /// use cache_tiered::{TieredConfig, WritePolicy};
    ///
    /// assert_eq!(TieredConfig::default().get_write_policy(), WritePolicy::Confirmed);
    /// ```
    #[must_use]
    pub const fn get_write_policy(&self) -> WritePolicy {
        self.write_policy
    }

    /// Returns the longest time that the first tier may keep a value, were it valid for ever.
    pub(crate) fn longest(&self) -> Duration {
        let longest = self.l1_ttl.unwrap_or(Duration::MAX);
        match self.bus {
            Some(_) => longest,
            None => longest.min(self.bound),
        }
    }

    /// Refuses what cannot work, as [`TieredBackend::new`](crate::TieredBackend::new) does, for those
    /// who want to know before they connect.
    ///
    /// ```
    /// use cache_tiered::TieredConfig;
    ///
    /// assert!(TieredConfig::default().check().is_ok());
    /// let refused = TieredConfig::default().recovery_capacity(0).check().unwrap_err();
    /// assert_eq!(refused.to_string(), "recovery_capacity is 0, the least is 1");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](cache_core::ErrorKind::InvalidInput), naming the option and its limit.
    pub fn check(&self) -> Result<()> {
        let least = Duration::from_millis(1);
        let times = [("bound", Some(self.bound)), ("l1_ttl", self.l1_ttl)];
        for (field, time) in times {
            if time.is_some_and(|time| time < least) {
                let problem = format!("is {:?}, the least is 1 ms", time.unwrap_or_default());
                return Err(Error::invalid(field, problem));
            }
        }
        if self.recovery_capacity == 0 {
            return Err(Error::invalid("recovery_capacity", "is 0, the least is 1"));
        }
        Ok(())
    }
}
