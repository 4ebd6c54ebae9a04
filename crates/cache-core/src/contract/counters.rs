//! Counters: numbers that grow in one step and begin anew when their window ends.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Expiry, Result, Ttl};

/// The largest count and its distance to the smallest one, -`MAX_COUNT`: 2^53 - 1, which every store and
/// every language can hold.
pub const MAX_COUNT: i64 = (1 << 53) - 1;

/// Counts in one atomic step, within windows of time.
///
/// This is the API of people who **write** a backend: [`CacheBackend::abilities`] hands it out, and the
/// facade calls it. A counter is named by a key in which no entry is ever put, see
/// [`counter_key`](crate::counter_key), and is none itself: `scan`, `clear`, tags and a bound on entries do
/// not concern it. It is there from its first `add` until its window ends or it is reset.
///
/// A store of bytes needs none of its own: [`EncodedBackend`](crate::EncodedBackend) makes them of versions.
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[async_trait]
pub trait Counters: Send + Sync {
    /// Adds `by` to a counter and returns the new count with the time that its window has left; in one
    /// atomic step.
    ///
    /// An absent counter counts from zero and gets `window`, which no later call moves. What
    /// [`Count::after`] refuses changes nothing.
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count>;

    /// Returns the count and the time that its window has left, or `None` for an absent counter.
    async fn get(&self, name: &str) -> Result<Option<Count>>;

    /// Makes a counter absent and tells whether it was there.
    async fn reset(&self, name: &str) -> Result<bool>;
}

/// What a counter has counted, and how long its window goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Count {
    /// The sum of what was added since the window has begun.
    pub value: i64,
    /// The time that the window has left.
    pub expiry: Expiry,
}

impl Count {
    /// Joins a count and the time that its window has left.
    #[must_use]
    pub const fn new(value: i64, expiry: Expiry) -> Self {
        Self { value, expiry }
    }

    /// Returns the count after `by` was added to what was `found`, if anything was.
    ///
    /// ```
    /// use cache_core::{Count, MAX_COUNT};
    ///
    /// assert_eq!(Count::after(None, 2)?, 2);
    /// assert_eq!(Count::after(Some(2), -3)?, -1);
    /// assert!(Count::after(Some(MAX_COUNT), 1).is_err());
    /// # Ok::<(), cache_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `by` if that or the new count is further from
    /// zero than [`MAX_COUNT`].
    pub fn after(found: Option<i64>, by: i64) -> Result<i64> {
        let sum = found.unwrap_or(0).checked_add(by);
        let is_kept = |count: &i64| count.unsigned_abs() <= MAX_COUNT.unsigned_abs();
        sum.filter(|sum| is_kept(&by) && is_kept(sum))
            .ok_or_else(Self::out_of_range)
    }

    /// Returns the error of [`after`](Self::after), for stores that find out themselves.
    #[must_use]
    pub fn out_of_range() -> Error {
        let problem = format!("would take the count out of its range, -{MAX_COUNT} to {MAX_COUNT}");
        Error::invalid("by", problem)
    }

    /// Returns the time that the window has left, or `None` if it has no end.
    #[must_use]
    pub const fn remaining(self) -> Option<Duration> {
        self.expiry.remaining()
    }
}

/// How long a counter counts before it begins anew, as a caller writes it: bare seconds or a [`Duration`].
///
/// ```
/// use cache_core::Window;
/// use std::time::Duration;
///
/// assert_eq!(Window::from(60), Window::from(Duration::from_secs(60)));
/// assert_eq!(Window::from(Duration::MAX), Window::ENDLESS);
/// ```
///
/// Below one millisecond it is rounded up to one; zero, a negative number and more than
/// [`MAX_TTL`](crate::MAX_TTL) are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window(Ttl);

impl Window {
    /// No end: the counter counts until it is reset.
    pub const ENDLESS: Self = Self(Ttl::NEVER);

    /// Turns what the caller wrote into what a backend is told.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for zero, negative and more than
    /// [`MAX_TTL`](crate::MAX_TTL).
    pub(crate) fn resolve(self) -> Result<Expiry> {
        self.0.resolve_as("window")
    }
}

impl From<Duration> for Window {
    fn from(window: Duration) -> Self {
        Self(window.into())
    }
}

/// Literals without a suffix may become any of these types, so all of them are here.
macro_rules! window_from_seconds {
    ($($number:ty),*) => {
        $(impl From<$number> for Window {
            /// Takes whole seconds.
            fn from(seconds: $number) -> Self {
                Self(seconds.into())
            }
        })*
    };
}
window_from_seconds!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
