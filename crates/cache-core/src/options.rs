//! Options of a write, as the caller gives them and as a backend receives them.

use crate::{Expiry, Ttl};

/// When a write takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Condition {
    /// Whether or not the key is there.
    #[default]
    Always,
    /// Only if the key is absent (expired counts as absent).
    IfAbsent,
    /// Only if the key is there.
    IfPresent,
}

impl Condition {
    /// Tells whether a write takes place, by whether the key is there.
    ///
    /// ```
    /// use cache_core::Condition;
    ///
    /// assert!(Condition::IfAbsent.holds(false));
    /// assert!(!Condition::IfPresent.holds(false));
    /// ```
    #[must_use]
    pub const fn holds(self, present: bool) -> bool {
        match self {
            Self::Always => true,
            Self::IfAbsent => !present,
            Self::IfPresent => present,
        }
    }
}

/// Options of [`Cache::set_with`](crate::Cache::set_with).
///
/// ```
/// use cache_core::SetOptions;
///
/// let options = SetOptions::new().ttl(30).if_absent();
/// let options = options.tags(&["team:7", "admins"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SetOptions<'t> {
    pub(crate) ttl: Ttl,
    pub(crate) condition: Condition,
    pub(crate) tags: &'t [&'t str],
}

impl<'t> SetOptions<'t> {
    /// The default time to live of the cache, no condition.
    pub const fn new() -> Self {
        Self {
            ttl: Ttl::DEFAULT,
            condition: Condition::Always,
            tags: &[],
        }
    }

    /// Sets the time to live: seconds, a `Duration`, or [`Ttl::NEVER`].
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Writes only if the key is absent.
    pub const fn if_absent(mut self) -> Self {
        self.condition = Condition::IfAbsent;
        self
    }

    /// Writes only if the key is there.
    pub const fn if_present(mut self) -> Self {
        self.condition = Condition::IfPresent;
        self
    }

    /// Gives the entry tags, by which [`Cache::delete_by_tag`](crate::Cache::delete_by_tag) finds it.
    ///
    /// At most [`MAX_TAGS`](crate::MAX_TAGS) names, each from 1 byte to
    /// [`MAX_TAG_BYTES`](crate::MAX_TAG_BYTES); a repeated one counts once.
    pub const fn tags(mut self, tags: &'t [&'t str]) -> Self {
        self.tags = tags;
        self
    }
}

impl Default for SetOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a backend is told about a write: defaults are resolved, limits are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// When the entry ends. It replaces any earlier expiry of the key.
    pub expiry: Expiry,
    /// When the write takes place.
    pub condition: Condition,
}

impl WriteOptions {
    /// Joins an expiry and a condition.
    #[must_use]
    pub const fn new(expiry: Expiry, condition: Condition) -> Self {
        Self { expiry, condition }
    }
}
