//! What the first tier holds.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use cache_core::Expiry;

/// A value of the second tier that the first tier holds, with what decides whether it is valid.
///
/// The first tier is a backend of these: `LocalBackend<Promoted<User>>`. A weigher and a removal
/// listener of it see the value through the reference:
///
/// ```
/// use cache_local::{LocalBackend, LocalConfig};
/// use cache_tiered::Promoted;
///
/// let config = LocalConfig::new()
///     .max_weight(64 << 20, |key: &str, page: &Promoted<String>| (key.len() + page.len()) as u32);
/// let l1 = LocalBackend::new(config)?;
/// # Ok::<(), cache_core::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Promoted<V> {
    value: V,
    /// The number of flushes before the value was read; another number now makes it invalid.
    epoch: u64,
    /// When it ends in the second tier, by our clock that runs during suspend; `u64::MAX` is never.
    deadline: u64,
}

/// The epoch of a value that the second tier did not take: no flush concerns it.
pub(crate) const LOCAL_ONLY: u64 = u64::MAX;

impl<V> Promoted<V> {
    pub(crate) const fn new(value: V, epoch: u64, deadline: u64) -> Self {
        Self {
            value,
            epoch,
            deadline,
        }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn into_value(self) -> V {
        self.value
    }

    /// Tells whether the value is still there after `now`, and has so many nanoseconds left.
    #[inline]
    pub(crate) fn is_left_after(&self, now: u64, least: u64) -> bool {
        self.deadline == u64::MAX || self.deadline.saturating_sub(now) >= least.max(1)
    }

    /// Returns the time that the value has left in the second tier, or `None` if that is over.
    pub(crate) fn remaining(&self, now: u64) -> Option<Expiry> {
        if self.deadline == u64::MAX {
            return Some(Expiry::Never);
        }
        let left = self.deadline.checked_sub(now).filter(|left| *left > 0)?;
        Some(Expiry::After(Duration::from_nanos(left)))
    }
}

impl<V> Deref for Promoted<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

// Written by hand: the derived form would print the value.
impl<V> fmt::Debug for Promoted<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promoted")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
