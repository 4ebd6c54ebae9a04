//! Options of a write, as a backend receives them.

use crate::{Expiry, Version};

/// When a write takes place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Condition {
    /// Whether or not the key is there.
    #[default]
    Always,
    /// Only if the key is absent (expired counts as absent).
    IfAbsent,
    /// Only if the key is there.
    IfPresent,
    /// Only if the key is there and has this version: nobody has written it since it was read.
    IfVersion(Version),
}

impl Condition {
    /// Returns the condition that a key is as a read of the truth found it: absent, or of this version.
    ///
    /// ```
    /// use cache_core::{Condition, Version};
    ///
    /// let version = Version::from_number(7);
    /// assert_eq!(Condition::unchanged(Some(version.clone())), Condition::IfVersion(version));
    /// assert_eq!(Condition::unchanged(None), Condition::IfAbsent);
    /// ```
    #[must_use]
    pub fn unchanged(version: Option<Version>) -> Self {
        version.map_or(Self::IfAbsent, Self::IfVersion)
    }

    /// Tells whether a write takes place, by the version of what is there, if anything is.
    ///
    /// ```
    /// use cache_core::{Condition, Version};
    ///
    /// let (old, new) = (Version::from_number(1), Version::from_number(2));
    /// assert!(Condition::IfAbsent.holds(None));
    /// assert!(!Condition::IfPresent.holds(None));
    /// assert!(Condition::IfVersion(old.clone()).holds(Some(&old)));
    /// assert!(!Condition::IfVersion(old).holds(Some(&new)));
    /// ```
    #[must_use]
    #[inline]
    pub fn holds(&self, found: Option<&Version>) -> bool {
        match self {
            Self::Always => true,
            Self::IfAbsent => found.is_none(),
            Self::IfPresent => found.is_some(),
            Self::IfVersion(version) => found == Some(version),
        }
    }
}

/// What a backend is told about a write: defaults are resolved, limits are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendWrite {
    /// When the entry expires. It replaces any earlier expiry of the key, unless that is kept.
    pub expiry: Expiry,
    /// When the write takes place.
    pub condition: Condition,
    /// Whether an entry that is there keeps its expiry.
    pub keeps_expiry: bool,
}

impl BackendWrite {
    /// Joins an expiry and a condition.
    #[must_use]
    pub const fn new(expiry: Expiry, condition: Condition) -> Self {
        Self {
            expiry,
            condition,
            keeps_expiry: false,
        }
    }

    /// Sets whether an entry that is there keeps its expiry; then `expiry` is that of a new one.
    #[must_use]
    pub const fn with_kept_expiry(mut self, keeps_expiry: bool) -> Self {
        self.keeps_expiry = keeps_expiry;
        self
    }

    /// Returns the expiry of the entry that a write leaves, by the expiry of the one that is there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_core::{Condition, Expiry, BackendWrite};
    ///
    /// let minute = Expiry::After(Duration::from_secs(60));
    /// let options = BackendWrite::new(Expiry::Never, Condition::Always);
    /// assert_eq!(options.expiry_over(Some(minute)), Expiry::Never);
    /// assert_eq!(options.with_kept_expiry(true).expiry_over(Some(minute)), minute);
    /// ```
    #[must_use]
    pub fn expiry_over(&self, found: Option<Expiry>) -> Expiry {
        found.filter(|_| self.keeps_expiry).unwrap_or(self.expiry)
    }
}
