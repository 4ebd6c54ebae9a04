//! Texts that no output shows.

use std::error::Error;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A password, or a URL that may hold one: neither `Debug` nor an error shows it.
///
/// What is no text is noticed by [`reveal`](Self::reveal) alone. An error at its place would have
/// serde quote the value, and some formats show the line.
///
/// ```
/// use cache_settings::Secret;
///
/// let read: Secret = serde_json::from_str(r#""hunter2""#)?;
/// assert_eq!(format!("{read:?}"), "***");
/// assert_eq!(read.reveal("password")?, "hunter2");
///
/// let number: Secret = serde_json::from_str("1234")?;
/// let refused = number.reveal("password").unwrap_err();
/// assert_eq!(refused.to_string(), "password is no text, write it in quotes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Secret(Option<String>);

impl Secret {
    /// Returns the text of the field.
    ///
    /// # Errors
    /// [`NotText`], naming the field, if there was something else than a text.
    pub fn reveal(self, field: &'static str) -> Result<String, NotText> {
        self.0.ok_or(NotText { field })
    }
}

/// A [`Secret`] was written as something else than a text, such as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotText {
    field: &'static str,
}

impl NotText {
    /// Returns the name of the field.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Returns what is wrong with it, and what to do.
    #[must_use]
    pub const fn problem(&self) -> &'static str {
        "is no text, write it in quotes"
    }
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem())
    }
}

impl Error for NotText {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whoever is asked for a text quotes what is none.
        deserializer.deserialize_any(Anything).map(Secret)
    }
}

/// Takes everything, and keeps texts.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(entries).map(|_| None)
    }
}
