//! Durations as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// How a duration may be written, for the text of an error.
pub const DURATION_FORMS: &str = "a duration such as 30s, 250ms or 1h 30m (a day is 24h)";

/// Reads a duration such as `30s`, `250ms`, `1h 30m` or `PT30S`; `None` for everything else.
///
/// Units are named, from the largest to the smallest, and the largest is the hour: how long a day
/// is depends on the calendar. A bare number is no duration.
///
/// ```
/// use std::time::Duration;
///
/// use cache_settings::parse_duration;
///
/// assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5400)));
/// assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
/// assert_eq!(parse_duration("30"), None);
/// assert_eq!(parse_duration("-1s"), None);
/// ```
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let signed: SignedDuration = text.parse().ok()?;
    signed.try_into().ok()
}

#[cfg(feature = "serde")]
mod deserialize {
    use std::fmt;
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error, Visitor};

    use super::{DURATION_FORMS, parse_duration};
    use crate::table::may_hide_a_password;

    /// A duration that a file holds as [`parse_duration`] reads it.
    ///
    /// A bare number is refused with what to write instead: nobody can tell seconds from
    /// milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_settings::HumanDuration;
    ///
    /// let read: HumanDuration = serde_json::from_str(r#""5m""#)?;
    /// assert_eq!(Duration::from(read), Duration::from_secs(300));
    ///
    /// let refused = serde_json::from_str::<HumanDuration>("30").unwrap_err();
    /// assert!(refused.to_string().starts_with(r#"is 30, write "30s""#));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct HumanDuration(Duration);

    impl From<HumanDuration> for Duration {
        fn from(duration: HumanDuration) -> Self {
            duration.0
        }
    }

    impl From<HumanDuration> for Option<Duration> {
        fn from(duration: HumanDuration) -> Self {
            Some(duration.0)
        }
    }

    impl<'de> Deserialize<'de> for HumanDuration {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            // A number must be seen to be refused with the hint.
            deserializer.deserialize_any(Text).map(Self)
        }
    }

    /// Reads a duration as [`HumanDuration`] does, for `#[serde(deserialize_with = "…")]`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// #[derive(serde::Deserialize)]
    /// enum Policy {
    ///     ServeFor(#[serde(deserialize_with = "cache_settings::duration")] Duration),
    /// }
    /// let Policy::ServeFor(time) = serde_json::from_str(r#"{"ServeFor": "30s"}"#)?;
    /// assert_eq!(time, Duration::from_secs(30));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the deserializer, and its custom one for what is no duration.
    pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        HumanDuration::deserialize(deserializer).map(Into::into)
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(DURATION_FORMS)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            let refused = || {
                if may_hide_a_password(text) {
                    return E::custom(format_args!("is a text, expected {DURATION_FORMS}"));
                }
                E::custom(format_args!("is {text:?}, expected {DURATION_FORMS}"))
            };
            parse_duration(text).ok_or_else(refused)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
            Err(E::custom(format_args!("is {number}, write \"{number}s\"")))
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
            match u64::try_from(number) {
                Ok(number) => self.visit_u64(number),
                Err(_) => Err(E::custom(format_args!(
                    "is {number}, expected {DURATION_FORMS}"
                ))),
            }
        }
    }
}

#[cfg(feature = "serde")]
pub use self::deserialize::{HumanDuration, duration};
