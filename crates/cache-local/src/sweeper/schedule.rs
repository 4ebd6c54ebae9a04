//! When each cache is swept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Caches, of which each has a turn every so often: the time between two turns counts from the end of the first.
#[derive(Debug)]
pub(super) struct Schedule<C> {
    last_id: u64,
    caches: BTreeMap<u64, Entry<C>>,
    /// The caches that wait for their turn.
    waiting: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry<C> {
    cache: C,
    every: Duration,
    /// When its turn comes; `None` during the turn, and of one that never comes.
    due: Option<Instant>,
}

impl<C: Clone> Schedule<C> {
    pub(super) const fn new() -> Self {
        Self {
            last_id: 0,
            caches: BTreeMap::new(),
            waiting: BTreeSet::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    /// Adds a cache, and returns its number, which is not 0.
    pub(super) fn add(&mut self, cache: C, every: Duration, now: Instant) -> u64 {
        self.last_id += 1;
        let entry = Entry {
            cache,
            every,
            due: None,
        };
        self.caches.insert(self.last_id, entry);
        self.wait(self.last_id, now);
        self.last_id
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(due) = self.caches.remove(&id).and_then(|entry| entry.due) {
            self.waiting.remove(&(due, id));
        }
    }

    /// Returns when the next turn comes.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Begins the turns that have come.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<(u64, C)> {
        let mut begun = Vec::new();
        while let Some((due, id)) = self.waiting.first().copied()
            && due <= now
        {
            self.waiting.remove(&(due, id));
            if let Some(entry) = self.caches.get_mut(&id) {
                entry.due = None;
                begun.push((id, entry.cache.clone()));
            }
        }
        begun
    }

    /// Ends a turn: the cache waits for its next one, unless it was removed meanwhile.
    pub(super) fn wait(&mut self, id: u64, now: Instant) {
        if let Some(entry) = self.caches.get_mut(&id) {
            entry.due = now.checked_add(entry.every);
            self.waiting.extend(entry.due.map(|due| (due, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Schedule;

    const SECOND: Duration = Duration::from_secs(1);

    fn names(begun: Vec<(u64, &'static str)>) -> Vec<&'static str> {
        begun.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn each_cache_has_its_turns_at_its_own_interval_and_none_before() {
        let (mut schedule, start) = (Schedule::new(), Instant::now());
        schedule.add("minute", 60 * SECOND, start);
        schedule.add("second", SECOND, start);
        schedule.add("two", 2 * SECOND, start);
        let nanosecond = Duration::from_nanos(1);
        assert_eq!(schedule.next(), Some(start + SECOND));
        assert_eq!(schedule.begin(start + SECOND - nanosecond), []);
        let mut turns = Vec::new();
        for second in 1..=61 {
            let now = start + second * SECOND;
            for (id, name) in schedule.begin(now) {
                turns.push((second, name));
                schedule.wait(id, now);
            }
        }
        let of = |name| turns.iter().filter(move |turn| turn.1 == name);
        assert!(of("second").map(|turn| turn.0).eq(1..=61));
        assert!(of("two").map(|turn| turn.0).eq((2..=60).step_by(2)));
        assert!(of("minute").map(|turn| turn.0).eq([60]));
    }

    #[test]
    fn a_turn_that_takes_long_is_followed_by_a_whole_interval_and_by_no_second_one_at_once() {
        let (mut schedule, start) = (Schedule::new(), Instant::now());
        let id = schedule.add("slow", SECOND, start);
        schedule.add("other", 3 * SECOND, start);
        assert_eq!(names(schedule.begin(start + SECOND)), ["slow"]);
        // During its turn it waits for none.
        assert_eq!(schedule.next(), Some(start + 3 * SECOND));
        assert_eq!(names(schedule.begin(start + 5 * SECOND)), ["other"]);
        schedule.wait(id, start + 10 * SECOND);
        assert_eq!(schedule.next(), Some(start + 11 * SECOND));
    }

    #[test]
    fn a_cache_that_is_removed_has_no_turn_any_more_wherever_it_was() {
        let (mut schedule, start) = (Schedule::new(), Instant::now());
        let waiting = schedule.add("waiting", SECOND, start);
        schedule.remove(waiting);
        assert_eq!((schedule.next(), schedule.is_empty()), (None, true));
        let swept = schedule.add("swept", SECOND, start);
        assert_eq!(names(schedule.begin(start + SECOND)), ["swept"]);
        schedule.remove(swept);
        schedule.wait(swept, start + SECOND);
        assert_eq!((schedule.next(), schedule.is_empty()), (None, true));
    }

    #[test]
    fn an_interval_beyond_the_end_of_time_never_comes() {
        let mut schedule = Schedule::new();
        schedule.add("never", Duration::MAX, Instant::now());
        assert_eq!((schedule.next(), schedule.is_empty()), (None, false));
    }
}
