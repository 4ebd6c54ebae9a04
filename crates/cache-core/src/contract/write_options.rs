//! Options of a write, as the caller gives them and as a backend receives them.

use crate::{Expiry, Ttl, Version};

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
    pub(crate) keeps_ttl: bool,
    pub(crate) condition: When<'t>,
    pub(crate) tags: &'t [&'t str],
}

impl SetOptions<'_> {
    /// Tells whether a write with these needs nothing but an expiry.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self.condition, When::Always) && !self.keeps_ttl && self.tags.is_empty()
    }
}

/// A [`Condition`] that borrows its version, so that options can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When<'t> {
    Always,
    IfAbsent,
    IfPresent,
    IfVersion(&'t Version),
}

impl From<When<'_>> for Condition {
    fn from(when: When<'_>) -> Self {
        match when {
            When::Always => Self::Always,
            When::IfAbsent => Self::IfAbsent,
            When::IfPresent => Self::IfPresent,
            When::IfVersion(version) => Self::IfVersion(version.clone()),
        }
    }
}

impl<'t> SetOptions<'t> {
    /// The default time to live of the cache, no condition.
    pub const fn new() -> Self {
        Self {
            ttl: Ttl::DEFAULT,
            keeps_ttl: false,
            condition: When::Always,
            tags: &[],
        }
    }

    /// Sets the time to live: seconds, a `Duration`, or [`Ttl::NEVER`].
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Leaves the expiry of an entry that is there as it is, as `KEEPTTL` of Redis does.
    ///
    /// The [time to live](Self::ttl) is what a new entry gets.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::SetOptions;
    ///
    /// cache.set_ex("session", "new", 30).await?;
    /// cache.set_with("session", "seen", SetOptions::new().keep_ttl()).await?;
    /// assert_eq!(cache.ttl("session").await?, Some(30));
    /// # Ok(()) }
    /// ```
    pub const fn keep_ttl(mut self) -> Self {
        self.keeps_ttl = true;
        self
    }

    /// Writes only if the key is absent.
    pub const fn if_absent(mut self) -> Self {
        self.condition = When::IfAbsent;
        self
    }

    /// Writes only if the key is there.
    pub const fn if_present(mut self) -> Self {
        self.condition = When::IfPresent;
        self
    }

    /// Writes only if the key still has this version; without a version, only if it is still absent.
    ///
    /// Versions come from [`Cache::get_versioned`](crate::Cache::get_versioned).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<String>::new(cache_local::LocalBackend::default());
    /// use cache_core::SetOptions;
    ///
    /// cache.set("page", "draft").await?;
    /// let (value, version) = cache.get_versioned("page").await?;
    /// assert_eq!(value.as_deref(), Some("draft"));
    ///
    /// let unchanged = SetOptions::new().if_version(version.as_ref());
    /// assert!(cache.set_with("page", "final", unchanged).await?);
    /// assert!(!cache.set_with("page", "too late", unchanged).await?);
    /// # Ok(()) }
    /// ```
    pub fn if_version(mut self, version: impl Into<Option<&'t Version>>) -> Self {
        self.condition = version.into().map_or(When::IfAbsent, When::IfVersion);
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// When the entry expires. It replaces any earlier expiry of the key, unless that is kept.
    pub expiry: Expiry,
    /// When the write takes place.
    pub condition: Condition,
    /// Whether an entry that is there keeps its expiry.
    pub keeps_expiry: bool,
}

impl WriteOptions {
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
    /// use cache_core::{Condition, Expiry, WriteOptions};
    ///
    /// let minute = Expiry::After(Duration::from_secs(60));
    /// let options = WriteOptions::new(Expiry::Never, Condition::Always);
    /// assert_eq!(options.expiry_over(Some(minute)), Expiry::Never);
    /// assert_eq!(options.with_kept_expiry(true).expiry_over(Some(minute)), minute);
    /// ```
    #[must_use]
    pub fn expiry_over(&self, found: Option<Expiry>) -> Expiry {
        found.filter(|_| self.keeps_expiry).unwrap_or(self.expiry)
    }
}
