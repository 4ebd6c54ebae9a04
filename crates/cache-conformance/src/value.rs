//! The values that the suite writes.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// A type of values that the suite can write and compare: it holds any text.
///
/// Implemented for the usual ones; implement it for your own type if your backend takes
/// nothing else.
pub trait TestValue: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// Makes the value that stands for `text`.
    fn from_text(text: &str) -> Self;

    /// Returns the text that the value was made from.
    fn to_text(&self) -> String;
}

impl TestValue for String {
    fn from_text(text: &str) -> Self {
        text.to_owned()
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl TestValue for Arc<str> {
    fn from_text(text: &str) -> Self {
        text.into()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl TestValue for Bytes {
    fn from_text(text: &str) -> Self {
        Self::copy_from_slice(text.as_bytes())
    }

    /// Damaged bytes become a text that no test wrote, so the comparison that follows fails.
    fn to_text(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }
}

impl TestValue for Vec<u8> {
    fn from_text(text: &str) -> Self {
        text.into()
    }

    /// Damaged bytes become a text that no test wrote, so the comparison that follows fails.
    fn to_text(&self) -> String {
        String::from_utf8_lossy(self).into_owned()
    }
}
