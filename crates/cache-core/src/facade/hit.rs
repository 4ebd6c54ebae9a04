//! What a read can tell of a value besides the value.

use std::fmt;
use std::time::Duration;

use crate::{Expiry, Version};

/// A value that was found, where, and how much time it has.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// Where it was found.
    pub layer: Layer,
    /// The time until it can no longer be found.
    pub expiry: Expiry,
    /// How long ago it ended, if it has: then only loads and this read still see it.
    pub ended: Option<Duration>,
    /// Its version, unless the memory of a tier has answered: that is behind the truth, and
    /// [`Cache::get_versioned`](crate::Cache::get_versioned) asks the truth.
    pub version: Option<Version>,
}

impl<V> Hit<V> {
    /// Tells whether the value has ended.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.ended.is_some()
    }
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for Hit<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit")
            .field("layer", &self.layer)
            .field("expiry", &self.expiry)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Where a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// In the memory of this process.
    Memory,
    /// In a store that had to be asked.
    Store,
}
