//! The counters: a table of their own beside the entries, made when the first one counts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use cache_core::{Clock, Count, Error, ErrorKind, Expiry, Result};
use dashmap::{DashMap, Entry};
use foldhash::fast::RandomState;

use crate::entry::NEVER;
use crate::sync::{AtomicU64, Ordering};

/// Counters that one turn of a sweep frees.
const FREED_PER_TURN: usize = 64;
/// Rows for which a shard always keeps room.
const LEAST_ROOM: usize = 64;
const MOST_SHARDS: usize = 64;

/// At most so many counters, in no memory before the first one.
pub(crate) struct CounterTable {
    most: u64,
    rows: OnceLock<Box<Rows>>,
}

/// A row is changed under the lock of its shard, and what knows of its end with it.
struct Rows {
    map: DashMap<Arc<str>, Counter, RandomState>,
    /// For each shard, the counters whose windows end, in the order in which they do.
    ends: Box<[Mutex<BTreeSet<End>>]>,
    /// The rows there are, and those for which there is room.
    held: AtomicU64,
}

type End = (u64, Arc<str>);

#[derive(Clone, Copy)]
struct Counter {
    value: i64,
    deadline: u64,
}

impl Counter {
    /// Returns what it has counted, or `None` if its window has ended.
    fn count(self, clock: &Clock) -> Option<Count> {
        let expiry = match self.deadline {
            NEVER => Expiry::Never,
            deadline => {
                let left = deadline.checked_sub(clock.nanos());
                Expiry::After(Duration::from_nanos(left.filter(|left| *left > 0)?))
            }
        };
        Some(Count::new(self.value, expiry))
    }
}

impl CounterTable {
    pub(crate) const fn new(most: u64) -> Self {
        Self {
            most,
            rows: OnceLock::new(),
        }
    }

    pub(crate) fn add(&self, name: &str, by: i64, window: Expiry, clock: &Clock) -> Result<Count> {
        let first = Count::new(Count::after(None, by)?, window);
        let rows = self.rows.get_or_init(|| Box::new(Rows::new()));
        if let Some(mut row) = rows.map.get_mut(name) {
            let (name, counter) = row.pair_mut();
            return rows.count((name, counter), first, clock);
        }
        rows.claim(self.most)?;
        match rows.map.entry(name.into()) {
            Entry::Vacant(row) => {
                let counter = started(first, clock);
                rows.file(row.key(), counter.deadline);
                row.insert(counter);
                Ok(first)
            }
            Entry::Occupied(mut row) => {
                // Somebody else was faster, and has room already.
                rows.held.fetch_sub(1, Ordering::SeqCst);
                let name = Arc::clone(row.key());
                rows.count((&name, row.get_mut()), first, clock)
            }
        }
    }

    pub(crate) fn get(&self, name: &str, clock: &Clock) -> Option<Count> {
        self.rows.get()?.map.get(name)?.count(clock)
    }

    pub(crate) fn reset(&self, name: &str, clock: &Clock) -> bool {
        let counter = self.rows.get().and_then(|rows| rows.remove(name, |_| true));
        counter.is_some_and(|counter| counter.count(clock).is_some())
    }

    /// Returns how many turns a sweep takes: one for each shard.
    pub(crate) fn shards(&self) -> usize {
        self.rows.get().map_or(0, |rows| rows.ends.len())
    }

    /// Frees some counters of a shard whose windows have ended, one to a hold of its lock; tells whether there
    /// may be more.
    pub(crate) fn sweep_some(&self, shard: usize, clock: &Clock) -> bool {
        let Some(rows) = self.rows.get() else {
            return false;
        };
        let now = clock.nanos();
        for _ in 0..FREED_PER_TURN {
            let first = rows.ends(shard).first().cloned();
            let Some((deadline, name)) = first.filter(|(deadline, _)| *deadline <= now) else {
                return false;
            };
            rows.remove(&name, |counter| counter.deadline == deadline);
        }
        true
    }
}

