//! The tags of the reference: which were invalidated, and what its entries know of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{BackendWrite, Expiry, LoadLease, Result, Scope, TagTicket, Tagging, Tags};
use tokio::task::yield_now;

use super::Bug;
use super::backend::{Reference, always};

/// How many invalidations there were, and which was the last of each tag.
#[derive(Default)]
pub(super) struct Invalidations {
    count: u64,
    last: BTreeMap<String, u64>,
}

/// A tag of an entry, and how many invalidations there were when its value was read.
#[derive(Clone)]
pub(super) struct Mark {
    tag: Arc<str>,
    since: u64,
}

impl Mark {
    pub(super) fn tag(&self) -> Arc<str> {
        Arc::clone(&self.tag)
    }
}

impl<V: TestValue> Reference<V> {
    fn invalidation_count(&self) -> u64 {
        let invalidations = self.invalidations.lock().expect("no call panics");
        invalidations.count
    }

    fn marks(&self, tagging: &Tagging<'_>) -> Vec<Mark> {
        let since = match tagging.since {
            Some(ticket) if !self.has(Bug::TicketIgnored) => {
                let bytes = ticket.as_bytes().try_into();
                u64::from_be_bytes(bytes.expect("a ticket of this backend"))
            }
            _ => self.invalidation_count(),
        };
        let mark = |tag: &&str| Mark {
            tag: (*tag).into(),
            since,
        };
        tagging.tags.iter().map(mark).collect()
    }

    /// Tells whether one of the tags was invalidated since.
    pub(super) fn is_invalidated(&self, marks: &[Mark]) -> bool {
        let invalidations = self.invalidations.lock().expect("no call panics");
        let is_over = |mark: &Mark| {
            let last = invalidations.last.get(&*mark.tag).copied();
            match self.bug {
                Some(Bug::InvalidationEndsAllTags) => invalidations.count > mark.since,
                Some(Bug::TagsEndForGood) => last.is_some(),
                _ => last.is_some_and(|last| last > mark.since),
            }
        };
        match self.bug {
            Some(Bug::FirstTagCounts) => marks.first().is_some_and(is_over),
            _ => marks.iter().any(is_over),
        }
    }

    /// The keys of the tags in a scope, which no call should tell of.
    pub(super) fn tag_keys(&self, scope: &Scope) -> Vec<String> {
        let invalidations = self.invalidations.lock().expect("no call panics");
        let keys = invalidations.last.keys();
        keys.filter(|key| scope.contains(key)).cloned().collect()
    }

    fn is_in_use(&self, tag: &str) -> bool {
        let slots = self.slots();
        let mut marks = slots.values().flat_map(|slot| &slot.tags);
        marks.any(|mark| *mark.tag == *tag)
    }
}

#[async_trait]
impl<V: TestValue> Tags<V> for Reference<V> {
    async fn ticket(&self) -> Result<TagTicket> {
        let count = self.invalidation_count();
        Ok(TagTicket::new(count.to_be_bytes().to_vec()))
    }

    async fn set(
        &self,
        key: &str,
        value: V,
        mut options: BackendWrite,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        let mut marks = self.marks(&tagging);
        if self.has(Bug::TicketCheckedTooEarly) && !self.is_invalidated(&marks) {
            yield_now().await;
            marks = self.marks(&Tagging::new(tagging.tags, None));
        }
        if self.has(Bug::TaggedWriteIgnoresCondition) {
            options = always(options.expiry);
        }
        self.write(key, value, options, marks).await
    }

    async fn fill(
        &self,
        key: &str,
        lease: LoadLease,
        value: V,
        expiry: Expiry,
        tagging: Tagging<'_>,
    ) -> Result<bool> {
        let is_held = self.is_held(key, lease);
        if is_held {
            let marks = self.marks(&tagging);
            self.write(key, value, always(expiry), marks).await?;
        }
        Ok(is_held)
    }

    async fn invalidate(&self, tags: &[&str]) -> Result<()> {
        for tag in tags {
            if self.has(Bug::UnusedTagsStayValid) && !self.is_in_use(tag) {
                continue;
            }
            let mut invalidations = self.invalidations.lock().expect("no call panics");
            invalidations.count += 1;
            let count = invalidations.count;
            invalidations.last.insert((*tag).to_owned(), count);
        }
        Ok(())
    }
}
