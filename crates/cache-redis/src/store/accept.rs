//! What is found under a key, as a value of this cache or none.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use cache_core::{BackendEntry, Expiry, Result, Version};

use super::RedisStore;
use crate::client::{Found, Source};
use crate::placeholder;
use crate::tagged::{self, Header};

/// A value, and the header that it had if it has tags.
pub(super) type Accepted = (Option<Header>, Bytes);

impl RedisStore {
    /// Lets a value pass if it is one of this cache. Tags of it may have been invalidated.
    pub(super) fn accept(&self, found: Found) -> Option<Accepted> {
        match found {
            Found::Nothing => return None,
            Found::Value(stored) if placeholder::is_one(&stored) => return None,
            Found::Value(stored) => {
                self.link.counters.received(stored.len());
                let fits = |(_, value): &Accepted| value.len() <= self.max_value_bytes;
                if let Some(accepted) = split(stored).filter(fits) {
                    return Some(accepted);
                }
            }
            Found::WrongType => {}
        }
        self.tally.unreadable.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Lets a value pass if it is one of this cache and none of its tags was invalidated.
    pub(super) async fn accept_live(
        &self,
        found: Found,
        source: Source,
    ) -> Result<Option<Accepted>> {
        let accepted = self.accept(found);
        if let Some((Some(header), _)) = &accepted
            // Boxed, as the reads of values without tags must not become larger.
            && !Box::pin(self.is_live(header, source)).await?
        {
            return Ok(None);
        }
        Ok(accepted)
    }

    /// Lets values pass as they were found, in their order.
    pub(super) async fn accept_all_live(
        &self,
        found: Vec<Option<Bytes>>,
    ) -> Result<Vec<Option<Bytes>>> {
        let (mut values, mut tagged) = (Vec::with_capacity(found.len()), Vec::new());
        for (place, found) in found.into_iter().enumerate() {
            let accepted = found.and_then(|stored| self.accept(Found::Value(stored)));
            let (header, value) = accepted.unzip();
            tagged.extend(header.flatten().map(|header| (place, header)));
            values.push(value);
        }
        self.drop_invalidated(&mut values, &tagged, Source::Primary)
            .await?;
        Ok(values)
    }

    /// Makes those absent, of some that have tags, of which a tag was invalidated.
    pub(super) async fn drop_invalidated<T: Send>(
        &self,
        found: &mut [Option<T>],
        tagged: &[(usize, Header)],
        source: Source,
    ) -> Result<()> {
        if tagged.is_empty() {
            return Ok(());
        }
        let headers: Vec<&Header> = tagged.iter().map(|(_, header)| header).collect();
        let live = Box::pin(self.are_live(&headers, source)).await?;
        for ((place, _), _) in tagged.iter().zip(live).filter(|(_, is_live)| !is_live) {
            found[*place] = None;
        }
        Ok(())
    }
}

/// Returns what stands for the version of what was found. A load lease has none: it is no value.
pub(super) fn version_of(found: &Found) -> Option<Version> {
    match found {
        Found::Value(stored) if !placeholder::is_one(stored) => {
            Some(Version::from_bytes(stored.clone()))
        }
        _ => None,
    }
}

/// Joins a value, the time that it has left and its tags.
pub(super) fn entry(header: Option<&Header>, value: Bytes, expiry: Expiry) -> BackendEntry<Bytes> {
    let entry = BackendEntry::new(value, expiry);
    match header {
        Some(header) => entry.with_tags(header.tags().map(|(name, _)| name.into()).collect()),
        None => entry,
    }
}

/// Takes a stored value apart, unless it has a header that cannot be read.
fn split(stored: Bytes) -> Option<Accepted> {
    if !tagged::is_one(&stored) {
        return Some((None, stored));
    }
    let (header, value) = tagged::cut(&stored)?;
    Some((Some(Header::parse(header)?), value))
}