/// Returns a counter whose window begins now.
fn started(count: Count, clock: &Clock) -> Counter {
    let deadline = match count.expiry {
        Expiry::Never => NEVER,
        Expiry::After(window) => clock.deadline_nanos(window).min(NEVER - 1),
    };
    Counter {
        value: count.value,
        deadline,
    }
}

impl Rows {
    fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let shards = (4 * cores).next_power_of_two().min(MOST_SHARDS);
        let hasher = RandomState::default();
        Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, shards),
            ends: (0..shards).map(|_| Mutex::default()).collect(),
            held: AtomicU64::new(0),
        }
    }

    fn ends(&self, shard: usize) -> MutexGuard<'_, BTreeSet<End>> {
        // What panics while it is held is the allocator at most.
        let ends = self.ends[shard].lock();
        ends.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes when the window of a counter ends.
    fn file(&self, name: &Arc<str>, deadline: u64) {
        if deadline != NEVER {
            let end = (deadline, Arc::clone(name));
            self.ends(self.map.determine_map(name)).insert(end);
        }
    }

    fn forget(&self, name: &Arc<str>, deadline: u64) {
        if deadline != NEVER {
            let end = (deadline, Arc::clone(name));
            self.ends(self.map.determine_map(name)).remove(&end);
        }
    }

    /// Adds to a row what would be the first count of a new one, which it becomes if its window has ended.
    fn count(
        &self,
        (name, counter): (&Arc<str>, &mut Counter),
        first: Count,
        clock: &Clock,
    ) -> Result<Count> {
        if let Some(mut count) = counter.count(clock) {
            count.value = Count::after(Some(count.value), first.value)?;
            counter.value = count.value;
            return Ok(count);
        }
        self.forget(name, counter.deadline);
        *counter = started(first, clock);
        self.file(name, counter.deadline);
        Ok(first)
    }

    /// Finds room for one more row: in the place of the one whose window ends first, if there are `most`.
    fn claim(&self, most: u64) -> Result<()> {
        let one_more = |held: u64| (held < most).then_some(held + 1);
        let claim = || {
            self.held
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
        };
        while claim().is_err() {
            let first = |shard: &usize| self.ends(*shard).first().map(|(deadline, _)| *deadline);
            let shards = (0..self.ends.len()).filter_map(|shard| Some((first(&shard)?, shard)));
            let Some((_, shard)) = shards.min() else {
                return Err(full(most));
            };
            // Others may have taken it meanwhile: then the next one goes.
            let end = self.ends(shard).first().cloned();
            if let Some((deadline, name)) = end {
                self.remove(&name, |counter| counter.deadline == deadline);
            }
        }
        Ok(())
    }

    /// Removes a row if it is still the one that is meant.
    fn remove(&self, name: &str, is_meant: impl FnOnce(&Counter) -> bool) -> Option<Counter> {
        let remove = |name: &Arc<str>, counter: &Counter| {
            let is_meant = is_meant(counter);
            if is_meant {
                self.forget(name, counter.deadline);
            }
            is_meant
        };
        let (name, counter) = self.map.remove_if(name, remove)?;
        self.held.fetch_sub(1, Ordering::SeqCst);
        self.shrink(self.map.determine_map(&name));
        Some(counter)
    }

    /// Gives memory back if a shard has room for far more rows than it holds.
    fn shrink(&self, shard: usize) {
        let is_sparse = |room: usize, rows: usize| room > LEAST_ROOM && room / 8 > rows;
        let shard = &self.map.shards()[shard];
        let table = shard.read();
        let must = is_sparse(table.capacity(), table.len());
        drop(table);
        if must {
            let (mut table, hasher) = (shard.write(), self.map.hasher().clone());
            let room = 2 * table.len();
            table.shrink_to(room, |(name, _)| {
                std::hash::BuildHasher::hash_one(&hasher, name)
            });
        }
    }
}

