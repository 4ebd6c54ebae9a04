//! The thread: it starts with the first cache that is to be swept and ends with the last one.
//!
//! It knows caches weakly, so it keeps none alive, and it holds the lock of the schedule at no time when
//! the user's code runs. All caches whose turn has come are swept side by side, one round over their shards at a time:
//! a large one does not keep small ones waiting.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::schedule::Schedule;
use crate::store::Store;

/// How often a cache is swept at the most: more often, the thread would do nothing else.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// A cache, whatever its values are.
trait Swept: Send + Sync {
    /// How many parts it has.
    fn parts(&self) -> usize;
    /// How many invalidations of tags there were.
    fn invalidations(&self) -> u64;
    /// Frees some of what is absent in a part, and tells whether there may be more.
    fn sweep_part(&self, part: usize, invalidations: u64) -> bool;
}

impl<V: Send + Sync> Swept for Store<V> {
    fn parts(&self) -> usize {
        Self::parts(self)
    }

    fn invalidations(&self) -> u64 {
        self.tags().now()
    }

    fn sweep_part(&self, part: usize, invalidations: u64) -> bool {
        Self::sweep_part(self, part, invalidations).1
    }
}

struct Process {
    state: Mutex<State>,
    /// Told when a cache comes and when the last one goes.
    changed: Condvar,
}

struct State {
    schedule: Schedule<Weak<dyn Swept>>,
    is_running: bool,
}

static PROCESS: Process = Process {
    state: Mutex::new(State {
        schedule: Schedule::new(),
        is_running: false,
    }),
    changed: Condvar::new(),
};

fn state() -> MutexGuard<'static, State> {
    // Nothing but the allocator can panic while it is held.
    PROCESS.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a cache swept at an interval, and returns its number, which is not 0; `None` if there is no thread to be
/// had.
pub(super) fn register<V: Send + Sync + 'static>(
    store: Weak<Store<V>>,
    every: Duration,
) -> Option<u64> {
    let mut state = state();
    if !state.is_running {
        let thread = thread::Builder::new().name("cache-sweeper".to_owned());
        thread.spawn(run).ok()?;
        state.is_running = true;
    }
    let every = every.max(LEAST_INTERVAL);
    let id = state.schedule.add(store, every, Instant::now());
    PROCESS.changed.notify_one();
    Some(id)
}

pub(super) fn remove(id: u64) {
    let mut state = state();
    state.schedule.remove(id);
    if state.schedule.is_empty() {
        PROCESS.changed.notify_one();
    }
}

fn run() {
    let mut turns = VecDeque::new();
    while begin(&mut turns) {
        let Some(mut turn) = turns.pop_front() else {
            continue;
        };
        if turn.has_more() {
            turns.push_back(turn);
            // The next round may come back to the same shard.
            thread::yield_now();
        } else {
            state().schedule.wait(turn.id, Instant::now());
        }
    }
}

/// Begins the turns that have come, and waits for one if there is none; returns `false` when no cache is left.
fn begin(turns: &mut VecDeque<Turn>) -> bool {
    let mut state = state();
    loop {
        let begun = state.schedule.begin(Instant::now());
        turns.extend(begun.into_iter().map(Turn::new));
        if !turns.is_empty() {
            return true;
        }
        if state.schedule.is_empty() {
            state.is_running = false;
            return false;
        }
        state = wait(state);
    }
}

/// Waits until a turn comes or the schedule changes.
fn wait(state: MutexGuard<'static, State>) -> MutexGuard<'static, State> {
    let changed = &PROCESS.changed;
    match state.schedule.next() {
        Some(due) => {
            let left = due.saturating_duration_since(Instant::now());
            let waited = changed.wait_timeout(state, left);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
        None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}

/// A cache that is being swept.
struct Turn {
    id: u64,
    cache: Weak<dyn Swept>,
    /// The parts in which there may be more, once the turn has begun, and how many invalidations of tags there were
    /// then: later ones are for the next turn.
    left: Option<(Vec<usize>, u64)>,
}

impl Turn {
    fn new((id, cache): (u64, Weak<dyn Swept>)) -> Self {
        Self {
            id,
            cache,
            left: None,
        }
    }

    /// Does a round over the parts, and tells whether there may be more.
    fn has_more(&mut self) -> bool {
        // Values, and the cache itself if nobody else has it any more, are dropped here, and the listener is
        // told: none of that code may end the thread. What it has panicked about is removed already.
        let round = catch_unwind(AssertUnwindSafe(|| self.round()));
        round.unwrap_or_else(|panic| {
            // What was thrown is the user's as well.
            mem::forget(catch_unwind(AssertUnwindSafe(|| drop(panic))));
            true
        })
    }

    fn round(&mut self) -> bool {
        let Some(cache) = self.cache.upgrade() else {
            return false;
        };
        let begin = || ((0..cache.parts()).collect(), cache.invalidations());
        let (parts, invalidations) = self.left.get_or_insert_with(begin);
        drop(cache);
        parts.retain(|part| {
            let cache = self.cache.upgrade();
            cache.is_some_and(|cache| cache.sweep_part(*part, *invalidations))
        });
        !parts.is_empty()
    }
}
