//! The thread that frees entries and counters that are absent: one for all caches of the process.

#[cfg(not(shuttle))]
mod schedule;
#[cfg(not(shuttle))]
mod sweeping;

use std::sync::Arc;
use std::time::Duration;

use crate::store::Store;
#[cfg(not(shuttle))]
use crate::sync::AtomicU64;
use crate::sync::{AtomicBool, Ordering};

/// Has a cache swept from when that is needed until it is dropped.
#[derive(Debug)]
pub(crate) struct Sweeper {
    interval: Option<Duration>,
    is_registered: AtomicBool,
    /// The number under which the cache is registered, or 0.
    #[cfg(not(shuttle))]
    id: AtomicU64,
}

impl Sweeper {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            is_registered: AtomicBool::new(false),
            #[cfg(not(shuttle))]
            id: AtomicU64::new(0),
        }
    }

    /// Makes sure that the cache is swept.
    #[inline]
    pub(crate) fn ensure<V: Send + Sync + 'static>(&self, store: &Arc<Store<V>>) {
        if let Some(every) = self.interval
            && !self.is_registered.load(Ordering::Relaxed)
        {
            self.register(store, every);
        }
    }

    #[cfg(not(shuttle))]
    #[cold]
    fn register<V: Send + Sync + 'static>(&self, store: &Arc<Store<V>>, every: Duration) {
        if self.is_registered.swap(true, Ordering::SeqCst) {
            return;
        }
        match sweeping::register(Arc::downgrade(store), every) {
            Some(id) => self.id.store(id, Ordering::SeqCst),
            // The system has no thread left. The next write asks again.
            None => self.is_registered.store(false, Ordering::SeqCst),
        }
    }

    /// What a schedule explores has no threads beside its own.
    #[cfg(shuttle)]
    fn register<V: Send + Sync + 'static>(&self, _: &Arc<Store<V>>, _: Duration) {
        self.is_registered.store(true, Ordering::SeqCst);
    }
}

#[cfg(not(shuttle))]
impl Drop for Sweeper {
    fn drop(&mut self) {
        let id = *self.id.get_mut();
        if id != 0 {
            sweeping::remove(id);
        }
    }
}
