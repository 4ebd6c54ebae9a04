//! The thread: it starts with the first alarm and ends when there was none for a while.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, mem};

/// How long the thread waits for an alarm before it ends.
const LINGER: Duration = Duration::from_secs(10);

/// When to wake; the number tells alarms of one moment apart.
type Name = (Instant, u64);

struct Process {
    state: Mutex<State>,
    /// Told when there is an alarm before the one that the thread waits for.
    changed: Condvar,
}

struct State {
    alarms: BTreeMap<Name, Waker>,
    last_number: u64,
    /// When the thread wakes by itself; `None` if there is no thread.
    wakes: Option<Instant>,
}

static PROCESS: Process = Process {
    state: Mutex::new(State {
        alarms: BTreeMap::new(),
        last_number: 0,
        wakes: None,
    }),
    changed: Condvar::new(),
};

fn state() -> MutexGuard<'static, State> {
    // Nothing but the allocator can panic while it is held: wakers are the runtime's, and are cloned, woken and
    // dropped outside of it.
    PROCESS.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task that is to be woken at a moment, or was. It is not once this is dropped.
pub(super) struct Alarm {
    name: Name,
    waker: Waker,
    /// There is a thread to wake it.
    is_watched: bool,
}

impl Alarm {
    pub(super) fn new(at: Instant, waker: &Waker) -> Self {
        let (waker, own) = (waker.clone(), waker.clone());
        let mut state = state();
        state.last_number += 1;
        let name = (at, state.last_number);
        state.alarms.insert(name, waker);
        let is_watched = state.ensure_awake_at(at);
        drop(state);
        if !is_watched {
            // The system has no thread left, so the task looks again by itself.
            own.wake_by_ref();
        }
        Self {
            name,
            waker: own,
            is_watched,
        }
    }

    /// Makes sure that it is this task that is woken.
    pub(super) fn set_waker(&mut self, waker: &Waker) {
        if !self.is_watched || !self.waker.will_wake(waker) {
            *self = Self::new(self.name.0, waker);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut state = state();
        let waker = state.alarms.remove(&self.name);
        drop(state);
        drop(waker);
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").field(&self.name.0).finish()
    }
}

impl State {
    /// Makes sure that the thread is awake at this moment; returns `false` if there is no thread to be had.
    fn ensure_awake_at(&mut self, at: Instant) -> bool {
        match self.wakes {
            Some(wakes) if wakes <= at => {}
            Some(_) => {
                self.wakes = Some(at);
                PROCESS.changed.notify_one();
            }
            None => {
                let thread = thread::Builder::new().name("cache-timer".to_owned());
                if thread.spawn(run).is_err() {
                    return false;
                }
                self.wakes = Some(at);
            }
        }
        true
    }

    /// Takes out the alarms whose moment has come.
    fn take_due(&mut self, now: Instant) -> BTreeMap<Name, Waker> {
        let later = self.alarms.split_off(&(now, u64::MAX));
        mem::replace(&mut self.alarms, later)
    }
}

fn run() {
    let mut state = state();
    // How many alarms there had been when none was left.
    let mut idle_at = None;
    loop {
        let now = Instant::now();
        let due = state.take_due(now);
        if !due.is_empty() {
            drop(state);
            due.into_values().for_each(wake);
            state = self::state();
            continue;
        }
        let wakes = match state.alarms.keys().next() {
            Some((at, _)) => *at,
            None if idle_at == Some(state.last_number) => {
                state.wakes = None;
                return;
            }
            None => {
                idle_at = Some(state.last_number);
                now + LINGER
            }
        };
        state.wakes = Some(wakes);
        let waited = PROCESS.changed.wait_timeout(state, wakes - now);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Wakes a task. That is the code of a runtime, and must not end the thread.
fn wake(waker: Waker) {
    let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    woken.unwrap_or_else(mem::forget);
}
