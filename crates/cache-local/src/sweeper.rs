//! The background task that frees entries and counters that are absent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::store::Store;
use crate::sync::{AtomicBool, Guarded, Ordering};

/// Starts the task when it is needed, and again if the runtime that it ran on has ended. The
/// task ends with this.
#[derive(Debug)]
pub(crate) struct Sweeper {
    interval: Option<Duration>,
    running: Arc<AtomicBool>,
    task: Guarded<Option<AbortHandle>>,
}

impl Sweeper {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            running: Arc::new(AtomicBool::new(false)),
            task: Guarded::default(),
        }
    }

    /// Makes sure that the task runs, if this thread is in a runtime; a caller without one
    /// sweeps by hand.
    #[inline]
    pub(crate) fn ensure<V: Send + Sync + 'static>(&self, store: &Arc<Store<V>>) {
        if self.interval.is_some() && !self.running.load(Ordering::Relaxed) {
            self.start(store);
        }
    }

    #[cold]
    fn start<V: Send + Sync + 'static>(&self, store: &Arc<Store<V>>) {
        let (Some(every), Ok(runtime)) = (self.interval, Handle::try_current()) else {
            return;
        };
        if self.running.swap(true, Ordering::SeqCst) {
            return;
        }
        // A runtime without timers panics here, and only tells so that way: it gets no task, and
        // the flag stays up so that it is asked once.
        let Ok(ticks) = catch_unwind(AssertUnwindSafe(|| interval(every))) else {
            return;
        };
        let running = Running(Arc::clone(&self.running));
        let task = runtime.spawn(run(Arc::downgrade(store), ticks, running));
        *self.task.lock() = Some(task.abort_handle());
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// Clears the flag when the task ends for whatever reason, the end of its runtime included.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

async fn run<V: Send + Sync>(store: Weak<Store<V>>, mut ticks: Interval, _running: Running) {
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // The first tick is at once.
    loop {
        ticks.tick().await;
        let mut part = 0;
        // Later invalidations are for the next turn.
        let mut invalidations = None;
        // The cache is gone: so is the task.
        while let Some(store) = store.upgrade() {
            if part >= store.parts() {
                break;
            }
            let until = *invalidations.get_or_insert_with(|| store.tags().now());
            let (_, more) = store.sweep_part(part, until);
            drop(store);
            part += usize::from(!more);
            // A long sweep leaves the thread to other tasks in between.
            yield_now().await;
        }
        if store.strong_count() == 0 {
            return;
        }
    }
}
