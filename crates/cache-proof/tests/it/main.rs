//! What the proof shows, with processes and servers of its own.

mod faults;
mod linearizable;
mod mutants;
mod stampede;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that feel each other's load hold it: the faults alone, others beside each other.
static LOAD: RwLock<()> = RwLock::new(());

/// Waits until no other test runs that feels it, and keeps them all away.
fn alone() -> RwLockWriteGuard<'static, ()> {
    // Another test that has failed has nothing to do with this one.
    LOAD.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no test runs that has to be alone, and keeps those away.
fn beside_others() -> RwLockReadGuard<'static, ()> {
    LOAD.read().unwrap_or_else(PoisonError::into_inner)
}
