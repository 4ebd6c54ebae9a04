//! Times to live: what callers ask for and what backends are told.

use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Result, Version};

/// The longest time to live, 100 years. [`Duration::MAX`] is not over it: it means "never".
pub const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The shortest time to live.
const MIN_TTL: Duration = Duration::from_millis(1);

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

/// A value together with the time it has left and the tags it has.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<V> {
    /// The cached value.
    pub value: V,
    /// The time that the entry has left.
    pub expiry: Expiry,
    /// The keys that name its [tags](crate::Tags), in any order.
    pub tags: Vec<Arc<str>>,
    /// Its version, if it was read where the truth is.
    pub version: Option<Version>,
}

impl<V> Entry<V> {
    /// Joins a value and the time that it has left; it has neither tags nor a version.
    #[must_use]
    pub const fn new(value: V, expiry: Expiry) -> Self {
        Self {
            value,
            expiry,
            tags: Vec::new(),
            version: None,
        }
    }

    /// Gives the entry its version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Gives the entry tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<Arc<str>>) -> Self {
        self.tags = tags;
        self
    }

    /// Returns the same entry with another value made of its own.
    #[must_use]
    pub fn map<T>(self, change: impl FnOnce(V) -> T) -> Entry<T> {
        Entry {
            value: change(self.value),
            expiry: self.expiry,
            tags: self.tags,
            version: self.version,
        }
    }
}

// Written by hand: the derived form would print the value.
impl<V> std::fmt::Debug for Entry<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

/// A time to live as a caller writes it: bare seconds or a [`Duration`].
///
/// Every method that takes a time to live takes `impl Into<Ttl>`:
///
/// ```
/// use cache_core::Ttl;
/// use std::time::Duration;
///
/// assert_eq!(Ttl::from(5), Ttl::from(Duration::from_secs(5)));
/// assert_eq!(Ttl::from(Duration::MAX), Ttl::NEVER);
/// ```
///
/// Below one millisecond it is rounded up to one; zero, a negative number and more than
/// [`MAX_TTL`] are refused by the verbs for which they make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ttl(Repr);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Repr {
    Default,
    Never,
    After(Duration),
    /// Kept as it came, so that the error can show it.
    Negative(i64),
}

impl Ttl {
    /// The default time to live of the cache.
    pub const DEFAULT: Self = Self(Repr::Default);
    /// No expiry, whatever the default of the cache is.
    pub const NEVER: Self = Self(Repr::Never);

    /// Tells whether the time is over as soon as it starts: zero or negative.
    pub(crate) const fn is_over(self) -> bool {
        match self.0 {
            Repr::After(ttl) => ttl.is_zero(),
            Repr::Negative(_) => true,
            Repr::Default | Repr::Never => false,
        }
    }

    /// Turns what the caller wrote into what a backend is told.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for zero, negative and more than [`MAX_TTL`].
    #[inline]
    pub(crate) fn resolve(self, default: Self) -> Result<Expiry> {
        match self.0 {
            Repr::Default => default.resolve_as("default_ttl"),
            _ => self.resolve_as("ttl"),
        }
    }

    /// Does so where no default counts, and names the argument that it came in.
    ///
    /// # Errors
    /// As of [`resolve`](Self::resolve).
    #[inline]
    pub(crate) fn resolve_as(self, field: &'static str) -> Result<Expiry> {
        match self.0 {
            Repr::Never | Repr::Default => Ok(Expiry::Never),
            Repr::Negative(seconds) => Err(Error::invalid(
                field,
                format!("is {seconds} seconds, the least is 1 ms"),
            )),
            Repr::After(ttl) if ttl.is_zero() => {
                Err(Error::invalid(field, "is zero, the least is 1 ms"))
            }
            Repr::After(ttl) if ttl > MAX_TTL => Err(Error::invalid(
                field,
                format!(
                    "is {} seconds, the most is {} (100 years)",
                    ttl.as_secs(),
                    MAX_TTL.as_secs()
                ),
            )),
            Repr::After(ttl) => Ok(Expiry::After(ttl.max(MIN_TTL))),
        }
    }
}

impl From<Duration> for Ttl {
    fn from(ttl: Duration) -> Self {
        if ttl == Duration::MAX {
            Self::NEVER
        } else {
            Self(Repr::After(ttl))
        }
    }
}

/// Literals without a suffix may become any of these types, so all of them are here.
macro_rules! ttl_from_seconds {
    (unsigned: $($unsigned:ty),*; signed: $($signed:ty),*) => {
        $(impl From<$unsigned> for Ttl {
            /// Takes whole seconds.
            fn from(seconds: $unsigned) -> Self {
                Self(Repr::After(Duration::from_secs(seconds as u64)))
            }
        })*
        $(impl From<$signed> for Ttl {
            /// Takes whole seconds.
            fn from(seconds: $signed) -> Self {
                match u64::try_from(seconds) {
                    Ok(seconds) => Self(Repr::After(Duration::from_secs(seconds))),
                    Err(_) => Self(Repr::Negative(seconds as i64)),
                }
            }
        })*
    };
}
ttl_from_seconds!(unsigned: u8, u16, u32, u64, usize; signed: i8, i16, i32, i64, isize);
