//! Versions: what tells whether an entry has been written since it was read.

use std::fmt;

use bytes::Bytes;

use crate::BackendEntry;

/// What tells whether an entry has been written since it was read.
///
/// A backend hands it out with the entry that it [reads](crate::CacheBackend::get_versioned), and takes it
/// back as the condition of a write, [`Condition::IfVersion`](crate::Condition::IfVersion). A version belongs
/// to one backend and one key. Versions are compared for equality alone: a later one is not larger. A change
/// of the expiry leaves the version as it is.
///
/// ```
/// use cache_core::Version;
///
/// assert_eq!(Version::from_number(7).number(), Some(7));
/// assert_eq!(Version::from_bytes("stored").as_bytes().unwrap(), "stored");
/// assert_ne!(Version::from_number(7), Version::from_number(8));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Number(u64),
    /// Boxed: inline it would make the options of every write three times as large.
    Bytes(Box<Bytes>),
}

impl Version {
    /// Makes a version of a number that changes with each write of a key.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(Repr::Number(number))
    }

    /// Makes a version of what is stored: equal bytes are the same version.
    #[must_use]
    pub fn from_bytes(stored: impl Into<Bytes>) -> Self {
        Self(Repr::Bytes(Box::new(stored.into())))
    }

    /// Returns the number, if it was made of one.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self.0 {
            Repr::Number(number) => Some(number),
            Repr::Bytes(_) => None,
        }
    }

    /// Returns the bytes, if it was made of some.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Number(_) => None,
            Repr::Bytes(bytes) => Some(bytes),
        }
    }
}

// Written by hand: the bytes are a value.
impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").finish_non_exhaustive()
    }
}

/// What a read of the truth finds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Versioned<V> {
    /// The entry, unless the key is absent or what it holds cannot be read.
    pub entry: Option<BackendEntry<V>>,
    /// The version of what the key holds; there is none if it holds nothing.
    pub version: Option<Version>,
}

impl<V> Versioned<V> {
    /// Joins what was found and its version.
    #[must_use]
    pub const fn new(entry: Option<BackendEntry<V>>, version: Option<Version>) -> Self {
        Self { entry, version }
    }
}
