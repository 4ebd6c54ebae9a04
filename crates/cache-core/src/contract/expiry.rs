//! When entries expire: what backends are told and report.

use std::time::Duration;

/// The longest time to live, 100 years. [`Duration::MAX`] is not over it: it means "never".
pub const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The shortest time to live.
pub(crate) const MIN_TTL: Duration = Duration::from_millis(1);

/// When an entry ends: what a backend is told on a write and reports on a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an entry expires or it does not")]
pub enum Expiry {
    /// The entry stays until it is deleted or evicted.
    Never,
    /// The entry is absent once this much time has passed; at least one millisecond on a write.
    After(Duration),
}

impl Expiry {
    /// Returns the remaining time, or `None` for [`Expiry::Never`].
    ///
    /// ```
    /// use cache_core::Expiry;
    /// use std::time::Duration;
    ///
    /// assert_eq!(Expiry::Never.remaining(), None);
    /// let expiry = Expiry::After(Duration::from_secs(5));
    /// assert_eq!(expiry.remaining(), Some(Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub const fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After(remaining) => Some(remaining),
        }
    }
}

impl Expiry {
    /// Takes away a random part of up to `share` of the time.
    pub(crate) fn shortened_by(self, share: f64) -> Self {
        match self {
            Self::After(ttl) if share > 0.0 => {
                let shorter = ttl.mul_f64(1.0 - share * fastrand::f64());
                Self::After(shorter.max(MIN_TTL))
            }
            other => other,
        }
    }
}
