//! The primitives that threads meet at; under `--cfg shuttle`, ones whose schedule is steered.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    thread::yield_now,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    thread::yield_now,
};

/// A mutex on which threads may wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(base::Mutex<T>);

#[cfg(not(shuttle))]
use std::sync as base;

#[cfg(shuttle)]
use shuttle::sync as base;

impl<T> Mutex<T> {
    pub(crate) fn lock(&self) -> impl DerefMut<Target = T> {
        // What panics while it is held is the allocator at most; what it guards is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock that many may read under at once.
pub(crate) struct RwLock<T>(Shared<T>);

#[cfg(not(shuttle))]
type Shared<T> = parking_lot::RwLock<T>;
#[cfg(shuttle)]
type Shared<T> = shuttle::sync::RwLock<T>;

impl<T> RwLock<T> {
    pub(crate) fn new(guarded: T) -> Self {
        Self(Shared::new(guarded))
    }

    #[inline]
    pub(crate) fn read(&self) -> impl Deref<Target = T> {
        #[cfg(not(shuttle))]
        return self.0.read();
        #[cfg(shuttle)]
        return self.0.read().unwrap();
    }

    #[inline]
    pub(crate) fn write(&self) -> impl DerefMut<Target = T> {
        #[cfg(not(shuttle))]
        return self.0.write();
        #[cfg(shuttle)]
        return self.0.write().unwrap();
    }
}
