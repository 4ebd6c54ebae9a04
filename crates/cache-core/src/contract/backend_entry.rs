//! Entries: values, and what a backend knows of each.

use std::fmt;
use std::sync::Arc;

use crate::{Expiry, Layer, Version};

/// A value together with the time it has left and the tags it has.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendEntry<V> {
    /// The cached value.
    pub value: V,
    /// The time that the entry has left.
    pub expiry: Expiry,
    /// The keys that name its [tags](crate::Tags), in any order.
    pub tags: Vec<Arc<str>>,
    /// Its version, if it was read where the truth is.
    pub version: Option<Version>,
    /// Where it was found: in memory, if [`read_now`](crate::CacheBackend::read_now) would have answered.
    pub layer: Layer,
}

impl<V> BackendEntry<V> {
    /// Joins a value and the time that it has left; it has neither tags nor a version, and comes from a
    /// store.
    #[must_use]
    pub const fn new(value: V, expiry: Expiry) -> Self {
        Self {
            value,
            expiry,
            tags: Vec::new(),
            version: None,
            layer: Layer::Store,
        }
    }

    /// Gives the entry its version.
    #[must_use]
    pub fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Says where the entry was found.
    #[must_use]
    pub fn found_in(mut self, layer: Layer) -> Self {
        self.layer = layer;
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
    pub fn map<T>(self, change: impl FnOnce(V) -> T) -> BackendEntry<T> {
        BackendEntry {
            value: change(self.value),
            expiry: self.expiry,
            tags: self.tags,
            version: self.version,
            layer: self.layer,
        }
    }
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for BackendEntry<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendEntry")
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}
