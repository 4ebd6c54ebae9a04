//! What threads meet at; under `--cfg shuttle`, with a schedule that is steered.

#[cfg(not(shuttle))]
pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(shuttle)]
pub(super) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(not(shuttle))]
use std::sync as base;

#[cfg(shuttle)]
use shuttle::sync as base;

/// A mutex that is held for a few instructions, in which nothing of the user's runs.
#[derive(Debug, Default)]
pub(super) struct Mutex<T>(base::Mutex<T>);

impl<T> Mutex<T> {
    pub(super) fn lock(&self) -> base::MutexGuard<'_, T> {
        // What panics while it is held is the allocator at most; what it guards is whole.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
