//! Times to live, as callers write them.

use std::time::Duration;

use crate::contract::MIN_TTL;
use crate::{Error, Expiry, MAX_TTL, Result};

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

    /// Refuses a time to live that a write would be refused for, and names the `field` that it came from.
    ///
    /// ```
    /// use cache_core::Ttl;
    ///
    /// assert!(Ttl::from(30).check("default_ttl").is_ok());
    /// let error = Ttl::from(0).check("default_ttl").unwrap_err();
    /// assert_eq!(error.to_string(), "default_ttl is zero, the least is 1 ms");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for zero, negative and more than [`MAX_TTL`].
    pub fn check(self, field: &'static str) -> Result<()> {
        self.resolve_as(field).map(drop)
    }

    /// Turns what the caller wrote into what a backend is told.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for zero, negative and more than [`MAX_TTL`].
    #[inline]
    pub(crate) fn resolve(self, default: Self) -> Result<Expiry> {
        match (self.0, default.0) {
            // The usual case on its own, so that it stays in registers.
            (Repr::Default, Repr::Never | Repr::Default) => Ok(Expiry::Never),
            (Repr::Default, _) => default.resolve_as("default_ttl"),
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
            Repr::After(ttl) if !ttl.is_zero() && ttl <= MAX_TTL => {
                Ok(Expiry::After(ttl.max(MIN_TTL)))
            }
            Repr::After(ttl) => Err(after_refused(field, ttl)),
            Repr::Negative(seconds) => Err(Error::invalid(
                field,
                format!("is {seconds} seconds, the least is 1 ms"),
            )),
        }
    }
}

#[cold]
fn after_refused(field: &'static str, ttl: Duration) -> Error {
    if ttl.is_zero() {
        return Error::invalid(field, "is zero, the least is 1 ms");
    }
    let (seconds, most) = (ttl.as_secs(), MAX_TTL.as_secs());
    Error::invalid(
        field,
        format!("is {seconds} seconds, the most is {most} (100 years)"),
    )
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
