//! Tags: names that entries share, so that all of them can be made absent at once.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BackendWrite, Error, Expiry, LoadLease, Result};

/// The longest name of a tag, in bytes.
pub const MAX_TAG_BYTES: usize = 1024;
/// The most tags of one entry.
pub const MAX_TAGS: usize = 32;

/// Gives entries tags, and makes all entries of a tag absent in one step.
///
/// This is the API of people who **write** a backend: [`CacheBackend::abilities`] hands it out, and the
/// facade calls it. A tag is named by a key in which no entry is ever put, see [`is_tag_key`](crate::is_tag_key); a
/// backend may keep under it what it knows of the tag.
///
/// To invalidate a tag costs the same however many entries have it: an entry remembers the versions
/// that its tags had, and is absent once one of them has another. A version that was lost counts as
/// another one, so that what a store forgets makes entries absent and never brings one back. What
/// decides is the order of calls; no clock does.
///
/// [`CacheBackend::abilities`]: crate::CacheBackend::abilities
#[async_trait]
pub trait Tags<V: Send + Sync + 'static>: Send + Sync {
    /// Returns a ticket, to be taken before a value is read where it comes from.
    async fn ticket(&self) -> Result<TagTicket>;

    /// Writes `value` as [`CacheBackend::set`](crate::CacheBackend::set) does, with tags.
    async fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool>;

    /// Stores `value` in the place of a lease as [`LoadLeases::fill`](crate::LoadLeases::fill)
    /// does, with tags.
    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: V,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool>;

    /// Makes every entry absent that has one of the tags and was written before this call.
    async fn invalidate(&self, tags: &[&str]) -> Result<()>;
}

/// The tags of a write, and since when they must not have been invalidated.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Tagging<'a> {
    /// The names of the tags, each once, at most [`MAX_TAGS`].
    pub tags: &'a [&'a str],
    /// The ticket that was taken before the value was read. If one of the tags has been invalidated
    /// since, the write takes place and the entry is absent.
    pub since: Option<&'a TagTicket>,
}

impl<'a> Tagging<'a> {
    /// Joins the tags of a write and the ticket of its value, if there is one.
    #[must_use]
    pub const fn new(tags: &'a [&'a str], since: Option<&'a TagTicket>) -> Self {
        Self { tags, since }
    }

    /// Checks the number of tags, for backends that have no room for more. The facade has done so.
    ///
    /// ```
    /// use cache_core::{MAX_TAGS, Tagging};
    ///
    /// assert!(Tagging::new(&["tag"; MAX_TAGS], None).check().is_ok());
    /// assert!(Tagging::new(&["tag"; MAX_TAGS + 1], None).check().is_err());
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for more than [`MAX_TAGS`].
    pub fn check(&self) -> Result<()> {
        check_count(self.tags.len())
    }
}

/// What a backend has to know to tell later which tags were invalidated since. Only the backend
/// that has made it can read it.
#[derive(Clone, PartialEq, Eq)]
pub struct TagTicket(Bytes);

impl TagTicket {
    /// Makes a ticket of what a backend has to know.
    ///
    /// ```
    /// let ticket = cache_core::TagTicket::new(vec![1, 2]);
    /// assert_eq!(ticket.as_bytes(), [1, 2]);
    /// ```
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Returns what it was made of.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// Written by hand: the bytes tell nothing.
impl fmt::Debug for TagTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagTicket").finish_non_exhaustive()
    }
}

/// Checks how many tags a write has.
pub(crate) fn check_count(tags: usize) -> Result<()> {
    if tags <= MAX_TAGS {
        return Ok(());
    }
    let problem = format!("are {tags}, the most is {MAX_TAGS}");
    Err(Error::invalid("tags", problem))
}
