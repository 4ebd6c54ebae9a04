//! What a store has done on the wire.

use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::{ErrorKind, WireStats};

#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    timeouts: AtomicU64,
    unavailable: AtomicU64,
    unauthorized: AtomicU64,
    other_errors: AtomicU64,
    retries: AtomicU64,
    batches: AtomicU64,
    joined: AtomicU64,
    reconnects: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.operations, 1);
        add(&self.bytes_sent, bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.bytes_received, bytes as u64);
    }

    pub(crate) fn failed(&self, kind: &ErrorKind) {
        let counter = match kind {
            ErrorKind::Timeout => &self.timeouts,
            ErrorKind::Unavailable => &self.unavailable,
            ErrorKind::Unauthorized => &self.unauthorized,
            _ => &self.other_errors,
        };
        add(counter, 1);
    }

    pub(crate) fn retried(&self) {
        add(&self.retries, 1);
    }

    /// Counts operations that one command has done together.
    pub(crate) fn joined(&self, operations: usize) {
        if operations > 1 {
            add(&self.batches, 1);
            add(&self.joined, operations as u64);
        }
    }

    pub(crate) fn reconnected(&self, times: u64) {
        add(&self.reconnects, times);
    }

    pub(crate) fn snapshot(&self) -> WireStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = WireStats::default();
        stats.operations = read(&self.operations);
        stats.bytes_sent = read(&self.bytes_sent);
        stats.bytes_received = read(&self.bytes_received);
        stats.timeouts = read(&self.timeouts);
        stats.unavailable = read(&self.unavailable);
        stats.unauthorized = read(&self.unauthorized);
        stats.other_errors = read(&self.other_errors);
        stats.retries = read(&self.retries);
        stats.batches = read(&self.batches);
        stats.joined = read(&self.joined);
        stats.reconnects = read(&self.reconnects);
        stats
    }
}
