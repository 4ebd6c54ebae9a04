//! Options of a write, as the caller gives them.

use crate::{Condition, Ttl, Version};

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