fn full(limit: u64) -> Error {
    Error::new(ErrorKind::Full {
        what: "max_counters".into(),
        limit,
    })
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cache_core::{Clock, ErrorKind, Expiry};

    use super::{CounterTable, LEAST_ROOM};
    use crate::sync::Ordering;

    const MINUTE: Expiry = Expiry::After(Duration::from_secs(60));

    impl CounterTable {
        /// Returns how many counters are held, how many ends are known, and for how many rows there is room.
        fn size(&self) -> (u64, usize, usize) {
            let Some(rows) = self.rows.get() else {
                return (0, 0, 0);
            };
            let ends = (0..self.shards()).map(|shard| rows.ends(shard).len()).sum();
            assert_eq!(self.held(), rows.map.len() as u64);
            (self.held(), ends, rows.map.capacity())
        }

        pub(crate) fn held(&self) -> u64 {
            let rows = self.rows.get();
            rows.map_or(0, |rows| rows.held.load(Ordering::SeqCst))
        }

        fn sweep(&self, clock: &Clock) {
            for shard in 0..self.shards() {
                while self.sweep_some(shard, clock) {}
            }
        }
    }

    #[test]
    fn nothing_is_held_before_the_first_counter() {
        let (table, (clock, _)) = (CounterTable::new(10), Clock::manual());
        assert_eq!(table.get("name", &clock), None);
        assert!(!table.reset("name", &clock));
        assert!(table.rows.get().is_none());
        assert!(size_of::<CounterTable>() <= 32);
    }

    #[test]
    fn a_peak_is_freed_after_its_windows() {
        let (table, (clock, hand)) = (CounterTable::new(1 << 20), Clock::manual());
        for number in 0..100_000 {
            table
                .add(&number.to_string(), 1, MINUTE, &clock)
                .expect("there is room");
        }
        table
            .add("stays", 1, Expiry::Never, &clock)
            .expect("there is room");
        let (held, ends, room) = table.size();
        assert_eq!((held, ends), (100_001, 100_000));
        assert!(room >= 100_000);
        hand.advance(Duration::from_secs(60));
        table.sweep(&clock);
        let (held, ends, room) = table.size();
        assert_eq!((held, ends), (1, 0));
        assert!(room <= 8 * LEAST_ROOM * table.shards(), "room for {room}");
        assert_eq!(table.get("stays", &clock).map(|count| count.value), Some(1));
    }

    #[test]
    fn what_is_reset_or_begins_anew_leaves_no_end_behind() {
        let (table, (clock, hand)) = (CounterTable::new(10), Clock::manual());
        for _ in 0..100 {
            table.add("anew", 1, MINUTE, &clock).expect("there is room");
            table
                .add("reset", 1, MINUTE, &clock)
                .expect("there is room");
            assert!(table.reset("reset", &clock));
            hand.advance(Duration::from_secs(61));
            assert!(!table.reset("reset", &clock));
        }
        let (held, ends, _) = table.size();
        assert_eq!((held, ends), (1, 1));
    }

    #[test]
    fn the_bound_holds_while_threads_count_and_every_add_counts() {
        let table = Arc::new(CounterTable::new(8));
        let clock = Clock::system();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (table, clock) = (&table, &clock);
                scope.spawn(move || {
                    for number in 0..2_000 {
                        let name = format!("{}", number % 50 + thread);
                        let count = table.add(&name, 1, MINUTE, clock).expect("one can go");
                        assert!(count.value >= 1);
                        table
                            .add("endless", 1, Expiry::Never, clock)
                            .expect("one can go");
                        assert!(table.held() <= 8);
                    }
                });
            }
        });
        assert_eq!(table.size().0, 8);
        let count = table.get("endless", &clock).map(|count| count.value);
        assert_eq!(count, Some(8_000));
    }

    #[test]
    fn what_never_ends_is_not_pushed_out() {
        let (table, (clock, _)) = (CounterTable::new(2), Clock::manual());
        for name in ["a", "b"] {
            table
                .add(name, 1, Expiry::Never, &clock)
                .expect("there is room");
        }
        let refused = table.add("c", 1, MINUTE, &clock).expect_err("it is full");
        let full = ErrorKind::Full {
            what: "max_counters".into(),
            limit: 2,
        };
        assert_eq!(*refused.kind(), full);
        assert_eq!(refused.to_string(), "no room: max_counters is 2");
        let count = table.add("a", 1, MINUTE, &clock).expect("it is there");
        assert_eq!((count.value, count.expiry), (2, Expiry::Never));
    }
}
