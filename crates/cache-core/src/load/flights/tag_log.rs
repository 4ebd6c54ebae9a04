//! The tags that were invalidated lately.

use std::collections::VecDeque;

use super::sync::{AtomicU64, Mutex, Ordering};

/// How many are remembered. What is older than all of them concerns every load.
const CAPACITY: usize = 1024;

/// Tells which tags were invalidated in the time between two moments.
#[derive(Debug, Default)]
pub(super) struct TagLog {
    /// How many there were so far: the present moment.
    now: AtomicU64,
    recent: Mutex<VecDeque<String>>,
}

impl TagLog {
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self, tags: &[String]) {
        let mut recent = self.recent.lock();
        for tag in tags {
            if recent.len() == CAPACITY {
                recent.pop_front();
            }
            recent.push_back(tag.clone());
        }
        self.now.fetch_add(tags.len() as u64, Ordering::SeqCst);
    }

    /// Tells whether one of `tags` was invalidated after one moment and not after another; of tags that
    /// are not known, whether any was.
    pub(super) fn has(&self, after: u64, until: u64, tags: Option<&[String]>) -> bool {
        if until <= after {
            return false;
        }
        let Some(tags) = tags else {
            return true;
        };
        if tags.is_empty() {
            return false;
        }
        let recent = self.recent.lock();
        let oldest = self.now() - recent.len() as u64;
        let Some(skipped) = after.checked_sub(oldest) else {
            return true;
        };
        let between = recent.iter().skip(skipped as usize);
        between
            .take((until - after) as usize)
            .any(|tag| tags.contains(tag))
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::{CAPACITY, TagLog};

    fn tags<const N: usize>(names: [&str; N]) -> [String; N] {
        names.map(str::to_owned)
    }

    #[test]
    fn a_tag_is_found_between_the_moments_around_its_invalidation_alone() {
        let log = TagLog::default();
        log.add(&tags(["a", "b"]));
        let before = log.now();
        log.add(&tags(["c"]));
        let after = log.now();
        log.add(&tags(["a"]));
        let found = |tag| log.has(before, after, Some(&tags([tag])));
        assert_eq!([found("a"), found("b"), found("c")], [false, false, true]);
        assert!(log.has(before, log.now(), Some(&tags(["a"]))));
        assert!(!log.has(after, after, None) && log.has(before, after, None));
        assert!(!log.has(0, log.now(), Some(&[])));
    }

    #[test]
    fn what_is_forgotten_concerns_every_tag() {
        let log = TagLog::default();
        for _ in 0..=CAPACITY {
            log.add(&tags(["a"]));
        }
        let other = tags(["b"]);
        assert!(log.has(0, log.now(), Some(&other)));
        assert!(!log.has(1, log.now(), Some(&other)));
    }
}
