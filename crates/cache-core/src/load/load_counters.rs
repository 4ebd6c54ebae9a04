//! What loads count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What the loads of a cache have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoadStats {
    /// Loaders that have run to their end or into a timeout.
    pub loads: u64,
    /// Of these, the ones that failed or took too long.
    pub failures: u64,
    /// The time that they took, together.
    pub time: Duration,
    /// Calls that waited for the load of another.
    pub joined: u64,
    /// Values that were served after their end.
    pub stale_served: u64,
    /// Loads of which the value could not be stored.
    pub not_stored: u64,
    /// Calls that loaded because the cache could not be read.
    pub past_outage: u64,
    /// Keys that are being loaded now, or are not to be loaded for a while, by all caches over the backend.
    pub pending: u64,
}

/// Counters of loads; a load is dear enough not to spread them over threads.
#[derive(Debug, Default)]
pub(crate) struct LoadCounters {
    loads: AtomicU64,
    failures: AtomicU64,
    nanos: AtomicU64,
    joined: AtomicU64,
    stale_served: AtomicU64,
    not_stored: AtomicU64,
    past_outage: AtomicU64,
}

impl LoadCounters {
    pub(crate) fn loaded(&self, took: Duration, has_failed: bool) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        if has_failed {
            // A reader that sees the failure sees the load.
            self.failures.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stale_served(&self) {
        self.stale_served.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_stored(&self) {
        self.not_stored.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn past_outage(&self) {
        self.past_outage.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how long a load takes on average.
    pub(crate) fn mean_time(&self) -> Duration {
        let loads = self.loads.load(Ordering::Relaxed).max(1);
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed) / loads)
    }

    pub(crate) fn snapshot(&self, pending: usize) -> LoadStats {
        let failures = self.failures.load(Ordering::Acquire);
        LoadStats {
            loads: self.loads.load(Ordering::Relaxed),
            failures,
            time: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
            joined: self.joined.load(Ordering::Relaxed),
            stale_served: self.stale_served.load(Ordering::Relaxed),
            not_stored: self.not_stored.load(Ordering::Relaxed),
            past_outage: self.past_outage.load(Ordering::Relaxed),
            pending: pending as u64,
        }
    }
}
