//! Which tags entries have, and which of them were invalidated.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::sync::{AtomicU64, Mutex, Ordering};

/// How many tags there are at the least before those that nobody needs are looked for.
const MIN_SWEEP: usize = 64;

/// A tag that entries have, or had lately.
#[derive(Debug)]
struct Tag {
    key: Arc<str>,
    /// Which invalidation was the last one of this tag.
    ended: AtomicU64,
}

/// The tags of an entry, and how many invalidations there had been before it was made.
#[derive(Debug)]
pub(crate) struct EntryTags {
    since: u64,
    tags: Box<[Arc<Tag>]>,
}

impl EntryTags {
    /// Tells whether one of the tags was invalidated since.
    pub(crate) fn are_over(&self) -> bool {
        let is_over = |tag: &Arc<Tag>| tag.ended.load(Ordering::Acquire) > self.since;
        self.tags.iter().any(is_over)
    }

    pub(crate) fn keys(&self) -> Vec<Arc<str>> {
        self.tags.iter().map(|tag| Arc::clone(&tag.key)).collect()
    }
}

/// The bytes of a ticket: which table it is from, and how many invalidations there were.
const TICKET_BYTES: usize = 16;

/// Tells the tables of a process apart. No schedule depends on it.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// The tags of one backend.
#[derive(Debug)]
pub(crate) struct TagTable {
    /// No other table of the process has this number.
    id: u64,
    /// How many invalidations there were.
    now: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    tags: HashMap<Arc<str>, Arc<Tag>>,
    /// The last invalidation of the tags that are no longer there.
    forgotten: u64,
    next_sweep: usize,
}

impl Default for TagTable {
    fn default() -> Self {
        Self {
            id: TABLES.fetch_add(1, Ordering::Relaxed) as u64,
            now: AtomicU64::new(0),
            table: Mutex::default(),
        }
    }
}

impl TagTable {
    /// Returns the ticket of this moment.
    pub(crate) fn ticket(&self) -> [u8; TICKET_BYTES] {
        let numbers = [self.id, self.now()];
        let bytes = numbers.map(u64::to_le_bytes);
        std::array::from_fn(|at| bytes[at / 8][at % 8])
    }

    /// Returns how many invalidations there were when a ticket was taken.
    ///
    /// Of a ticket that is none of this table nothing is known: everything has happened since.
    pub(crate) fn at(&self, ticket: &[u8]) -> u64 {
        let is_ours = ticket.len() == TICKET_BYTES && ticket.starts_with(&self.id.to_le_bytes());
        let number = ticket.last_chunk().filter(|_| is_ours);
        number.map_or(0, |number| u64::from_le_bytes(*number))
    }

    /// Returns how many invalidations there were: what is read after this may be written since then.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Returns the tags of an entry that is about to be written.
    pub(crate) fn of(&self, keys: &[&str], since: Option<u64>) -> EntryTags {
        let mut table = self.table.lock();
        let tags = keys.iter().map(|key| table.tag(key)).collect();
        // Under the lock, so that no tag was forgotten after this moment.
        let since = since.unwrap_or_else(|| self.now());
        EntryTags { since, tags }
    }

    /// Makes every entry absent that has one of the tags.
    pub(crate) fn invalidate(&self, keys: &[&str]) {
        let mut table = self.table.lock();
        // The number changes under the lock alone. Whoever knows the new one finds every entry over
        // that it concerns.
        let ended = self.now() + 1;
        for key in keys {
            table.tag(key).ended.store(ended, Ordering::Release);
        }
        self.now.store(ended, Ordering::Release);
    }

    /// Returns how many tags are remembered.
    #[cfg(all(test, not(shuttle)))]
    fn len(&self) -> usize {
        self.table.lock().tags.len()
    }
}

impl Table {
    fn tag(&mut self, key: &str) -> Arc<Tag> {
        if let Some(tag) = self.tags.get(key) {
            return Arc::clone(tag);
        }
        if self.tags.len() >= self.next_sweep {
            self.sweep();
        }
        let key: Arc<str> = key.into();
        let tag = Arc::new(Tag {
            key: Arc::clone(&key),
            // It may have been there before.
            ended: AtomicU64::new(self.forgotten),
        });
        self.tags.insert(key, Arc::clone(&tag));
        tag
    }

    /// Forgets the tags that no entry has.
    fn sweep(&mut self) {
        let Self {
            tags, forgotten, ..
        } = self;
        tags.retain(|_, tag| {
            // Shares are only made under the lock.
            let is_used = Arc::strong_count(tag) > 1;
            if !is_used {
                *forgotten = tag.ended.load(Ordering::Relaxed).max(*forgotten);
            }
            is_used
        });
        tags.shrink_to(tags.len() * 2);
        self.next_sweep = (tags.len() * 2).max(MIN_SWEEP);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::{MIN_SWEEP, TagTable};

    #[test]
    fn tags_that_no_entry_has_are_forgotten() {
        let table = TagTable::default();
        let kept = table.of(&["kept"], None);
        for number in 0..100_000 {
            let key = format!("tag {number}");
            drop(table.of(&[&key], None));
            table.invalidate(&[&key]);
        }
        assert!(table.len() <= MIN_SWEEP);
        assert!(!kept.are_over());
        table.invalidate(&["kept"]);
        assert!(kept.are_over());
    }

    #[test]
    fn what_was_read_before_a_forgotten_invalidation_is_over() {
        let table = TagTable::default();
        let before = table.now();
        table.invalidate(&["tag"]);
        for number in 0..=MIN_SWEEP {
            table.of(&[&format!("other {number}")], None);
        }
        assert!(table.of(&["tag"], Some(before)).are_over());
        assert!(!table.of(&["tag"], Some(table.now())).are_over());
        assert!(!table.of(&["tag"], None).are_over());
    }
}
